"""What the page says is what the monitor measures, and what the monitor measures is so."""

from __future__ import annotations

import math
import os
import re
import socket
import subprocess
import sys
import time

import psutil
import pytest

from tests.browser.driving import Recorder, eventually

FIGURES = """
const statOf = (e) => e.dataset.stat ?? "last";
const figures = [...document.querySelectorAll("[data-page] [data-value]")];
const now = figures.filter((e) => ["last", "count"].includes(statOf(e)));
return now.map((e) => [e.dataset.value, statOf(e), e.dataset.unit, e.firstChild.data, e.lastChild.textContent]);
"""
TABLE = """
const rows = document.querySelectorAll(arguments[0] + " tr");
const cells = (row) => [...row.cells].map((cell, i) => [cell.dataset.col ?? i, cell.textContent]);
return [...rows].map((row) => Object.fromEntries(cells(row)));
"""
LISTENERS = "[data-table=listeners] tbody"
PROCESSES = "[data-table=processes] tbody"
BURN = "import sys; sys.stdout.write('.'); sys.stdout.flush(); x = bytearray(50_000_000)\nwhile True: pass"
SCALES = {
    "B": {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12},
    "s": {"ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400},
    "ms": {"ms": 1, "s": 1e3, "min": 6e4},
    "us": {"µs": 1, "ms": 1e3},
    "MHz": {"Hz": 1e-6, "kHz": 1e-3, "MHz": 1, "GHz": 1e3},
}
SCALES["B/s"] = {f"{unit}/s": scale for unit, scale in SCALES["B"].items()}
PREFIXES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
MEANS = ("%", "°C", "ms", "MHz")
"""Units of which several series together are a mean, not a sum."""
LOOK_S = 1.2


def read(number, unit, wanted):
    """Give a figure of the page in the metric's own unit, and how far rounding may have moved it; None if absent."""
    match = re.fullmatch(r"(-?\d+(?:\.(\d+))?)([kMG]?)", number)
    if not match:
        return None
    scale = SCALES[wanted][unit] if wanted in SCALES else PREFIXES[match[3]]
    return float(match[1]) * scale, 0.5000001 * scale / 10 ** len(match[2] or "")


def key(row):
    labels = ",".join(f'{name}="{row["labels"][name]}"' for name in sorted(row["labels"]))
    return f"{row['name']}{{{labels}}}" if labels else row["name"]


def measured(latest, selectors, stat, unit):
    """Give what a figure should say of these latest values."""
    found = [
        row["value"] for s in selectors for row in latest if s in (row["name"], key(row)) and row["value"] is not None
    ]
    if stat == "count":
        return len(found)
    return sum(found) / (len(found) if unit in MEANS else 1) if found else math.nan


def fits(text, unit, truth):
    """Whether a figure lies between the least and the greatest of what was true, but for rounding."""
    said = read(*text, unit)
    if said is None or any(map(math.isnan, truth)):
        return said is None and math.isnan(truth[-1])
    return min(truth) - said[1] <= said[0] <= max(truth) + said[1]


def look(page, good):
    """Watch the monitor for a second, then read the page: put what fits into ``good``, give what does not."""
    seen, until = [], time.monotonic() + LOOK_S
    while time.monotonic() < until:
        seen.append(page.monitor.ask("/api/v1/latest")["series"])
        time.sleep(0.03)
    wrong = {}
    for value, stat, unit, *text in page.js(FIGURES):
        selectors = re.findall(r"[^\s{]+(?:\{[^}]*\})?", value)
        truth = [measured(latest, selectors, stat, unit) for latest in seen]
        if fits(text, unit, truth):
            good.add((value, stat, unit))
        elif (value, stat, unit) not in good:
            wrong[value, stat, unit] = text, min(truth), max(truth)
    return wrong


@pytest.mark.parametrize(("name", "least"), [("system", 18), ("network", 6)])
def test_every_figure_is_what_the_monitor_measured_in_the_second_before(page, values, name, least):
    page.open(name)
    good, wrong = set(), {}
    for _ in range(8):  # a figure that changed between two looks of ours is looked at again
        wrong = look(page, good)
        if not wrong:
            break
    assert wrong == {}
    assert len(good) >= least


def test_the_machines_own_facts_are_those_of_the_system(page, values):
    page.open("system")
    memory = psutil.virtual_memory()
    eventually(lambda: page.text("[data-panel=cores] .now .value") == str(os.cpu_count()))
    shown = "const e = document.querySelector(arguments[0]); return [e.firstChild.data, e.lastChild.textContent]"
    total, off = eventually(lambda: read(*page.js(shown, "[data-value='system.memory_total_bytes']"), "B"))
    assert abs(total - memory.total) <= off


def test_a_listener_that_opens_here_is_listed_with_its_port_and_process(page, values):
    page.open("network")
    eventually(lambda: page.js(TABLE, LISTENERS))
    count = int(page.text("[data-panel=listeners] .now .value"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        (row,) = eventually(lambda: [row for row in page.js(TABLE, LISTENERS) if row["port"] == port])
        assert row["pid"] == str(os.getpid())
        assert row["process"] == psutil.Process().name()
        assert row["address"] == "127.0.0.1"
        eventually(lambda: int(page.text("[data-panel=listeners] .now .value")) > count)
    eventually(lambda: port not in [row["port"] for row in page.js(TABLE, LISTENERS)])


def test_a_busy_process_is_listed_with_its_name_cpu_and_memory(page, values):
    page.open("system")
    page.js("document.querySelector('[data-panel=processes]').scrollIntoView()")
    eventually(lambda: page.js(TABLE, PROCESSES))
    with subprocess.Popen([sys.executable, "-c", BURN], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout.read(1)
            pid = str(busy.pid)
            row = eventually(lambda: next(row for row in page.js(TABLE, PROCESSES) if row.get("pid") == pid))
            assert row["name"] == psutil.Process(busy.pid).name()
            assert read(*row["cpu_percent"].split(), "%")[0] > 5
            assert read(*row["rss_bytes"].split(), "B")[0] == pytest.approx(
                psutil.Process(busy.pid).memory_info().rss, rel=0.1
            )
        finally:
            busy.kill()
    eventually(lambda: pid not in [row.get("pid") for row in page.js(TABLE, PROCESSES)])


def test_a_charts_table_is_what_the_stream_carried(page, monitor, values):
    page.load("system")  # as the recorder, it knows what was before from the snapshot alone
    recorder = Recorder(monitor)
    try:
        eventually(lambda: recorder.frames > 120)
        page.press(" ")
        page.wait_js("return wfmon.debug().frozen")
        page.js("document.querySelector('[data-panel=cpu] canvas').focus()")
        page.press("t")
        rows = page.wait_js(TABLE.replace("return [", "return rows.length && ["), "[data-panel=cpu] .chart-table tbody")
        newest = page.debug["known"] // 1000
        eventually(lambda: recorder.heard_ms > newest * 1000)
    finally:
        recorder.close()
    seconds = {time.strftime("%H:%M:%S", time.localtime(s)): s * 1000 for s in range(newest - 60, newest + 2)}
    told = {**recorder.grid["system.cpu_percent"], **recorder.samples.get("system.cpu_percent", {})}
    held = sorted((t, v) for t, v in told.items() if v is not None)
    assert len(rows) >= 5
    times = [seconds[row["0"]] for row in rows]
    assert times == [times[0] - 1000 * i for i in range(len(times))]
    compared = 0
    for at, text in zip(times, (row["1"] for row in rows), strict=True):
        said = read(*text.split(), "%") if " " in text else None
        near = [v for t, v in held if at - 250 <= t <= at + 150]
        before = [v for t, v in held if t <= at][-1:]
        if said is None:
            continue
        assert any(abs(said[0] - v) <= said[1] for v in near + before), (text, near, before)
        compared += 1
    assert compared >= 5
