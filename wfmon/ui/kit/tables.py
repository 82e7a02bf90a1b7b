"""Tables shared by pages, and tables filled at layout time."""

from __future__ import annotations

import os
from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from wfmon.core.types import CollectorStatus
from wfmon.ui.kit import ids
from wfmon.ui.kit.parts import Column, live_table, meter, value

COLLECTOR_WORDS = {
    "system": "CPU, memory, disk, temperatures",
    "gpu": "graphics cards",
    "network": "loopback traffic, locality",
    "monitor": "wfmon's own cost",
    "servers": "model servers on this machine",
    "ux": "frames and input of open pages",
    "model": "hooks and the proxy",
}
"""What each collector measures, in a few words."""


def processes() -> Component:
    """Make the table of the ten busiest processes."""
    return live_table(
        "processes",
        "The ten busiest processes, by CPU",
        (
            Column("name", "Process"),
            Column("pid", "PID", numeric=True, optional=True),
            Column("cpu_percent", "CPU of one core", "%", numeric=True),
            Column("rss_bytes", "Memory", "B", numeric=True),
            Column("gpu_memory_bytes", "GPU memory", "B", numeric=True, optional=True),
        ),
        empty="No process has used the CPU since this panel was opened.",
    )


def listeners() -> Component:
    """Make the table of listeners on loopback."""
    return live_table(
        "listeners",
        "Programs listening on loopback",
        (
            Column("port", "Port"),
            Column("process", "Process"),
            Column("address", "Address", optional=True),
            Column("pid", "PID", numeric=True, optional=True),
            Column("connections", "Connections", numeric=True),
        ),
        empty="No program of yours is listening on loopback.",
    )


def threads() -> Component:
    """Make the table of the monitor's own threads."""
    return live_table(
        "threads",
        "Threads of the monitor and their CPU, as a share of one core",
        (
            Column("thread", "Thread"),
            Column("cpu_percent", "CPU of one core", "%", numeric=True),
            Column("cpu_seconds", "CPU time", "s", numeric=True),
        ),
        empty="Not measured yet.",
    )


def core_meters(cores: int | None = None) -> Component:
    """Make one meter per core of this machine."""
    count = cores or os.cpu_count() or 1
    rows = [
        html.Li(
            [
                html.Span(f"{core}", className="key", **{"aria-label": f"Core {core}"}),
                meter(f'system.cpu_core_percent{{core="{core}"}}', color="--s-1"),
                value(f'system.cpu_core_percent{{core="{core}"}}', absent="–"),
            ]
        )
        for core in range(count)
    ]
    dense = " dense" if count > 8 else ""
    return html.Div(
        [
            html.P(f"{count} cores" if count > 1 else "1 core", className="name"),
            html.Ul(rows, className="cores" + dense),
        ],
        className="reading grow",
    )


def collectors(statuses: Sequence[CollectorStatus]) -> Component:
    """Make the table of the collectors, with each one's switch, state and cost."""
    heads = (
        ("Collector", ""), ("On", ""), ("State", ""), ("Reason", "opt"), ("Rate", "num opt"),
        ("CPU of one core", "num"), ("Skipped", "num opt"), ("Errors", "num opt"), ("Last run", "num opt"),
    )  # fmt: skip
    return html.Div(
        html.Table(
            [
                html.Caption("Collectors: the state and the cost of each", className="aside"),
                html.Thead(html.Tr([html.Th(text, scope="col", className=kind or None) for text, kind in heads])),
                html.Tbody([_collector_row(status) for status in statuses]),
            ],
            className="collectors",
        ),
        className="scroll",
    )


def _collector_row(status: CollectorStatus) -> Component:
    def cell(field: str, text: str, kind: str = "") -> Component:
        return html.Td(text, className=kind or None, **{"data-field": field})

    return html.Tr(
        [
            html.Th(
                [status.name, html.Small(COLLECTOR_WORDS.get(status.name, ""))],
                scope="row",
                id=f"collector-{status.name}",
            ),
            html.Td(collector_switch(status.name, on=status.state != "off")),
            html.Td([html.I(className="dot"), html.Span(status.state, **{"data-field": "state"})]),
            cell("reason", status.reason, "opt why"),
            cell("rate_hz", f"{status.rate_hz:g} Hz" if status.rate_hz else "pushed", "num opt"),
            cell("cpu_percent", "–" if status.cpu_percent is None else f"{status.cpu_percent:.1f} %", "num"),
            cell("skipped", f"{status.skipped:,}", "num opt"),
            cell("errors", f"{status.errors:,}", "num opt"),
            cell("checked_ms", "–", "num opt"),
        ],
        **{"data-collector-row": status.name, "data-state": status.state},
    )


def collector_switch(name: str, *, on: bool) -> Component:
    """Make a collector's switch."""
    return html.Button(
        html.I(),
        id=ids.switch_of(name),
        type="button",
        role="switch",
        className="switch",
        **{"aria-checked": "true" if on else "false", "aria-labelledby": f"collector-{name}", "data-switch": name},
    )
