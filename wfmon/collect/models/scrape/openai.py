"""Any server with OpenAI's /v1/models, such as llama-cpp-python's."""

from __future__ import annotations

from wfmon.collect.models.scrape.http import Get, HttpAnswer
from wfmon.collect.models.scrape.kinds import Moment, RepeatTimer, ScrapeResult, names, rows, trouble

RUNTIME = "OpenAI-compatible"
RETRY_S = 60.0
"""How long until a server that returned no list is asked again. One that did is not asked again while it runs."""


def listed(answer: HttpAnswer) -> tuple[tuple[str, ...], int] | None:
    """Return the names listed by /v1/models, and how many there are; None for another form."""
    found = rows(answer, "data")
    if found is None or not all(isinstance(row.get("id"), str) for row in found):
        return None
    return names(row["id"] for row in found)


def owner(answer: HttpAnswer) -> str | None:
    """Return the first model's ``owned_by`` (vllm, sglang, llamacpp ...); "" if missing, None for another form."""
    if listed(answer) is None:
        return None
    for row in rows(answer, "data") or ():
        who = row.get("owned_by")
        return who if isinstance(who, str) else ""
    return ""


class OpenAi:
    """Scraper of one such server: it lists its models, without metrics.

    It is asked once per process: llama-cpp-python's server aborts the answer in progress when any other request
    arrives, including this one (its ``interrupt_requests``, on by default).
    """

    runtime = RUNTIME

    def __init__(self) -> None:
        self._again = RepeatTimer(RETRY_S)
        self._listed = False

    def scrape(self, get: Get, now: Moment) -> ScrapeResult | None:
        """Request the models once a minute until they are listed."""
        if self._listed or not self._again.is_due(now.mono_ns):
            return None
        answer = get("/v1/models")
        if (ill := trouble(answer)) is not None:
            return ill
        if answer.status == 503:
            return ScrapeResult("ok", "loading")
        found = listed(answer)
        self._listed = found is not None
        return ScrapeResult("odd", "odd") if found is None else ScrapeResult("ok", "ok", *found)
