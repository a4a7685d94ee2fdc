"""The public names: a change of the API is a change of this list."""

import etf_codec

PUBLIC = [
    "Atom",
    "BitString",
    "DecodeError",
    "EncodeError",
    "EtfError",
    "Export",
    "FrozenList",
    "FrozenMap",
    "Fun",
    "ImproperList",
    "LimitExceeded",
    "Limits",
    "LocalTerm",
    "MismatchError",
    "NativeRecord",
    "Pid",
    "Port",
    "Reference",
    "Term",
    "TruncatedError",
    "backend",
    "charlist",
    "decode",
    "decode_bare",
    "decode_prefix",
    "encode",
    "encode_bare",
    "encode_parts",
    "from_term",
    "from_text",
    "to_term",
    "to_text",
]


def test_the_public_names_are_these() -> None:
    assert etf_codec.__all__ == PUBLIC
    assert etf_codec.__version__ == "0.1.0"


def test_classes_show_their_public_home() -> None:
    for name in PUBLIC:
        exported = getattr(etf_codec, name)
        if isinstance(exported, type) and name != "Term":
            assert exported.__module__ == "etf_codec"
