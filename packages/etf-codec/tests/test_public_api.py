"""The public names: a change of the API is a change of this list."""

import subprocess
import sys
from typing import Any, assert_type

import etf_codec
import pytest
from etf_codec import PacketReader, PacketWriter, decode_prefix, encode, encode_parts

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
    "PacketReader",
    "PacketRecord",
    "PacketWriter",
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
    "encode_referring",
    "from_term",
    "from_text",
    "request_tag",
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


def test_the_import_is_light() -> None:
    code = "import sys, etf_codec; print(*{'asyncio', 'dataclasses', 'inspect', 'json'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_unknown_name_is_no_attribute() -> None:
    assert "to_text" in dir(etf_codec)
    with pytest.raises(AttributeError, match="no attribute 'to_tekst'"):
        _ = etf_codec.to_tekst


def test_type_checkers_see_the_signatures_whichever_codec_runs() -> None:
    assert_type(encode(1), bytes)
    assert_type(encode_parts(1), list[bytes | memoryview])
    assert_type(decode_prefix(encode(1)), tuple[Any, int])
    writer = PacketWriter({}, 100)
    assert_type(writer, PacketWriter)
    found, end, raw = PacketReader({}, 100).read(b"", 0)
    assert_type((end, raw), tuple[int, int])
    assert found == []
