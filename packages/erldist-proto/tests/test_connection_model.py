"""A model of both roles: every legal order of packets leads on, every illegal order closes."""

from collections.abc import Callable

from erldist_proto import (
    DEFAULT_FLAGS,
    Accept,
    AnswerAlive,
    Closed,
    Connected,
    Connection,
    LocalNode,
    Received,
    Refuse,
    RegSend,
    State,
)
from erldist_proto._handshake import gen_digest
from erldist_proto._handshake_messages import (
    FROM_ACCEPTOR,
    FROM_INITIATOR,
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
    parse,
    serialize,
)
from etf_codec import Atom, Pid
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

OURS = LocalNode("bob@host", 2)
PEER = "alice@host"
RIGHT = {"ok", "ok_simultaneous"}
WIRE = b"\x83D\0h\x04a\x06Xw\nalice@host" + bytes((0, 0, 0, 85, 0, 0, 0, 0, 0, 0, 0, 1)) + b"w\0w\4echoa\7"
MESSAGE = Received(RegSend(Pid(PEER, 85, 0, 1), Atom("echo")), 7)


class Peer(RuleBasedStateMachine):
    """A peer that sends anything at any time, and knows what a correct node must make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.expected = State.AWAIT_NAME
        self.version = 6
        self.refusable = True
        self.heard: list[HandshakeMessage] = []
        self.ends = 0

    @initialize(initiates=st.booleans(), patience=st.integers(0, 8))
    def begin(self, initiates: bool, patience: int) -> None:
        self.initiates = initiates
        self.patience = patience
        if initiates:
            self.ours = Connection.initiator(OURS, PEER, "c", 0.0, challenge=11)
            self.expected = State.AWAIT_STATUS
        else:
            self.ours = Connection.acceptor(OURS, 0.0, challenge=11)

    @precondition(lambda self: self.expected in MOVES)
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """Do what is right, so that the later states are reached as often as the first."""
        self.patience -= 1
        data.draw(st.sampled_from(MOVES[self.expected]))(self)

    def say(self, message: HandshakeMessage, leads_to: dict[State, State]) -> None:
        """Send a handshake packet; from a state that `leads_to` lacks it must close the connection."""
        packet = serialize(message)
        deciding = self.expected in (State.DECIDING, State.DECIDING_ALIVE)
        if self.expected is State.CONNECTED:
            # A handshake packet is no distribution message.
            self.expected = State.CLOSED
            self.ours.receive_data(len(packet).to_bytes(4) + packet)
        elif not deciding:
            self.expected = leads_to.get(self.expected, State.CLOSED)
            self.ours.receive_data(len(packet).to_bytes(2) + packet)

    @precondition(lambda self: self.patience <= 0)
    @rule(name=st.sampled_from([PEER, "bob@host", "nonsense"]))
    def send_name(self, name: str) -> None:
        after = State.DECIDING if name == PEER else State.CLOSED
        self.version = 6 if self.expected is State.AWAIT_NAME else self.version
        self.say(SendName(DEFAULT_FLAGS, 1, name), {State.AWAIT_NAME: after})

    @precondition(lambda self: self.patience <= 0)
    @rule()
    def send_old_name(self) -> None:
        self.version = 5 if self.expected is State.AWAIT_NAME else self.version
        self.say(OldSendName(DEFAULT_FLAGS, PEER), {State.AWAIT_NAME: State.DECIDING})

    @rule(
        text=st.sampled_from(["ok", "ok_simultaneous", "nok", "not_allowed", "alive", "true", "false", "x"])
    )
    def send_status(self, text: str) -> None:
        posed = State.AWAIT_REPLY if self.version == 6 else State.AWAIT_COMPLEMENT
        leads_to = {}
        if text in RIGHT:
            leads_to[State.AWAIT_STATUS] = State.AWAIT_CHALLENGE
        if text == "alive":
            leads_to[State.AWAIT_STATUS] = State.DECIDING_ALIVE
        if text == "true":
            leads_to[State.AWAIT_ALIVE] = posed
        self.say(Status(text), leads_to)

    @precondition(lambda self: self.patience <= 0)
    @rule()
    def send_named(self) -> None:
        self.say(NamedStatus("given@host", 5), {})

    @precondition(lambda self: self.patience <= 0)
    @rule(name=st.sampled_from([PEER, PEER, "eve@host"]))
    def send_challenge(self, name: str) -> None:
        after = State.AWAIT_ACK if name == PEER else State.CLOSED
        self.say(Challenge(DEFAULT_FLAGS, 22, 1, name), {State.AWAIT_CHALLENGE: after})

    @precondition(lambda self: self.patience <= 0)
    @rule()
    def send_old_challenge(self) -> None:
        self.say(OldChallenge(DEFAULT_FLAGS, 22, PEER), {})

    @precondition(lambda self: self.patience <= 0)
    @rule()
    def send_complement(self) -> None:
        self.say(Complement(DEFAULT_FLAGS, 1), {State.AWAIT_COMPLEMENT: State.AWAIT_REPLY})

    @precondition(lambda self: self.patience <= 0)
    @rule(right=st.booleans())
    def send_reply(self, right: bool) -> None:
        digest = gen_digest(11, "c" if right else "other")
        self.say(ChallengeReply(33, digest), {State.AWAIT_REPLY: State.CONNECTED} if right else {})

    @precondition(lambda self: self.patience <= 0)
    @rule(right=st.booleans())
    def send_ack(self, right: bool) -> None:
        digest = gen_digest(11, "c" if right else "other")
        self.say(ChallengeAck(digest), {State.AWAIT_ACK: State.CONNECTED} if right else {})

    @precondition(lambda self: self.expected is State.CONNECTED)
    @rule()
    def send_message(self) -> None:
        self.ours.receive_data(len(WIRE).to_bytes(4) + WIRE)
        assert self.ours.events()[-1] == MESSAGE

    @precondition(lambda self: self.expected is State.DECIDING)
    @rule(status=st.sampled_from(["ok", "ok_simultaneous", "alive", "nok", "not_allowed"]))
    def answer(self, status: str) -> None:
        if status in ("nok", "not_allowed"):
            self.ours.send(Refuse(status))
            self.expected = State.CLOSED
        else:
            self.ours.send(Accept("c", status=status))
            posed = State.AWAIT_REPLY if self.version == 6 else State.AWAIT_COMPLEMENT
            self.expected = State.AWAIT_ALIVE if status == "alive" else posed

    @precondition(lambda self: self.expected is State.DECIDING_ALIVE)
    @rule(proceed=st.booleans())
    def answer_alive(self, proceed: bool) -> None:
        self.ours.send(AnswerAlive(proceed))
        self.expected = State.AWAIT_CHALLENGE if proceed else State.CLOSED

    @precondition(lambda self: self.patience <= 0)
    @rule()
    def end(self) -> None:
        self.ours.receive_eof()
        self.expected = State.CLOSED

    @invariant()
    def is_in_the_expected_state(self) -> None:
        assert self.ours.state is self.expected
        events = self.ours.events()
        assert not any(isinstance(event, Closed) for event in events[:-1])
        self.ends += sum(isinstance(event, Closed) for event in events)
        assert self.ends == (self.expected is State.CLOSED)
        assert not any(isinstance(event, Connected) for event in events) or self.expected is State.CONNECTED
        if self.ends == 0 and self.expected is not State.CONNECTED:
            self.understands(b"".join(self.ours.data_to_send()))

    def understands(self, data: bytes) -> None:
        """What we say in a handshake is always what our role may say."""
        while data:
            size = int.from_bytes(data[:2])
            parse(data[2 : 2 + size], FROM_INITIATOR if self.initiates else FROM_ACCEPTOR)
            data = data[2 + size :]


MOVES: dict[State, list[Callable[[Peer], object]]] = {
    State.AWAIT_STATUS: [lambda peer: peer.send_status("ok"), lambda peer: peer.send_status("alive")],
    State.DECIDING_ALIVE: [lambda peer: peer.answer_alive(True)],
    State.AWAIT_CHALLENGE: [lambda peer: peer.send_challenge(PEER)],
    State.AWAIT_ACK: [lambda peer: peer.send_ack(True)],
    State.AWAIT_NAME: [lambda peer: peer.send_name(PEER), lambda peer: peer.send_old_name()],
    State.DECIDING: [lambda peer: peer.answer("ok"), lambda peer: peer.answer("alive")],
    State.AWAIT_ALIVE: [lambda peer: peer.send_status("true")],
    State.AWAIT_COMPLEMENT: [lambda peer: peer.send_complement()],
    State.AWAIT_REPLY: [lambda peer: peer.send_reply(True)],
    State.CONNECTED: [lambda peer: peer.send_message()],
}

TestPeer = Peer.TestCase
TestPeer.settings = settings(max_examples=300, stateful_step_count=25)
