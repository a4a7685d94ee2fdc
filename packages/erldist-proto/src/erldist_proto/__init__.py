"""The Erlang distribution protocol as a state machine without I/O. Start with `Connection`."""

from types import FunctionType

from erldist_proto._commands import Accept, AnswerAlive, Command, Refuse
from erldist_proto._connection import Connection
from erldist_proto._control import OPS, ControlMessage
from erldist_proto._control_messages import (
    ALTACT_ALIAS,
    ALTACT_EXIT,
    ALTACT_NAME,
    ALTACT_PRIO,
    ALTACT_TOKEN,
    AliasSend,
    AliasSendTt,
    AltactSigSend,
    DemonitorP,
    Exit,
    Exit2,
    Exit2Tt,
    ExitTt,
    GroupLeader,
    Link,
    MonitorP,
    MonitorPExit,
    PayloadExit,
    PayloadExit2,
    PayloadExit2Tt,
    PayloadExitTt,
    PayloadMonitorPExit,
    RegSend,
    RegSendTt,
    Send,
    SendSender,
    SendSenderTt,
    SendTt,
    SpawnReply,
    SpawnReplyTt,
    SpawnRequest,
    SpawnRequestTt,
    Unlink,
    UnlinkId,
    UnlinkIdAck,
)
from erldist_proto._errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from erldist_proto._events import (
    AliveAnswered,
    AliveAsked,
    Closed,
    Connected,
    ConnectionRequested,
    Event,
    Received,
    Ticked,
)
from erldist_proto._flags import (
    DEFAULT_FLAGS,
    MANDATORY_25,
    MANDATORY_26,
    MANDATORY_FLAGS,
    DistFlags,
    flag_names,
)
from erldist_proto._handshake import State
from erldist_proto._limits import ConnectionLimits
from erldist_proto._names import LocalNode, NodeName, simultaneous_status

__version__ = "0.1.0"

__all__ = [
    "ALTACT_ALIAS",
    "ALTACT_EXIT",
    "ALTACT_NAME",
    "ALTACT_PRIO",
    "ALTACT_TOKEN",
    "DEFAULT_FLAGS",
    "MANDATORY_25",
    "MANDATORY_26",
    "MANDATORY_FLAGS",
    "OPS",
    "Accept",
    "AliasSend",
    "AliasSendTt",
    "AliveAnswered",
    "AliveAsked",
    "AltactSigSend",
    "AnswerAlive",
    "Closed",
    "Command",
    "Connected",
    "Connection",
    "ConnectionLimits",
    "ConnectionRequested",
    "ControlMessage",
    "DemonitorP",
    "DistFlags",
    "Event",
    "Exit",
    "Exit2",
    "Exit2Tt",
    "ExitTt",
    "GroupLeader",
    "Link",
    "LocalNode",
    "LocalProtocolError",
    "MonitorP",
    "MonitorPExit",
    "NodeName",
    "PayloadExit",
    "PayloadExit2",
    "PayloadExit2Tt",
    "PayloadExitTt",
    "PayloadMonitorPExit",
    "ProtocolError",
    "Received",
    "Refuse",
    "RegSend",
    "RegSendTt",
    "RemoteProtocolError",
    "Send",
    "SendSender",
    "SendSenderTt",
    "SendTt",
    "SpawnReply",
    "SpawnReplyTt",
    "SpawnRequest",
    "SpawnRequestTt",
    "State",
    "Ticked",
    "Unlink",
    "UnlinkId",
    "UnlinkIdAck",
    "flag_names",
    "simultaneous_status",
]

for _public in [globals()[name] for name in __all__]:
    # Tracebacks and documents give a name by its public home.
    if isinstance(_public, type | FunctionType):
        _public.__module__ = __name__
del _public
