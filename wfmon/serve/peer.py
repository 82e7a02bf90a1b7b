"""Who is at the other end of a loopback connection, as the kernel tells it (Linux)."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""Every socket of this machine. A client that says ::ffff:127.0.0.1 stands in the second, and we in the first."""
_MAPPED = "0000000000000000FFFF0000"
_UID, _INODE = 7, 9


def same_user(environ: WSGIEnvironment, tables: Sequence[Path] = TABLES) -> bool:
    """Tell whether the client is a process of ours or of root; True where the system does not tell. Any thread.

    Browsers send a cookie to every port of a host, so another user's server may have got ours; but not our sockets.
    """
    if "REMOTE_PORT" not in environ:
        return True
    here = _address(environ["SERVER_NAME"], environ["SERVER_PORT"])
    there = _address(environ["REMOTE_ADDR"], environ["REMOTE_PORT"])
    told = False
    for table in tables:
        try:
            rows = [line.split() for line in table.read_text("ascii").splitlines() if there in line]
        except OSError:
            continue
        for row in rows:
            ends = row[1].removeprefix(_MAPPED), row[2].removeprefix(_MAPPED)
            if ends == (there, here) and row[_INODE] != "0":  # one without an inode was closed by its owner
                return int(row[_UID]) in {0, os.geteuid()}
            told = told or ends == (here, there)
    return not told


def _address(host: str, port: str | int) -> str:
    """Give an address in the tables' form; "-" for one of IPv6, which they then do not tell."""
    try:
        (number,) = struct.unpack("=I", socket.inet_aton(host))
    except OSError:
        return "-"
    return f"{number:08X}:{int(port):04X}"
