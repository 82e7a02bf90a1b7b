"""Identifies the kind of model server at a port with at most four GETs, stopping at the first certain answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from wfmon.collect.models.scrape import llama_cpp, lm_studio, ollama, openai, vllm
from wfmon.collect.models.scrape.http import LATE, Get, HttpAnswer
from wfmon.collect.models.scrape.kinds import Scraper, State
from wfmon.collect.models.scrape.prometheus import has_prefix

MAX_PROBES = 4
MAKERS: dict[str, Callable[[], Scraper]] = {
    "Ollama": ollama.OllamaScraper,
    "llama.cpp": llama_cpp.LlamaCpp,
    "vLLM": vllm.vllm,
    "SGLang": vllm.sglang,
    "LM Studio": lm_studio.LmStudio,
    "OpenAI-compatible": openai.OpenAi,
}
OWNERS = {"vllm": "vLLM", "sglang": "SGLang", "llamacpp": "llama.cpp"}
"""Runtime by ``owned_by`` of /v1/models."""
PREFIXES = {"vllm:": "vLLM", "sglang:": "SGLang", llama_cpp.PREFIX: "llama.cpp"}
"""Runtime by the prefix of the names in /metrics."""
OWNERS_OF_LM_STUDIO = ("organization_owner", "organization-owner")
HINTED_NAMES = {
    "ollama": "Ollama", "llama-server": "llama.cpp", "llamafile": "llama.cpp", "vllm": "vLLM",
    "sglang": "SGLang", "LM Studio": "LM Studio", "lm-studio": "LM Studio", "llmster": "LM Studio",
    "koboldcpp": "OpenAI-compatible", "local-ai": "OpenAI-compatible", "mlx_lm.server": "OpenAI-compatible",
}  # fmt: skip
"""Runtime by the beginning of a process name. Such a process is listed even if it does not answer."""
HINTED_PORTS = {11434: "Ollama"}
"""LM Studio's 1234 and llama.cpp's 8080 are too widely used by others."""


class Verdict(NamedTuple):
    """``runtime`` empty: not a model server. ``sure`` False: only the name or the port suggests it.

    ``final``: do not probe again while its socket lives.
    """

    runtime: str = ""
    state: State = "ok"
    sure: bool = True
    final: bool = False


def hint(name: str, port: int) -> str:
    """Return the runtime that a process's name or port suggests, "" for none."""
    by_name = next((kind for start, kind in HINTED_NAMES.items() if name.startswith(start)), "")
    return by_name or HINTED_PORTS.get(port, "")


def identify(get: Get, hinted: str) -> Verdict | None:
    """Identify a server. ``hinted``: the runtime its name or port suggests. None if the time ran out."""
    probe = _CountedGet(get)
    first = probe("/api/version")
    if first.trouble or first.status >= 500:
        return _without_answer(first, hinted)
    found = _by_answers(first, probe, hinted)
    return None if probe.late else found


class _CountedGet:
    """GETs that are counted: past MAX_PROBES they answer LATE."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._probes = 0
        self.late = False

    def __call__(self, path: str) -> HttpAnswer:
        self._probes += 1
        if self._probes > MAX_PROBES:
            return LATE
        answer = self._get(path)
        self.late = self.late or answer.trouble == "late"
        return answer


def _without_answer(first: HttpAnswer, hinted: str) -> Verdict | None:
    """Return the verdict on a server that sends no readable answer, or reports that it is not ready."""
    if first.trouble == "late":
        return None
    if first.server == llama_cpp.SERVER_HEADER:
        return Verdict("llama.cpp")
    if first.trouble == "not_http":
        return Verdict(final=True)
    return Verdict(hinted, "silent" if first.trouble in ("silent", "refused") else "odd", sure=False)


def _by_answers(first: HttpAnswer, get: Get, hinted: str) -> Verdict:
    if first.server == llama_cpp.SERVER_HEADER:
        return Verdict("llama.cpp")
    if ollama.greets(first) and ollama.lists(get("/api/ps")):
        return Verdict("Ollama")
    models = get("/v1/models")
    owner = openai.owner(models)
    if owner in OWNERS:
        return Verdict(OWNERS[owner])
    if lm_studio.greets(first) or owner in OWNERS_OF_LM_STUDIO:
        answer = get(lm_studio.PATHS[0])
        if lm_studio.loaded(answer) is not None or lm_studio.loaded(get(lm_studio.PATHS[1])) is not None:
            return Verdict("LM Studio")
        if answer.refused_key:
            return Verdict("LM Studio", "needs_key")
    elif owner is not None or models.refused_key:
        page = get("/metrics")
        for prefix, runtime in PREFIXES.items():
            if page.status == 200 and not page.trouble and has_prefix(page.body, prefix):
                return Verdict(runtime)
    if owner is not None:
        return Verdict("OpenAI-compatible")
    if models.refused_key and (hinted or (not first.refused_key and _speaks_json(models))):
        return Verdict(hinted or "OpenAI-compatible", "needs_key")
    return Verdict(hinted, "odd", sure=False)


def _speaks_json(answer: HttpAnswer) -> bool:
    """Return whether a refusal is an API's; one that refuses every path or shows a login page suggests no models."""
    return answer.body[:1] == b"{"
