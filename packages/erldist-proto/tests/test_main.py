import io
import subprocess
import sys
from pathlib import Path

import pytest
from erldist_proto.__main__ import main

CAPTURES = Path(__file__).parent / "captures"


def test_a_recording_reads_like_a_conversation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dissect", str(CAPTURES / "dist.log")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "    0.0000 1 A>B SendName flags=0xd07df7fbd creation=1795411148 name=a@127.0.0.1"
    assert lines[1] == "    0.0535 1 B>A Status text=ok"
    assert lines[4].endswith("ChallengeAck digest=021655cf1be6109fd78ed2566552463c")
    assert lines[5].startswith("    0.0553 1 A>B MonitorP {19,<0.9.0>,net_kernel,#Ref<0.2231072187.")
    assert any("RegSend {6," in line and ",rex} {<0.54.0>,features_request}" in line for line in lines)
    assert lines[-1].endswith(" end")
    assert not any("error" in line.split()[3] for line in lines)


def test_a_long_line_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    main(["dissect", str(CAPTURES / "dist.log"), "--max-chars", "50"])
    assert max(map(len, capsys.readouterr().out.splitlines())) < 200


def test_standard_input_and_tls(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        sys, "stdin", io.StringIO("1 1 a 00000003736f6b\n2 1 b 00000003736f6b\n3 1 b ffffffff\n")
    )
    assert main(["dissect", "--tls"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["    0.0000 1 a Status text=ok", "    1.0000 1 b Status text=ok"]
    assert out[2].startswith("    2.0000 1 b error: packet of 4294967295 bytes")


@pytest.mark.parametrize("content", [None, "nonsense"])
def test_a_wrong_file_is_one_line(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recording"
    if content is not None:
        path.write_text(content)
    assert main(["dissect", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"{path}: ")
    assert captured.err.count("\n") == 1


def test_the_module_runs() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "erldist_proto", "diagram"], capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("stateDiagram-v2\n")
