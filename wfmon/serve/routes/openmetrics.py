"""The latest values as OpenMetrics text (github.com/prometheus/OpenMetrics, specification 1.0)."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from wfmon.core.catalogue import METRICS, Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
UNITS = {
    "%": "percent",
    "B": "bytes",
    "B/s": "bytes_per_second",
    "/s": "per_second",
    "°C": "celsius",
    "W": "watts",
    "MHz": "mhz",
    "ms": "ms",
    "us": "us",
    "s": "seconds",
}
"""The catalogue's units in OpenMetrics' spelling. Declared only if the family's name ends in it, as required."""
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def render(rows: Iterable[Mapping[str, Any]], metrics: Mapping[str, Metric] = METRICS) -> str:
    """Render the rows of ``Live.latest`` (name, labels, value) in the catalogue's order.

    Series without a value are omitted: absence is not a number. So are timestamps, so that the scraper's own
    staleness rules apply.
    """
    families: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        value = row["value"]
        if value is not None and math.isfinite(value):
            families[row["name"]].append(f"{metrics[row['name']].prom}{_labels(row['labels'])} {_number(value)}")
    lines: list[str] = []
    for name, metric in metrics.items():
        if samples := families.get(name):
            lines += [*_head(metric), *samples]
    return "\n".join([*lines, "# EOF\n"])


def _head(metric: Metric) -> list[str]:
    family = metric.prom.removesuffix("_total")
    unit = UNITS.get(metric.unit, "")
    return [
        f"# TYPE {family} {'counter' if metric.kind == 'counter' else 'gauge'}",
        *([f"# UNIT {family} {unit}"] if unit and family.endswith(f"_{unit}") else []),
        f"# HELP {family} {metric.help.translate(_ESCAPES)}",
    ]


def _labels(labels: Mapping[str, str]) -> str:
    """Render labels; their values are untrusted text (sensor, model and process names)."""
    inner = ",".join(f'{k}="{v.translate(_ESCAPES)}"' for k, v in labels.items())
    return f"{{{inner}}}" if inner else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
