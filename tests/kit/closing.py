"""What a test opened is closed when it ends, however it ends: Python 3.13 warns of a connection that was forgotten."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

_open: list[Callable[[], object]] = []


def later(close: Callable[[], object]) -> None:
    """Call ``close``, which must be idempotent, at the end of the test, module or session that is running."""
    _open.append(close)


@contextlib.contextmanager
def everything() -> Iterator[None]:
    """Close what was registered meanwhile, the newest first."""
    before = len(_open)
    try:
        yield
    finally:
        with contextlib.ExitStack() as stack:
            for close in _open[before:]:
                stack.callback(close)
            del _open[before:]
