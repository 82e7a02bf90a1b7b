"""A lock on a file between processes: let go when the file closes, however its process ends."""

from __future__ import annotations

import os
from typing import BinaryIO


def try_lock(file: BinaryIO, *, shared: bool = False) -> bool:
    """Take the lock if nobody holds it in the way; does not wait. ``shared`` counts on POSIX alone."""
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
