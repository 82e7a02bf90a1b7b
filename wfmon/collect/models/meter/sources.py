"""The sources of requests, and the events that they report as lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from wfmon.collect.models.ingest.events import EventSource

MAX_LEFT = 256
"""EventSources that left and are remembered: they may come back."""


class EventSources:
    """Counts lost events once per source, as "model_lost_at_source" in ``dropped``. One thread."""

    def __init__(self, dropped: Counter[str]) -> None:
        self._dropped = dropped
        self._counted: dict[EventSource, int] = {}  # by source, how many of its lost events were counted
        self._left: dict[str, int] = {}  # the same of sources that left, by their key

    def __contains__(self, source: EventSource) -> bool:
        return source in self._counted

    def __iter__(self) -> Iterator[EventSource]:
        return iter(list(self._counted))

    def add(self, source: EventSource, *, again: bool) -> None:
        """Add a new source. What it lost before its first request counts only if that continues one (``again``)."""
        self._counted[source] = self._left.pop(source.key, 0 if again else source.lost)

    def remove(self, source: EventSource) -> None:
        """Remove a source, but remember what was counted."""
        self._left[source.key] = self._counted.pop(source)
        if len(self._left) > MAX_LEFT:
            del self._left[next(iter(self._left))]

    def clear(self) -> None:
        """Remove all current sources."""
        self._counted.clear()

    def count_lost(self, source: EventSource) -> None:
        """Count the events that a source has lost since the last call."""
        lost = source.lost - self._counted[source]
        if lost > 0:
            self._dropped["model_lost_at_source"] += lost
            self._counted[source] = source.lost
