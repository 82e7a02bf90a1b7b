"""LM Studio: /api/v1/models since 0.4, /api/v0/models before; lists loaded models, without metrics."""

from __future__ import annotations

from typing import Any

from wfmon.collect.models.scrape.http import Get, HttpAnswer
from wfmon.collect.models.scrape.kinds import Moment, RepeatTimer, ScrapeResult, names, rows, trouble

RUNTIME = "LM Studio"
LIST_S = 5.0
PATHS = ("/api/v1/models", "/api/v0/models")
GREETING = b"Unexpected endpoint or method"
"""Its answer to an unknown path, with status 200."""


def greets(answer: HttpAnswer) -> bool:
    """Return whether an answer to an unknown path may be LM Studio's."""
    return not answer.trouble and GREETING in answer.body[:512]


def loaded(answer: HttpAnswer) -> list[str] | None:
    """Return the identifiers of the loaded models, in either API form; None for another form."""
    found = rows(answer, "models")
    if found is not None and all(isinstance(row.get("loaded_instances"), list) for row in found):
        return [_instance(one, row.get("key")) for row in found for one in row["loaded_instances"]]
    found = rows(answer, "data")
    if found is not None and all(isinstance(row.get("state"), str) for row in found):
        return [str(row.get("id", "")) for row in found if row["state"] == "loaded"]
    return None


def _instance(one: Any, key: Any) -> str:  # noqa: ANN401  any JSON value
    name = (one.get("id") or one.get("identifier")) if isinstance(one, dict) else None
    return str(name or key or "")


class LmStudio:
    """Scraper of one LM Studio."""

    runtime = RUNTIME

    def __init__(self) -> None:
        self._list = RepeatTimer(LIST_S)
        self._path = PATHS[0]

    def scrape(self, get: Get, now: Moment) -> ScrapeResult | None:
        """Read which models are loaded, every five seconds."""
        if not self._list.is_due(now.mono_ns):
            return None
        for path in (self._path, *PATHS):
            answer = get(path)
            if (ill := trouble(answer)) is not None:
                return ill
            found = loaded(answer)
            if found is not None:
                self._path = path
                models, total = names(found)
                return ScrapeResult("ok", "ok" if models else "no_model", models, total)
        return ScrapeResult("odd", "odd")
