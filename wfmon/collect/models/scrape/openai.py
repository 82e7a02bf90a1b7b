"""Any server that lists its models at /v1/models as OpenAI does; llama-cpp-python's server is one."""

from __future__ import annotations

from wfmon.collect.models.scrape.http import Get, HttpAnswer
from wfmon.collect.models.scrape.kinds import Look, Moment, Turn, names, rows, trouble

RUNTIME = "OpenAI-compatible"
AGAIN_S = 60.0
"""How long a server that gave no list is let alone. One that gave it is not asked again while its process lives."""


def listed(answer: HttpAnswer) -> tuple[tuple[str, ...], int] | None:
    """Return the names that a /v1/models lists, and how many there are; None for another form."""
    found = rows(answer, "data")
    if found is None or not all(isinstance(row.get("id"), str) for row in found):
        return None
    return names(row["id"] for row in found)


def owner(answer: HttpAnswer) -> str | None:
    """Who owns the first model of a /v1/models: vllm, sglang, llamacpp ...; "" not told, None for another form."""
    if listed(answer) is None:
        return None
    for row in rows(answer, "data") or ():
        who = row.get("owned_by")
        return who if isinstance(who, str) else ""
    return ""


class OpenAi:
    """One such server: it tells its models and no measures.

    It is asked once a process: llama-cpp-python's server breaks off the answer that it is giving when any other request
    comes, this one too (its ``interrupt_requests``, on by default).
    """

    runtime = RUNTIME

    def __init__(self) -> None:
        self._again = Turn(AGAIN_S)
        self._told = False

    def look(self, get: Get, now: Moment) -> Look | None:
        """Ask for the models until they are told, once a minute."""
        if self._told or not self._again.is_due(now.mono_ns):
            return None
        answer = get("/v1/models")
        if (ill := trouble(answer)) is not None:
            return ill
        if answer.status == 503:
            return Look("ok", "loading")
        found = listed(answer)
        self._told = found is not None
        return Look("odd", "odd") if found is None else Look("ok", "ok", *found)
