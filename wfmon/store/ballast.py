"""The ballast: a file that only takes room, freed when the disk is full, for to delete old data needs room too."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

BALLAST = "wfmon.db.ballast"
BALLAST_BYTES = 512_000
ROOM_BYTES = 2 * BALLAST_BYTES
"""Once the disk was full it must have so much room before it is tried again, and twice that for the ballast."""


class Ballast:
    """The one of a data folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / BALLAST

    def lay(self) -> None:
        """Lay it out where there is room enough."""
        if not self.has_room(2 * ROOM_BYTES):
            return
        try:
            with os.fdopen(os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(bytes(BALLAST_BYTES))
        except OSError:
            self.free()

    def lies(self) -> bool:
        """Tell whether it is there."""
        return self._path.exists()

    def free(self) -> None:
        """Give its room away."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def has_room(self, wanted: int = ROOM_BYTES) -> bool:
        """Tell whether the disk has so much room; True where it does not say."""
        try:
            return shutil.disk_usage(self._path.parent).free >= wanted
        except OSError:
            return True
