"""The Overview: the energy of the models, the machine at a glance, the latest requests, and the cost of monitoring."""

from __future__ import annotations

import dash
from dash.development.base_component import Component

from wfmon.ui import services
from wfmon.ui.kit.panels import Group, Panel, page
from wfmon.ui.kit.parts import FRAME_BUDGET_MS, chart, machine_fact, note, stat, value
from wfmon.ui.kit.tables import processes
from wfmon.ui.overview.energy import all_requests_link, energy_panel, last_requests

dash.register_page(__name__, path="/", name="Overview", title="Overview · wfmon", order=0, icon="overview")

FRAME_TIME = 'ux.frame_time_ms{page="overview"}'

CPU = Panel(
    "cpu",
    "CPU",
    chart("system.cpu_percent", label="CPU in use, all cores"),
    now=value("system.cpu_percent"),
    foot=(
        stat("p95", "system.cpu_percent", "p95"),
        note(value("system.cpu_core_percent", stat="count", absent="–"), " cores"),
    ),
    collector="system",
)

MEMORY = Panel(
    "memory",
    "Memory",
    chart("system.memory_percent", label="Memory in use, as a share of the total", colors=("--s-3",)),
    now=value("system.memory_used_bytes"),
    foot=(
        note(value("system.memory_percent"), " of ", value("system.memory_total_bytes")),
        note("swap ", value("system.swap_used_bytes", absent="none")),
    ),
    collector="system",
)

GPU = Panel(
    "gpu",
    "GPU",
    chart("gpu.utilisation_percent", label="GPU utilisation", colors=(None,)),
    now=value("gpu.utilisation_percent"),
    foot=(note("memory ", value("gpu.memory_used_bytes", absent="–")), machine_fact("gpus")),
    collector="gpu",
)

FRAMES = Panel(
    "frames",
    "Frame time",
    chart(
        FRAME_TIME,
        label="Frame time of this page, against the budget of 16.67 ms",
        colors=("--s-4",),
        budget=FRAME_BUDGET_MS,
    ),
    now=value(FRAME_TIME),
    foot=(
        stat("p95", FRAME_TIME, "p95", warn=17.5),
        note(value('ux.dropped_frames{page="overview"}', stat="sum", absent="–"), " missed"),
    ),
    collector="ux",
)

REQUESTS = Panel("requests", "Latest requests", last_requests(), width=8, now=all_requests_link(), charted=False)

TRAFFIC = Panel(
    "traffic",
    "Localhost traffic",
    chart(
        "network.loopback_rx_bytes_per_second",
        label="Bytes received on loopback",
        height=172,
        colors=("--s-6",),
    ),
    width=4,
    now=value("network.loopback_rx_bytes_per_second"),
    foot=(
        note(value("network.loopback_listeners", absent="–"), " listeners"),
        note(value('network.loopback_connections{state="established"}', absent="–"), " connections"),
    ),
    collector="network",
)

PROCESSES = Panel("processes", "Busiest processes", processes(), width=8, tall=True, charted=False, collector="system")

DISK = Panel(
    "disk",
    "Disk",
    chart(
        "system.disk_read_bytes_per_second",
        "system.disk_write_bytes_per_second",
        label="Disk traffic: read and write",
        height=104,
        colors=("--s-2", "--s-6"),
    ),
    width=4,
    now=value("system.disk_read_bytes_per_second", "system.disk_write_bytes_per_second"),
    foot=(
        note("write ", value("system.disk_write_bytes_per_second", absent="–")),
        note(value("system.disk_free_bytes", absent="–"), " free"),
    ),
    collector="system",
)

COST = Panel(
    "cost",
    "wfmon itself",
    chart(
        "monitor.cpu_percent",
        label="CPU of the monitor, as a share of one core",
        height=104,
        colors=("--s-2",),
        reach=10,
    ),
    width=4,
    now=value("monitor.cpu_percent"),
    foot=(note("of one core"), note(value("monitor.rss_bytes"), " of memory")),
    collector="monitor",
)


def layout(**_query: str) -> Component:
    """Lay out the page. The energy panel needs the current settings."""
    energy = energy_panel("overview", services().settings.table())
    panels = (energy, CPU, MEMORY, GPU, FRAMES, REQUESTS, TRAFFIC, PROCESSES, DISK, COST)
    return page("overview", "Overview", Group(panels))
