import hmac
from itertools import product

import pytest
from erldist_proto import (
    DEFAULT_FLAGS,
    MANDATORY_25,
    MANDATORY_26,
    MANDATORY_FLAGS,
    Accept,
    AliveAnswered,
    AliveAsked,
    AnswerAlive,
    Closed,
    Command,
    Connected,
    Connection,
    ConnectionRequested,
    DistFlags,
    Event,
    LocalNode,
    LocalProtocolError,
    Refuse,
    RemoteProtocolError,
    State,
    simultaneous_status,
)
from erldist_proto._handshake import TRANSITIONS, Handshake, gen_digest
from erldist_proto._handshake_messages import (
    Challenge,
    ChallengeAck,
    ChallengeReply,
    Complement,
    HandshakeMessage,
    NamedStatus,
    OldChallenge,
    OldSendName,
    SendName,
    Status,
    serialize,
)
from erldist_proto.testing import Transcript, exchange

ALICE = LocalNode("alice@host", 1)
BOB = LocalNode("bob@host", 2)

EXAMPLES: dict[type, HandshakeMessage | Command] = {
    SendName: SendName(DEFAULT_FLAGS, 1, "alice@host"),
    OldSendName: OldSendName(MANDATORY_FLAGS, "alice@host"),
    Status: Status("ok"),
    NamedStatus: NamedStatus("x@host", 5),
    Challenge: Challenge(DEFAULT_FLAGS, 7, 2, "bob@host"),
    OldChallenge: OldChallenge(MANDATORY_FLAGS, 7, "bob@host"),
    Complement: Complement(DistFlags.V4_NC, 3),
    ChallengeReply: ChallengeReply(1, bytes(16)),
    ChallengeAck: ChallengeAck(bytes(16)),
    Accept: Accept("c"),
    Refuse: Refuse("nok"),
    AnswerAlive: AnswerAlive(proceed=True),
}
FAULTY = {
    # Legal messages whose example says what this state does not expect.
    (State.AWAIT_STATUS, NamedStatus): "we did not ask for a name",
    (State.AWAIT_CHALLENGE, OldChallenge): "we spoke version 6",
    (State.AWAIT_CHALLENGE, Status): "only a refusal may come here",
    (State.AWAIT_ACK, Status): "only a refusal may come here",
    (State.AWAIT_ALIVE, Status): "neither true nor false",
}
INITIATOR_STATES = {State.AWAIT_STATUS, State.DECIDING_ALIVE, State.AWAIT_CHALLENGE, State.AWAIT_ACK}


def initiator(local: LocalNode = ALICE, peer: str = "bob@host", version: int = 6) -> Connection:
    return Connection.initiator(local, peer, "c", 0.0, challenge=1234, handshake_version=version)


def acceptor(local: LocalNode = BOB) -> Connection:
    return Connection.acceptor(local, 0.0, challenge=5678)


def shake(alice: Connection, bob: Connection, answer: Command) -> tuple[list[Event], list[Event]]:
    """Run the handshake with this answer to ConnectionRequested; what each side reported after it."""
    exchange(alice, bob)
    requested = bob.events()
    assert [type(event) for event in requested] == [ConnectionRequested]
    bob.send(answer)
    exchange(alice, bob)
    return alice.events(), bob.events()


def said(message: HandshakeMessage) -> bytes:
    packet = serialize(message)
    return len(packet).to_bytes(2) + packet


def test_the_digest_is_that_of_a_real_node() -> None:
    assert gen_digest(2147852070, "SECRET").hex() == "4ada4a72bde396d911eb4defb7007310"


def test_version_6() -> None:
    transcript = Transcript()
    alice, bob = initiator(), acceptor()
    exchange(alice, bob, transcript)
    assert bob.events() == [ConnectionRequested("alice@host", 1, DEFAULT_FLAGS | MANDATORY_25)]
    bob.send(Accept("c"))
    exchange(alice, bob, transcript)
    assert alice.events() == [Connected("bob@host", 2, DEFAULT_FLAGS, False, "alice@host", 1)]
    assert bob.events() == [Connected("alice@host", 1, DEFAULT_FLAGS, False, "bob@host", 2)]
    assert [type(value) for _, value in transcript.observed] == [
        SendName,
        Status,
        Challenge,
        ChallengeReply,
        ChallengeAck,
    ]


def test_version_5_name_to_a_node_that_knows_version_6() -> None:
    transcript = Transcript()
    alice, bob = initiator(version=5), acceptor()
    exchange(alice, bob, transcript)
    assert bob.events()[0] == ConnectionRequested(
        "alice@host", 0, DistFlags(DEFAULT_FLAGS & 0xFFFF_FFFF) | MANDATORY_25
    )
    bob.send(Accept("c"))
    exchange(alice, bob, transcript)
    assert bob.events() == [Connected("alice@host", 1, DEFAULT_FLAGS, False, "bob@host", 2)]
    assert alice.events() == [Connected("bob@host", 2, DEFAULT_FLAGS, False, "alice@host", 1)]
    assert [type(value) for _, value in transcript.observed] == [
        OldSendName,
        Status,
        Challenge,
        Complement,
        ChallengeReply,
        ChallengeAck,
    ]


def test_version_5_on_both_sides() -> None:
    old = LocalNode("old@host", 3, DEFAULT_FLAGS & 0xFFFF_FFFF & ~MANDATORY_26 | MANDATORY_FLAGS)
    assert DistFlags.HANDSHAKE_23 not in old.flags
    old = LocalNode(old.name, old.creation, old.flags & ~DistFlags.MANDATORY_25_DIGEST)
    transcript = Transcript()
    alice, bob = initiator(old, version=5), acceptor()
    exchange(alice, bob, transcript)
    bob.send(Accept("c"))
    exchange(alice, bob, transcript)
    assert [type(value) for _, value in transcript.observed][2] is OldChallenge
    assert alice.state is bob.state is State.CONNECTED
    assert alice.flags == bob.flags == old.flags


@pytest.mark.parametrize("status", ["ok", "ok_simultaneous"])
def test_both_kinds_of_ok(status: str) -> None:
    alice, bob = shake(initiator(), acceptor(), Accept("c", status=status))
    assert [type(event) for event in alice + bob] == [Connected, Connected]


@pytest.mark.parametrize(
    ("status", "hint"),
    [("nok", "its own connection to us survives"), ("not_allowed", "net_kernel:allow/1")],
)
def test_refusals(status: str, hint: str) -> None:
    alice, bob = shake(initiator(), acceptor(), Refuse(status))
    assert isinstance(alice[0], Closed)
    assert (alice[0].reason, alice[0].status, alice[0].error) == ("refused", status, None)
    assert hint in alice[0].text
    assert bob == [Closed("refused_by_us", f"refused alice@host: {status}", None, status)]


@pytest.mark.parametrize("proceed", [True, False])
def test_alive_asks_whether_it_is_meant(proceed: bool) -> None:
    one, two = initiator(), acceptor()
    alice, bob = shake(one, two, Accept("c", status="alive"))
    assert alice == [AliveAsked("bob@host")]
    assert bob == []
    one.send(AnswerAlive(proceed))
    exchange(one, two)
    after = [*one.events(), *two.events()]
    assert AliveAnswered("alice@host", proceed) in after
    ends = [event for event in after if isinstance(event, Connected if proceed else Closed)]
    assert len(ends) == 2
    assert one.state is two.state is (State.CONNECTED if proceed else State.CLOSED)


def test_a_dynamic_node_is_given_its_name() -> None:
    alice, bob = initiator(LocalNode.dynamic("host")), acceptor()
    exchange(alice, bob)
    request = bob.events()[0]
    assert isinstance(request, ConnectionRequested)
    assert (request.name, request.creation, request.wants_name, request.hidden) == ("host", 0, True, True)
    with pytest.raises(LocalProtocolError, match="asked for a name"):
        bob.send(Accept("c"))
    bob.send(Accept("c", name="given@host", creation=77))
    exchange(alice, bob)
    flags = DEFAULT_FLAGS & ~DistFlags.PUBLISHED
    assert alice.events() == [Connected("bob@host", 2, flags, True, "given@host", 77)]
    assert bob.events() == [Connected("given@host", 77, flags, True, "bob@host", 2)]


def test_a_dynamic_node_must_be_named() -> None:
    alice = initiator(LocalNode.dynamic("host"))
    alice.receive_data(said(Status("ok")))
    assert "we asked for a name" in str(closed(alice).error)


def test_the_flag_of_who_asks_for_a_name_comes_back() -> None:
    """OTP takes the name only then (`dist_util:name_type/1` of what both sides have said)."""
    bob = acceptor()
    bob.receive_data(said(SendName(LocalNode.dynamic("host").flags, 0, "host")))
    bob.send(Accept("c", name="given@host", creation=77))
    assert DistFlags.NAME_ME in challenge_flags(bob)
    carol = acceptor()
    carol.receive_data(said(SendName(DEFAULT_FLAGS, 1, "alice@host")))
    carol.send(Accept("c"))
    assert DistFlags.NAME_ME not in challenge_flags(carol)


def challenge_flags(connection: Connection) -> DistFlags:
    """Those of the challenge, the last packet of what is to be sent: `N` Flags:64 …"""
    data = b"".join(bytes(piece) for piece in connection.data_to_send())
    length = int.from_bytes(data[:2], "big")
    challenge = data[2 + length + 2 :]
    assert challenge[:1] == b"N"
    return DistFlags(int.from_bytes(challenge[1:9], "big"))


def test_the_peers_own_name_is_no_name_for_us() -> None:
    alice = initiator(LocalNode.dynamic("host"))
    alice.receive_data(said(NamedStatus("bob@host", 5)))
    assert "the peer's own name" in str(closed(alice).error)


def test_a_name_nobody_asked_for() -> None:
    alice = initiator()
    alice.receive_data(said(NamedStatus("x@host", 5)))
    assert "without asking" in str(closed(alice).error)


def closed(connection: Connection) -> Closed:
    event = connection.events()[-1]
    assert isinstance(event, Closed)
    assert connection.state is State.CLOSED
    return event


@pytest.mark.parametrize("missing", MANDATORY_FLAGS)
def test_an_acceptor_names_the_missing_flag(missing: DistFlags) -> None:
    offer = DEFAULT_FLAGS & ~DistFlags.MANDATORY_25_DIGEST & ~missing
    alice, bob = initiator(LocalNode("alice@host", 1, offer)), acceptor()
    exchange(alice, bob)
    event = closed(bob)
    assert (event.reason, event.status, event.missing) == ("refused_by_us", "not_allowed", missing)
    assert event.text == f"refused alice@host: it lacks {missing.name}"
    assert closed(alice).missing == missing


def test_the_digest_flag_stands_for_its_set() -> None:
    offer = LocalNode("alice@host", 1, DistFlags.MANDATORY_25_DIGEST | DistFlags.V4_NC)
    alice, bob = initiator(offer), acceptor()
    shake(alice, bob, Accept("c"))
    assert alice.flags == bob.flags == MANDATORY_25 | offer.flags


def test_a_refusal_before_the_challenge_names_what_newer_releases_demand() -> None:
    alice = initiator(LocalNode("alice@host", 1, MANDATORY_25))
    alice.receive_data(said(Status("not_allowed")))
    event = closed(alice)
    assert event.missing == DistFlags.V4_NC | DistFlags.UNLINK_ID
    assert event.text == "bob@host refused us: it requires UNLINK_ID and V4_NC"


def test_a_refusal_after_the_challenge_as_otp_27_gives_it() -> None:
    alice = initiator(LocalNode("alice@host", 1, MANDATORY_25))
    alice.receive_data(said(Status("ok")) + said(Challenge(DistFlags(0xD07DF7FBD), 7, 2, "bob@host")))
    assert alice.state is State.AWAIT_ACK
    alice.receive_data(said(Status("not_allowed")))
    assert closed(alice).missing == DistFlags.V4_NC | DistFlags.UNLINK_ID


def test_a_peer_too_old_for_us() -> None:
    alice = initiator()
    alice.receive_data(said(Status("ok")) + said(Challenge(DistFlags(4), 7, 2, "bob@host")))
    assert closed(alice).text.startswith("bob@host is too old for us: it lacks")


def test_wrong_cookies() -> None:
    one, two = initiator(), acceptor()
    _, bob = shake(one, two, Accept("other"))
    assert bob == [
        Closed("cookie_mismatch", "cookie mismatch with alice@host: set the same cookie on both nodes")
    ]
    assert two.data_to_send() == []  # OTP answers a wrong digest by closing, and so do we
    one.receive_eof()
    event = closed(one)
    assert event.reason == "cookie_mismatch"
    assert "cookie mismatch with bob@host" in event.text


def test_an_acceptor_that_does_not_know_the_cookie() -> None:
    alice = initiator()
    alice.receive_data(said(Status("ok")) + said(Challenge(DEFAULT_FLAGS, 7, 2, "bob@host")))
    alice.receive_data(said(ChallengeAck(bytes(16))))
    assert closed(alice).reason == "cookie_mismatch"


def test_the_wrong_node_answers() -> None:
    alice = initiator()
    alice.receive_data(said(Status("ok")) + said(Challenge(DEFAULT_FLAGS, 7, 2, "eve@host")))
    assert "we meant to reach bob@host, but 'eve@host' answered" in str(closed(alice).error)


def test_a_peer_with_our_own_name_is_refused() -> None:
    eve, bob = initiator(LocalNode("bob@host", 9), "eve@host"), acceptor()
    exchange(eve, bob)
    assert closed(bob).status == "nok"
    assert closed(eve).status == "nok"
    with pytest.raises(LocalProtocolError, match="our own name"):
        initiator(BOB, "bob@host")


@pytest.mark.parametrize(
    "name", ["alice", "@host", "alice@", "a@b@c", "a\0@host", "a\x1b[2J@host", "x" * 251 + "@host", ""]
)
def test_spoofed_names(name: str) -> None:
    bob = acceptor()
    bob.receive_data(said(SendName(DEFAULT_FLAGS, 1, name)))
    event = closed(bob)
    assert event.reason == "protocol_error"
    assert isinstance(event.error, RemoteProtocolError)


def test_challenges_are_drawn_when_not_given() -> None:
    packets = set()
    for _ in range(4):
        bob = Connection.acceptor(BOB, 0.0)
        bob.receive_data(said(SendName(DEFAULT_FLAGS, 1, "alice@host")))
        bob.send(Accept("c"))
        packets.add(b"".join(bob.data_to_send()))
    assert len(packets) == 4


def test_a_challenge_may_be_given_with_the_answer() -> None:
    bob = Connection.acceptor(BOB, 0.0)
    bob.receive_data(said(SendName(DEFAULT_FLAGS, 1, "alice@host")))
    bob.send(Accept("c", challenge=99))
    assert said(Challenge(DEFAULT_FLAGS, 99, 2, "bob@host")) in b"".join(bob.data_to_send())


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (Accept("c", status="maybe"), "use ok"),
        (Accept(""), "empty"),
        (Accept("c", challenge=1 << 32), "32 bits"),
        (Accept("c", challenge=-1), "32 bits"),
        (Accept("\u20ac"), "Latin-1"),
        (Refuse("ok"), "use nok"),
    ],
)
def test_wrong_answers_are_our_fault_and_may_be_corrected(answer: Command, hint: str) -> None:
    alice, bob = initiator(), acceptor()
    exchange(alice, bob)
    with pytest.raises(LocalProtocolError, match=hint):
        bob.send(answer)
    bob.send(Accept("c"))
    exchange(alice, bob)
    assert alice.state is bob.state is State.CONNECTED


def test_a_cookie_never_shows() -> None:
    assert "s3cret" not in repr(Accept("s3cret"))
    assert "s3cret" not in repr(Connection.initiator(ALICE, "bob@host", "s3cret", 0.0))


def in_state(state: State) -> Handshake:
    local = ALICE if state in INITIATOR_STATES else BOB
    peer = "bob@host" if state in INITIATOR_STATES else "alice@host"
    handshake = Handshake(local, state, peer=peer, cookie="c", challenge=1)
    handshake._offered = DEFAULT_FLAGS
    return handshake


def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    shake(initiator(), acceptor(), Accept("c"))
    assert compared == [(gen_digest(5678, "c"),) * 2, (gen_digest(1234, "c"),) * 2]


def test_of_two_simultaneous_connections_one_survives() -> None:
    by_alice = initiator(), acceptor()
    by_bob = initiator(BOB, "alice@host"), acceptor(ALICE)
    exchange(*by_alice)
    exchange(*by_bob)
    for ours, (dialling, accepting) in (("bob@host", by_alice), ("alice@host", by_bob)):
        status = simultaneous_status(ours, accepting.peer)
        accepting.send(Accept("c", status=status) if status != "nok" else Refuse(status))
        exchange(dialling, accepting)
    assert [connection.state for connection in by_alice] == [State.CLOSED] * 2
    assert [connection.state for connection in by_bob] == [State.CONNECTED] * 2


PAIRS = list(product(State, EXAMPLES.values()))
LEGAL = [pair for pair in PAIRS if (pair[0], type(pair[1])) in TRANSITIONS]
ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]


def test_every_row_of_the_table_is_walked() -> None:
    assert {(state, type(message)) for state, message in LEGAL} == set(TRANSITIONS)


@pytest.mark.parametrize(("state", "message"), LEGAL, ids=str)
def test_what_the_table_allows_leads_where_it_says(state: State, message: HandshakeMessage | Command) -> None:
    handshake = in_state(state)
    if FAULTY.get((state, type(message))):
        with pytest.raises(RemoteProtocolError):
            handshake.step(message)
        assert handshake.state is state
    else:
        handshake.step(message)
        assert handshake.state in TRANSITIONS[state, type(message)][1]


@pytest.mark.parametrize(("state", "message"), ILLEGAL, ids=str)
def test_what_the_table_lacks_changes_nothing(state: State, message: HandshakeMessage | Command) -> None:
    handshake = in_state(state)
    fault = LocalProtocolError if isinstance(message, Command) else RemoteProtocolError
    with pytest.raises(fault, match=f"{type(message).__name__} is not allowed in {state}"):
        handshake.step(message)
    assert (handshake.state, handshake.events, handshake.outgoing) == (state, [], [])
