"""Requests by id: the open ones, and the last ones that ended, with their ticks while they are new."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from wfmon.collect.models.meter.requests import OpenRequest, TokenTicks
from wfmon.core.types import Judgement, Request

MAX_NAMESAKES = 1_024
KEEP_TICKS = 64
"""How many of the newest requests keep their ticks."""


class Kept(NamedTuple):
    """A request that ended."""

    request: Request
    ticks: TokenTicks | None
    phases: list[tuple[str, float]]


class RequestArchive:
    """Owns the ids and the last ``keep`` requests that ended. One thread, under the meters' lock."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._kept: deque[Kept] = deque()
        self._by_id: dict[str, Kept | OpenRequest] = {}
        self._unjudged: list[str] = []
        self._ticked: deque[OpenRequest] = deque()  # the newest requests: only these record ticks
        self._namesakes: dict[str, int] = {}  # by base id, the last number appended to make it unique

    def new_id(self, source_key: str, request: str) -> str:
        """Return a unique id for a new request, made of its source's key and its own name, fit for a URL."""
        name = f"{source_key[:6]}-{request.replace(':', '.')}"
        if name not in self._by_id:
            return name
        # Continued, not from 1: a program that gives all its requests one name must not make each cost more.
        at = self._namesakes.pop(name, 1) + 1
        while f"{name}~{at}" in self._by_id:
            at += 1
        self._namesakes[name] = at
        if len(self._namesakes) > MAX_NAMESAKES:
            del self._namesakes[next(iter(self._namesakes))]
        return f"{name}~{at}"

    def open(self, request: OpenRequest) -> None:
        """Add a request that started."""
        self._by_id[request.id] = request
        self._ticked.append(request)
        if len(self._ticked) > KEEP_TICKS:
            self._ticked.popleft().ticks = None

    def close(self, request: OpenRequest, ended: Request) -> None:
        """Replace an open request by its final record."""
        kept = Kept(ended, request.ticks, _phases(request))
        self._by_id[ended.id] = kept
        self._kept.append(kept)
        self._unjudged.append(ended.id)
        if len(self._kept) > KEEP_TICKS and (old := self._kept[-KEEP_TICKS - 1]).ticks is not None:
            self._kept[-KEEP_TICKS - 1] = self._by_id[old.request.id] = old._replace(ticks=None)
        while len(self._kept) > self._keep:
            self._by_id.pop(self._kept.popleft().request.id, None)

    def discard(self, request: OpenRequest) -> None:
        """Remove an open request that is not counted any more."""
        self._by_id.pop(request.id, None)

    def discard_open(self) -> None:
        """Remove all open requests."""
        self._by_id = {name: each for name, each in self._by_id.items() if isinstance(each, Kept)}

    def take_unjudged(self) -> list[Request]:
        """Return the requests that ended and were not returned before, for judging whether they were slow."""
        names, self._unjudged = self._unjudged, []
        found = [self._by_id.get(name) for name in names]
        return [kept.request for kept in found if isinstance(kept, Kept)]

    def judge(self, judged: dict[str, Judgement | None]) -> list[Request]:
        """Record which requests were slow, and why; return their new records."""
        ended = []
        for at, kept in enumerate(self._kept):
            if kept.request.id not in judged:
                continue
            found = judged[kept.request.id]
            if found is not None:
                updated = kept._replace(request=replace(kept.request, slow=found.slow, causes=found.causes))
                self._kept[at] = self._by_id[kept.request.id] = updated
            ended.append(self._kept[at].request)
        return ended

    def newest(self, limit: int, opened: Iterable[OpenRequest]) -> list[Request]:
        """Return the newest requests first, with ``opened``, which come newest first too."""
        records = (request.record() for request in opened)
        found = [*islice(records, limit), *(each.request for each in islice(reversed(self._kept), limit))]
        return sorted(found, key=lambda each: -each.started_ms)[:limit]

    def find(self, name: str) -> Kept:
        """Return a request, open ones included, with its ticks and phases. Raises KeyError."""
        found = self._by_id[name]
        return found if isinstance(found, Kept) else Kept(found.record(), found.ticks, _phases(found))


def _phases(request: OpenRequest) -> list[tuple[str, float]]:
    return [(name, (t_us - request.t_us) / 1_000) for name, t_us in request.phases]
