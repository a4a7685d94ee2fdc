"""What observer and etop ask of a node, asked by real Erlang, in the order and the shapes of OTP 25."""

import pytest
from ergo_node import Node, provide_observer
from erlang_peer import StartErl
from etf_codec import Atom
from otp_behaviors import Application, Child, GenServer, Supervisor

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"


class Shelf(GenServer):
    def init(self) -> None:
        self.dictionary[b"key"] = 1

    def handle_call(self, request: object, caller: object) -> str:
        return "here"


@pytest.fixture
async def pid(node: Node) -> str:
    """How to reach a server of ours from Erlang."""
    provide_observer(node)
    await node.start(Shelf, name="shelf")
    return f"rpc:call('{PY}', erlang, whereis, [shelf])"


async def test_observer_process_window(start_erl: StartErl, pid: str) -> None:
    erl = await start_erl(ERL)
    info = f"fun(What) -> rpc:call('{PY}', erlang, process_info, [Pid, What]) end"
    await erl.eval(f"Pid = {pid}, Info = {info}, ok")
    assert await erl.text("node(Pid)") == f"'{PY}'"
    assert await erl.text("Info(registered_name)") == "{registered_name,shelf}"
    assert await erl.text("Info(messages)") == "{messages,[]}"
    assert await erl.text("Info(dictionary)") == '{dictionary,[{<<"key">>,1}]}'
    assert await erl.text("Info(current_stacktrace)") == "{current_stacktrace,[]}"
    keys = (
        "[binary, catchlevel, current_function, error_handler, garbage_collection, group_leader, heap_size,"
        " initial_call, last_calls, links, memory, message_queue_len, monitored_by, monitors, priority,"
        " reductions, registered_name, sequential_trace_token, stack_size, status, suspending,"
        " total_heap_size, trace, trap_exit]"
    )
    assert await erl.text(f"[K || {{K, _}} <- Info({keys})] =:= {keys}") == "true"
    assert await erl.text("proplists:get_value(status, Info([status]))") == "waiting"
    assert await erl.text(f"is_list(rpc:call('{PY}', erlang, process_info, [Pid]))") == "true"
    assert "badarg" in await erl.text("Info(no_such_item)")
    assert "badarg" in await erl.text(f"rpc:call('{PY}', erlang, process_info, [self()])")
    await erl.eval("monitor(process, Pid), exit(Pid, kill), receive {'DOWN', _, _, _, _} -> ok end")
    assert await erl.text("Info(registered_name)") == "undefined"


async def test_observer_system_and_empty_pages(start_erl: StartErl, pid: str) -> None:
    erl = await start_erl(ERL)
    call = f"fun(F, A) -> rpc:call('{PY}', observer_backend, F, A) end"
    await erl.eval(f"Call = {call}, Sys = Call(sys_info, []), ok")
    assert await erl.text("proplists:get_value(process_count, Sys) > 1") == "true"
    assert await erl.text("proplists:get_value(wordsize_external, Sys)") == "8"
    # It lists what the observer of this release takes from its own node, in the same order.
    keys = await erl.text("[K || {K, _} <- Sys]")
    assert keys.startswith("[uptime,run_queue,io_input,io_output,logical_processors,")
    assert keys.endswith("total,processes,processes_used,system,atom,atom_used,binary,code,ets]")
    assert await erl.text("Call(get_table_list, [ets, [{sys_hidden, true}]])") == "[]"
    assert await erl.text("Call(get_port_list, [])") == "[]"
    assert await erl.text("Call(vsn, [])") == '{ok,"1.19"}'
    exported = f"rpc:call('{PY}', erlang, function_exported, [observer_backend, procs_info, 1])"
    assert await erl.text(exported) == "true"
    assert await erl.text(exported.replace("procs_info", "format_c")) == "false"


async def test_observer_processes_load_and_etop(start_erl: StartErl, pid: str) -> None:
    erl = await start_erl(ERL)
    await erl.eval("process_flag(trap_exit, true), Self = self(), ok")
    await erl.eval(f"P = spawn_link('{PY}', observer_backend, procs_info, [Self]), ok")
    rows = await erl.eval("receive {procs_info, P, Rows} -> Rows after 5000 -> none end")
    assert isinstance(rows, list)
    names = [row[4] for row in rows if isinstance(row, tuple)]
    assert Atom("shelf") in names
    assert Atom("net_kernel") in names
    assert await erl.text("receive {'EXIT', P, Why} -> Why after 5000 -> none end") == "normal"

    await erl.eval(f"L = spawn_link('{PY}', observer_backend, fetch_stats, [Self, 20]), ok")
    stats = (
        "receive {stats, 1, [{1, A1, T1}], {{input, _}, {output, _}}, [{total, M1} | _]} -> {A1, T1, M1} end"
    )
    later = stats.replace("1}", "2}").replace("A1", "A2").replace("T1", "T2").replace("M1", "M2")
    assert await erl.text(f"{stats}, {later}, T2 > T1 andalso A2 >= A1") == "true"
    assert await erl.text("L ! exit, receive {'EXIT', L, Why2} -> Why2 after 5000 -> none end") == "normal"

    await erl.eval(f"E = spawn_link('{PY}', observer_backend, etop_collect, [Self]), ok")
    etop = (
        "receive {E, {etop_info, {_, _, _}, N, undefined, _, _, [], Mem, Procs}} -> N =:= length(Procs) end"
    )
    assert await erl.text(etop) == "true"


async def test_observer_applications(start_erl: StartErl, node: Node, pid: str) -> None:
    shop = Application("shop", Supervisor(Child(Shelf, name="till"), name="shop_sup"), description="A shop")
    await node.start_application(shop)
    erl = await start_erl(ERL)
    await erl.eval("process_flag(trap_exit, true), Self = self(), ok")
    await erl.eval(f"{{ok, Mon}} = rpc:call('{PY}', appmon_info, start_link2, [Self, Self, []]), ok")
    await erl.eval(f"gen_server:cast(Mon, {{Self, app_ctrl, '{PY}', true, []}}), ok")
    apps = f"receive {{delivery, Mon, app_ctrl, '{PY}', Apps}} -> Apps after 5000 -> none end"
    assert (
        await erl.text(f"[{{is_pid(M), N, D}} || {{M, N, D}} <- {apps}]")
        == '[{true,shop,{shop,"A shop",[]}}]'
    )
    await erl.eval("gen_server:cast(Mon, {Self, app, shop, true, []}), ok")
    tree = "receive {delivery, Mon, app, shop, {Root, Pids, Pairs, []}} -> Pairs after 5000 -> none end"
    pairs = await erl.text(tree)
    assert '{"shop_sup","till"}' in pairs
    # It is linked with its client: observer ends it so when the page is left.
    assert await erl.text("exit(Mon, kill), receive {'EXIT', Mon, W} -> W after 5000 -> none end") == "killed"


async def test_nobody_looks_in_unless_allowed(start_erl: StartErl, node: Node) -> None:
    provide_observer(node, nodes=["other@127.0.0.1"])
    erl = await start_erl(ERL)
    for call in (
        "observer_backend, sys_info, []",
        "erlang, processes, []",
        "appmon_info, start_link2, [1, 2, 3]",
    ):
        assert "undef" in await erl.text(f"rpc:call('{PY}', {call})")
