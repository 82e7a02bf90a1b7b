"""A file lock between processes, released when the file closes, however its process ends."""

from __future__ import annotations

import os
from typing import BinaryIO


def try_lock(file: BinaryIO, *, shared: bool = False) -> bool:
    """Take the lock without waiting. False if it is held. ``shared`` has an effect on POSIX only."""
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True
