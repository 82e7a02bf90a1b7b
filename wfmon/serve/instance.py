"""One monitor a data folder: the private folder, the lock that says one runs, and the file that says where."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, BinaryIO

import wfmon
from wfmon.core import commands
from wfmon.core.lock import try_lock
from wfmon.serve.token import write_private

if TYPE_CHECKING:
    from wfmon.core.clock import Clock

LOCK = "lock"
SERVER = "server.json"
TRIES = 5
"""Somebody who looks whether a monitor runs holds the lock for an instant; so a start asks a few times."""
TRY_SECONDS = 0.02


class FolderError(Exception):
    """The data folder cannot be used; the message is one sentence for the user."""


class NotRunning(Exception):
    """No monitor answers for this data folder; the message is one sentence for the user."""


class AlreadyRunning(Exception):
    """Another monitor holds this data folder. ``running`` is None while it has not said where it listens."""

    def __init__(self, folder: Path, running: RunningMonitor | None) -> None:
        where = f" at {running.url} (process {running.pid})" if running else ""
        super().__init__(
            f"A monitor is already running on {folder}{where}. Use another folder with --data, or open its page with: "
            f"{commands.app('--open', '--data', str(folder))}"
        )
        self.running = running


@dataclass(frozen=True, slots=True)
class RunningMonitor:
    """What ``server.json`` says. ``ca_file`` is "" without TLS."""

    url: str
    pid: int
    ca_file: str
    boot: str
    started_ms: int
    version: str


class Instance:
    """Holds the data folder's lock from its making until ``close``. Main thread only.

    Makes the folder (0700), or tightens one that is ours. Raises FolderError, AlreadyRunning.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        prepare(folder)
        try:
            self._lock: BinaryIO | None = _open_lock(folder)
        except OSError as error:
            raise _unusable(folder, error) from None
        for _ in range(TRIES):
            if try_lock(self._lock):
                break
            clock.wait(Event(), TRY_SECONDS)
        else:
            self._lock.close()
            raise AlreadyRunning(folder, _read(folder))
        self._server = folder / SERVER
        self._server.unlink(missing_ok=True)  # what a killed one left behind

    def publish(self, *, url: str, ca_file: str, boot: str, started_ms: int) -> None:
        """Say where this monitor listens, for --open and scripts. Raises OSError."""
        running = RunningMonitor(url, os.getpid(), ca_file, boot, started_ms, wfmon.__version__)
        write_private(self._server, json.dumps(asdict(running), indent=1) + "\n")

    def close(self) -> None:
        """Take back what was published and let the lock go. Idempotent."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):  # the folder may be gone; the lock is what counts
            self._server.unlink(missing_ok=True)
        self._lock.close()
        self._lock = None


def read_running(folder: Path) -> RunningMonitor | None:
    """Give the monitor that runs on a folder, or None: a server.json whose lock nobody holds is stale."""
    try:
        with open(folder / LOCK, "rb") as lock:
            if try_lock(lock, shared=True):
                return None
    except OSError:
        return None
    return _read(folder)


def prepare(folder: Path) -> None:
    """Make the folder, or tighten it: ours alone (0700). Raises FolderError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise _unusable(folder, error) from None
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise FolderError(f"The data folder {folder} belongs to another user. Give one of your own with --data.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        # Never close a home or /tmp to the others because somebody named it by mistake.
        if not (folder / LOCK).exists() and any(folder.iterdir()):
            raise FolderError(
                f"The data folder {folder} holds other files and is open to other users. "
                f"Give an empty folder with --data, or close this one first: chmod 700 {folder}"
            )
        folder.chmod(0o700)


def _unusable(folder: Path, error: OSError) -> FolderError:
    return FolderError(
        f"The data folder {folder} cannot be used ({error.strerror}). "
        "Mend its permissions, or give another with --data."
    )


def _open_lock(folder: Path) -> BinaryIO:
    return os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


def _read(folder: Path) -> RunningMonitor | None:
    try:
        found = json.loads((folder / SERVER).read_text("utf-8"))
        return RunningMonitor(**found)
    except (OSError, ValueError, TypeError):
        return None
