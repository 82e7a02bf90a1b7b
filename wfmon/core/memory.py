"""What keeps the resident process small."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np

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


def trim() -> bool:
    """Give free memory back to the system, also from between blocks in use; takes under a millisecond.

    By itself glibc gives back what is free at the heap's end, and one block in use there keeps all below it: after a
    peak that is several megabytes. True if there was something to give; False also where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return malloc_trim is not None and malloc_trim(0) == 1


def spare_masked_arrays() -> None:
    """Keep numpy.ma, 6 MB, out of the process. Call before the first page is served.

    Dash's JSON encoder asks of every value ``value is numpy.ma.core.masked``, which loads the module. No value can be
    that while nobody has imported it, so a stand-in answers, also to numpy's own questions (`unique`, `median`); a real
    ``import numpy.ma`` puts the real one in its place.
    """
    if "numpy.ma" not in sys.modules:
        vars(np)["ma"] = SimpleNamespace(
            core=SimpleNamespace(masked=object()), is_masked=lambda _: False, isMaskedArray=lambda _: False
        )


@contextmanager
def without_pydantic() -> Iterator[None]:
    """Keep pydantic, 6 MB, out of what is imported within. Dash describes three types to it, for a server that is off.

    The stand-ins stay no longer: who imports pydantic later gets the real one. What is not in them is an ImportError.
    """
    if "pydantic" in sys.modules:
        yield
        return
    named: dict[str, dict[str, object]] = {
        "pydantic": {"Field": SimpleNamespace, "GetCoreSchemaHandler": object, "GetJsonSchemaHandler": object},
        "pydantic_core": {"core_schema": SimpleNamespace()},
    }
    for name, attributes in named.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(attributes)
    try:
        yield
    finally:
        for name in named:
            del sys.modules[name]
