"""One monitor per data folder: the private folder, its lock file, and server.json with the monitor's address."""

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
"""``read_running`` holds the lock for an instant, so a starting monitor tries a few times."""
TRY_SECONDS = 0.02


class FolderError(Exception):
    """The data folder cannot be used. The message is written for the user."""


class NotRunning(Exception):
    """No monitor answers for this data folder. The message is written for the user."""


class AlreadyRunning(Exception):
    """Another monitor holds this data folder. ``running`` is None until it has published its address."""

    def __init__(self, folder: Path, running: RunningMonitor | None) -> None:
        where = f" at {running.url} (process {running.pid})" if running else ""
        super().__init__(
            f"A monitor is already running on {folder}{where}. Use another folder with --data, or open its page with: "
            f"{commands.app('--open', '--data', str(folder))}"
        )
        self.running = running


@dataclass(frozen=True, slots=True)
class RunningMonitor:
    """Contents of ``server.json``. ``ca_file`` is "" without TLS."""

    url: str
    pid: int
    ca_file: str
    boot: str
    started_ms: int
    version: str


class Instance:
    """Holds the data folder's lock from construction until ``close``. Main thread only.

    Creates the folder (0700) or tightens its mode. Raises FolderError, AlreadyRunning.
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
        self._server.unlink(missing_ok=True)  # left behind by a killed monitor

    def publish(self, *, url: str, ca_file: str, boot: str, started_ms: int) -> None:
        """Write this monitor's address to server.json, for --open and scripts. Raises OSError."""
        running = RunningMonitor(url, os.getpid(), ca_file, boot, started_ms, wfmon.__version__)
        write_private(self._server, json.dumps(asdict(running), indent=1) + "\n")

    def close(self) -> None:
        """Remove server.json and release the lock. Idempotent."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):  # the folder may be gone; the lock is what counts
            self._server.unlink(missing_ok=True)
        self._lock.close()
        self._lock = None


def read_running(folder: Path) -> RunningMonitor | None:
    """Return the monitor that runs on a folder, or None. A server.json without a held lock is stale."""
    try:
        with open(folder / LOCK, "rb") as lock:
            if try_lock(lock, shared=True):
                return None
    except OSError:
        return None
    return _read(folder)


def prepare(folder: Path) -> None:
    """Create the folder, or restrict it to its owner (0700). Raises FolderError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise _unusable(folder, error) from None
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise FolderError(f"The data folder {folder} belongs to another user. Choose one of your own with --data.")
    if stat.S_IMODE(found.st_mode) & 0o077:
        # Never lock others out of a home folder or /tmp that was passed by mistake.
        if not (folder / LOCK).exists() and any(folder.iterdir()):
            raise FolderError(
                f"The data folder {folder} holds other files and is open to other users. "
                f"Choose an empty folder with --data, or restrict this one first: chmod 700 {folder}"
            )
        folder.chmod(0o700)


def _unusable(folder: Path, error: OSError) -> FolderError:
    return FolderError(
        f"The data folder {folder} cannot be used ({error.strerror}). "
        "Correct its permissions, or choose another with --data."
    )


def _open_lock(folder: Path) -> BinaryIO:
    return os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b")


def _read(folder: Path) -> RunningMonitor | None:
    try:
        found = json.loads((folder / SERVER).read_text("utf-8"))
        return RunningMonitor(**found)
    except (OSError, ValueError, TypeError):
        return None
