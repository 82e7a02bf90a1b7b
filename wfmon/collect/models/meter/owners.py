"""The owner of each server: the best live source of hook, proxy and scrape, so that a request is counted once."""

from __future__ import annotations

from wfmon.collect.models.ingest.events import EventSource

ALIVE_US = 10_000_000
"""A source is alive for a server while it has an open request there, and this long after the last one."""
MAX_SERVERS = 4_096
"""Limit of remembered servers: a program may name another one with every request."""
RANKS = {"hook": 2, "proxy": 1, "scrape": 0}
_BY_RANK = ("hook", "proxy")


class Owners:
    """Records which source had requests at which server. One thread. Times: the monitor's monotonic microseconds."""

    def __init__(self) -> None:
        self._seen: dict[
            tuple[str, str], dict[EventSource, list[float]]
        ] = {}  # (server, via): last time, open requests

    def touch(self, server: str, source: EventSource, now_us: float, opened: int = 0) -> None:
        """Record activity of a source at a server; ``opened``: 1 if a counted request started, -1 if it ended."""
        seen = self._seen.setdefault((server, source.via), {}).setdefault(source, [now_us, 0])
        seen[0] = now_us
        seen[1] += opened
        if len(self._seen) > MAX_SERVERS:
            resting = [key for key, all_seen in self._seen.items() if all(each[1] <= 0 for each in all_seen.values())]
            for key in resting[: len(resting) // 2]:
                del self._seen[key]

    def of(self, server: str, now_us: float) -> str:
        """Return the current owner of the server: hook, proxy or scrape."""
        return next((via for via in _BY_RANK if self.is_alive(server, via, now_us)), "scrape")

    def is_alive(self, server: str, via: str, now_us: float) -> bool:
        """Return whether a source of this kind is alive for the server, whether or not it is the owner."""
        return any(
            (opened > 0 or now_us - last_us <= ALIVE_US) and not source.gone(int(now_us * 1_000))
            for source, (last_us, opened) in self._seen.get((server, via), {}).items()
        )

    def expire(self, now_us: float) -> None:
        """Remove sources that are no longer alive."""
        for key, seen in list(self._seen.items()):
            for source, (last_us, opened) in list(seen.items()):
                if source.gone(int(now_us * 1_000)) or (opened <= 0 and now_us - last_us > ALIVE_US):
                    del seen[source]
            if not seen:
                del self._seen[key]
