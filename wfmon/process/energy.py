"""Energy of a model: an index from 0 to 1 of its speed, certainty and steadiness. Pure; see docs/energy.md.

``started``, ``token`` and ``ended`` map one ``Energy`` to the next; ``level_and_state`` reads it without changing it.
Times are monotonic milliseconds; one that goes back or is not a finite number is replaced by the previous event's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from wfmon.core.settings import EnergySettings

IDLE, CHARGING, FLOWING, STALLING, SATURATED, DRAINED = range(6)
STATES = ("idle", "charging", "flowing", "stalling", "saturated", "drained")
"""State names, indexed by state number."""


class Energy(NamedTuple):
    """A model's state after an event."""

    level: float = 0.0
    """E up to ``falls_ms``; after that it halves every half-life."""
    falls_ms: float = 0.0
    event_ms: float = -math.inf
    open: bool = False
    """Whether a request is open."""
    token_ms: float | None = None
    """Time of its newest token; None while charging."""
    ended_ms: float | None = None
    """When the last request ended; None while one is open."""
    slow: int = 0
    """How many of the newest intervals in a row were longer than ``steady_ms``."""
    above_ms: float | None = None
    """Since when E has been at ``saturated_at`` or above."""
    saturated: bool = False
    peak: float = 0.0
    """The highest speed seen, as of ``peak_ms``; it decays from there."""
    peak_ms: float = 0.0


def started(before: Energy, now_ms: float) -> Energy:
    """Apply the start of a request. No effect while another one is open."""
    now_ms = _time(before, now_ms)
    if before.open:
        return before._replace(event_ms=now_ms)
    return before._replace(event_ms=now_ms, open=True, token_ms=None, ended_ms=None, slow=0)


def token(
    before: Energy,
    now_ms: float,
    tokens_per_second: float,
    certainty: float | None,
    interval_ms: float | None,
    settings: EnergySettings,
) -> Energy:
    """Apply a token. A value that is None or not finite was not measured and has no weight."""
    now_ms = _time(before, now_ms)
    had = level(before, now_ms, settings)
    speed = tokens_per_second if math.isfinite(tokens_per_second) else None
    interval = interval_ms if interval_ms is not None and 0 <= interval_ms < math.inf else None
    peak, peak_ms = before.peak, before.peak_ms
    full = peak_at(before, now_ms, settings)
    if speed is not None and speed > full:
        peak, peak_ms, full = speed, now_ms, speed
    own = base(
        None if speed is None else velocity(speed, full_speed(full, settings), settings),
        None if certainty is None or not math.isfinite(certainty) else _clamp(certainty),
        None if interval is None else steadiness(interval, settings),
        settings,
    )
    now = had if own is None else _clamp(settings.smoothing * own + (1 - settings.smoothing) * had)
    above_ms = None
    if now >= settings.saturated_at:
        above_ms = before.above_ms if before.above_ms is not None and had >= settings.saturated_at else now_ms
    is_open = before.open
    return Energy(
        level=now,
        falls_ms=now_ms + settings.steady_ms if is_open else now_ms,
        event_ms=now_ms,
        open=is_open,
        token_ms=now_ms if is_open else None,
        ended_ms=before.ended_ms,
        slow=before.slow if interval is None else before.slow + 1 if interval > settings.steady_ms else 0,
        above_ms=above_ms,
        saturated=now >= settings.saturated_until and _saturated(before, now_ms, settings),
        peak=peak,
        peak_ms=peak_ms,
    )


def ended(before: Energy, now_ms: float, settings: EnergySettings) -> Energy:
    """Apply the end of the last open request: E decays from here. No effect if none is open."""
    if not before.open:
        return before
    now_ms = _time(before, now_ms)
    return before._replace(
        level=level(before, now_ms, settings),
        falls_ms=now_ms,
        event_ms=now_ms,
        open=False,
        token_ms=None,
        ended_ms=now_ms,
        slow=0,
        above_ms=None,
        saturated=False,
    )


def level_and_state(state: Energy, now_ms: float, settings: EnergySettings) -> tuple[float, int]:
    """Return E and the state number at ``now_ms``."""
    now_ms = _time(state, now_ms)
    return level(state, now_ms, settings), _state(state, now_ms, settings)


def level(state: Energy, now_ms: float, settings: EnergySettings) -> float:
    """Return E at a time not before the last event."""
    fallen_ms = now_ms - state.falls_ms
    if fallen_ms <= 0 or state.level == 0:
        return state.level
    return float(state.level * 2.0 ** (-fallen_ms / settings.half_life_ms))


def velocity(tokens_per_second: float, full: float, settings: EnergySettings) -> float:
    """Return the speed index, from 0 (``tps_min``) to 1 (full speed)."""
    span = full - settings.tps_min
    above = tokens_per_second - settings.tps_min
    return _clamp(above / span) if span > 0 else float(above > 0)


def steadiness(interval_ms: float, settings: EnergySettings) -> float:
    """Return the steadiness index, from 1 (up to ``steady_ms``) to 0 (from ``unsteady_ms`` on)."""
    span = settings.unsteady_ms - settings.steady_ms
    late = interval_ms - settings.steady_ms
    return 1.0 - _clamp(late / span) if span > 0 else float(late <= 0)


def base(v: float | None, c: float | None, s: float | None, settings: EnergySettings) -> float | None:
    """Return a token's own value: the weighted mean of the known parts. None if none with a weight is known."""
    of_v, of_s = settings.weight_velocity, settings.weight_steadiness
    if c is None:
        of_v, of_s = settings.weight_velocity_alone, settings.weight_steadiness_alone
    total = value = 0.0
    for part, weight in ((v, of_v), (c, settings.weight_certainty), (s, of_s)):
        if part is not None:
            total += weight
            value += part * weight
    return value / total if total > 0 else None


def full_speed(peak: float, settings: EnergySettings) -> float:
    """Return the tokens per second that count as 1: the profile's, or the model's own ``peak``."""
    match settings.profile:
        case "lite":
            return settings.tps_max_lite
        case "dual":
            return settings.tps_max_dual
        case "studio":
            return settings.tps_max_studio
        case _:
            return peak


def peak_at(state: Energy, now_ms: float, settings: EnergySettings) -> float:
    """Return the learned peak: the decayed highest speed, never below the floor."""
    age_ms = max(0.0, now_ms - state.peak_ms)
    left = state.peak * 2.0 ** (-age_ms / (1_000 * settings.peak_half_life_s))
    return float(max(settings.peak_floor, left))


class EnergyMeter:
    """Energy of one model over time: a thin shell over the pure steps. Times are monotonic milliseconds."""

    def __init__(self, settings: EnergySettings) -> None:
        self._settings = settings
        self._energy = Energy()

    def started(self, now_ms: float) -> None:
        """Record the start of a request."""
        self._energy = started(self._energy, now_ms)

    def token(
        self, now_ms: float, tokens_per_second: float, certainty: float | None, interval_ms: float | None
    ) -> float:
        """Record a token and return E after it. ``interval_ms`` None: the first of its request."""
        self._energy = token(self._energy, now_ms, tokens_per_second, certainty, interval_ms, self._settings)
        return self._energy.level

    def ended(self, now_ms: float) -> None:
        """Record the end of the last open request."""
        self._energy = ended(self._energy, now_ms, self._settings)

    def at(self, now_ms: float) -> tuple[float, int]:
        """Return E and the state number at ``now_ms``, without changing anything."""
        return level_and_state(self._energy, now_ms, self._settings)


def _state(state: Energy, now_ms: float, settings: EnergySettings) -> int:
    if not state.open:
        return DRAINED if state.ended_ms is not None and now_ms - state.ended_ms < settings.drained_ms else IDLE
    if state.token_ms is None:
        return CHARGING
    if state.slow + _silences(now_ms - state.token_ms, settings) >= settings.stall_tokens:
        return STALLING
    return SATURATED if _saturated(state, now_ms, settings) else FLOWING


def _silences(silent_ms: float, settings: EnergySettings) -> int:
    """Return the current silence in whole ``steady_ms``: 1 past one of them, 2 past two, and so on."""
    return max(0, math.ceil(min(silent_ms / settings.steady_ms, settings.stall_tokens + 1)) - 1)


def _saturated(state: Energy, now_ms: float, settings: EnergySettings) -> bool:
    """Return whether E counts as saturated. E only falls between events, so earlier calls do not affect the result."""
    if level(state, now_ms, settings) < settings.saturated_until:
        return False
    if state.saturated:
        return True
    if state.above_ms is None:
        return False
    since_ms = state.above_ms + settings.saturated_ms
    return now_ms >= since_ms and level(state, max(since_ms, state.event_ms), settings) >= settings.saturated_at


def _time(state: Energy, now_ms: float) -> float:
    if state.event_ms <= now_ms < math.inf:
        return now_ms
    return state.event_ms if math.isfinite(state.event_ms) else 0.0


def _clamp(value: float) -> float:
    return min(1.0, max(0.0, value))
