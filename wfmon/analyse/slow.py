"""Causes of a slow request: the one or two that its own measurements and the machine's support, with figures.

docs/why-slow.md has the rules. A missing measurement never leads to a cause.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from wfmon.core.types import Cause, Judgement, Request, Series, Window

Measured = Callable[[str, int, int], Window | None]
"""(series text, from ms, to ms) -> the series over that span; None if nothing was measured."""

MOST = 2
"""Maximum number of causes."""
SLOW_TTFT_MS = 1_000.0
STALL_MS = 400.0
SLOW_SHARE = 0.5
"""Share of the typical tokens per second below which a request is slow."""
PART_MS = 1_000.0
PART_SHARE = 0.2
"""A phase of at least PART_MS, or this share of the request, is a cause."""
LONG_PROMPT_TOKENS = 1_000
"""A prompt of at least this size is called long."""
DOMINANT = 0.5
"""Share of the time to first token from which a part dominates it."""
BEFORE_MS = 2_000
GPU_BUSY_PERCENT = 80.0
MEMORY_PERCENT = 92.0
SWAP_GREW_BYTES = 16e6
DISK_BYTES_PER_SECOND = 50e6
MAX_GPUS = 16


class Case(NamedTuple):
    """A slow request, and the machine's measurements, which are read only when needed."""

    request: Request
    measured: Measured
    slow_start: bool
    slow_flow: bool
    found: tuple[Cause, ...] = ()
    """The causes so far."""

    def has(self, code: str) -> Cause | None:
        """Return the cause with this code, if already found."""
        return next((cause for cause in self.found if cause.code == code), None)


def causes(request: Request, measured: Measured, typical: Request | None = None) -> tuple[Cause, ...]:
    """Return at most two causes, costliest first; none for a request that was not slow."""
    return judge(request, measured, typical).causes


def judge(request: Request, measured: Measured, typical: Request | None = None) -> Judgement:
    """Judge whether a request was slow, and why: causes with a measured duration come first.

    A slow request may have no causes: then no measurement explains it.
    """
    case = Case(request, measured, _slow_start(request), _slow_flow(request, typical))
    stalls = _stalls(request)
    if not (case.slow_start or case.slow_flow or stalls):
        return Judgement(slow=False)
    own = [cause for cause in (*(phase(request) for phase in PHASES), stalls) if cause is not None]
    own.sort(key=lambda cause: -(cause.cost_ms or 0.0))
    found = tuple(own[:MOST])
    for check in MACHINE:
        if len(found) >= MOST:
            break
        found += check(case._replace(found=found))
    return Judgement(slow=True, causes=found)


def _slow_start(request: Request) -> bool:
    """Return whether the first token was late; for an aborted request, whether none came in that time."""
    waited = _known(request.ttft_ms)
    if waited is None and request.status == "aborted" and not request.output_tokens:
        waited = _known(request.duration_ms)
    return waited is not None and waited > SLOW_TTFT_MS


def _slow_flow(request: Request, typical: Request | None) -> bool:
    speed = _known(request.tokens_per_second)
    usual = None if typical is None else _known(typical.tokens_per_second)
    return speed is not None and usual is not None and speed < SLOW_SHARE * usual


# --- what the request itself measured --------------------------------------------------------------------------------


def _load(request: Request) -> Cause | None:
    took = _part(request.load_ms, request)
    return None if took is None else Cause("load", f"cold load {_span(took)}", took)


def _queue(request: Request) -> Cause | None:
    took = _part(request.queue_ms, request)
    return None if took is None else Cause("queue", f"queue {_span(took)}", took)


def _prompt(request: Request) -> Cause | None:
    """The prompt dominates the wait. Without its own time, a long prompt does if load and queue leave enough."""
    ttft, took, tokens = _known(request.ttft_ms), _part(request.prompt_ms, request), _known(request.prompt_tokens)
    read = None if tokens is None else max(0, int(tokens) - int(_known(request.cached_tokens) or 0))
    is_long = read is not None and read >= LONG_PROMPT_TOKENS
    if took is not None:
        if ttft is not None and took < DOMINANT * ttft:
            return None
        size = "" if read is None else f" {_tokens(read)},"
        return Cause("prompt", f"{'long ' if is_long else ''}prompt{size} {_span(took)}", took)
    if request.prompt_ms is not None or ttft is None or ttft <= SLOW_TTFT_MS or read is None or not is_long:
        return None
    rest = ttft - (_known(request.load_ms) or 0.0) - (_known(request.queue_ms) or 0.0)
    if rest < DOMINANT * ttft:
        return None
    return Cause("prompt", f"long prompt {_tokens(read)}, {_span(ttft)} to the first token", rest)


PHASES: tuple[Callable[[Request], Cause | None], ...] = (_load, _queue, _prompt)


def _stalls(request: Request) -> Cause | None:
    lengths = [length for _, length in request.stalls if (_known(length) or 0.0) > STALL_MS]
    if not lengths:
        return None
    total = math.fsum(lengths)
    return Cause("stall", f"{'stall' if len(lengths) == 1 else f'{len(lengths)} stalls'} {_span(total)}", total)


# --- what the machine measured meanwhile -----------------------------------------------------------------------------


def _gpu_busy(case: Case) -> tuple[Cause, ...]:
    """Every card was busy just before, and not with a request of this model."""
    if not (case.slow_start or case.slow_flow):
        return ()
    request = case.request
    from_ms, to_ms = request.started_ms - BEFORE_MS, request.started_ms - 1
    means = []
    for gpu in range(MAX_GPUS):
        window = case.measured(str(Series.of("gpu.utilisation_percent", gpu=gpu)), from_ms, to_ms)
        mean = None if window is None else _known(window.mean)
        if mean is None:
            break
        means.append(mean)
    if not means or min(means) < GPU_BUSY_PERCENT:
        return ()
    active = Series.of("model.requests_active", model=request.model, server=request.server)
    window = case.measured(str(active), from_ms, to_ms)
    if window is not None and (_known(window.max) or 0.0) > 0:
        return ()
    return (Cause("gpu_busy", f"GPU busy before it began, {math.floor(min(means))} %"),)


def _swap(case: Case) -> tuple[Cause, ...]:
    """Swap grew; or it is in use and the disk was read, which no model load explains."""
    span = _whole(case.request)
    window = None if span is None else case.measured("system.swap_used_bytes", *span)
    if span is None or window is None:
        return ()
    low, last = _known(window.min), _known(window.last)
    if low is None or last is None:
        return ()
    if last - low >= SWAP_GREW_BYTES:
        return (Cause("swap", f"swap grew by {_bytes(last - low)}"),)
    if low > 0 and case.has("load") is None:
        read = _read(case, span)
        if read is not None:
            return (Cause("swap", f"swap {_bytes(last)} in use, disk read {_bytes(read)}/s"),)
    return ()


def _disk(case: Case) -> tuple[Cause, ...]:
    """The disk was read heavily during the model's load, or during the wait for the first token."""
    request, wait = case.request, _known(case.request.ttft_ms)
    load = case.has("load")
    if case.has("swap") is not None:
        return ()  # the same reads would be reported twice
    if load is not None:
        begin = request.started_ms + int(_known(request.queue_ms) or 0)
        read = _read(case, (begin, begin + math.ceil(load.cost_ms or 0)))
    elif case.slow_start and wait is not None:
        read = _read(case, (request.started_ms, request.started_ms + math.ceil(wait)))
    else:
        return ()
    return () if read is None else (Cause("disk", f"disk read {_bytes(read)}/s"),)


def _memory(case: Case) -> tuple[Cause, ...]:
    span = _whole(case.request)
    window = None if span is None else case.measured("system.memory_percent", *span)
    percent = None if window is None else _known(window.p95)
    if percent is None or percent < MEMORY_PERCENT:
        return ()
    return (Cause("memory", f"memory {math.floor(percent)} %"),)


MACHINE: tuple[Callable[[Case], tuple[Cause, ...]], ...] = (_gpu_busy, _swap, _disk, _memory)
"""Checked in this order until there are MOST causes."""


def _read(case: Case, span: tuple[int, int]) -> float | None:
    """Return the disk bytes read per second if that is a lot, else None."""
    window = case.measured("system.disk_read_bytes_per_second", *span)
    mean = None if window is None else _known(window.mean)
    return mean if mean is not None and mean >= DISK_BYTES_PER_SECOND else None


def _whole(request: Request) -> tuple[int, int] | None:
    if request.ended_ms is not None:
        return request.started_ms, request.ended_ms
    duration = _known(request.duration_ms)
    return None if duration is None else (request.started_ms, request.started_ms + math.ceil(duration))


# --- figures ---------------------------------------------------------------------------------------------------------


def _part(took_ms: float | None, request: Request) -> float | None:
    """Return the duration of a phase if it is long enough to be a cause, else None."""
    took, duration = _known(took_ms), _known(request.duration_ms)
    if took is None or not took:
        return None
    return took if took >= PART_MS or (duration is not None and took >= PART_SHARE * duration) else None


def _known(value: float | None) -> float | None:
    """Return a valid measurement, None for a missing, negative or non-finite one."""
    return value if value is not None and 0 <= value < math.inf else None


def _span(ms: float) -> str:
    return f"{round(ms)} ms" if round(ms) < 1_000 else f"{ms / 1_000:.1f} s"


def _tokens(count: int) -> str:
    return f"{count:,} token{'' if count == 1 else 's'}"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 999.5e6 else f"{count / 1e6:.0f} MB"
