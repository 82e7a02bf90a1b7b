"""The energy of a model: an index from 0 to 1 of its speed, certainty and steadiness. Pure; docs/energy.md."""

from __future__ import annotations

from wfmon.core.settings import EnergySettings

IDLE, CHARGING, FLOWING, STALLING, SATURATED, DRAINED = range(6)


class EnergyMeter:
    """The index of one model over time: a thin shell over the pure steps. Times are monotonic milliseconds."""

    def __init__(self, settings: EnergySettings) -> None:
        self._settings = settings

    def started(self, now_ms: float) -> None:
        """A request came in."""

    def token(
        self, now_ms: float, tokens_per_second: float, certainty: float | None, interval_ms: float | None
    ) -> float:
        """A token came: gives E after it. ``interval_ms`` None: the first of its request."""
        return 0.0

    def ended(self, now_ms: float) -> None:
        """The last open request ended."""

    def at(self, now_ms: float) -> tuple[float, int]:
        """Give E and the state now."""
        return 0.0, IDLE
