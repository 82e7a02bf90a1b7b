"""Experience: how smoothly the open pages run, and the cost of the monitor itself."""

from __future__ import annotations

from typing import Literal

import dash
from dash.development.base_component import Component

from wfmon.ui.kit.panels import Group, Panel, page
from wfmon.ui.kit.parts import FRAME_BUDGET_MS, chart, facts, note, reading, stat, value
from wfmon.ui.kit.tables import threads

dash.register_page(
    __name__, path="/experience", name="Experience", title="Experience · wfmon", order=3, icon="experience"
)

HERE = '{page="experience"}'

FRAMES = Panel(
    "frames",
    "Frame time",
    chart(
        "ux.frame_time_ms",
        label="Frame time of the open pages, against the budget of 16.67 ms",
        height=188,
        colors=(None,),
        legend=True,
        budget=FRAME_BUDGET_MS,
    ),
    width=12,
    collector="ux",
    foot=(note("every frame of every open page, except while a page is hidden"),),
    side=(
        reading(
            "This page",
            value(f"ux.frame_time_ms{HERE}"),
            facts(
                ("p50", value(f"ux.frame_time_ms{HERE}", stat="p50")),
                ("p95", value(f"ux.frame_time_ms{HERE}", stat="p95", warn=17.5)),
                ("p99", value(f"ux.frame_time_ms{HERE}", stat="p99")),
            ),
            color="--s-1",
        ),
        reading(
            "Frames per second",
            value(f"ux.fps{HERE}"),
            facts(
                ("Missed", value(f"ux.dropped_frames{HERE}", stat="sum")),
                ("Over budget", value(f"ux.jank_budget_used{HERE}", stat="mean")),
                ("Long", value(f"ux.long_frames{HERE}", stat="sum")),
            ),
        ),
    ),
)


def _per_page(
    key: str,
    title: str,
    metric: str,
    label: str,
    *foot: Component,
    width: Literal[3, 4] = 3,
    budget: float | None = None,
) -> Panel:
    """Make a small panel of a metric of the open pages."""
    return Panel(
        key,
        title,
        chart(metric, label=label, colors=(None,), budget=budget),
        width=width,
        now=value(metric + HERE),
        foot=foot,
        collector="ux",
    )


PAGES = (
    FRAMES,
    _per_page(
        "work",
        "Work per frame",
        "ux.work_time_ms",
        "Main-thread time per frame",
        stat("p95", f"ux.work_time_ms{HERE}", "p95", warn=FRAME_BUDGET_MS),
        note("budget 16.67 ms"),
        budget=FRAME_BUDGET_MS,
        width=4,
    ),
    _per_page(
        "stream",
        "Sample to paint",
        "ux.stream_latency_ms",
        "From a sample until it is drawn, p95 of each second",
        stat("worst", f"ux.stream_latency_ms{HERE}", "max"),
        note("p95 of each second"),
        width=4,
    ),
    _per_page(
        "input",
        "Input delay",
        "ux.input_latency_ms",
        "Slowest input of each second, from the event to the next paint",
        stat("worst", f"ux.input_latency_ms{HERE}", "max"),
        note("slowest of each second"),
        width=4,
    ),
    _per_page(
        "fps",
        "Frames per second",
        "ux.fps",
        "Frames per second of the open pages",
        stat("lowest", f"ux.fps{HERE}", "min"),
        note("target 60"),
    ),
    _per_page(
        "missed",
        "Missed frames",
        "ux.dropped_frames",
        "Vertical syncs without a frame, per second",
        note(value(f"ux.dropped_frames{HERE}", stat="sum", absent="–"), " in the window"),
    ),
    _per_page(
        "jank",
        "Over budget",
        "ux.jank_budget_used",
        "Share of each second's frames that took longer than 16.67 ms",
        stat("mean", f"ux.jank_budget_used{HERE}", "mean"),
        note("of frames"),
    ),
    _per_page(
        "long",
        "Long frames",
        "ux.long_frames",
        "Animation frames over 50 ms, per second",
        note(value(f"ux.long_frames{HERE}", stat="sum", absent="–"), " in the window"),
        note("over 50 ms"),
    ),
)

MONITOR = (
    Panel(
        "cpu",
        "CPU of wfmon",
        chart(
            "monitor.cpu_percent",
            "monitor.collectors_cpu_percent",
            label="CPU of the monitor and of its collectors, as a share of one core",
            colors=("--s-1", "--s-3"),
            names=("all", "collectors"),
            reach=10,
        ),
        now=value("monitor.cpu_percent"),
        foot=(note("of one core"), note("collectors ", value("monitor.collectors_cpu_percent", absent="–"))),
        collector="monitor",
    ),
    Panel(
        "rss",
        "Memory of wfmon",
        chart("monitor.rss_bytes", label="Resident memory of the monitor", colors=("--s-3",)),
        now=value("monitor.rss_bytes"),
        foot=(
            note("PSS ", value("monitor.pss_bytes", absent="–")),
            note("cache ", value("monitor.cache_bytes", absent="–"), ", ", value("monitor.cache_seconds", absent="–")),
        ),
        collector="monitor",
    ),
    Panel(
        "samples",
        "Samples",
        chart("monitor.samples_per_second", label="Samples received per second", colors=("--s-6",)),
        now=value("monitor.samples_per_second"),
        foot=(
            note(value("monitor.samples_dropped_total", absent="0"), " dropped"),
            note(value("monitor.series", absent="–"), " series"),
        ),
        collector="monitor",
    ),
    Panel(
        "queues",
        "Queues",
        chart("monitor.queue_depth", label="Entries waiting in the monitor's queues", colors=(None,)),
        now=value("monitor.queue_depth"),
        foot=(note("waiting"), note("capacity ", value("monitor.queue_capacity", absent="–"))),
        collector="monitor",
    ),
    Panel(
        "ticker",
        "60 Hz tick",
        chart(
            "monitor.tick_late_ms",
            "monitor.tick_work_ms",
            label="The 60 Hz tick: its worst delay and its longest work, each second",
            colors=("--s-2", "--s-1"),
            names=("late", "work"),
            budget=FRAME_BUDGET_MS,
        ),
        now=value("monitor.tick_work_ms"),
        foot=(
            note("late ", value("monitor.tick_late_ms", absent="–")),
            note("encoding ", value("monitor.encode_us", absent="–")),
        ),
        collector="monitor",
    ),
    Panel(
        "clients",
        "Clients",
        chart("monitor.clients", label="Pages and programs connected to the stream", colors=("--s-5",)),
        now=value("monitor.clients"),
        foot=(
            note(value("monitor.clients_slowed", absent="0"), " slowed"),
            note(value("monitor.clients_closed_total", absent="0"), " closed"),
        ),
        collector="monitor",
    ),
    Panel(
        "threads",
        "Threads of wfmon",
        threads(),
        width=6,
        now=value("monitor.threads"),
        foot=(
            note(value("monitor.file_descriptors", absent="–"), " open files"),
            note(
                value("monitor.errors_total", absent="0"),
                " errors · ",
                value("monitor.requests_refused_total", absent="0"),
                " refused",
            ),
        ),
        charted=False,
        collector="monitor",
    ),
)


def layout(**_query: str) -> Component:
    """Lay out the page."""
    return page(
        "experience",
        "Experience",
        Group(PAGES, "Open pages", "Each page measures its own frames and reports once a second."),
        Group(MONITOR, "wfmon itself", "What monitoring costs."),
    )
