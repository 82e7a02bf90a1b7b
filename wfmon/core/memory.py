"""What keeps the resident process small."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""mallopt(3)'s names for its parameters."""


def tighten() -> bool:
    """Tell glibc's allocator to use one arena and to give freed memory back. Call before threads start.

    By default each thread may get an arena of its own, and a monitor with dozens of mostly idle threads then keeps
    tens of megabytes that nothing uses. True if the allocator took it; False where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(
        mallopt(parameter, value) == 1
        for parameter, value in ((_M_ARENA_MAX, 1), (_M_TRIM_THRESHOLD, 131_072), (_M_MMAP_THRESHOLD, 131_072))
    )
