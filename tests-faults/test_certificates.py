"""H1: the zoo of certificates, shown to us by who connects and by who is connected to, in TLS 1.2 and 1.3.

`HERE` says whom we let in. `ERLANG` says what a real node makes of the same certificates: where it lets in
what we refuse, the reason is in the table's comment; it never refuses what we let in. More of the TLS rows:
tests-interop/test_node_tls.py, packages/ergo-node/tests/test_tls.py.
"""

from pathlib import Path
from typing import Final, Literal, NamedTuple

import anyio
import pytest
from certificate_zoo import HOST, RECIPES, Zoo
from ergo_node import CannotStart, Epmd, Node, Tls, TlsError
from erlang_peer import Erl, StartErl
from etf_codec import Atom

pytestmark = pytest.mark.anyio

COOKIE: Final = "secret"
ERL: Final = f"erl@{HOST}"
WEAK: Final = ("short key",)
"""Our nodes do not start with these: only Erlang can show them to us."""

PATCHED: Final = "CA:false issuer"
"""What Erlang makes of it depends on its patch level (CVE-2026-42789); what we make of it does not."""

Version = Literal["1.2", "1.3"]


class Verdict(NamedTuple):
    """Whether a certificate is accepted of who connects to us, and of who we connect to."""

    of_client: bool
    of_server: bool


ALWAYS, NEVER = Verdict(True, True), Verdict(False, False)

HERE: Final[dict[str, Verdict]] = {
    **dict.fromkeys(RECIPES, NEVER),
    **dict.fromkeys(("good", "good, RSA", "good, no purposes"), ALWAYS),
    "for servers only": Verdict(False, True),
    "for clients only": Verdict(True, False),
}

ERLANG: Final[dict[str, Verdict]] = {
    **HERE,
    # It does not compare the certificate of who connects with the name that it claims.
    "no SAN": Verdict(True, False),
    "wrong host": Verdict(True, False),
    "wildcard": Verdict(True, False),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return Zoo(tmp_path_factory.mktemp("zoo"))


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in WEAK])
async def test_our_verdict(name: str, version: Version, zoo: Zoo, epmd: Epmd) -> None:
    judge_tls = Tls(zoo.make("good"), ca=zoo.ca)
    tls = Tls(zoo.make(name), ca=zoo.ca, versions=(version,))
    verdict = HERE[name]
    async with Node(f"judge@{HOST}", COOKIE, epmd=epmd, tls=judge_tls) as judge:
        async with Node(f"shown@{HOST}", COOKIE, epmd=epmd, tls=tls) as shown:
            with anyio.fail_after(20):
                assert await shown.connect(judge.name) is verdict.of_client
                await judge.disconnect(shown.name)
                assert await judge.connect(shown.name) is verdict.of_server
                assert judge.nodes("all") == ([shown.name] if verdict.of_server else [])


@pytest.mark.parametrize("name", WEAK)
async def test_nobody_starts_with_what_is_too_weak(name: str, zoo: Zoo, epmd: Epmd) -> None:
    with pytest.raises(CannotStart, match=r"too small|too weak"):
        Node(f"a@{HOST}", COOKIE, epmd=epmd, tls=Tls(zoo.make(name), ca=zoo.ca))


def erl_args(zoo: Zoo, name: str, version: Version, folder: Path) -> list[str]:
    """Arguments for an Erlang node that shows a certificate of the zoo."""
    files = f'{{certfile, "{zoo.make(name)}"}}, {{cacertfile, "{zoo.ca}"}}'
    both = f"{files}, {{verify, verify_peer}}, {{versions, ['tlsv{version}']}}"
    conf = folder / "dist.conf"
    conf.write_text(f"[{{server, [{both}, {{fail_if_no_peer_cert, true}}]}}, {{client, [{both}]}}].")
    return ["-proto_dist", "inet_tls", "-ssl_dist_optfile", str(conf)]


async def connected(erl: Erl, *nodes: str) -> None:
    """Wait until an Erlang node knows of these connections, and of no other."""
    expected = [Atom(node) for node in nodes]
    # Erlang is asked, and tells nobody.
    while await erl.eval("nodes(connected)") != expected:  # noqa: ASYNC110
        await anyio.sleep(0.01)


@pytest.mark.parametrize("version", ["1.3", pytest.param("1.2", marks=pytest.mark.slow)])
async def test_the_verdict_of_erlang(
    version: Version, zoo: Zoo, start_erl: StartErl, epmd_port: int, tmp_path: Path
) -> None:
    """One Erlang node judges all; whom it lets in, and we do not, is in the table."""
    erl = await start_erl(ERL, args=erl_args(zoo, "good", version, tmp_path))
    verdicts: dict[str, Verdict] = {}
    for name in RECIPES:
        if name not in WEAK:
            tls = Tls(zoo.make(name), ca=zoo.ca)
            async with Node(f"shown@{HOST}", COOKIE, tls=tls) as shown:
                with anyio.fail_after(20):
                    of_client = await shown.connect(ERL)
                    # We are through with the handshake before Erlang is.
                    await connected(erl, *[shown.name] * of_client)
                    await shown.disconnect(ERL)
                    await connected(erl)
                    of_server = await erl.eval(f"net_adm:ping('{shown.name}')") == Atom("pong")
                    verdicts[name] = Verdict(of_client, of_server)
    del verdicts[PATCHED]
    assert verdicts == {name: ERLANG[name] for name in verdicts}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("name", RECIPES)
async def test_our_verdict_of_erlang(
    name: str, version: Version, zoo: Zoo, start_erl: StartErl, epmd_port: int, tmp_path: Path
) -> None:
    """What we refuse of our own nodes we refuse of Erlang; the weak ones are shown by it alone."""
    erl = await start_erl(ERL, args=erl_args(zoo, name, version, tmp_path))
    verdict = HERE[name]
    async with Node(f"judge@{HOST}", COOKIE, tls=Tls(zoo.make("good"), ca=zoo.ca)) as judge:
        with anyio.fail_after(30):
            assert (await erl.eval(f"net_adm:ping('{judge.name}')") == Atom("pong")) is verdict.of_client
            await judge.disconnect(ERL)
            await connected(erl)
            assert await judge.connect(ERL) is verdict.of_server


async def test_a_certificate_expires_while_connected(zoo: Zoo, epmd: Epmd, tmp_path: Path) -> None:
    """H2: the connection stays, no other one is made until there is a new certificate."""
    shown_file = tmp_path / "node.pem"
    shown_file.touch(0o600)
    shown_file.write_bytes(zoo.make("good").read_bytes())
    judge_tls = Tls(zoo.make("good"), ca=zoo.ca)
    async with Node(f"judge@{HOST}", COOKIE, epmd=epmd, tls=judge_tls) as judge:
        async with Node(f"shown@{HOST}", COOKIE, epmd=epmd, tls=Tls(shown_file, ca=zoo.ca)) as shown:
            with anyio.fail_after(20):
                assert await shown.ping(judge.name)
                shown_file.write_bytes(zoo.make("expired").read_bytes())
                shown.reload_tls()
                assert await shown.ping(judge.name)
                assert judge.nodes() == [shown.name]
                await judge.disconnect(shown.name)
                with pytest.raises(TlsError, match="expired"):
                    await judge.reach(shown.name)
                shown_file.write_bytes(zoo.make("good").read_bytes())
                shown.reload_tls()
                assert await judge.ping(shown.name)
