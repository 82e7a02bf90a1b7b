"""What process and window cost, keep and lose.

    .venv-test/bin/python bench/pipeline.py [--seconds N | --quick] [--json]

Each load runs in a child process of its own, on a clock that is told to move: frames of many series (lognormal noise,
which hardly compresses) through the processor into the hot cache, folded once a second. CPU is what that took for one
second of data, making it left out. Beside it, in the same run: the exact pass over all series, and a deque of tuples a
series in pure Python.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402
from common import machine, save  # noqa: E402

from wfmon.core.catalogue import Metric  # noqa: E402
from wfmon.core.clock import FakeClock  # noqa: E402
from wfmon.core.memory import tighten  # noqa: E402
from wfmon.core.registry import Registry  # noqa: E402
from wfmon.core.settings import WindowSettings  # noqa: E402
from wfmon.core.types import Frame, Layout, Series  # noqa: E402
from wfmon.process import Processor  # noqa: E402
from wfmon.window import HotCache  # noqa: E402

LOADS = {  # name: (series, frames a second)
    "default": (70, 10),
    "1,000/s": (100, 10),
    "10,000/s": (167, 60),
    "10,000/s, many": (2_000, 5),
    "100,000/s": (1_667, 60),
}
NAIVE_MOST = 3_100_000
"""Samples that the pure Python model is asked to hold: 400 MB."""
RATES = 10
"""Every so many series is a counter."""


def rss() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def milliseconds(work, times=5):
    spent = []
    for _ in range(times):
        start = time.process_time()
        work()
        spent.append((time.process_time() - start) * 1000)
    return round(statistics.median(spent), 3)


class Naive:
    """The obvious way: a deque of (t_ms, value) for each series."""

    def __init__(self, ids, seconds):
        self.series = {number: deque() for number in ids}
        self.seconds = seconds

    def append(self, t_ms, values):
        for number, value in zip(self.series, values, strict=True):
            mine = self.series[number]
            mine.append((t_ms, value))
            while mine[0][0] <= t_ms - self.seconds * 1000:
                mine.popleft()

    def windows(self, span_s, now_ms):
        found = {}
        since_ms = now_ms - span_s * 1000
        for number, mine in self.series.items():
            values = []
            for t_ms, value in reversed(mine):
                if t_ms <= since_ms:
                    break
                values.append(value)
            if values:
                last = values[0]
                values.sort()
                n = len(values)
                p50, p95, p99 = (values[round(q * (n - 1))] for q in (0.5, 0.95, 0.99))
                found[number] = (n, sum(values) / n, values[0], values[-1], last, p50, p95, p99)
        return found


def measure(name: str, seconds: int) -> dict[str, object]:
    """Run one load in this process."""
    tighten()  # as the monitor does
    series, hz = LOADS[name]
    metrics = {
        "b.gauge": Metric("b.gauge", "", "gauge", "b", "A gauge.", ("k",), high=1e6, dead_band=0.05),
        "b.rate": Metric("b.rate", "/s", "gauge", "b", "A rate.", ("k",), derive="rate"),
    }
    registry, clock = Registry(metrics), FakeClock()
    layout = Layout(tuple(Series.of("b.rate" if k % RATES == 0 else "b.gauge", k=k) for k in range(series)))
    counters = np.arange(0, series, RATES)
    rng = np.random.default_rng(1)
    gc.collect()
    rss_before = rss()
    settings = WindowSettings()
    processor = Processor(registry)
    cache = HotCache(registry, clock, settings.cache_seconds, settings.cache_bytes)
    spent, came_in, folded, folds_ms, most_bytes, rss_most = 0.0, 0, [], [], 0, 0
    for _ in range(seconds):
        frames = rng.lognormal(3, 1, (hz, series))
        for values in frames:
            values[counters] = came_in
        frames[0, 1] = np.inf  # one a second that cannot be
        start = time.process_time()
        kept = 0
        for values in frames:
            clock.advance(1 / hz)
            batch = processor.step(Frame("bench", clock.now_ms(), layout, values))
            cache.append(batch)
            kept += len(batch)
        before_fold = time.process_time()
        cache.fold()
        folds_ms.append((time.process_time() - before_fold) * 1000)
        spent += time.process_time() - start
        came_in += frames.size
        folded.append(kept)
        most_bytes, rss_most = max(most_bytes, cache.bytes), max(rss_most, rss())
    held = sum(int(block.starts[-1]) for block in cache._blocks)
    dropped = processor.dropped.total() + cache.dropped.total()
    lost = came_in - sum(folded) - dropped + sum(folded[-len(cache._blocks) :]) - held
    result = {
        "load": name,
        "series": series,
        "rate": series * hz,
        "seconds": seconds,
        "cpu_percent": round(spent / seconds * 100, 3),
        "fold_ms": {
            "median": round(statistics.median(folds_ms), 3),
            "p99": round(float(np.quantile(folds_ms, 0.99)), 3),
        },
        "in": came_in,
        "dropped": dropped,
        "lost": lost,
        "cache_bytes": cache.bytes,
        "cache_bytes_most": most_bytes,
        "cache_bytes_cap": settings.cache_bytes,
        "seconds_held": round(cache.seconds_held, 1),
        "shortened": cache.shortened,
        "rss_growth_bytes": rss_most - rss_before,
        "windows_ms": {
            "1 s": milliseconds(lambda: cache.windows(1)),
            "10 s": milliseconds(lambda: cache.windows(10)),
            "300 s sketch": milliseconds(lambda: cache.windows(300)),
            "300 s exact": milliseconds(lambda: cache._exact(300), 3),
        },
        "window_of_one_300_s_exact_ms": milliseconds(lambda: cache.window(0, 300)),
        "snapshot_ms": milliseconds(cache.snapshot),
        "latest_ms": milliseconds(cache.latest),
    }
    span = min(seconds, 300 if series * hz * 300 <= NAIVE_MOST else 12)
    naive, spent = Naive(range(series), span), 0.0
    for _ in range(span):
        frames = rng.lognormal(3, 1, (hz, series)).tolist()
        start = time.process_time()
        for values in frames:
            clock.advance(1 / hz)
            naive.append(clock.now_ms(), values)
        spent += time.process_time() - start
    spans = [s for s in (1, 10, 300) if s <= span]
    result["naive"] = {
        "cpu_percent": round(spent / span * 100, 3),
        "windows_ms": {f"{s} s": milliseconds(lambda s=s: naive.windows(s, clock.now_ms()), 3) for s in spans},
        "rss_growth_bytes": rss() - rss_before - result["rss_growth_bytes"],
        "seconds_held": span,
    }
    return result


def show(results: list[dict[str, object]]) -> None:
    """Print the tables."""
    print("\nA second of data through process and window")
    print(f"{'load':16}{'series':>7}{'CPU':>8}{'fold p99':>10}{'naive*':>8}{'in':>12}{'dropped':>9}{'lost':>6}", end="")
    print(f"{'cache MB':>10}{'RSS MB':>8}{'held s':>8}{'naive MB':>12}")
    for r in results:
        naive = r["naive"]
        print(
            f"{r['load']:16}{r['series']:7}{r['cpu_percent']:7.2f}%{r['fold_ms']['p99']:7.1f} ms"
            f"{naive['cpu_percent']:7.2f}%"
            f"{r['in']:12,}{r['dropped']:9}{r['lost']:6}"
            f"{r['cache_bytes_most'] / 1e6:10.2f}{r['rss_growth_bytes'] / 1e6:8.1f}{r['seconds_held']:8.1f}"
            f"{naive['rss_growth_bytes'] / 1e6:6.0f}/{naive['seconds_held']:3} s"
        )
    print("* the naive model appends alone: no rates, no checks, no dead-band. CPU is of one core.")
    print("\nOne pass over all series, ms of CPU (in brackets: so many times faster than the naive model)")
    print(f"{'load':16}{'1 s':>16}{'10 s':>16}{'300 s sketch':>18}{'300 s exact':>12}", end="")
    print(f"{'one, exact':>11}{'snapshot':>9}{'latest':>8}")
    for r in results:
        ours, theirs = r["windows_ms"], r["naive"]["windows_ms"]
        cells = []
        for span, width in (("1 s", 16), ("10 s", 16), ("300 s", 18)):
            mine = ours["300 s sketch" if span == "300 s" else span]
            times = theirs[span] / mine if span in theirs else 0.0
            ratio = f" ({times:.{0 if times >= 10 else 1}f}x)" if times else ""
            cells.append(f"{f'{mine:.2f}{ratio}':>{width}}")
        print(
            f"{r['load']:16}{''.join(cells)}{ours['300 s exact']:12.2f}{r['window_of_one_300_s_exact_ms']:11.2f}"
            f"{r['snapshot_ms']:9.2f}{r['latest_ms']:8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure process and window.")
    parser.add_argument("--seconds", type=int, default=310, help="seconds of data for each load (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="30 seconds of data: the cache does not fill")
    parser.add_argument("--json", action="store_true", help="print the raw figures and keep none")
    parser.add_argument("--load", choices=LOADS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    seconds = 30 if options.quick else options.seconds
    if options.load:
        print(json.dumps(measure(options.load, seconds)))
        return
    loads = []
    for name in LOADS:
        command = [sys.executable, __file__, "--load", name, "--seconds", str(seconds)]
        loads.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
        print(f"measured {name}", file=sys.stderr)
    result = {"machine": {**machine(), "numpy": np.__version__}, "loads": loads}
    if options.json:
        print(json.dumps(result))
    else:
        show(loads)
        print(f"\nraw figures: bench/results/{save('pipeline', result).name}")


if __name__ == "__main__":
    main()
