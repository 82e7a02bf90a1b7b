"""One proxy a data folder: the lock that its process holds, and the file that says what it does."""

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
    """What ``proxy.json`` says. ``listen`` and ``upstream`` as they were given, ``at`` where it really listens."""

    pid: int
    listen: str
    upstream: str
    logprobs: int
    at: str
    version: str
    started_ms: int

    def does(self, listen: str, upstream: str, logprobs: int, version: str) -> bool:
        """Tell whether it was started with these settings."""
        return (self.listen, self.upstream, self.logprobs, self.version) == (listen, upstream, logprobs, version)


class Lock:
    """Held from its making until ``close``, or until the process ends, however it does. Raises OSError if taken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = _open(folder)
        if not try_lock(self._file):
            self._file.close()
            raise BlockingIOError
        (folder / FILE).unlink(missing_ok=True)  # what a killed one left behind

    def publish(self, running: RunningProxy) -> None:
        """Say what this proxy does. Raises OSError."""
        path = self._folder / FILE
        made = path.with_suffix(f".{os.urandom(4).hex()}")  # a name of its own: a link that lay there is not followed
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(asdict(running), indent=1) + "\n")
        made.replace(path)

    def close(self) -> None:
        """Take back what was said and let go. Idempotent."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # the folder may be gone
                (self._folder / FILE).unlink(missing_ok=True)
            self._file.close()
            self._file = None


def held(folder: Path) -> bool:
    """Tell whether a proxy holds the folder's lock."""
    if not (folder / LOCK).exists():
        return False
    try:
        with _open(folder) as file:
            return not try_lock(file)
    except OSError:
        return False


def read(folder: Path) -> RunningProxy | None:
    """Give what the proxy that holds the lock says, None where none does, or it has not said yet."""
    try:
        found = json.loads((folder / FILE).read_text("utf-8"))
        return RunningProxy(**found) if held(folder) and _is_proxy(found["pid"]) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_proxy(pid: object) -> bool:
    """Tell whether such a process is a proxy of ours: what a file says is believed of no other, for it is ended."""
    if type(pid) is not int or pid <= 1:
        return False
    try:
        return {"proxy", "--supervised"} <= set(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def _open(folder: Path) -> BinaryIO:
    return os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
