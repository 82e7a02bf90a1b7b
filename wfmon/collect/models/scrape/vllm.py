"""vLLM and SGLang: the page at /metrics, with the metric names of their old and new versions.

vLLM counts output tokens as they come. SGLang counts them when a request has ended, so its rate comes from its live
counter, or from the throughput that it reports. With one process per rank a figure appears several times: ranks that
work on the same request are combined by maximum, engines that work on different ones by sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.scrape.http import Get, HttpAnswer
from wfmon.collect.models.scrape.kinds import (
    MAX_MODELS,
    Moment,
    RepeatTimer,
    ScrapeResult,
    names,
    reading,
    tidy,
    trouble,
)
from wfmon.collect.models.scrape.openai import listed
from wfmon.collect.models.scrape.prometheus import Page, Sample
from wfmon.collect.models.scrape.spans import Span

SLOW_S = 60.0
OFF_S = 30.0
SAME_WORK = ("tp_rank", "pp_rank", "moe_ep_rank")
"""Labels that distinguish processes working on the same request."""

Values = Mapping[str, float]


class MetricNames(NamedTuple):
    """MetricNames of each measure, newest first; the first one present is used. Seconds, and shares from 0 to 1."""

    output: tuple[str, ...]
    live_output: tuple[str, ...]
    prompt: tuple[str, ...]
    hits: tuple[str, ...]
    queries: tuple[str, ...]
    ttft: tuple[str, ...]
    gap: tuple[str, ...]
    per_token: tuple[str, ...]
    queue: tuple[str, ...]
    running: tuple[str, ...]
    waiting: tuple[str, ...]
    kv: tuple[str, ...]
    hit_rate: tuple[str, ...]
    reported_rate: tuple[str, ...]


VLLM = MetricNames(
    output=("vllm:generation_tokens_total", "vllm:generation_tokens"),
    live_output=("vllm:generation_tokens_total", "vllm:generation_tokens"),
    prompt=("vllm:prompt_tokens_total", "vllm:prompt_tokens"),
    hits=("vllm:prefix_cache_hits_total", "vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits_total"),
    queries=("vllm:prefix_cache_queries_total", "vllm:prefix_cache_queries", "vllm:gpu_prefix_cache_queries_total"),
    ttft=("vllm:time_to_first_token_seconds",),
    gap=("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
    per_token=("vllm:request_time_per_output_token_seconds",),
    queue=("vllm:request_queue_time_seconds",),
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting",),
    kv=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    hit_rate=("vllm:gpu_prefix_cache_hit_rate",),
    reported_rate=(),
)  # fmt: skip
SGLANG = MetricNames(
    output=("sglang:generation_tokens_total",),
    live_output=("sglang:realtime_tokens_total",),
    prompt=("sglang:prompt_tokens_total",),
    hits=(), queries=(),
    ttft=("sglang:time_to_first_token_seconds",),
    gap=("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
    per_token=(),
    queue=("sglang:queue_time_seconds",),
    running=("sglang:num_running_reqs",),
    waiting=("sglang:num_queue_reqs",),
    kv=("sglang:token_usage",),
    hit_rate=("sglang:cache_hit_rate",),
    reported_rate=("sglang:gen_throughput",),
)  # fmt: skip
_MEANS = ("ttft", "gap", "per_token", "queue")
_COUNTERS = ("output", "live_output", "prompt", "hits", "queries")
_SHARES = ("kv", "hit_rate")


def wanted(table: MetricNames) -> frozenset[str]:
    """Return every metric name that is read."""
    found = set[str]()
    for field, of in table._asdict().items():
        found.update(f"{name}{end}" for name in of for end in (("_sum", "_count") if field in _MEANS else ("",)))
    return frozenset(found)


class Metrics:
    """Scraper of one vLLM or SGLang server. ``table``: its metric names."""

    def __init__(self, runtime: str, table: MetricNames, version_path: str) -> None:
        self.runtime = runtime
        self._table = table
        self._reader = Page(wanted(table))
        self._version_path = version_path
        self._slow = RepeatTimer(SLOW_S)
        self._page = RepeatTimer(0.0)
        self._spans: dict[str, Span] = {}

    def scrape(self, get: Get, now: Moment) -> ScrapeResult:
        """Read /metrics, and once a minute the version and the models."""
        models, total, version = None, 0, None
        if self._slow.is_due(now.mono_ns):
            listing = get("/v1/models")
            models, total = listed(listing) or (None, 0)
            version = _version(get(self._version_path)) if self._version_path else None
            if (ill := trouble(listing)) is not None and not listing.refused_key:
                return ill
        if not self._page.is_due(now.mono_ns):
            return ScrapeResult("ok", "no_metrics", models, total, version)
        answer = get("/metrics")
        if (ill := trouble(answer)) is not None:
            return ill
        found = self._reader.read(answer.body) if answer.status == 200 else []
        if not found:
            self._page = RepeatTimer(OFF_S)
            self._page.is_due(now.mono_ns)
            return ScrapeResult("ok", "no_metrics", models, total, version)
        self._page = RepeatTimer(0.0)
        by_model = self._by_model(found)
        if models is None and not self._spans:  # the model list needs a key, the page does not
            models, total = names(by_model)
        readings = tuple(self._reading(model, values, now) for model, values in by_model.items())
        return ScrapeResult("ok", "ok", models, total, version, readings)

    def _by_model(self, found: list[Sample]) -> dict[str, Values]:
        """Return the page's values by model, at most 64."""
        groups: dict[str, list[Sample]] = defaultdict(list)
        tidied: dict[str, str] = {}
        for one in found:
            if one.name == "sglang:realtime_tokens_total" and one.labels.get("mode") != "decode":
                continue
            raw = one.labels.get("model_name", "")
            model = tidied[raw] if raw in tidied else tidied.setdefault(raw, tidy(raw))
            if model in groups or len(groups) < MAX_MODELS:
                groups[model].append(one)
        for gone in self._spans.keys() - groups.keys():
            del self._spans[gone]
        return {model or self.runtime: _values(each, self._table) for model, each in groups.items()}

    def _reading(self, model: str, values: Values, now: Moment) -> Reading:
        span = self._spans.setdefault(model, Span())
        counters = [*_COUNTERS, *(f"{mean}{end}" for mean in _MEANS for end in ("_sum", "_count"))]
        span.step(now.mono_ns, {name: values[name] for name in counters if name in values})
        running = values.get("running")
        hit = span.over("hits", "queries", 100)
        return reading(model)._replace(
            tokens_per_second=_speed(span.per_second("live_output"), values.get("reported_rate"), running),
            tokens_total=values.get("output"),
            prompt_tokens_total=values.get("prompt"),
            requests_active=running,
            requests_waiting=values.get("waiting"),
            batch_size=running,
            kv_cache_percent=_percent(values.get("kv")),
            cache_hit_percent=_percent(values.get("hit_rate")) if hit is None else hit,
            ttft_ms=span.over("ttft_sum", "ttft_count", 1_000),
            inter_token_latency_ms=span.over("gap_sum", "gap_count", 1_000),
            time_per_output_token_ms=span.over("per_token_sum", "per_token_count", 1_000),
            queue_wait_ms=span.over("queue_sum", "queue_count", 1_000),
        )


def vllm() -> Metrics:
    """Return the scraper of a vLLM server."""
    return Metrics("vLLM", VLLM, "/version")


def sglang() -> Metrics:
    """Return the scraper of an SGLang server. Its version is not read: that path calls the scheduler."""
    return Metrics("SGLang", SGLANG, "")


def _values(found: list[Sample], table: MetricNames) -> dict[str, float]:
    by_name: dict[str, list[Sample]] = defaultdict(list)
    for one in found:
        by_name[one.name].append(one)
    values: dict[str, float] = {}
    for field, of in table._asdict().items():
        combine = _mean if field in _SHARES else sum
        for end in ("_sum", "_count") if field in _MEANS else ("",):
            there = next((by_name[f"{name}{end}"] for name in of if f"{name}{end}" in by_name), None)
            if there is not None:
                values[f"{field}{end}"] = _together(there, combine)
    return values


def _together(found: list[Sample], combine: Callable[[Iterable[float]], float]) -> float:
    greatest: dict[tuple[tuple[str, str], ...], float] = {}
    for one in found:
        engine = tuple(sorted((k, v) for k, v in one.labels.items() if k not in SAME_WORK))
        greatest[engine] = max(one.value, greatest.get(engine, one.value))
    return combine(greatest.values())


def _mean(values: Iterable[float]) -> float:
    all_of = list(values)
    return sum(all_of) / len(all_of)


def _speed(counted: float | None, reported: float | None, running: float | None) -> float | None:
    """Return the counted rate; else the reported one, which the server does not reset when idle."""
    if counted is not None or reported is None:
        return counted
    return reported if running is None or running > 0 else 0.0


def _percent(share: float | None) -> float | None:
    return share * 100 if share is not None and 0 <= share <= 1 else None  # -1: that cache is off


def _version(answer: HttpAnswer) -> str | None:
    body = answer.json()
    return tidy(body.get("version")) if isinstance(body, dict) else None
