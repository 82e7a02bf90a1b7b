"""Preallocated file, released when the disk is full because deleting rows needs space."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

BALLAST = "wfmon.db.ballast"
BALLAST_BYTES = 512_000
ROOM_BYTES = 2 * BALLAST_BYTES
"""Free space required before writing resumes after a full disk; twice that is required to recreate the ballast."""


class Ballast:
    """The ballast file of a data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / BALLAST

    def lay(self) -> None:
        """Create the file if there is enough free space."""
        if not self.has_room(2 * ROOM_BYTES):
            return
        try:
            with os.fdopen(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(bytes(BALLAST_BYTES))
        except OSError:
            self.free()

    def lies(self) -> bool:
        """Return whether the file exists."""
        return self._path.exists()

    def free(self) -> None:
        """Delete the file, which frees its space."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def has_room(self, wanted: int = ROOM_BYTES) -> bool:
        """Return whether the disk has ``wanted`` bytes free; True if it does not report."""
        try:
            return shutil.disk_usage(self._path.parent).free >= wanted
        except OSError:
            return True
