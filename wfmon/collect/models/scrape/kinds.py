"""What every kind of server shares: what one look at it gives, and how untrusted names are made fit to show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Protocol

from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.scrape.http import Get, HttpAnswer
from wfmon.collect.text import NAME_CHARS, clean

State = Literal["ok", "needs_key", "odd", "silent"]
MAX_CHARS = 120
"""Of a name, and of a cell of the table."""
MAX_MODELS = 64
"""Models of one server."""


class Look(NamedTuple):
    """What one look at a server found. ``situation`` names the row of ``texts.TOLD`` that says what it shows.

    ``models`` and ``version``: None when they were not asked for this time. ``total``: models that it names, of which
    ``models`` are the first. Readings carry the model and its values; the caller adds when and where.
    """

    state: State = "ok"
    situation: str = "ok"
    models: tuple[str, ...] | None = None
    total: int = 0
    version: str | None = None
    readings: tuple[Reading, ...] = ()


class Moment(NamedTuple):
    """When a look is, and what is known of the process that answers. ``command``: its arguments, () if hidden."""

    mono_ns: int
    command: tuple[str, ...] = ()


class Scraper(Protocol):
    """One server of a known kind; keeps what it needs between two looks. One thread."""

    runtime: str

    def look(self, get: Get, now: Moment) -> Look | None:
        """Ask what it tells; None when nothing is due. Never raises for what a server answers."""


class Turn:
    """Tells when what changes slowly is to be asked again. ``None`` before: now."""

    def __init__(self, seconds: float) -> None:
        self._every_ns = round(seconds * 1e9)
        self._due_ns: int | None = None

    def is_due(self, now_ns: int) -> bool:
        """Return whether it is, and count from now if so."""
        if self._due_ns is not None and now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + self._every_ns
        return True


def reading(model: str) -> Reading:
    """An empty reading of a model."""
    return Reading("", model, 0, 0.0)


def trouble(answer: HttpAnswer) -> Look | None:
    """What an answer that is none means; None for one that may be read."""
    if answer.trouble in ("refused", "silent", "late"):
        return Look("silent", "silent")
    if answer.trouble:
        return Look("odd", "odd")
    if answer.refused_key:
        return Look("needs_key", "needs_key")
    return None


def tidy(text: object) -> str:
    """An untrusted name, no control characters, 120 characters at most; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    cut = text[:MAX_CHARS].strip()
    return "".join(clean(cut[at : at + NAME_CHARS]) for at in range(0, len(cut), NAME_CHARS))


def number(value: Any) -> float | None:  # noqa: ANN401  of a JSON that says what it likes
    """A finite number that is not negative, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e18 else None


def names(found: Iterable[object]) -> tuple[tuple[str, ...], int]:
    """Names fit to show, each once, in their order, 64 at most; and how many there were."""
    tidied = [name for name in map(tidy, found) if name]
    kept = tuple(dict.fromkeys(tidied))
    return kept[:MAX_MODELS], len(kept)


def rows(answer: HttpAnswer, field: str) -> list[dict[str, Any]] | None:
    """The objects in a list that a JSON object holds; None when the answer has another form."""
    body = answer.json()
    found = body.get(field) if isinstance(body, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        return None
    return found
