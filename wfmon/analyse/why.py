"""Why was a request slow: the one or two causes that its measures and the machine's support, with the figures."""

from __future__ import annotations

from collections.abc import Callable

from wfmon.core.types import Cause, Request, Window

Measured = Callable[[str, int, int], Window | None]
"""(series text, from ms, to ms) -> the series over that span; None where nothing was measured."""


def causes(request: Request, measured: Measured, typical: Request | None = None) -> tuple[Cause, ...]:
    """Give at most two causes, the costliest first; none for a request that was not slow."""
    return ()
