"""Anomalies as sentences and as notes of the history: one note when an anomaly begins, one when it ends.

A note's text is a sentence, followed by a line of JSON for later queries: ``without_figures`` removes the JSON,
``past`` reads it back into rows. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from wfmon.analyse.anomaly import ALSO, MINUTE_S, Run
from wfmon.core.answers.history import Annotation
from wfmon.core.answers.insights import ANOMALY, Anomaly
from wfmon.core.catalogue import METRICS
from wfmon.core.types import Series

KIND = ANOMALY
LONGEST_MS = 86_400_000
"""Notes are read this long before and after a span: a longer anomaly is found only by its beginning."""
Write = Callable[[float | None, str], str]
"""(value, unit) -> the value as text."""
_KEPT = ("series", "value", "low", "high", "z", "days", "since_ms", "until_ms")


def row_of(series: Series, run: Run, write: Write, *, over: bool = False) -> Anomaly:
    """Return a run as a row: {series, name, labels, label, unit, value, last, low, high, z, days, since_ms, until_ms,
    usually, text, also}; ``until_ms`` is None while it lasts.
    """
    metric = METRICS[series.name]
    low, high = run.usual.span(metric.low, metric.high)
    row = {
        "series": str(series), "value": _short(run.value), "last": _short(run.last), "low": _short(low),
        "high": _short(high), "z": round(run.z, 1), "days": run.usual.days, "since_ms": run.since_s * 1_000,
        "until_ms": run.until_s * 1_000 if over else None,
    }  # fmt: skip
    return _worded(row, write)


def _short(value: float) -> float:
    """Round to seven digits, the precision of a float32."""
    return float(f"{value:.7g}")


def _worded(row: Mapping[str, Any], write: Write) -> Anomaly:
    """Add the names, labels and sentences that follow from a row's figures."""
    series = Series.parse(row["series"])
    metric = METRICS.get(series.name)
    unit = metric.unit if metric else ""
    of = ", ".join(" ".join(value.split()) for _, value in series.labels)
    label = (metric.help.rstrip(".") if metric else series.name) + (f" ({of})" if of else "")
    usually = f"usually {_between(row['low'], row['high'], unit, write)} at this hour"
    return cast("Anomaly", {
        **row, "name": series.name, "labels": dict(series.labels), "label": label, "unit": unit, "usually": usually,
        "also": [str(Series(name, series.labels)) for name in ALSO.get(series.name, ())],
        "text": f"{label}: {write(row['value'], unit)}, {usually} ({row['days']} days).",
    })  # fmt: skip


def _between(low: float, high: float, unit: str, write: Write) -> str:
    """Write a range, its unit once if both ends share it: ``12 to 30 %``; from 0: ``up to 30 %``."""
    if low == 0 < high:
        return f"up to {write(high, unit)}"
    one, other = write(low, unit), write(high, unit)
    number, _, its = one.rpartition(" ")
    return f"{number if number and other.endswith(f' {its}') else one} to {other}"


def note(row: Mapping[str, Any], write: Write, seen_ms: int) -> str:
    """Return a note's text. ``seen_ms``: when it was written, the best known end if no second note follows."""
    text = row["text"]
    if row["until_ms"] is not None:
        took = write((row["until_ms"] - row["since_ms"]) / 1_000, "s")
        text = f"Unusual for {took}: {row['label']} was {write(row['value'], row['unit'])}, {row['usually']}."
    return f"{text}\n{json.dumps({**{name: row[name] for name in _KEPT}, 'seen_ms': seen_ms}, separators=(',', ':'))}"


def without_figures(rows: Iterable[Annotation]) -> list[Annotation]:
    """Return notes of all kinds as plain sentences."""
    return [{**row, "text": row["text"].partition("\n")[0] if row["kind"] == KIND else row["text"]} for row in rows]


def past(rows: Iterable[Annotation], now: Iterable[Anomaly], from_ms: int, to_ms: int, write: Write) -> list[Anomaly]:
    """Return the anomalies in [from, to), oldest first, from notes and the current ones (``now``).

    If there is no second note (the monitor was killed), the end is when it was last seen.
    """
    found: dict[tuple[str, int], Anomaly] = {}
    for row in rows:
        figures = _figures(row["text"]) if row["kind"] == KIND else None
        if figures is not None:
            seen_ms = figures.pop("seen_ms")
            figures["until_ms"] = figures["until_ms"] or max(seen_ms, figures["since_ms"] + MINUTE_S * 1_000)
            found[figures["series"], figures["since_ms"]] = _worded({**figures, "last": None}, write)
    found.update(((each["series"], each["since_ms"]), each) for each in now)
    touching = [
        each for each in found.values()
        if each["since_ms"] < to_ms and (each["until_ms"] is None or each["until_ms"] > from_ms)
    ]  # fmt: skip
    return sorted(touching, key=lambda each: (each["since_ms"], each["series"]))


def _figures(text: str) -> dict[str, Any] | None:
    """Parse a note's line of JSON; None if it is not ours."""
    try:
        found = json.loads(text.partition("\n")[2])
        Series.parse(found["series"])
        return {name: found[name] for name in (*_KEPT, "seen_ms")}
    except (ValueError, KeyError, TypeError):
        return None
