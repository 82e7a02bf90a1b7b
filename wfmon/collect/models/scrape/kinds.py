"""Types shared by all server kinds: the scraper protocol, its result, and cleaning of untrusted names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.scrape.http import Get, HttpAnswer
from wfmon.collect.text import NAME_CHARS, clean

State = Literal["ok", "needs_key", "odd", "silent"]
MAX_CHARS = 120
"""Longest name, and longest cell of the table."""
MAX_MODELS = 64
"""Models of one server."""


class ScrapeResult(NamedTuple):
    """The result of one scrape. ``situation``: the key of ``texts.VISIBILITY`` that describes what the server shows.

    ``models`` and ``version``: None if not requested this time. ``total``: number of models that it lists, of which
    ``models`` are the first. Readings carry the model and its values; the caller adds time and server.
    """

    state: State = "ok"
    situation: str = "ok"
    models: tuple[str, ...] | None = None
    total: int = 0
    version: str | None = None
    readings: tuple[Reading, ...] = ()


class Moment(NamedTuple):
    """The time of a scrape, and the server process's arguments (``command``; () if not visible)."""

    mono_ns: int
    command: tuple[str, ...] = ()


class Scraper(Protocol):
    """One server of a known kind; keeps its state between scrapes. One thread."""

    runtime: str

    def scrape(self, get: Get, now: Moment) -> ScrapeResult | None:
        """Scrape the server; None if nothing is due. Never raises because of a server's answer."""


class RepeatTimer:
    """A timer for values that change slowly: due at first, then once every ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._every_ns = round(seconds * 1e9)
        self._due_ns: int | None = None

    def is_due(self, now_ns: int) -> bool:
        """Return whether it is due, and restart it if so."""
        if self._due_ns is not None and now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + self._every_ns
        return True


def reading(model: str) -> Reading:
    """Return an empty reading of a model."""
    return Reading("", model, 0, 0.0)


def trouble(answer: HttpAnswer) -> ScrapeResult | None:
    """What an answer that is none means; None for one that may be read."""
    if answer.trouble in ("refused", "silent", "late"):
        return ScrapeResult("silent", "silent")
    if answer.trouble:
        return ScrapeResult("odd", "odd")
    if answer.refused_key:
        return ScrapeResult("needs_key", "needs_key")
    return None


def tidy(text: object) -> str:
    """Return an untrusted name without control characters, at most 120 long; "" if it is not text."""
    if not isinstance(text, str):
        return ""
    cut = text[:MAX_CHARS].strip()
    return "".join(clean(cut[at : at + NAME_CHARS]) for at in range(0, len(cut), NAME_CHARS))


def number(value: Any) -> float | None:  # noqa: ANN401  any JSON value
    """Return a finite, non-negative number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e18 else None


def names(found: Iterable[object]) -> tuple[tuple[str, ...], int]:
    """Return cleaned names without duplicates, in order, at most 64; and how many there were."""
    tidied = [name for name in map(tidy, found) if name]
    kept = tuple(dict.fromkeys(tidied))
    return kept[:MAX_MODELS], len(kept)


def rows(answer: HttpAnswer, field: str) -> list[dict[str, Any]] | None:
    """Return the list of objects in a field of the JSON answer; None if it has another form."""
    body = answer.json()
    found = body.get(field) if isinstance(body, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        return None
    return found
