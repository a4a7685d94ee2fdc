"""Looking into a node by the functions of Erlang's own tools; beside real Erlang in tests-interop."""

from typing import Any

import pytest
from ergo_node import Epmd, ErlangError, Node, provide_observer
from etf_codec import Atom
from otp_behaviors import GenServer

pytestmark = pytest.mark.anyio

COOKIE = "secret"


class Shelf(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


async def test_a_node_that_allows_it_is_looked_into(epmd: Epmd) -> None:
    async with (
        Node("a@127.0.0.1", COOKIE, epmd=epmd) as a,
        Node("b@127.0.0.1", COOKIE, epmd=epmd) as b,
    ):
        with pytest.raises(ErlangError, match=r"undef|has no"):
            await b.erpc(a.name, "erlang", "processes")
        provide_observer(a)
        shelf = await a.start(Shelf, name="shelf")
        assert await b.erpc(a.name, "erlang", "whereis", [Atom("shelf")]) == shelf.pid
        assert shelf.pid in await b.erpc(a.name, "erlang", "processes")
        items = [Atom("registered_name"), Atom("memory"), Atom("status")]
        info = await b.erpc(a.name, "erlang", "process_info", [shelf.pid, items])
        assert info == [
            (Atom("registered_name"), Atom("shelf")),
            (Atom("memory"), 0),
            (Atom("status"), Atom("waiting")),
        ]
        for arguments in ([shelf.pid, 1], [b.kernel.make_ref()], [shelf.pid, Atom("nothing")]):
            with pytest.raises(ErlangError, match="badarg"):
                await b.erpc(a.name, "erlang", "process_info", arguments)
        backend = Atom("observer_backend")
        for name, arity, exported in [
            ("procs_info", 1, True), ("procs_info", 2, False), ("__class__", 0, False), ("vsn", 0, True)
        ]:  # fmt: skip
            asked = [backend, Atom(name), arity]
            assert await b.erpc(a.name, "erlang", "function_exported", asked) is exported
        with pytest.raises(ErlangError, match="badarg"):
            await b.erpc(a.name, "erlang", "system_info", [Atom("nothing")])
