"""What messages carry, and in which order: every term, a megabyte, ten thousand in a row."""

import pytest
from ergo_node import Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid
from otp_behaviors import Process
from witness import StartWitness

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
MANY = 10_000
MEGABYTE = 1024 * 1024


async def evaluator(erl: Erl) -> Pid:
    pid = await erl.eval("self()")
    assert isinstance(pid, Pid)
    return pid


TERMS = """[
    0, -1, 255, 256, 1 bsl 27, -(1 bsl 31), 1 bsl 63, -(1 bsl 64), 1 bsl 2100,
    0.0, -0.0, 1.5e300, true, false, ok, undefined, '', 'ä', list_to_atom(lists:duplicate(255, 16#1F600)),
    [], "text", [0, 255], [256], lists:seq(1, 70000), [a | b], [[[]]], lists:duplicate(70000, $x),
    <<>>, <<"bytes">>, <<1:1>>, <<5:7>>, <<1, 2, 3:4>>,
    {}, {a}, list_to_tuple(lists:seq(1, 300)),
    #{}, #{1 => a, 1.0 => b, true => c, <<"k">> => #{[k] => {v}}},
    maps:from_list([{I, I} || I <- lists:seq(1, 100)]),
    self(), make_ref(), hd(erlang:ports()), fun lists:map/2, fun(X) -> X end, alias()
]"""


async def test_every_term_comes_back_as_it_was(start_erl: StartErl, start_witness: StartWitness) -> None:
    await start_witness(name="echo")
    erl = await start_erl(ERL)
    changed = await erl.text(
        f"Echo = fun(T) -> {{echo, Back}} = gen_server:call({{echo, '{PY}'}}, T), Back end,"
        f" [T || T <- {TERMS}, Echo(T) =/= T]"
    )
    assert changed == "[]"


@pytest.mark.parametrize("size", [MEGABYTE, 65_535, 65_536, 20 * MEGABYTE], ids=str)
async def test_large_binaries_both_ways(size: int, start_erl: StartErl, start_witness: StartWitness) -> None:
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    me = await evaluator(erl)
    # The first message makes the connection: OTP has it encoded by then, and sends it in one piece.
    await erl.eval(f"Data = crypto:strong_rand_bytes({size}), {{witness, '{PY}'}} ! Data, ok")
    data = await witness.next()
    assert isinstance(data, bytes)
    assert len(data) == size
    await witness.do(lambda process: process.send(me, (Atom("back"), data)))
    assert await erl.text("receive {back, Back} -> Back =:= Data end") == "true"


async def test_ten_thousand_messages_from_erlang_stay_in_order(
    start_erl: StartErl, start_witness: StartWitness
) -> None:
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    await erl.eval(f"To = {{witness, '{PY}'}}, [To ! N || N <- lists:seq(1, {MANY})], ok")
    assert [await witness.next() for _ in range(MANY)] == list(range(1, MANY + 1))


async def test_ten_thousand_messages_to_erlang_stay_in_order(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    to = await evaluator(erl)

    async def pour(process: Process) -> None:
        for number in range(1, MANY + 1):
            process.send(to, number)

    node.spawn(pour)
    in_order = (
        f"[receive N when is_integer(N) -> N end || _ <- lists:seq(1, {MANY})] =:= lists:seq(1, {MANY})"
    )
    assert await erl.text(in_order, timeout=30) == "true"


async def test_ten_thousand_messages_both_ways_at_once(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    to = await evaluator(erl)

    async def pour(process: Process) -> None:
        for number in range(1, MANY + 1):
            process.send(to, number)

    node.spawn(pour)
    await erl.eval(f"To = {{witness, '{PY}'}}, [To ! N || N <- lists:seq(1, {MANY})], ok")
    assert [await witness.next() for _ in range(MANY)] == list(range(1, MANY + 1))
    in_order = (
        f"[receive N when is_integer(N) -> N end || _ <- lists:seq(1, {MANY})] =:= lists:seq(1, {MANY})"
    )
    assert await erl.text(in_order, timeout=30) == "true"


async def test_large_and_small_messages_keep_their_order(
    start_erl: StartErl, start_witness: StartWitness
) -> None:
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    me = await evaluator(erl)
    await erl.eval(
        f"To = {{witness, '{PY}'}}, Big = binary:copy(<<7>>, {MEGABYTE}),"
        " [begin To ! {N, Big}, To ! N end || N <- lists:seq(1, 20)], ok"
    )
    for number in range(1, 21):
        large = await witness.next()
        assert isinstance(large, tuple)
        assert large[0] == number
        assert await witness.next() == number

    def pour(process: Process) -> None:
        for number in range(1, 21):
            process.send(me, (number, bytes(MEGABYTE)))
            process.send(me, number)

    await witness.do(pour)
    got = "[receive {N, B} when is_binary(B) -> N; N when is_integer(N) -> N end || _ <- lists:seq(1, 40)]"
    assert (
        await erl.text(f"{got} =:= lists:flatmap(fun(N) -> [N, N] end, lists:seq(1, 20))", timeout=30)
        == "true"
    )
