"""System: processor, memory, disk, temperatures, graphics cards, processes, and the collectors behind all pages."""

from __future__ import annotations

import dash
from dash.development.base_component import Component

from wfmon.ui import services
from wfmon.ui.kit.panels import Group, Panel, page
from wfmon.ui.kit.parts import chart, machine_fact, note, several, small, stat, value
from wfmon.ui.kit.tables import collectors, processes

dash.register_page(__name__, path="/system", name="System", title="System · wfmon", order=2, icon="system")

PROCESSOR = (
    Panel(
        "cpu",
        "CPU",
        chart("system.cpu_percent", label="CPU in use, all cores", height=148),
        width=6,
        now=value("system.cpu_percent"),
        foot=(stat("p95", "system.cpu_percent", "p95"), stat("max", "system.cpu_percent", "max")),
        collector="system",
    ),
    Panel(
        "cores",
        "Cores",
        chart("system.cpu_core_percent", label="CPU in use, each core", height=124, colors=(None,), legend=True),
        width=6,
        now=value("system.cpu_core_percent", stat="count"),
        collector="system",
    ),
    Panel(
        "load",
        "Load",
        chart(
            "system.load_1m",
            "system.load_5m",
            "system.load_15m",
            label="Load: running and waiting tasks, averaged over 1, 5 and 15 minutes",
            colors=("--s-1", "--s-2", "--s-3"),
            names=("1 min", "5 min", "15 min"),
        ),
        now=value("system.load_1m"),
        foot=(
            note("5 min ", value("system.load_5m", absent="–")),
            note("15 min ", value("system.load_15m", absent="–")),
        ),
        collector="system",
    ),
    Panel(
        "temperatures",
        "Temperatures",
        chart("system.temperature_celsius", label="Sensor temperatures", colors=(None,), low=None),
        now=value("system.temperature_celsius", stat="max"),
        foot=(
            note(value("system.temperature_celsius", stat="count", absent="0"), " sensors"),
            note("highest in the window"),
        ),
        collector="system",
    ),
    Panel(
        "memory",
        "Memory",
        chart("system.memory_used_bytes", label="Memory in use", colors=("--s-3",)),
        now=value("system.memory_used_bytes"),
        foot=(
            note(value("system.memory_percent"), " of ", value("system.memory_total_bytes")),
            note(value("system.memory_available_bytes"), " free"),
        ),
        collector="system",
    ),
    Panel(
        "swap",
        "Swap",
        chart("system.swap_used_bytes", label="Swap in use", colors=("--s-4",)),
        now=value("system.swap_used_bytes"),
        foot=(
            note("of ", value("system.swap_total_bytes", absent="none")),
            stat("max", "system.swap_used_bytes", "max"),
        ),
        collector="system",
    ),
)

DISK = (
    Panel(
        "disk",
        "Disk traffic",
        chart(
            "system.disk_read_bytes_per_second",
            "system.disk_write_bytes_per_second",
            label="Disk traffic: read and write, all disks",
            height=96,
            colors=("--s-2", "--s-6"),
            names=("read", "write"),
            legend=True,
        ),
        width=8,
        now=value("system.disk_read_bytes_per_second", "system.disk_write_bytes_per_second"),
        foot=(
            stat("read, max", "system.disk_read_bytes_per_second", "max"),
            stat("write, max", "system.disk_write_bytes_per_second", "max"),
        ),
        collector="system",
    ),
    Panel(
        "free",
        "Disk space",
        chart(
            "system.disk_free_bytes",
            label="Free space on the disk of the data folder",
            height=96,
            colors=("--s-5",),
        ),
        width=4,
        now=value("system.disk_free_bytes"),
        foot=(
            note("free ", value("system.disk_free_percent"), " of ", value("system.disk_total_bytes")),
            note("disk of the data folder"),
        ),
        collector="system",
    ),
)

GPU = Panel(
    "gpu",
    "Graphics cards",
    several(
        small("Utilisation", "gpu.utilisation_percent"),
        small("Memory", "gpu.memory_used_bytes"),
        small("Temperature", "gpu.temperature_celsius"),
        small("Power", "gpu.power_watts"),
    ),
    width=12,
    foot=(
        machine_fact("gpus"),
        note(
            "memory ",
            value("gpu.memory_total_bytes", absent="–"),
            " · limit ",
            value("gpu.power_limit_watts", absent="–"),
        ),
        note("clock ", value("gpu.clock_mhz", stat="max", absent="–")),
    ),
    collector="gpu",
)

PROCESSES = Panel(
    "processes",
    "Busiest processes",
    processes(),
    width=12,
    foot=(note("updated only while this panel is visible"),),
    charted=False,
    collector="system",
)


def layout(**_query: str) -> Component:
    """Lay out the page with the current state of the collectors."""
    return page(
        "system",
        "System",
        Group(PROCESSOR, "Processor and memory"),
        Group((*DISK, GPU, PROCESSES), "Disk, graphics, processes"),
        Group(
            (Panel("collectors", "Collectors", collectors(services().live.collectors()), width=12, charted=False),),
            "What is measured",
            "A collector that is switched off measures nothing. The choice is saved.",
        ),
    )
