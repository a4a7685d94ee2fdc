"""`ergo-node certs`: an authority, and for each host a certificate with the options file `erl` wants."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ergo_node._errors import CannotStart
from ergo_node._tls import NEEDED

OPTIONS_FILE: Final = """\
%% erl -proto_dist inet_tls -ssl_dist_optfile {conf}
[{{server, [{{certfile, {certificate}}}, {{cacertfile, {ca}}},
           {{verify, verify_peer}}, {{fail_if_no_peer_cert, true}},
           {{versions, ['tlsv1.3', 'tlsv1.2']}}]}},
 {{client, [{{certfile, {certificate}}}, {{cacertfile, {ca}}},
           {{verify, verify_peer}},
           {{versions, ['tlsv1.3', 'tlsv1.2']}}]}}].
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("folder", type=Path, help="where the files go; an authority that is there is used")
    parser.add_argument("hosts", nargs="+", metavar="HOST", help="a node name, or its host part alone")
    parser.add_argument(
        "--days", type=int, default=365, help="validity of certificates (default: %(default)s)"
    )


async def certs(options: argparse.Namespace) -> None:
    """Make the authority unless it is there, and the files of each host.

    Raises:
        CannotStart: `cryptography` is missing, or the folder cannot be read or written.
    """
    if options.days < 1:
        raise CannotStart(f"--days {options.days}: a certificate is valid for at least a day")
    try:
        made = import_module("ergo_node._certificates")
    except ImportError as error:
        raise CannotStart(NEEDED) from error
    folder = options.folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = _authority(made, folder)
        for host in options.hosts:
            _write_host(made, authority, folder, host.rpartition("@")[2], options.days)
    except (OSError, ValueError) as error:
        raise CannotStart(f"no certificates in {folder}: {error}") from error


def _authority(made: Any, folder: Path) -> Any:
    """The authority of the folder, made if there is none. Typed by the module that is loaded on demand."""
    if (folder / made.CA_KEY_FILE).exists():
        return made.Authority.load(folder)
    authority = made.Authority.create()
    authority.save(folder)
    print(f"{folder / made.CA_FILE}  the authority, for every node")
    print(f"{folder / made.CA_KEY_FILE}  its key: keep it off the nodes")
    return authority


def _write_host(made: Any, authority: Any, folder: Path, host: str, days: int) -> None:
    made.write_node(folder, host, *authority.issue([host], days))
    certificate, conf = folder / f"{host}.pem", folder / f"{host}.conf"
    ca = folder / made.CA_FILE
    text = OPTIONS_FILE.format(
        conf=conf.absolute(), certificate=_string(certificate.absolute()), ca=_string(ca.absolute())
    )
    conf.write_text(text, encoding="utf-8")
    print(f'{certificate}  Python: Tls("{certificate}", ca="{ca}")')
    print(f"{conf}  Erlang: erl -proto_dist inet_tls -ssl_dist_optfile {conf.absolute()}")


def _string(path: Path) -> str:
    """A path as an Erlang string."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
