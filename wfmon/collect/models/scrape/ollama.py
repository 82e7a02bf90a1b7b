"""Ollama: /api/version, and /api/ps (loaded models and the GPU memory of each)."""

from __future__ import annotations

from wfmon.collect.models.scrape.http import Get, HttpAnswer
from wfmon.collect.models.scrape.kinds import (
    MAX_MODELS,
    Moment,
    RepeatTimer,
    ScrapeResult,
    names,
    number,
    reading,
    rows,
    tidy,
    trouble,
)

RUNTIME = "Ollama"
VERSION_S = 60.0


def greets(answer: HttpAnswer) -> bool:
    """Return whether an answer to /api/version has Ollama's form; others have it too, so ``lists`` decides."""
    body = answer.json()
    return isinstance(body, dict) and isinstance(body.get("version"), str)


def lists(answer: HttpAnswer) -> bool:
    """Return whether an answer to /api/ps has Ollama's form."""
    return rows(answer, "models") is not None


class OllamaScraper:
    """Scraper of one Ollama."""

    runtime = RUNTIME

    def __init__(self) -> None:
        self._version = RepeatTimer(VERSION_S)

    def scrape(self, get: Get, now: Moment) -> ScrapeResult:
        """Read which models are loaded and the GPU memory of each."""
        answer = get("/api/ps")
        if (ill := trouble(answer)) is not None:
            return ill
        found = rows(answer, "models")
        if found is None:
            return ScrapeResult("odd", "odd")
        version = None
        if self._version.is_due(now.mono_ns):
            body = get("/api/version").json()
            version = tidy(body.get("version")) if isinstance(body, dict) else None
        models, total = names(row.get("name") or row.get("model") for row in found)
        held = {tidy(row.get("name") or row.get("model")): number(row.get("size_vram")) for row in found}
        readings = tuple(reading(name)._replace(vram_bytes=held[name]) for name in models[:MAX_MODELS] if name in held)
        return ScrapeResult("ok", "ok" if models else "no_model", models, total, version, readings)
