"""The harness itself, proved on Erlang beside Erlang before any node of ours is involved."""

import os

import pytest
from erlang_peer import ErlangError, StartErl
from etf_codec import Atom

pytestmark = pytest.mark.anyio


async def test_values_come_back_as_terms(start_erl: StartErl) -> None:
    erl = await start_erl("a@127.0.0.1")
    assert await erl.eval('{ok, [1, 2.5, <<"three">>], #{four => 4}}') == (
        Atom("ok"),
        [1, 2.5, b"three"],
        {Atom("four"): 4},
    )
    assert await erl.text("{ok, [$h, 246]}") == '{ok,"hö"}'


async def test_variables_and_the_mailbox_last(start_erl: StartErl) -> None:
    erl = await start_erl("a@127.0.0.1")
    await erl.eval("Self = self(), Self ! first, Self ! second")
    assert await erl.eval("receive M1 -> M1 end") == Atom("first")
    assert await erl.eval("{M1, receive M2 -> M2 end}") == (Atom("first"), Atom("second"))


async def test_an_error_shows_the_reason_and_spares_the_node(start_erl: StartErl) -> None:
    erl = await start_erl("a@127.0.0.1")
    with pytest.raises(ErlangError, match="badarith"):
        await erl.eval("1 / 0")
    with pytest.raises(ErlangError, match="syntax error"):
        await erl.eval("1 +")
    assert await erl.eval("1 + 1") == 2


async def test_no_answer_in_time(start_erl: StartErl) -> None:
    erl = await start_erl("a@127.0.0.1")
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 s to: receive"):
        await erl.eval("receive never -> ok end", timeout=0.05)
    await erl.kill()


async def test_a_name_in_use_fails_with_the_log(start_erl: StartErl) -> None:
    await start_erl("a@127.0.0.1")
    with pytest.raises(ErlangError, match=r"(?s)ended before it answered.*seems to be in use"):
        await start_erl("a@127.0.0.1")


async def test_two_nodes_meet_through_the_epmd_of_the_test(start_erl: StartErl) -> None:
    a = await start_erl("a@127.0.0.1")
    b = await start_erl("b@127.0.0.1")
    assert await a.eval("net_adm:ping('b@127.0.0.1')") == Atom("pong")
    assert await b.eval("nodes()") == [Atom("a@127.0.0.1")]
    await b.eval("echo_server:start(echo)")
    assert await a.eval("gen_server:call({echo, 'b@127.0.0.1'}, hi)") == (Atom("echo"), Atom("hi"))


async def test_short_names(start_erl: StartErl) -> None:
    a = await start_erl("a@localhost")
    await start_erl("b@localhost")
    assert await a.eval("net_adm:ping('b@localhost')") == Atom("pong")


async def test_a_wrong_cookie_is_refused(start_erl: StartErl) -> None:
    a = await start_erl("a@127.0.0.1", cookie="one")
    await start_erl("b@127.0.0.1", cookie="other")
    assert await a.eval("net_adm:ping('b@127.0.0.1')") == Atom("pang")


async def test_kill_and_stop_leave_no_process(start_erl: StartErl) -> None:
    a = await start_erl("a@127.0.0.1")
    b = await start_erl("b@127.0.0.1")
    await a.eval("true = net_kernel:connect_node('b@127.0.0.1'), monitor_node('b@127.0.0.1', true)")
    await b.kill()
    assert await a.eval("receive {nodedown, N} -> N end") == Atom("b@127.0.0.1")
    await a.stop()
    for erl in (a, b):
        with pytest.raises(ProcessLookupError):
            os.kill(erl.os_pid, 0)
    with pytest.raises(ErlangError, match="ended before it was asked"):
        await a.eval("node()")
