"""The environment variables of `epmd`, and of nodes that use it."""

import os
from collections.abc import Mapping
from typing import Final

from ._addresses import ListenAddress, parse_addresses, with_loopback
from ._errors import EpmdError

DEFAULT_PORT: Final = 4369
"""EPMD's port, as registered with IANA."""

HIGHEST_VERSION: Final = 6
"""The distribution version of OTP 23 and newer."""

LOWEST_VERSION: Final = 5
"""The oldest distribution version that living nodes speak."""


def epmd_port(environ: Mapping[str, str] = os.environ) -> int:
    """ERL_EPMD_PORT, or 4369.

    Raises:
        EpmdError: the variable is set to something that is no port.
    """
    text = environ.get("ERL_EPMD_PORT", "")
    if not text:
        return DEFAULT_PORT
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise EpmdError(f"ERL_EPMD_PORT={text!r} is not a port: give a number from 1 to 65535")
    return int(text)


def listen_addresses(environ: Mapping[str, str] = os.environ) -> list[ListenAddress]:
    """ERL_EPMD_ADDRESS, if set, and the loopback addresses."""
    return with_loopback(parse_addresses(environ.get("ERL_EPMD_ADDRESS", "")))


def relaxed_command_check(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ERL_EPMD_RELAXED_COMMAND_CHECK is set, to whatever value."""
    return "ERL_EPMD_RELAXED_COMMAND_CHECK" in environ


def highest_version(environ: Mapping[str, str] = os.environ) -> int:
    """ERL_EPMD_DIST_HIGH lowers the version a node registers with, as in `erl_epmd`."""
    text = environ.get("ERL_EPMD_DIST_HIGH", "")
    return min(int(text), HIGHEST_VERSION) if text.isascii() and text.isdigit() else HIGHEST_VERSION


def lowest_version(environ: Mapping[str, str] = os.environ) -> int:
    """ERL_EPMD_DIST_LOW raises the version a node registers with, as in `erl_epmd`."""
    text = environ.get("ERL_EPMD_DIST_LOW", "")
    return max(int(text), LOWEST_VERSION) if text.isascii() and text.isdigit() else LOWEST_VERSION
