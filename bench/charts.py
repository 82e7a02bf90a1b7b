"""Which renderer draws the page's charts: 12 at 60 Hz in a real Chromium, ours beside uPlot.

    .venv-test/bin/python bench/charts.py [--seconds N] [--rounds N] [--no-save]

Needs npm, to fetch uPlot into a temporary folder. Each case is run several times in turn within one browser; what
counts is the ratio in the same run. The raw numbers go to bench/results/charts-<date>.json; docs/adr/0002 uses them.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import psutil
from common import ROOT, chromium, machine, percentile, save

UPLOT = "uplot@1.6.32"
CASES = (("empty", 0), ("own", 1_800), ("uplot", 1_800), ("own", 18_000), ("uplot", 18_000))
"""Kind and points a chart: windows of 30 s and of 5 min at 60 Hz."""
PAGE = ROOT / "bench" / "charts"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the benchmark's folder; modules need their type."""

    extensions_map: ClassVar[dict[str, str]] = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def log_message(self, *args) -> None:
        """Say nothing: the table is the output."""


def lay_out(folder: Path) -> None:
    """Put page, engine and uPlot into one folder."""
    for path in PAGE.iterdir():
        shutil.copy(path, folder)
    shutil.copytree(ROOT / "assets" / "lib", folder / "assets" / "lib")
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("bench/charts.py needs npm, to fetch uPlot for the comparison: install npm.")
    subprocess.run([npm, "pack", "--silent", UPLOT], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    shutil.unpack_archive(next(folder.glob("uplot-*.tgz")), folder / "npm")
    (folder / "uplot").mkdir()
    for name in ("uPlot.esm.js", "uPlot.min.css"):
        shutil.copy(folder / "npm" / "package" / "dist" / name, folder / "uplot")


def cpu_s(root: psutil.Process) -> float:
    """CPU seconds of a process and all below it."""
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def measure(driver, browser: psutil.Process, kind: str, points: int, seconds: float) -> dict:
    """Run one case once."""
    before, begun = cpu_s(browser), time.monotonic()
    seen = driver.execute_async_script(
        "bench.run(arguments[0], arguments[1], arguments[2]).then(arguments[3]);", kind, points, seconds
    )
    cpu, span = cpu_s(browser) - before, time.monotonic() - begun
    return {**seen, "cpu_percent": 100 * cpu / span}


def summarise(runs: list[dict]) -> dict:
    """Give the figures of all runs of a case; the best run stands for it, since another program's burst is not ours."""
    best = min(runs, key=lambda run: percentile(run["work"], 50))
    return {
        "fps": 1000 * len(best["intervals"]) / sum(best["intervals"]),
        "work_p50_ms": percentile(best["work"], 50), "work_p95_ms": percentile(best["work"], 95),
        "late_share": sum(ms > 25 for ms in best["intervals"]) / len(best["intervals"]),
        "cpu_percent": min(run["cpu_percent"] for run in runs),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case")
    parser.add_argument("--no-save", action="store_true", help="only print the table")
    asked = parser.parse_args()
    runs: dict[str, list[dict]] = {_name(*case): [] for case in CASES}
    with tempfile.TemporaryDirectory(prefix="wfmon-charts-") as name:
        folder = Path(name)
        lay_out(folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        driver = chromium()
        try:
            driver.set_script_timeout(asked.seconds + 30)
            driver.get(f"http://127.0.0.1:{server.server_port}/index.html")
            browser = psutil.Process(driver.service.process.pid)
            version = driver.capabilities["browserVersion"]
            for _ in range(asked.rounds):
                for case in CASES:
                    runs[_name(*case)].append(measure(driver, browser, *case, asked.seconds))
        finally:
            driver.quit()
            server.shutdown()
    table = {name: summarise(of) for name, of in runs.items()}
    print("12 charts, points each      FPS   work p50   work p95   CPU of a core (browser)")
    for kind, row in table.items():
        work = f"{row['work_p50_ms']:7.2f} ms {row['work_p95_ms']:7.2f} ms"
        print(f"{kind:24s}{row['fps']:8.1f} {work} {row['cpu_percent']:8.0f} %")
    for points in (1_800, 18_000):
        ratio = table[_name("uplot", points)]["work_p50_ms"] / table[_name("own", points)]["work_p50_ms"]
        print(f"{points} points: uPlot takes {ratio:.1f} times the main thread of ours")
    if not asked.no_save:
        rounded = {kind: [{k: _short(v) for k, v in run.items()} for run in of] for kind, of in runs.items()}
        result = {"machine": machine(), "chromium": version, "uplot": UPLOT, "table": table, "runs": rounded}
        print(save("charts", result).relative_to(ROOT))


def _name(kind: str, points: int) -> str:
    return f"{kind} {points}" if points else kind


def _short(value: object) -> object:
    return [round(ms, 2) for ms in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
