"""Measures that keep the resident memory small."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace

import numpy as np

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""


def tighten() -> bool:
    """Make glibc's allocator use one arena and return freed memory. Call before threads start.

    By default each thread may get its own arena, and a monitor with dozens of mostly idle threads then holds tens of
    unused megabytes. True if the allocator accepted it; False without glibc.
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
    """Return free memory to the system, also from between blocks in use; takes under a millisecond.

    By itself glibc only returns what is free at the heap's end, and one block in use there keeps everything below it:
    several megabytes after a peak. True if memory was returned; False also without glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return malloc_trim is not None and malloc_trim(0) == 1


def spare_masked_arrays() -> None:
    """Keep numpy.ma, 6 MB, out of the process. Call before the first page is served.

    Dash's JSON encoder tests every value with ``value is numpy.ma.core.masked``, which loads the module. That is False
    for every value until it is imported, so a stand-in suffices, also for numpy's own checks (`unique`, `median`); a
    real ``import numpy.ma`` replaces it.
    """
    if "numpy.ma" not in sys.modules:
        vars(np)["ma"] = SimpleNamespace(
            core=SimpleNamespace(masked=object()), is_masked=lambda _: False, isMaskedArray=lambda _: False
        )


@contextmanager
def without_pydantic() -> Iterator[None]:
    """Keep pydantic, 6 MB, from being imported in this block. Dash only needs it for a server that is off.

    The stand-ins are removed afterwards, so a later import gets the real one. Names they lack raise ImportError.
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
