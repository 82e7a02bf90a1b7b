"""One proxy per data folder: the lock that its process holds, and proxy.json with its settings."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

from wfmon.core.lock import try_lock

LOCK = "proxy.lock"
FILE = "proxy.json"
LOG = "proxy.log"


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """Contents of ``proxy.json``. ``listen`` and ``upstream`` as configured, ``at`` the actual address."""

    pid: int
    listen: str
    upstream: str
    logprobs: int
    at: str
    version: str
    started_ms: int

    def matches(self, listen: str, upstream: str, logprobs: int, version: str) -> bool:
        """Return whether it was started with these settings."""
        return (self.listen, self.upstream, self.logprobs, self.version) == (listen, upstream, logprobs, version)


class Lock:
    """The folder's lock, held from construction until ``close`` or the end of the process. Raises OSError if taken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = _open(folder)
        if not try_lock(self._file):
            self._file.close()
            raise BlockingIOError
        (folder / FILE).unlink(missing_ok=True)  # left behind by a killed proxy

    def publish(self, running: RunningProxy) -> None:
        """Write this proxy's settings to proxy.json. Raises OSError."""
        path = self._folder / FILE
        made = path.with_suffix(f".{os.urandom(4).hex()}")  # a random name, so that no planted link is followed
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(running), indent=1) + "\n")
        made.replace(path)

    def close(self) -> None:
        """Remove proxy.json and release the lock. Idempotent."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # the folder may be gone
                (self._folder / FILE).unlink(missing_ok=True)
            self._file.close()
            self._file = None


def held(folder: Path) -> bool:
    """Return whether a process holds the folder's lock."""
    if not (folder / LOCK).exists():
        return False
    try:
        with _open(folder) as file:
            return not try_lock(file)
    except OSError:
        return False


def read(folder: Path) -> RunningProxy | None:
    """Return the settings of the running proxy, None if none runs or it has not published them yet."""
    try:
        found = json.loads((folder / FILE).read_text("utf-8"))
        return RunningProxy(**found) if held(folder) and _is_proxy(found["pid"]) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_proxy(pid: object) -> bool:
    """Return whether the process is really our proxy. A pid read from a file must be checked before it is signalled."""
    if type(pid) is not int or pid <= 1:
        return False
    try:
        return {"proxy", "--supervised"} <= set(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def _open(folder: Path) -> BinaryIO:
    return os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
