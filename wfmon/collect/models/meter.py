"""One meter a model: takes events and scrapes, and is sampled in the ticker's beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from wfmon.collect.models.events import Event, Reading
from wfmon.core.clock import Clock
from wfmon.core.types import Burst, Cause, CollectorStatus, Frame, Request, TokenBatch

MAX_WAITING = 20_000
"""Events that wait for the beat at most."""


class EnergyIndex(Protocol):
    """The energy of one model, as ``wfmon.process.energy`` computes it. Times: monotonic milliseconds."""

    def started(self, now_ms: float) -> None:
        """A request came in."""

    def token(
        self, now_ms: float, tokens_per_second: float, certainty: float | None, interval_ms: float | None
    ) -> float:
        """A token came: gives E after it. ``interval_ms`` None: the first of its request."""

    def ended(self, now_ms: float) -> None:
        """The last open request ended."""

    def at(self, now_ms: float) -> tuple[float, int]:
        """Give E and the state (0 idle ... 5 drained) now."""


class Meters:
    """Takes events from any thread (``put``); the ticker alone calls ``drain`` and ``each_second``."""

    name = "model"

    def __init__(
        self,
        clock: Clock,
        *,
        energy: Callable[[], EnergyIndex],
        server_of: Callable[[int, str], str],
        power_watts: Callable[[], float | None],
        why: Callable[[Request], tuple[Cause, ...]],
        keep_requests: int = 200,
        enabled: bool = True,
    ) -> None:
        """``server_of(pid, claimed)`` gives a source's server label: its listening address, else what it claims.

        ``power_watts``: of all cards together now, None where not measured. ``why`` is asked once a request has ended,
        within a second, by the ticker's thread.
        """
        self._clock = clock
        self._enabled = enabled
        self.dropped: Counter[str] = Counter()

    @property
    def depth(self) -> int:
        """Events that wait, of MAX_WAITING. Any thread."""
        return 0

    def put(self, events: Sequence[Event]) -> int:
        """Take events; gives how many were taken, the rest is dropped and counted. Any thread, never waits."""
        return len(events)

    def scraped(self, readings: Sequence[Reading]) -> None:
        """Take what a scrape found. Any thread."""

    def drain(self) -> list[Frame | Burst | TokenBatch]:
        """Give the tokens and the gauges since the last beat."""
        return []

    def each_second(self) -> dict[str, Any]:
        """Judge requests that ended; gives tables by name that changed: ``models``, ``requests``."""
        return {}

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Switch on or off; off forgets open requests. Any thread."""
        self._enabled = enabled

    def status(self) -> CollectorStatus:
        """How it fares: absent while no model was seen. Any thread."""
        return CollectorStatus(self.name, "absent" if self._enabled else "off", "no model was seen")

    def models(self) -> list[dict[str, Any]]:
        """Every model that is known. Any thread."""
        return []

    def requests(self, limit: int) -> list[dict[str, Any]]:
        """The newest requests first. Any thread."""
        return []

    def request(self, name: str) -> dict[str, Any]:
        """One request with its ticks. Raises KeyError. Any thread."""
        raise KeyError(name)
