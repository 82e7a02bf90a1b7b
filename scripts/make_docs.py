"""Write what is made of tables in the code: two pages of the manual and the history's schema.

`make docs` runs it, a test compares.
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run by path, from anywhere

from wfmon.core.catalogue import LABEL_CAPS, MAX_LABEL_CHARS, MAX_SERIES, METRICS, OTHER, Metric  # noqa: E402
from wfmon.core.settings import Setting, catalogue  # noqa: E402
from wfmon.store import schema  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATED = "<!-- Written by `make docs` from {}. Change the table there, not this page. -->"

COLLECTORS = {
    "system": "CPU, memory, swap, disks, temperatures.",
    "gpu": "Graphics cards: NVIDIA through NVML, AMD through sysfs.",
    "network": "Traffic and connections on localhost, and the proof that the monitor stays there.",
    "monitor": "What the monitor itself costs, drops and refuses.",
    "model": "What hooks and the proxy tell of models, and what is scraped from their servers; sampled at 60 Hz.",
    "servers": "Model servers of this machine, found by their listening sockets.",
    "ux": "What each open page reports of its own frames, spans in which it was hidden left out.",
}


def metrics_page() -> str:
    """Render docs/metrics.md: a section a collector, a row a metric."""
    caps = ", ".join(f"{count:,} of `{label}`" for label, count in LABEL_CAPS.items())
    lines = [
        GENERATED.format("wfmon/core/catalogue.py"),
        "# Metrics",
        "",
        "Everything that is measured, by collector. A value that cannot be measured is absent with a reason, never 0.",
        "",
        '- **Name**: `area.what_unit`, labels in braces for the one measured: `system.cpu_core_percent{core="0"}`.',
        "- **Kind**: a *gauge* is a level; a *counter* only grows until a restart; a *rate* is collected as a counter",
        "  and published per second; an *event* belongs to one token or one request.",
        "- **Possible**: a value outside is dropped and counted in `monitor.samples_dropped_total`.",
        "- **Dead-band**: a change that is not larger is not sent to the page.",
        "- **Priority**: under backpressure 2 comes less often first, then 1; 0 never does.",
        "- **OpenMetrics**: the name at `/metrics`. **OpenTelemetry**: the nearest name of its semantic conventions.",
        "",
        f"At most {MAX_SERIES:,} series and labels of {MAX_LABEL_CHARS} characters; at most {caps}.",
        f"The excess folds into `{OTHER}` and is counted.",
    ]
    rates = {row.name.split(".")[1]: row.default for row in catalogue() if row.name.endswith(".rate_hz")}
    for collector, rows in groupby(METRICS.values(), key=lambda row: row.collector):
        beat = f"Polled at {rates[collector]:g} Hz." if collector in rates else "Pushed."
        lines += [
            "",
            f"## {collector}",
            "",
            f"{COLLECTORS[collector]} {beat}",
            "",
            "| Metric | Unit | What | Kind | Possible | Dead-band | Priority | OpenMetrics | OpenTelemetry |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        lines += [_metric_row(row) for row in rows]
    return "\n".join(lines) + "\n"


def settings_page() -> str:
    """Render docs/settings.md: a row a setting, in the order of config.yaml."""
    lines = [
        GENERATED.format("wfmon/core/settings.py"),
        "# Settings",
        "",
        "Defaults < `config.yaml` < `<data>/settings.json` (what was changed in the page) < the command line.",
        "`config.yaml` is never written by the program. An unknown key or a bad value stops the start with exit code 2",
        "and a sentence that names the file, the line, the field and the fix.",
    ]
    for section, rows in groupby(catalogue(), key=lambda row: row.name.rpartition(".")[0]):
        lines += [
            "",
            f"## {section or 'General'}",
            "",
            "| Setting | Default | Values | What | Takes effect |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [_setting_row(row) for row in rows]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "docs/metrics.md": metrics_page,
    "docs/settings.md": settings_page,
    "wfmon/store/schema.sql": schema.sql,
}


def _metric_row(row: Metric) -> str:
    name = row.name + ("{" + ", ".join(f"{label}=" for label in row.labels) + "}" if row.labels else "")
    return _cells(
        f"`{name}`",
        row.unit or "number",
        row.help,
        row.derive or row.kind,
        _span(row.low, row.high),
        _number(row.dead_band) if row.dead_band else "",
        str(row.priority),
        f"`{row.prom}`",
        f"`{row.otel}`" if row.otel else "",
    )


def _setting_row(row: Setting) -> str:
    return _cells(
        f"`{row.name}`",
        f"`{_yaml(row.default)}`",
        _values(row),
        row.help,
        "at the next start" if row.restart else "at once",
    )


def _values(row: Setting) -> str:
    if row.choices:
        return ", ".join(f"`{choice}`" for choice in row.choices)
    return {bool: "`true`, `false`", str: "text"}.get(row.type) or _span(row.low, row.high)


def _yaml(value: Any) -> str:  # noqa: ANN401  a setting may be of any plain type
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def _span(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{_number(low)} to {_number(high)}"
    if low is not None:
        return f"{_number(low)} or more"
    return f"up to {_number(high)}" if high is not None else "any"


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _cells(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Write every generated page."""
    for page, render in PAGES.items():
        (ROOT / page).write_text(render(), "utf-8")
        print(page)


if __name__ == "__main__":
    main()
