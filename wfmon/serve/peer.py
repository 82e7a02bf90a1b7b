"""Which user owns the other end of a loopback connection, from the kernel's socket tables (Linux)."""

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
"""Every socket of this machine. A client connected to ::ffff:127.0.0.1 is in the second, our end in the first."""
_MAPPED = "0000000000000000FFFF0000"
_UID, _INODE = 7, 9


def same_user(environ: WSGIEnvironment, tables: Sequence[Path] = TABLES) -> bool:
    """Return whether the client process belongs to our user or root; True if the system cannot say. Any thread.

    Browsers send a cookie to every port of a host, so another user's server may have received ours.
    """
    if "REMOTE_PORT" not in environ:
        return True
    here = _address(environ["SERVER_NAME"], environ["SERVER_PORT"])
    there = _address(environ["REMOTE_ADDR"], environ["REMOTE_PORT"])
    listed = False
    for table in tables:
        try:
            rows = [line.split() for line in table.read_text("ascii").splitlines() if there in line]
        except OSError:
            continue
        for row in rows:
            ends = row[1].removeprefix(_MAPPED), row[2].removeprefix(_MAPPED)
            if ends == (there, here) and row[_INODE] != "0":  # inode 0: closed by its owner
                return int(row[_UID]) in {0, os.geteuid()}
            listed = listed or ends == (here, there)
    return not listed


def _address(host: str, port: str | int) -> str:
    """Return an address in the tables' form; "-" for IPv6, which matches no row."""
    try:
        (number,) = struct.unpack("=I", socket.inet_aton(host))
    except OSError:
        return "-"
    return f"{number:08X}:{int(port):04X}"
