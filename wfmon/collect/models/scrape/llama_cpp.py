"""llama.cpp's server: /props, /slots and /metrics.

Its counters grow only when a request has ended, so their rate is not a speed: 500 tokens would fall into one second.
The slots report each request's tokens as they come; without them there is no rate during a request. Answers of /slots
and /props may contain a prompt or a template: only the fields named here are read, and the answer is not kept.

A server configured to sleep when idle counts /slots and /metrics as work: there only /props is requested.
"""

from __future__ import annotations

from typing import Any

from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.scrape.http import Get, HttpAnswer
from wfmon.collect.models.scrape.kinds import Moment, RepeatTimer, ScrapeResult, names, number, reading, tidy, trouble
from wfmon.collect.models.scrape.openai import listed
from wfmon.collect.models.scrape.prometheus import Page
from wfmon.collect.models.scrape.spans import MAX_SPAN_S, Span

RUNTIME = "llama.cpp"
SERVER_HEADER = "llama.cpp"
SLEEP_OPTION = "--sleep-idle-seconds"
PROPS_S = 30.0
OFF_S = 60.0
"""How often a disabled endpoint is retried."""
PREFIX = "llamacpp:"
TOKENS, TOKENS_S = "llamacpp:tokens_predicted_total", "llamacpp:tokens_predicted_seconds_total"
PROMPT, PROMPT_S = "llamacpp:prompt_tokens_total", "llamacpp:prompt_seconds_total"
COUNTERS = (TOKENS, TOKENS_S, PROMPT, PROMPT_S)
ACTIVE, WAITING, KV = "llamacpp:requests_processing", "llamacpp:requests_deferred", "llamacpp:kv_cache_usage_ratio"
WANTED = frozenset((*COUNTERS, ACTIVE, WAITING, KV))


class LlamaCpp:
    """Scraper of one llama.cpp server."""

    runtime = RUNTIME

    def __init__(self) -> None:
        self._span = Span()
        self._page = Page(WANTED)
        self._props = RepeatTimer(PROPS_S)
        self._asleep = False
        self._name = ""
        self._off: dict[str, int] = {}  # a disabled path, and when to retry it
        self._slots: dict[int, tuple[int, float]] = {}  # by slot: its task and the number of tokens decoded
        self._slots_ns: int | None = None

    def scrape(self, get: Get, now: Moment) -> ScrapeResult:
        """Scrape /props when due, then /metrics and /slots."""
        sleeps = _sleeps_when_idle(now.command)
        models, total, version = None, 0, None
        if sleeps or self._asleep or self._props.is_due(now.mono_ns):
            answer = get("/props")
            if (ill := trouble(answer)) is not None:
                return ill
            if answer.status == 503:
                return ScrapeResult("ok", "loading")
            props = answer.json()
            if not isinstance(props, dict):
                return ScrapeResult("odd", "odd")
            self._asleep = props.get("is_sleeping") is True
            version = tidy(props.get("build_info"))
            models, total = self._models(props, get)
            if props.get("role") == "router":
                return ScrapeResult("ok", "router", models, total, version)
        if sleeps or self._asleep:
            return ScrapeResult("ok", "sleeps", models, total, version)
        return self._measure(get, now)._replace(models=models, total=total, version=version)

    def _models(self, props: dict[str, Any], get: Get) -> tuple[tuple[str, ...], int]:
        alias, path = props.get("model_alias"), props.get("model_path")
        if isinstance(path, str) and path:
            path = path.replace("\\", "/").rpartition("/")[2]
        found = names([alias or path or ""])
        if not found[0]:
            found = listed(get("/v1/models")) or found
        self._name = found[0][0] if found[0] else ""
        return found

    def _measure(self, get: Get, now: Moment) -> ScrapeResult:
        page, slots = self._get_optional(get, "/metrics", now), self._get_optional(get, "/slots", now)
        for answer in (page, slots):
            if answer is not None and (ill := trouble(answer)) is not None:
                return ill
            if answer is not None and answer.status == 503:
                return ScrapeResult("ok", "loading")
        found = reading(self._name or RUNTIME)
        if page is not None:
            found = self._from_metrics(page, found, now)
        if slots is not None:
            found = self._from_slots(slots, found, now)
        situations = {(True, True): "ok", (False, True): "no_metrics", (True, False): "no_slots"}
        situation = situations.get((page is not None, slots is not None), "no_metrics_no_slots")
        return ScrapeResult("ok", situation, readings=(found,) if page is not None or slots is not None else ())

    def _get_optional(self, get: Get, path: str, now: Moment) -> HttpAnswer | None:
        """GET an endpoint that may be disabled (400, 404, 501); None if it is."""
        if self._off.get(path, 0) > now.mono_ns:
            return None
        answer = get(path)
        if not answer.trouble and answer.status in (400, 404, 501):
            self._off[path] = now.mono_ns + round(OFF_S * 1e9)
            return None
        return answer

    def _from_metrics(self, page: HttpAnswer, found: Reading, now: Moment) -> Reading:
        held: dict[str, float] = {}
        for one in self._page.read(page.body):
            held[one.name] = held.get(one.name, 0.0) + one.value
        span = self._span
        span.step(now.mono_ns, {name: held[name] for name in COUNTERS if name in held})
        kv = held.get(KV)
        return found._replace(
            tokens_total=held.get(TOKENS),
            prompt_tokens_total=held.get(PROMPT),
            requests_active=held.get(ACTIVE),
            requests_waiting=held.get(WAITING),
            batch_size=held.get(ACTIVE),
            kv_cache_percent=None if kv is None else kv * 100,
            time_per_output_token_ms=span.over(TOKENS_S, TOKENS, 1_000),
            prompt_tokens_per_second=span.over(PROMPT, PROMPT_S),
        )

    def _from_slots(self, answer: HttpAnswer, found: Reading, now: Moment) -> Reading:
        body = answer.json()
        if not isinstance(body, list) or not all(isinstance(slot, dict) for slot in body):
            return found
        busy = sum(slot.get("is_processing") is True for slot in body)
        tokens = self._decoded(body, now)
        before_ns, self._slots_ns = self._slots_ns, now.mono_ns
        seconds = None if before_ns is None else (now.mono_ns - before_ns) / 1e9
        known = tokens is not None and seconds is not None and 0 < seconds <= MAX_SPAN_S
        return found._replace(
            tokens_per_second=tokens / seconds if known and tokens is not None and seconds is not None else None,
            requests_active=float(busy) if found.requests_active is None else found.requests_active,
            batch_size=float(busy) if found.batch_size is None else found.batch_size,
        )

    def _decoded(self, slots: list[dict[str, Any]], now: Moment) -> float | None:  # noqa: ARG002
        """Return the tokens of all slots since the last scrape; None if a request ended unseen and another began."""
        before, self._slots, grown = self._slots, {}, 0.0
        whole = True
        for slot in slots[:1_024]:
            number_of, task, tokens = _slot(slot)
            if number_of is None:
                whole = False
                continue
            busy = slot.get("is_processing") is True
            self._slots[number_of] = (task if busy else -1, tokens)
            task_before, tokens_before = before.get(number_of, (-1, 0.0))
            if task_before == -1:
                grown += tokens if busy else 0.0
            elif task == task_before and tokens >= tokens_before:
                grown += tokens - tokens_before
            else:  # the tokens that its previous request made after the last scrape are unknown
                whole = False
        return grown if whole else None


def _slot(slot: dict[str, Any]) -> tuple[int | None, int, float]:
    """Return a slot's number, task and decoded tokens. Newer servers wrap ``next_token`` in a list of one."""
    following = slot.get("next_token")
    if isinstance(following, list) and following:
        following = following[0]
    decoded = number(following.get("n_decoded") if isinstance(following, dict) else slot.get("n_decoded"))
    name, task = slot.get("id"), slot.get("id_task")
    if not isinstance(name, int) or (decoded is None and slot.get("is_processing") is True):
        return None, -1, 0.0
    return name, task if isinstance(task, int) else -2, decoded or 0.0


def _sleeps_when_idle(command: tuple[str, ...]) -> bool:
    for at, word in enumerate(command):
        if word.startswith(SLEEP_OPTION):
            value = word.partition("=")[2] or (command[at + 1] if at + 1 < len(command) else "")
            return value != "-1"
    return False
