"""The tables ``models`` and ``requests`` of the stream: their columns and rows."""

from __future__ import annotations

from math import isnan
from typing import cast

from wfmon.collect.models.meter.model import STATES, ModelMeter
from wfmon.core.answers.models import RequestRow
from wfmon.core.types import CAUSE_NOT_KNOWN, Cell, Request, Table

MODELS = (
    "model", "server", "via", "rate_hz", "runtime", "pid", "state", "tokens_per_second", "ttft_ms", "entropy_bits",
    "energy", "requests_active", "tokens_total", "k", "vocab_size", "seen_ms", "entropy_reason", "note", "colour",
)  # fmt: skip
REQUESTS = (
    "id", "started_ms", "model", "server", "via", "prompt_tokens", "output_tokens", "queue_ms", "load_ms", "ttft_ms",
    "duration_ms", "tokens_per_second", "entropy_bits", "energy", "status", "why",
)  # fmt: skip
MAX_ROWS = 50


def model_row(model: ModelMeter, colour: int) -> tuple[Cell, ...]:
    """Return the cells of MODELS, rounded for display. ``colour``: the model's place in the palette, from 1."""
    entropy, reading = model.entropy, model.reading
    return (
        model.name, model.server, "scrape" if model.scraped else model.via,
        reading.rate_hz if reading is not None and model.scraped else None,
        model.runtime, model.pid, "" if model.state is None else STATES[model.state],
        _round(model.values[0], 2), _round(model.ttft_ms, 2),
        None if entropy is None else _round(entropy.bits, 3), _round(model.energy, 3),
        _whole(model.values[2]), _whole(model.values[4]), None if entropy is None else _whole(entropy.k),
        model.vocab_size, model.seen_ms, model.entropy_reason(), model.note, colour,
    )  # fmt: skip


def request_row(request: Request) -> tuple[Cell, ...]:
    """Return the cells of REQUESTS."""
    return (
        request.id, request.started_ms, request.model, request.server, request.via, request.prompt_tokens,
        request.output_tokens, _round(request.queue_ms, 2), _round(request.load_ms, 2), _round(request.ttft_ms, 2),
        _round(request.duration_ms, 2), _round(request.tokens_per_second, 2), _round(request.entropy_bits, 3),
        _round(request.energy, 3), request.status, why(request),
    )  # fmt: skip


def why(request: Request) -> str:
    """Return the causes in one line: "" for a request that was not slow or not judged yet."""
    return ", ".join(cause.text for cause in request.causes) or (CAUSE_NOT_KNOWN if request.slow else "")


def models_table(rows: list[tuple[Cell, ...]]) -> Table:
    """Return the table of models."""
    return Table(MODELS, tuple(rows))


def requests_table(requests: list[Request]) -> Table:
    """Return the table of requests: newest first, at most 50."""
    return Table(REQUESTS, tuple(request_row(request) for request in requests[:MAX_ROWS]))


def fields(request: Request) -> RequestRow:
    """Return a request as plain values for JSON."""
    found = {name: getattr(request, name) for name in Request.__dataclass_fields__}
    found["stalls"] = [list(each) for each in request.stalls]
    found["causes"] = [cause._asdict() for cause in request.causes]
    return cast("RequestRow", found)


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None or isnan(value) else round(value, digits)


def _whole(value: float | None) -> int | None:
    return None if value is None or isnan(value) else int(value)
