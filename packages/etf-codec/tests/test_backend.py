"""Which codec runs is decided at import, by the environment and by what is installed."""

import subprocess
import sys
from pathlib import Path

import pytest
from etf_codec._backend import SEAM_VERSION


def run(code: str, *paths: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {[str(path) for path in paths]}\n{code}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment,
    )


NATIVE = """
SEAM_VERSION = {version}
encode = encode_parts = encode_bare = encode_referring = PacketWriter = lambda *_: "native"
decode = decode_prefix = decode_bare = PacketReader = lambda *_: "native"
"""


@pytest.fixture
def native(tmp_path: Path) -> Path:
    (tmp_path / "etf_codec_native.py").write_text(NATIVE.format(version=SEAM_VERSION))
    return tmp_path


SHOW = "import etf_codec; print(etf_codec.backend(), etf_codec.decode(b'\\x83j'))"


def test_the_native_codec_runs_if_it_is_installed(native: Path) -> None:
    assert run(SHOW, native).stdout == "native native\n"
    assert run(SHOW, native, ETF_CODEC_IMPL="python").stdout == "python []\n"
    assert run(SHOW, ETF_CODEC_IMPL="python").stdout == "python []\n"


def test_a_native_codec_of_another_seam_is_refused(native: Path) -> None:
    (native / "etf_codec_native.py").write_text(NATIVE.format(version=99))
    assert "etf-codec-native is of seam 99" in run(SHOW, native).stderr


def test_a_broken_native_codec_is_not_hidden(native: Path) -> None:
    (native / "etf_codec_native.py").write_text("import no_such_module")
    assert "no_such_module" in run(SHOW, native).stderr


def test_the_environment_is_checked(tmp_path: Path) -> None:
    assert "'python' or 'native', not 'rust'" in run(SHOW, ETF_CODEC_IMPL="rust").stderr
    blocked = "import sys; sys.modules['etf_codec_native'] = None\n" + SHOW
    assert "etf-codec[native]" in run(blocked, ETF_CODEC_IMPL="native").stderr
