"""The cookie file, by the rules of `auth` in KERNEL."""

import os
import string
from pathlib import Path

import pytest
from ergo_node import CannotStart
from ergo_node._cookie import FILE_NAME, MADE_LENGTH, MAX_COOKIE_BYTES, read_cookie

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links of files are POSIX")


def put(path: Path, content: bytes, mode: int = 0o400) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "cookie"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret\r\n", "secret"),
        (b"secret\n\n \r\n ", "secret"),
        (b" two words ~ \n", " two words ~ "),  # blanks before the first end of line belong to it
    ],
)
def test_what_otp_takes(tmp_path: Path, content: bytes, cookie: str) -> None:
    put(tmp_path / FILE_NAME, content)
    assert read_cookie({"HOME": str(tmp_path)}) == cookie


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\nsecret", b"secret\nmore", b"tab\t", b"secret\n\t", b"caf\xc3\xa9", b"a\0b"]
)
def test_what_otp_refuses(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path / FILE_NAME, content)
    with pytest.raises(CannotStart, match="does not hold one line of printable characters") as refused:
        read_cookie({"HOME": str(tmp_path)})
    assert str(path) in str(refused.value)


def test_a_long_file_is_refused_and_not_cut_short(tmp_path: Path) -> None:
    path = put(tmp_path / FILE_NAME, b"x" * MAX_COOKIE_BYTES)
    assert read_cookie({"HOME": str(tmp_path)}) == "x" * MAX_COOKIE_BYTES
    path.chmod(0o600)
    put(tmp_path / FILE_NAME, b"x" * (MAX_COOKIE_BYTES + 1))
    with pytest.raises(CannotStart, match="more than 4096 bytes"):
        read_cookie({"HOME": str(tmp_path)})


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o410, 0o401])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    put(tmp_path / FILE_NAME, b"secret", mode)
    with pytest.raises(CannotStart, match="owner only: chmod 400"):
        read_cookie({"HOME": str(tmp_path)})


@posix
@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_a_file_of_the_owner_alone_is_taken(tmp_path: Path, mode: int) -> None:
    put(tmp_path / FILE_NAME, b"secret", mode)
    assert read_cookie({"HOME": str(tmp_path)}) == "secret"


def test_a_directory_is_no_cookie_file(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(CannotStart, match="not a regular file"):
        read_cookie({"HOME": str(tmp_path)})


@posix
def test_a_link_to_a_file_is_taken_and_one_to_nowhere_refused(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotStart, match="cannot be read"):
        read_cookie({"HOME": str(tmp_path)})
    put(tmp_path / "elsewhere", b"secret")
    assert read_cookie({"HOME": str(tmp_path)}) == "secret"


@pytest.mark.parametrize("explicit", [True, False])
def test_the_second_place_is_below_xdg_config_home(tmp_path: Path, explicit: bool) -> None:
    environment = {"HOME": str(tmp_path)}
    config = tmp_path / ".config"
    if explicit:
        config = tmp_path / "settings"
        environment["XDG_CONFIG_HOME"] = str(config)
    put(config / "erlang" / FILE_NAME, b"second")
    assert read_cookie(environment) == "second"
    put(tmp_path / FILE_NAME, b"first")
    assert read_cookie(environment) == "first"


def test_a_missing_file_is_made(tmp_path: Path) -> None:
    cookie = read_cookie({"HOME": str(tmp_path)})
    path = tmp_path / FILE_NAME
    assert len(cookie) == MADE_LENGTH
    assert set(cookie) <= set(string.ascii_uppercase)
    assert path.read_text() == cookie == read_cookie({"HOME": str(tmp_path)})
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o400


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"cannot be made .*give cookie="):
        read_cookie({"HOME": str(tmp_path / "nowhere")})
