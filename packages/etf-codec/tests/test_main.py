"""The command line."""

import io
import sys
from pathlib import Path

import pytest
from etf_codec import Atom, decode, encode
from etf_codec.__main__ import main


def test_it_prints_terms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "terms.etf"
    file.write_bytes(encode((Atom("ok"), [1, b"a"])) + encode({1: 2}))
    assert main([str(file)]) == 0
    assert capsys.readouterr().out == '{ok,[1,<<"a">>]}.\n#{1 => 2}.\n'


def test_it_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "terms.etf"
    file.write_bytes(encode({Atom("a"): (1, 2.5, True, Atom("nil"), b"\xff", "é"), 7: [], b"k": Atom("x")}))
    assert main(["--json", str(file)]) == 0
    assert capsys.readouterr().out == '{"a": [1, 2.5, true, null, "<<255>>", "é"], "7": [], "k": "x"}\n'
    file.write_bytes(encode({"1": 1, 1: 2}))
    assert main(["--json", str(file)]) == 1
    assert "become one in JSON" in capsys.readouterr().err


def test_it_reads_text(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    file = tmp_path / "term.txt"
    file.write_text('{ok, "é"}.', encoding="utf-8")
    assert main(["--from-text", str(file)]) == 0
    assert decode(capfdbinary.readouterr().out) == (Atom("ok"), [233])


def test_it_reads_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode([]))))
    assert main([]) == 0
    assert capsys.readouterr().out == "[].\n"


@pytest.mark.parametrize("data", [b"", b"\x83", b"junk"])
def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    file = tmp_path / "terms.etf"
    file.write_bytes(data)
    assert main([str(file)]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main([str(tmp_path / "missing")]) == 1
