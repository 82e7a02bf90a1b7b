"""A simulated machine with three models, for `make seed-history`; its series are the real catalogue's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfmon.analyse.slow import judge
from wfmon.core.catalogue import METRICS, Metric
from wfmon.core.types import Request, Series, Window

Floats = NDArray[np.float64]

HOUR_S, DAY_S = 3_600, 86_400
GRID_S = 300
"""Sleeps begin and end on multiples of this."""
MEMORY, SWAP, DISK = 32e9, 8e9, 512e9
SLOWER = 1.4
"""Factor of the first model's time to first token after it became slower."""
SLOWER_SINCE = 0.7
"""When it became slower, as a share of the span."""


class Model(NamedTuple):
    """A model; ``entropy_bits`` is None if its server returns no probabilities."""

    name: str
    server: str
    via: str
    requests_a_day: int
    ttft_ms: float
    tokens_per_second: float
    entropy_bits: float | None
    k: int


MODELS = (
    Model("qwen2.5:7b", "ollama", "proxy", 70, 620, 31, None, 0),
    Model("llama-3.2-3b-instruct", "llama.cpp", "proxy", 45, 210, 64, 1.1, 10),
    Model("gemma-2-2b", "transformers", "hook", 30, 260, 22, 1.7, 50),
)

LABELS: dict[str, tuple[str, ...]] = {
    "core": tuple(map(str, range(16))),
    "sensor": ("coretemp/Package id 0", "nvme/Composite", "iwlwifi_1", "acpitz"),
    "state": ("established", "time_wait", "close_wait", "syn_sent", "fin_wait1", "fin_wait2"),
    "thread": ("MainThread", "wfmon-ticker", "wfmon-store", "wfmon-listener", "wfmon-http", "wfmon-system", "native"),
    "queue": ("inbox", "ux", "model", "store", "mailbox"),
    "cause": ("late", "out_of_range"),
    "component": ("system", "network"),
    "page": ("overview", "models", "system", "history"),
    "status": ("ok", "aborted", "error"),
}
ABSENT = ("gpu.", "model.vram_bytes", "model.joules_per_token", "model.disagreement")
"""Not simulated: there is no GPU, and no two models share a vocabulary."""

# name: idle, busy, noise (of the logarithm); a metric that is neither here nor in RULES is 0
LEVELS: dict[str, tuple[float, float, float]] = {
    "system.load_1m": (0.4, 7, 0.25), "system.load_5m": (0.4, 6, 0.1), "system.load_15m": (0.5, 5, 0.05),
    "system.disk_write_bytes_per_second": (3e5, 8e6, 0.9), "system.temperature_celsius": (38, 74, 0.03),
    "network.loopback_rx_bytes_per_second": (900, 60_000, 0.8),
    "network.loopback_tx_bytes_per_second": (900, 60_000, 0.8),
    "network.loopback_rx_packets_per_second": (6, 240, 0.5), "network.loopback_tx_packets_per_second": (6, 240, 0.5),
    "network.loopback_connections": (3, 14, 0.15), "network.loopback_listeners": (9, 12, 0.02),
    "monitor.cpu_percent": (1.4, 6, 0.2), "monitor.collectors_cpu_percent": (0.7, 0.9, 0.1),
    "monitor.thread_cpu_percent": (0.2, 1.2, 0.3), "monitor.rss_bytes": (71e6, 79e6, 0.002),
    "monitor.pss_bytes": (63e6, 70e6, 0.002), "monitor.threads": (14, 22, 0.02),
    "monitor.file_descriptors": (24, 38, 0.02), "monitor.samples_per_second": (640, 900, 0.03),
    "monitor.clients": (1, 2, 0.0), "monitor.series": (200, 200, 0.0), "monitor.cache_bytes": (2.2e6, 3.1e6, 0.02),
    "monitor.cache_seconds": (300, 300, 0.0), "monitor.tick_late_ms": (0.6, 1.6, 0.6),
    "monitor.tick_work_ms": (0.9, 2.4, 0.5), "monitor.encode_us": (70, 160, 0.2),
    "servers.found": (3, 3, 0.0), "ux.frame_time_ms": (16.67, 16.7, 0.012), "ux.work_time_ms": (1.6, 3.4, 0.3),
    "ux.fps": (60, 59.9, 0.002), "ux.input_latency_ms": (14, 34, 0.35), "ux.stream_latency_ms": (24, 36, 0.15),
}  # fmt: skip
TOKENS = ("model.inter_token_latency_ms", "model.chunk_tokens", "model.entropy_bits", "model.entropy_low_bits",
          "model.entropy_high_bits", "model.entropy_k", "model.certainty")  # fmt: skip


class Sleep(NamedTuple):
    """A suspension of the machine, [from, to)."""

    from_s: int
    to_s: int


class Anomaly(NamedTuple):
    """An anomaly to be detected: ``load`` is added to the machine's load, ``frames`` ms to the pages' frame time."""

    from_s: float
    to_s: float
    load: float
    frames: float


class Moment(NamedTuple):
    """Inputs of all values at some instants, arrays of shape (k,)."""

    t_s: Floats
    load: Floats
    frames: Floats
    swap: Floats
    working: list[tuple[Floats, Floats, Floats]]
    """For each model: tokens per second, open requests, requests without a first token."""
    reading: Floats
    """Bytes per second that a slow request reads from the disk."""


class SimulatedMachine:
    """Values, events and requests in [begin_s, end_s), deterministic by ``seed``. ``offset_s``: of local time."""

    def __init__(self, begin_s: int, end_s: int, seed: int = 7, offset_s: int = 0) -> None:
        self.begin_s, self.end_s = begin_s, end_s
        self.slower_s = begin_s + SLOWER_SINCE * (end_s - begin_s)
        self._offset_s = offset_s
        self._rng = np.random.default_rng(seed)
        self.series = [(series, metric) for metric in METRICS.values() for series in _of(metric)]
        self.number = {str(series): at for at, (series, _) in enumerate(self.series)}
        self.sleeps = list(self._nights())
        self.anomalies = self._anomalies()
        self.requests: list[list[Request]] = [list(self._requests(number)) for number in range(len(MODELS))]
        self._seconds = [
            np.array(
                [[each.started_ms, each.started_ms + (each.ttft_ms or 0), each.ended_ms or 0] for each in mine], float
            ).reshape(-1, 3)
            / 1_000
            for mine in self.requests
        ]
        self._sums: dict[tuple[int, str], Floats] = {}
        self._gauges = [at for at, (_, metric) in enumerate(self.series) if metric.kind != "event"]

    # --- rhythm

    def busy(self, t_s: Floats) -> Floats:
        """Return the machine's load, 0 to 1: two peaks a day, low at weekends."""
        local = t_s + self._offset_s
        daily = np.interp(
            local % DAY_S / HOUR_S,
            [0, 6, 8, 10.5, 13, 15.5, 19, 22, 24],
            [0.1, 0.06, 0.3, 1, 0.55, 0.95, 0.4, 0.3, 0.1],
        )
        weekday = (local // DAY_S + 3) % 7  # the epoch began on a Thursday
        found: Floats = daily * np.where(weekday >= 5, 0.35, 1.0)  #  Saturday, Sunday
        return np.maximum(found, np.where(t_s > self.end_s - 2 * HOUR_S, 0.6, 0.0))

    def _nights(self) -> Iterator[Sleep]:
        """Yield the nights in which the machine is suspended: three in four, and not the last one."""
        first = (self.begin_s + self._offset_s) // DAY_S * DAY_S - self._offset_s
        for night in range(first + DAY_S, self.end_s, DAY_S):
            late, long = self._rng.integers(0, 12), self._rng.integers(66, 96)
            from_s = (night + int(late) * GRID_S) // GRID_S * GRID_S
            is_asleep = self._rng.random() < 0.75 and from_s > self.begin_s
            if is_asleep and from_s + long * GRID_S < self.end_s - 8 * HOUR_S:
                yield Sleep(from_s, int(from_s + long * GRID_S))

    def _anomalies(self) -> list[Anomaly]:
        span = self.end_s - self.begin_s
        rows = ((0.22, 2_400, 0.9, 0.0), (0.55, 900, 0.2, 30.0), (0.86, 5_400, 0.7, 6.0))
        found = [Anomaly(self.begin_s + at * span, self.begin_s + at * span + s, load, ms) for at, s, load, ms in rows]
        return [*found, Anomaly(self.end_s - 5_000, self.end_s - 4_000, 0.5, 22.0)]

    # --- requests

    def _requests(self, number: int) -> Iterator[Request]:
        """Yield one model's requests, one after the other."""
        model, rng = MODELS[number], self._rng
        days = (self.end_s - self.begin_s) / DAY_S
        often = np.sort(rng.uniform(self.begin_s, self.end_s - 1, max(3, int(days * model.requests_a_day * 2.2))))
        free_s = float(self.begin_s)
        kept = often[rng.random(len(often)) < self.busy(often)]
        for count, at in enumerate(kept.tolist()):
            if any(sleep.from_s - 120 <= at < sleep.to_s for sleep in self.sleeps):
                continue
            start_s = max(at, free_s + 0.3)
            request = self._request(number, count, start_s, is_cold=start_s - free_s > 2 * HOUR_S)
            free_s = (request.ended_ms or 0) / 1_000
            if free_s < self.end_s:
                yield request

    def _request(self, number: int, count: int, start_s: float, *, is_cold: bool) -> Request:
        model, rng = MODELS[number], self._rng
        slower = number == 0 and start_s >= self.slower_s
        prompt = int(np.clip(rng.lognormal(5.8, 0.8), 12, 6_000))
        load_ms = float(rng.uniform(1_800, 5_200)) if is_cold and number == 0 else 0.0
        queue_ms = float(rng.uniform(250, 2_400)) if rng.random() < 0.04 else 0.0
        prompt_ms = prompt * 0.22 * float(rng.lognormal(0, 0.1))
        own_ms = model.ttft_ms * float(rng.lognormal(0, 0.16)) * (SLOWER if slower else 1.0)
        ttft_ms = load_ms + queue_ms + prompt_ms + own_ms
        tokens = int(np.clip(rng.lognormal(5.1, 0.7), 8, 900))
        speed = model.tokens_per_second * float(rng.lognormal(0, 0.06)) * (0.93 if slower else 1.0)
        stalls: tuple[tuple[float, float], ...] = ()
        if rng.random() < 0.02:
            stalls = ((round(ttft_ms + 900, 1), round(float(rng.uniform(600, 2_600)), 1)),)
        flow_ms = (tokens - 1) / speed * 1_000 + sum(long for _, long in stalls)
        status = str(rng.choice(["ok", "aborted", "error"], p=[0.955, 0.035, 0.01]))
        duration_ms = ttft_ms + flow_ms
        request = Request(
            id=f"generated-{number}-{count}", model=model.name, server=model.server, via=model.via,
            started_ms=round(start_s * 1_000), ended_ms=round(start_s * 1_000 + duration_ms), status=status,  # type: ignore[arg-type]
            prompt_tokens=prompt, cached_tokens=int(prompt * rng.choice([0, 0, 0.4, 0.8])), output_tokens=tokens,
            queue_ms=round(queue_ms, 1), load_ms=round(load_ms, 1) if number == 0 else None,
            prompt_ms=round(prompt_ms, 1), ttft_ms=round(ttft_ms, 1), duration_ms=round(duration_ms, 1),
            tokens_per_second=round((tokens - 1) / flow_ms * 1_000, 3),
            time_per_output_token_ms=round(flow_ms / (tokens - 1), 3),
            entropy_bits=round(model.entropy_bits * float(rng.lognormal(0, 0.12)), 3) if model.entropy_bits else None,
            entropy_k=model.k or None, energy=round(float(np.clip(rng.normal(0.72, 0.08), 0.2, 0.98)), 3),
            stalls=stalls, reason="stop" if tokens < 900 else "length",
        )  # fmt: skip
        usual = replace(request, tokens_per_second=model.tokens_per_second)
        found = judge(request, self._measured, usual)
        return replace(request, slow=found.slow, causes=found.causes)

    def _measured(self, series: str, from_ms: int, to_ms: int) -> Window | None:
        """Return a series's window during a request, for the series that may be a cause."""
        at = np.array([from_ms, to_ms]) / 1_000
        swap = self._swap(at)
        if series == "system.swap_used_bytes":
            return Window((to_ms - from_ms) / 1_000, 2, min=float(swap.min()), last=float(swap[-1]))
        if series == "system.disk_read_bytes_per_second":
            return Window((to_ms - from_ms) / 1_000, 2, mean=READING if swap[0] > PRESSED else 0.0)
        return None

    def _swap(self, t_s: Floats) -> Floats:
        """Return the swap in use: little until the day on which memory becomes scarce."""
        days = (t_s - self.slower_s) / DAY_S
        found: Floats = np.where(days < 0, 2.1e8, 2.4e9 + 6e8 * np.sin(t_s / 9_000) + 9e8 * self.busy(t_s))
        return found

    # --- measurements

    def values(self, t_s: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Return the series with a value at each of ``t_s`` (k,), and the values (k, n)."""
        moment = self._moment(t_s)
        columns = [self._value(at, moment) for at in self._gauges]
        return np.array(self._gauges), np.column_stack(columns)

    def _moment(self, t_s: Floats) -> Moment:
        load, frames, reading = self.busy(t_s), np.zeros(len(t_s)), np.zeros(len(t_s))
        for odd in self.anomalies:
            inside = (t_s >= odd.from_s) & (t_s < odd.to_s)
            load, frames = load + inside * odd.load, frames + inside * odd.frames
        swap, working = self._swap(t_s), list[tuple[Floats, Floats, Floats]]()
        for number, (model, spans) in enumerate(zip(MODELS, self._seconds, strict=True)):
            at = np.searchsorted(spans[:, 0], t_s, "right") - 1
            mine = spans[at] if len(spans) else np.zeros((len(t_s), 3))
            is_open = (at >= 0) & (t_s < mine[:, 2])
            waits = is_open & (t_s < mine[:, 1])
            flows = is_open & ~waits
            speed: Floats = flows * model.tokens_per_second * self.noise(t_s, 0.05)
            working.append((speed, is_open.astype(float), waits.astype(float)))
            load = load + flows * 0.25
            if number == 0:
                reading += waits * (swap > PRESSED) * READING
        return Moment(t_s, np.minimum(load, 1.2), frames, swap, working, reading)

    def noise(self, like: Floats, size: float) -> Floats:
        """Return factors around 1, in the shape of ``like``."""
        found: Floats = np.exp(self._rng.normal(0, size, len(like))) if size else np.ones(len(like))
        return found

    def _value(self, at: int, moment: Moment) -> Floats:
        series, metric = self.series[at]
        labels = dict(series.labels)
        rule = RULES.get(metric.name)
        if rule is not None:
            value = rule(RuleInput(self, moment, labels))
        elif metric.name in LEVELS:
            idle, busy, noise = LEVELS[metric.name]
            value = (idle + (busy - idle) * moment.load * _share(labels)) * self.noise(moment.t_s, noise)
        else:
            value = np.zeros(len(moment.t_s))
        low, high = -math.inf if metric.low is None else metric.low, math.inf if metric.high is None else metric.high
        return np.clip(value, low, high)

    def events(self, from_ms: int, to_ms: int, every: int) -> Iterator[tuple[int, NDArray[np.int64], Floats]]:
        """Yield (series, times, values) of the requests' events in [from, to), with one of ``every`` tokens."""
        for number, (model, spans) in enumerate(zip(MODELS, self._seconds, strict=True)):
            first = int(np.searchsorted(spans[:, 2], from_ms / 1_000))
            last = int(np.searchsorted(spans[:, 0], to_ms / 1_000))
            for request in self.requests[number][first:last]:
                for name, t_ms, values in _request_events(request, model, every):
                    inside = (t_ms >= from_ms) & (t_ms < to_ms)
                    if inside.any():
                        yield self._of(name, model), t_ms[inside], values[inside]

    def _of(self, name: str, model: Model) -> int:
        return self.number[str(Series.of(name, model=model.name, server=model.server))]

    def total(self, labels: Mapping[str, str], t_s: Floats, what: str) -> Floats:
        """Return a model's totals of ended requests: output tokens, prompt tokens, or requests with a status."""
        number = _model(labels)
        if (number, what) not in self._sums:
            self._sums[number, what] = np.concatenate(
                ([0.0], np.cumsum([_counts(each, what) for each in self.requests[number]]))
            )
        found: Floats = self._sums[number, what][np.searchsorted(self._seconds[number][:, 2], t_s, "right")]
        return found


def _counts(request: Request, what: str) -> float:
    return {"output": request.output_tokens, "prompt": request.prompt_tokens or 0}.get(what, request.status == what)


def _request_events(request: Request, model: Model, every: int) -> Iterator[tuple[str, NDArray[np.int64], Floats]]:
    """Yield a request's events, and its tokens."""
    begin, ttft = request.started_ms, request.ttft_ms or 0.0
    first = np.array([int(begin + ttft)])
    yield "model.ttft_ms", first, np.array([ttft])
    prompt_speed = (request.prompt_tokens or 0) / (request.prompt_ms or 1) * 1_000
    yield "model.prompt_tokens_per_second", first, np.array([prompt_speed])
    yield "model.queue_wait_ms", first, np.array([request.queue_ms or 0.0])
    if request.load_ms:
        yield "model.load_ms", first, np.array([request.load_ms])
    ended = np.array([(request.ended_ms or begin) - 1])
    yield "model.request_duration_ms", ended, np.array([request.duration_ms or 0.0])
    yield "model.time_per_output_token_ms", ended, np.array([request.time_per_output_token_ms or 0.0])
    rng = np.random.default_rng(begin)  # deterministic across calls
    gaps = rng.lognormal(0, 0.3, request.output_tokens)
    after = np.cumsum(gaps / gaps.sum()) * ((request.duration_ms or 0.0) - ttft)
    t_ms = (begin + ttft + after).astype(np.int64)[1::every]
    yield TOKENS[0], t_ms, np.diff(after)[::every]
    yield TOKENS[1], t_ms, np.ones(len(t_ms))
    if request.entropy_bits is not None:
        bits = np.minimum(rng.gamma(1.6, request.entropy_bits / 1.6, len(t_ms)), math.log2(model.k))
        yield TOKENS[2], t_ms, bits
        yield TOKENS[3], t_ms, bits * 0.97
        yield TOKENS[4], t_ms, bits * 1.04
        yield TOKENS[5], t_ms, np.full(len(t_ms), float(model.k))
        yield TOKENS[6], t_ms, 1 - bits / math.log2(model.k)


PRESSED = 1e9
"""Swap in use above which the first model waits for the disk."""
READING = 64e6


def _of(metric: Metric) -> Iterator[Series]:
    """Yield a metric's series."""
    if metric.name.startswith(ABSENT):
        return
    entropic = metric.name in TOKENS[2:]
    rows: list[dict[str, str]] = [{}]
    if "model" in metric.labels:
        rows = [{"model": each.name, "server": each.server} for each in MODELS if each.entropy_bits or not entropic]
    for label in metric.labels:
        if label in LABELS:
            rows = [{**row, label: value} for row in rows for value in LABELS[label]]
    for row in rows:
        yield Series.of(metric.name, **row)


def _share(labels: Mapping[str, str]) -> float:
    """Return a fixed share for each set of label values."""
    return 0.4 + (sum(map(ord, "".join(labels.values()))) % 13) / 13 if labels else 1.0


def _model(labels: Mapping[str, str]) -> int:
    return next(at for at, each in enumerate(MODELS) if each.name == labels["model"])


class RuleInput(NamedTuple):
    """The input of a rule: a series's labels and a moment."""

    machine: SimulatedMachine
    moment: Moment
    labels: Mapping[str, str]

    @property
    def working(self) -> tuple[Floats, Floats, Floats]:
        """The state of the series's model."""
        return self.moment.working[_model(self.labels)]

    def noise(self, size: float) -> Floats:
        """Return factors around 1."""
        return self.machine.noise(self.moment.t_s, size)

    def total(self, what: str) -> Floats:
        """Return a total of the requests of the series's model."""
        return self.machine.total(self.labels, self.moment.t_s, what)


def _percent(at: RuleInput) -> Floats:
    found: Floats = (4 + 62 * at.moment.load * _share(at.labels)) * at.noise(0.4 if at.labels else 0.15)
    return found


def _memory(moment: Moment) -> Floats:
    found: Floats = MEMORY * (0.42 + 0.2 * moment.load + 0.24 * (moment.swap > PRESSED))
    return found + 4e7 * np.sin(moment.t_s / 40)


Rule = Callable[[RuleInput], Floats]


def _constant(value: float) -> Rule:
    return lambda at: np.full(len(at.moment.t_s), value)


def _working(column: int, scale: float = 1.0) -> Rule:
    return lambda at: at.working[column] * scale


# fmt: off
RULES: dict[str, Rule] = {
    "system.cpu_percent": _percent,
    "system.cpu_core_percent": _percent,
    "system.memory_total_bytes": _constant(MEMORY),
    "system.memory_used_bytes": lambda at: _memory(at.moment),
    "system.memory_available_bytes": lambda at: MEMORY - _memory(at.moment),
    "system.memory_percent": lambda at: _memory(at.moment) / MEMORY * 100,
    "system.swap_total_bytes": _constant(SWAP),
    "system.swap_used_bytes": lambda at: at.moment.swap,
    "system.swap_percent": lambda at: at.moment.swap / SWAP * 100,
    "system.disk_read_bytes_per_second": lambda at:
        2e5 * (1 + 20 * at.moment.load) * at.noise(1.0) + at.moment.reading,
    "system.disk_total_bytes": _constant(DISK),
    "system.disk_free_bytes": lambda at: _free(at.machine, at.moment),
    "system.disk_free_percent": lambda at: _free(at.machine, at.moment) / DISK * 100,
    "ux.frame_time_ms": lambda at:
        16.67 * at.noise(0.012) + at.moment.frames * at.noise(0.3),
    "ux.fps": lambda at: 1_000 / (16.67 + at.moment.frames),
    "ux.dropped_frames": lambda at: np.floor(at.moment.frames * 1.4),
    "ux.jank_budget_used": lambda at: at.moment.frames * 2.5,
    "model.tokens_per_second": _working(0),
    "model.throughput_percent": lambda at:
        at.working[0] / MODELS[_model(at.labels)].tokens_per_second * 92,
    "model.requests_active": _working(1),
    "model.requests_waiting": _working(2),
    "model.batch_size": _working(1),
    "model.energy": lambda at:
        np.minimum(1, (at.working[0] > 0) * 0.72 * at.noise(0.1)),
    "model.energy_state": lambda at:
        at.working[2] + 2 * (at.working[0] > 0),
    "model.kv_cache_percent": _working(1, 18),
    "model.cache_hit_percent": _working(1, 35),
    "model.tokens_total": lambda at:
        at.total("output"),
    "model.prompt_tokens_total": lambda at:
        at.total("prompt"),
    "model.requests_total": lambda at:
        at.total(at.labels["status"]),
}
# fmt: on


def _free(machine: SimulatedMachine, moment: Moment) -> Floats:
    """Return the free space: it shrinks by 1.1 GB a day and is freed every ten days."""
    found: Floats = 2.1e11 - 1.1e9 * ((moment.t_s - machine.begin_s) / DAY_S % 10)
    return found
