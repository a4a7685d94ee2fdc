import erldist_proto
import erldist_proto.testing

PUBLIC = [
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

TESTING = [
    "Chunk",
    "Dissector",
    "Faults",
    "Observed",
    "Transcript",
    "Wire",
    "byte_by_byte",
    "connected_pair",
    "exchange",
    "read_recording",
]


def test_public_names() -> None:
    assert erldist_proto.__all__ == PUBLIC
    assert erldist_proto.testing.__all__ == TESTING


def test_names_show_their_public_home() -> None:
    homes = {getattr(getattr(erldist_proto, name), "__module__", "erldist_proto") for name in PUBLIC}
    assert homes <= {"erldist_proto", "typing", "types"}
