"""The cookie, found and made by the rules of `auth` in KERNEL."""

from __future__ import annotations

import os
import secrets
import stat
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ergo_node._errors import CannotStart

FILE_NAME: Final = ".erlang.cookie"
MADE_LENGTH: Final = 20
"""Letters in a cookie that is made, as OTP makes it; ours are random ones."""

MAX_COOKIE_BYTES: Final = 4096
"""Far above any cookie: a longer file is refused, for a cookie cut short would be another one."""


def checked(cookie: str) -> str:
    """Return the cookie, if a node can have it.

    Raises:
        ValueError: it is empty, or has a character beyond Latin-1.
    """
    if not cookie:
        raise ValueError("the cookie is empty: give both nodes the same word")
    if any(ord(character) > 0xFF for character in cookie):
        raise ValueError("the cookie has a character beyond Latin-1, which no Erlang node can have")
    return cookie


def read_cookie(environment: Mapping[str, str] = os.environ) -> str:
    """Return the cookie of this user, making the file if there is none.

    Looked for in `$HOME/.erlang.cookie`, then in `$XDG_CONFIG_HOME/erlang/.erlang.cookie`.

    Raises:
        CannotStart: the file is not one that OTP would take; the text says why.
    """
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or Path.home())
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "erlang"
    for path in (home / FILE_NAME, config / FILE_NAME):
        if path.exists():
            return _read(path)
    return _make(home / FILE_NAME)


def _read(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise CannotStart(f"cookie file {path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise CannotStart(f"cookie file {path} is not a regular file")
    if os.name == "posix" and status.st_mode & 0o077:
        raise CannotStart(f"cookie file {path} must be accessible by its owner only: chmod 400 {path}")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_COOKIE_BYTES + 1)
    except OSError as error:
        raise CannotStart(f"cookie file {path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_COOKIE_BYTES:
        raise CannotStart(f"cookie file {path} has more than {MAX_COOKIE_BYTES} bytes: it is no cookie")
    # OTP takes everything up to the first end of line; after that only blanks may follow.
    first, *rest = content.replace(b"\r", b"\n").split(b"\n")
    if not first or any(not 0x20 <= byte <= 0x7E for byte in first) or b"".join(rest).strip(b" "):
        raise CannotStart(f"cookie file {path} does not hold one line of printable characters")
    return first.decode("ascii")


def _make(path: Path) -> str:
    cookie = "".join(secrets.choice(string.ascii_uppercase) for _ in range(MADE_LENGTH))
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o400), "w") as file:
            file.write(cookie)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise CannotStart(f"no cookie: {path} cannot be made ({error.strerror}); give cookie=...") from error
    return cookie
