"""Finds the monitor: the data folder, ``server.json`` in it, and the token. Read-only; loopback only."""

# ruff: noqa: PTH100, PTH111, PTH118 - importing pathlib would use up this package's import budget
from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 65_536
"""A larger server.json is ignored."""


class Place:
    """A running monitor: its address and access token."""

    __slots__ = ("ca_file", "host", "port", "tls", "token")

    def __init__(self, host: str, port: int, token: str, *, tls: bool = False, ca_file: str = "") -> None:
        self.host = host
        self.port = port
        self.token = token
        self.tls = tls
        self.ca_file = ca_file


def data_dir(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> str:
    """Return the monitor's default data folder: ``WFMON_DATA``, else this user's data folder."""
    env = os.environ if environ is None else environ
    if given := env.get("WFMON_DATA"):
        return os.path.abspath(os.path.expanduser(given))
    if platform == "win32":
        base = env.get("WIN_PD_OVERRIDE_LOCAL_APPDATA", "").strip() or env.get("LOCALAPPDATA", "")
        return _join(base or _join(env.get("USERPROFILE", "~"), "AppData", "Local", sep="\\"), "wfmon", sep="\\")
    xdg = env.get("XDG_DATA_HOME", "").strip()
    if xdg.startswith("/"):
        return _join(xdg, "wfmon")
    if platform == "darwin":
        return _join(os.path.expanduser("~/Library/Application Support"), "wfmon")
    return _join(os.path.expanduser("~/.local/share"), "wfmon")


def find(folder: str) -> Place | None:
    """Return the monitor that runs on a data folder, or None. One file access if there was never one."""
    import json
    import re
    from urllib.parse import urlsplit

    try:
        text = _read(os.path.join(folder, "server.json"), MAX_BYTES)
        if text is None or not _held(os.path.join(folder, "lock")):
            return None
        server = json.loads(text)
        at = urlsplit(server["url"])
        host = "127.0.0.1" if at.hostname == "localhost" else at.hostname or ""
        port = at.port or 0
        token = (_read(os.path.join(folder, "token"), 256) or "").strip()
        ca_file = server.get("ca_file", "")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    if not loopback(host) or not 0 < port < 65_536 or at.scheme not in {"http", "https"}:
        return None
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,128}", token):
        return None
    return Place(host, port, token, tls=at.scheme == "https", ca_file=ca_file if isinstance(ca_file, str) else "")


def loopback(host: str) -> bool:
    """Return whether an address is loopback. Names are not resolved."""
    if host in {"localhost", "::1"}:
        return True
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(p.isascii() and p.isdigit() and int(p) < 256 for p in parts)


def server_label(host: str, port: int | None) -> str:
    """Return host:port of a model server on this machine, "" for any other."""
    if not port or not loopback(host):
        return ""
    return f"[::1]:{port}" if host == "::1" else f"{'127.0.0.1' if host == 'localhost' else host}:{port}"


def _join(*parts: str, sep: str = "/") -> str:
    return sep.join(part.rstrip(sep) for part in parts)


def _read(path: str, limit: int) -> str | None:
    with open(path, "rb") as file:
        found = file.read(limit + 1)
    return None if len(found) > limit else found.decode("utf-8")


def _held(path: str) -> bool:
    """Return whether a running monitor holds the lock.

    A killed monitor leaves server.json behind; another program may use its port by now and must not get the token.
    """
    try:
        with open(path, "rb") as lock:
            if os.name == "posix":
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            else:
                import msvcrt

                msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
