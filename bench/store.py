"""What the history costs and how fast it answers, in one run on this machine, and print the table.

    .venv-test/bin/python bench/store.py [--quick] [--only writer,month,query,rows,page]

Each part runs in a process of its own, on a clock that is told to move. The writer folds and seals an hour of noise,
which hardly compresses; a month of 200 series is built through the same writer, in steps that leave some samples for
each bucket that is kept; every span is asked of it; and one series of it stands beside, as plain rows of SQL. The raw
numbers go to bench/results/store-<date>.json.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import ROOT, machine, percentile, save
from history import CHARTS, measure_page
from tables import markdown, write

sys.path.insert(0, str(ROOT))

from scripts.seed_history import BATCH_STEPS, KEEP, PHASES
from wfmon.analyse.query import HistoryQueries, Hot
from wfmon.core.catalogue import METRICS
from wfmon.core.clock import FakeClock
from wfmon.core.memory import tighten
from wfmon.core.types import Series
from wfmon.store import seal, writer
from wfmon.store.intake import Pulled, SampleSource
from wfmon.store.read import Reader
from wfmon.store.series_ids import Described
from wfmon.store.tiers import DAY_S, TIERS
from wfmon.store.writer import LAG_S, Writer

END_S = int(os.environ.setdefault("BENCH_END_S", str(int(time.time()) // 300 * 300)))
"""The history ends about now, for the page looks nowhere else; the same instant in each part's process."""
LOADS = {"1,000": (100, 10), "10,000": (167, 60), "10,000 of 2,000 series": (2_000, 5)}
"""Samples a second: series, frames a second."""
SERIES = 200
PLAIN = (
    "gpu.utilisation_percent", "gpu.memory_used_bytes", "gpu.memory_total_bytes", "gpu.memory_percent",
    "gpu.temperature_celsius", "gpu.power_watts", "gpu.power_limit_watts", "gpu.clock_mhz", "gpu.memory_clock_mhz",
    "gpu.fan_percent",
)  # fmt: skip
"""Metrics in turn: ten series that follow one another are ten charts."""
EVERY = 5
"""One series in so many is a distribution."""
AT_ONCE = 8
"""Samples of a distribution at each instant of the month: as many tokens as come in a second and less."""
SPANS = {"1 h": 3_600, "6 h": 6 * 3_600, "24 h": DAY_S, "7 d": 7 * DAY_S, "30 d": 30 * DAY_S}
POINTS = 1_000
DUCKDB_S = 180
FRAME = 24 + 4_096
"""Bytes of a frame of the WAL."""


def described(count: int) -> list[Described]:
    """Series of the catalogue: one in ``EVERY`` is a distribution."""
    found = []
    for number in range(count):
        if number % EVERY == 0:
            text = Series.of("model.ttft_ms", model=f"m{number}", server="bench")
            found.append(Described(str(text), text.name, "ms", "event", distribution=True))
        else:
            plain = number - number // EVERY - 1  # the how manieth of these
            text = Series.of(PLAIN[plain % len(PLAIN)], gpu=plain // len(PLAIN))
            found.append(Described(str(text), text.name, METRICS[text.name].unit, "gauge", distribution=False))
    return found


class House:
    """A writer in accelerated time; what it writes and how long its transactions take is noted."""

    def __init__(self, folder: Path, begin_s: int, count: int) -> None:
        self.clock = FakeClock(begin_s * 1_000)
        self.ahead = Pulled(np.zeros(0, np.uint16), np.zeros(0, np.int64), np.zeros(0, np.float32))
        names = described(count)
        self.writer = Writer(folder, self.clock, SampleSource(self._pull, lambda since: names[since:]), lambda: KEEP)
        self.transactions_ms: list[float] = []
        self.transactions_cpu_ms: list[float] = []
        self.slices_ms: list[float] = []
        self._watch()
        self.writer.tick()
        self.clock.advance(LAG_S)
        self._wal_path, self._wal, self._salt, self._frame = folder / "wfmon.db-wal", None, b"", 0
        self.wal_frames = 0

    def _pull(self, from_ms: int, to_ms: int) -> Pulled:
        ids, t_ms, values = self.ahead
        part = slice(*np.searchsorted(t_ms, (from_ms, to_ms)).tolist())
        return Pulled(ids[part], t_ms[part], values[part])

    def _watch(self) -> None:
        """Time every transaction of the writer, and every slice of its sealing and forgetting."""
        times, cpus, slices = self.transactions_ms, self.transactions_cpu_ms, self.slices_ms

        class Timed(seal._transaction):
            def __enter__(self):
                self.begun, self.cpu = time.perf_counter(), time.thread_time()
                return super().__enter__()

            def __exit__(self, *what):
                super().__exit__(*what)
                times.append((time.perf_counter() - self.begun) * 1_000)
                cpus.append((time.thread_time() - self.cpu) * 1_000)

        def timed(work):
            def call(*args):
                begun = time.perf_counter()
                found = work(*args)
                slices.append((time.perf_counter() - begun) * 1_000)
                return found

            return call

        seal._transaction = writer.transaction = Timed
        seal.Sealer.advance, writer.retain = timed(seal.Sealer.advance), timed(writer.retain)

    def count_wal(self) -> None:
        """Add the frames that came into the WAL since the last call; after each beat, for it begins anew by itself.

        Never by way of the -shm file: closing it here would let go of SQLite's own locks on it.
        """
        if self._wal is None:
            self._wal = open(self._wal_path, "rb", buffering=0)  # noqa: SIM115  as long as the house stands
        salt = os.pread(self._wal.fileno(), 8, 16)
        if salt != self._salt:
            self._salt, self._frame = salt, 0
        while os.pread(self._wal.fileno(), 8, 32 + self._frame * FRAME + 8) == salt:
            self._frame += 1
            self.wal_frames += 1


def written_bytes() -> int:
    """Bytes that this process has written to files."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("wchar")))


def measure_writer(load: str, seconds: int) -> dict:
    """CPU of the writer's beats at one load, as a share of a core; an hour, so that two tiers are sealed."""
    tighten()  # as the monitor does
    count, hz = LOADS[load]
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="wfmon-bench-") as folder:
        house = House(Path(folder), END_S, count)
        ids = np.tile(np.arange(count, dtype=np.uint16), hz)
        spent, beats, wrote = 0.0, [], written_bytes()
        for _ in range(seconds):
            from_ms = house.writer.written_to_ms
            t_ms = from_ms + np.repeat(np.arange(hz) * 1_000 // hz, count)
            house.ahead = Pulled(ids, t_ms, rng.lognormal(3, 1, count * hz).astype(np.float32))
            house.clock.advance(1)
            begun, cpu = time.perf_counter(), time.thread_time()
            house.writer.tick()
            spent += time.thread_time() - cpu
            beats.append((time.perf_counter() - begun) * 1_000)
            house.count_wal()
        wrote, counts = written_bytes() - wrote, house.writer.counts
        assert counts["samples"] == count * hz * seconds, counts
        assert not counts["lost"] + counts["folded"], counts
        return {
            "series": count,
            "rate": count * hz,
            "seconds": seconds,
            "cpu_percent": spent / seconds * 100,
            "beat_ms": {"p50": percentile(beats, 50), "p99": percentile(beats, 99), "max": max(beats)},
            "transaction_ms_max": max(house.transactions_ms),
            "wal_bytes": house.wal_frames * FRAME,
            "written_bytes": wrote,
            "rss_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }


def measure_month(folder: Path, days: float) -> dict:
    """Build a history of 200 series that never stops, and weigh it."""
    tighten()
    rng, begin_s, begun = np.random.default_rng(1), END_S - round(days * DAY_S), time.perf_counter()
    house = House(folder, begin_s, SERIES)
    each = [np.full(AT_ONCE if number % EVERY == 0 else 1, number) for number in range(SERIES)]
    ids = np.concatenate(each).astype(np.uint16)
    for phase in PHASES:
        until_s = END_S - phase.until_ago_s
        while (left_s := until_s - house.writer.written_to_ms // 1_000) > 0:
            span_s = min(BATCH_STEPS * phase.step_s, left_s // phase.step_s * phase.step_s)
            if not span_s:
                break
            t_ms = np.arange(span_s // phase.step_s) * phase.step_s * 1_000 + house.writer.written_to_ms
            values = rng.lognormal(3, 1, len(t_ms) * len(ids)).astype(np.float32)
            house.ahead = Pulled(np.tile(ids, len(t_ms)), np.repeat(t_ms, len(ids)), values)
            house.clock.advance(span_s)
            house.writer.tick()
            house.writer.tidy_all()
            house.count_wal()
    took_s = time.perf_counter() - begun
    house.writer.finish()
    usage = Reader(house.writer.path).usage()
    sizes, times, slices = usage["series"], house.transactions_ms, house.slices_ms
    buckets = count_buckets(house.writer.path)
    return {
        "days": days, "series": SERIES, "built_s": took_s, "counts": dict(house.writer.counts),
        "file_bytes": usage["bytes"], "free_bytes": usage["free_bytes"], "journal_to_s": END_S,
        "tiers": {
            row["name"]: {
                "bytes": row["bytes"], "chunks": row["chunks"], "buckets": buckets.get(row["name"], 0),
                "bytes_a_bucket": row["bytes"] / buckets[row["name"]] if buckets.get(row["name"]) else None,
            }
            for row in usage["tiers"]
        },
        "plain_bytes": sum(size for text, size in sizes.items() if "ttft" not in text),
        "distribution_bytes": sum(size for text, size in sizes.items() if "ttft" in text),
        "transaction_ms": {
            "count": len(times), "p50": percentile(times, 50), "p99.9": percentile(times, 99.9), "max": max(times),
            "cpu_max": max(house.transactions_cpu_ms),
        },
        "slice_ms": {"count": len(slices), "p99.9": percentile(slices, 99.9), "max": max(slices)},
        "rss_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip


def count_buckets(path: Path) -> dict[str, int]:
    """Count the buckets of each tier, by the heads of its chunks."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT tier, substr(data, 1, 7) FROM chunk")
        found: dict[str, int] = {}
        for tier, head in rows:
            name = TIERS[tier].name
            found[name] = found.get(name, 0) + struct.unpack("<BHI", head)[1]
    return found


def history(folder: Path) -> tuple[HistoryQueries, int]:
    """What answers queries, with five minutes in memory as the monitor has; and now, in milliseconds."""
    now_ms, since_ms = END_S * 1_000, END_S * 1_000 - 300_000
    hot_ms = np.arange(since_ms, now_ms, 100)
    hot_values = np.random.default_rng(2).lognormal(3, 1, len(hot_ms)).astype(np.float32)

    def samples(_: str, from_ms: int, to_ms: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(*np.searchsorted(hot_ms, (from_ms, to_ms)).tolist())
        return hot_ms[part], hot_values[part]

    return HistoryQueries(
        Reader(folder / "wfmon.db"), Hot(lambda: since_ms, samples, list), lambda: now_ms, lambda: KEEP
    ), now_ms


def measure_query(folder: Path, times: int) -> dict:
    """Milliseconds of every span at 1,000 points, as the API asks for them."""
    tighten()
    answers, now_ms = history(folder)
    names = [each.text for each in described(SERIES)]
    plain = [name for number, name in enumerate(names) if number % EVERY]
    spread = [name for number, name in enumerate(names) if number % EVERY == 0]
    ways = {"one": (plain, 1, "envelope"), "p95": (spread, 1, "p95"), "ten": (plain, 10, "envelope")}
    found: dict = {}
    for way, (among, at_once, fn) in ways.items():
        for span, span_s in SPANS.items():
            spent, points = [], 0
            for turn in range(times):
                chosen = [among[(turn * at_once + one) % len(among)] for one in range(at_once)]
                begun = time.perf_counter()
                told = answers.query(chosen, now_ms - span_s * 1_000, now_ms, POINTS, fn)
                spent.append((time.perf_counter() - begun) * 1_000)
                points = len(told["series"][0]["points"])
                known = sum(row[1] is not None for row in told["series"][0]["points"])
            found.setdefault(way, {})[span] = {
                "p50_ms": percentile(spent, 50), "p95_ms": percentile(spent, 95), "tier": told["tier"],
                "step_ms": told["step_ms"], "points": points, "known": known,
            }  # fmt: skip
    found["rss_peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return found


def measure_rows(folder: Path, times: int, *, duck: bool) -> dict:
    """The buckets of one series as rows of SQL, a table of its own with the time as key, and the same spans of it."""
    reader = Reader(folder / "wfmon.db")
    name = next(each.text for number, each in enumerate(described(SERIES)) if number % EVERY)
    number = next(each.id for each in reader.series() if each.text == name)
    answers, now_ms = history(folder)
    path = folder / "rows.db"
    path.unlink(missing_ok=True)
    found: dict = {"series": 1, "spans": {}}
    with sqlite3.connect(path) as connection:
        for tier in TIERS:
            connection.execute(f"CREATE TABLE t{tier.number} (t_s INTEGER PRIMARY KEY, samples, mean, low, high, last)")
            kept = reader.buckets([number], END_S - 40 * DAY_S, END_S, tier)[number]
            columns = [kept.t_s.tolist(), *(column.tolist() for column in kept.figures)]
            connection.executemany(f"INSERT INTO t{tier.number} VALUES (?, ?, ?, ?, ?, ?)", zip(*columns, strict=True))
        connection.commit()
        found["rows"] = sum(connection.execute(f"SELECT count(*) FROM t{tier.number}").fetchone()[0] for tier in TIERS)
        found["bytes"] = path.stat().st_size
        for span, span_s in SPANS.items():
            told = answers.query([name], now_ms - span_s * 1_000, now_ms, POINTS)
            tier = next(tier for tier in TIERS if tier.name == told["tier"])
            asked = (told["step_ms"] // 1_000, tier.number, END_S - span_s)
            spent = []
            for _ in range(times):
                begun = time.perf_counter()
                with sqlite3.connect(path) as reading:
                    rows = reading.execute(grouped(*asked)).fetchall()
                spent.append((time.perf_counter() - begun) * 1_000)
            found["spans"][span] = {"p50_ms": percentile(spent, 50), "points": len(rows), "asked": asked}
        if duck:
            for tier in TIERS:
                with open(folder / f"t{tier.number}.csv", "w") as file:
                    rows = connection.execute(f"SELECT * FROM t{tier.number}")
                    file.write("t_s,samples,mean,low,high,last\n")
                    file.writelines(",".join(map(str, row)) + "\n" for row in rows)
    found["duckdb"] = measure_duckdb(folder, found["spans"], times) if duck else {"absent": "not asked for"}
    return found


def grouped(step_s: int, tier: int, from_s: int) -> str:
    """The same points as a statement."""
    return (
        f"SELECT t_s - t_s % {step_s} AS begun_s, min(low), sum(mean * samples) / sum(samples), max(high)"
        f" FROM t{tier} WHERE t_s >= {from_s} GROUP BY begun_s ORDER BY begun_s"
    )


DUCK = """
import duckdb, json, os, statistics, sys, time
folder, spans, times = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
path = os.path.join(folder, "rows.duckdb")
connection = duckdb.connect(path, config={"threads": 1})
for number in range(5):
    connection.execute(f"CREATE TABLE t{number} AS SELECT * FROM read_csv('{folder}/t{number}.csv')")
connection.execute("CHECKPOINT")
found = {}
for span, statement in spans.items():
    spent = []
    for _ in range(times):
        begun = time.perf_counter()
        rows = connection.execute(statement).fetchall()
        spent.append((time.perf_counter() - begun) * 1_000)
    found[span] = {"p50_ms": statistics.median(spent), "points": len(rows)}
print(json.dumps({"version": duckdb.__version__, "bytes": os.path.getsize(path), "spans": found}))
"""


def measure_duckdb(folder: Path, spans: dict, times: int) -> dict:
    """The same rows in DuckDB, in an environment that goes afterwards; it stays open between questions."""
    place = folder / "duckdb-venv"
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", place], check=True, timeout=DUCKDB_S, capture_output=True, text=True
        )
        python = str(place / "bin" / "python")
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "duckdb"]
        subprocess.run(pip, check=True, timeout=DUCKDB_S, capture_output=True, text=True)
        asked = {span: grouped(*row["asked"]) for span, row in spans.items()}
        command = [python, "-c", DUCK, str(folder), json.dumps(asked), str(times)]
        return json.loads(subprocess.run(command, check=True, timeout=DUCKDB_S, capture_output=True, text=True).stdout)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
        return {"absent": f"{type(error).__name__}: {''.join(map(str, said))}"}
    finally:
        shutil.rmtree(place, ignore_errors=True)


def table(result: dict) -> list[tuple[str, str, str, bool | None]]:
    """Rows: what, promised, measured, whether it holds."""
    rows: list[tuple[str, str, str, bool | None]] = []
    for load, found in result.get("writer", {}).items():
        cpu = found["cpu_percent"]
        promised = "<= 1 %" if load == "10,000" else "stated"
        rows.append((f"writer, {load} samples/s: CPU, of one core, sealing included", promised, f"{cpu:.2f} %",
                     cpu <= 1 if load == "10,000" else None))  # fmt: skip
        day = 86_400 / found["seconds"] / 1e9
        wrote = f"{found['wal_bytes'] * day:.2f} / {found['written_bytes'] * day:.2f} GB"
        rows.append((f"writer, {load} samples/s: WAL / all written a day, from {found['seconds'] // 60} min",
                     "stated", wrote, None))  # fmt: skip
    if found := result.get("month"):
        size = found["file_bytes"]
        days = f"{found['days']:g} days x {found['series']} series"
        rows.append((f"{days}, {found['series'] // EVERY} of them with quantiles: the file", "<= 310 MB",
                     f"{size / 1e6:.0f} MB", size <= 310e6))  # fmt: skip
        plain = found["plain_bytes"] / (SERIES - SERIES // EVERY) / 1e6
        spread = found["distribution_bytes"] / (SERIES // EVERY) / 1e6
        rows.append(("one series on disk: without / with quantiles", "stated", f"{plain:.2f} / {spread:.2f} MB", None))
        weights = [f"{tier['bytes_a_bucket']:.1f}" if tier["buckets"] else "-" for tier in found["tiers"].values()]
        rows.append((f"bytes per bucket: {' / '.join(found['tiers'])}", "stated", " / ".join(weights), None))
        times = found["transaction_ms"]
        rows += [
            ("longest transaction of the writer, sealing and deleting", "<= 20 ms", f"{times['max']:.1f} ms",
             times["max"] <= 20),
            (f"of {times['count']:,} transactions the 99.9th percentile / the longest in CPU time", "stated",
             f"{times['p99.9']:.1f} / {times['cpu_max']:.1f} ms", None),
            ("peak RSS of the process that built it", "stated", f"{found['rss_peak'] / 1e6:.0f} MB", None),
        ]  # fmt: skip
    words = {"one": "one series", "p95": "p95 of one series", "ten": "ten series"}
    for way, spans in result.get("query", {}).items():
        if way in words:
            for span, found in spans.items():
                holds = found["p95_ms"] <= 20 if way == "one" else None
                what = f"history query, {words[way]}, {span} ({found['tier']}, {found['points']:,} points)"
                rows.append((f"{what}: p50 / p95",
                             "<= 20 ms" if way == "one" else "stated",
                             f"{found['p50_ms']:.1f} / {found['p95_ms']:.1f} ms", holds))  # fmt: skip
    if found := result.get("rows"):
        ours = result.get("query", {}).get("one", {})
        for span, theirs in found["spans"].items():
            if span in ours:
                mine = ours[span]["p50_ms"]
                duck = found["duckdb"].get("spans", {}).get(span)
                third = "absent" if duck is None else f"{duck['p50_ms']:.1f}"
                rows.append((f"{span}: ours / its buckets as SQL rows, GROUP BY / DuckDB, p50", "stated",
                             f"{mine:.1f} / {theirs['p50_ms']:.1f} / {third} ms", None))  # fmt: skip
        duck = found["duckdb"].get("bytes")
        plain = result.get("month", {}).get("plain_bytes", 0) / (SERIES - SERIES // EVERY)
        third = "absent" if duck is None else f"{duck / 1e6:.2f}"
        rows.append(("one series on disk: ours / SQL rows / DuckDB", "stated",
                     f"{plain / 1e6:.2f} / {found['bytes'] / 1e6:.2f} / {third} MB", None))  # fmt: skip
    if found := result.get("page"):
        for name, took in found["ranges"].items():
            what = f"History, {found['charts']} charts, {name} ({took['points']:,} points): click to paint, p50 / p95"
            rows.append((what, "<= 400 ms", f"{took['p50_ms']:.0f} / {took['p95_ms']:.0f} ms", took["p95_ms"] <= 400))
    return rows


PARTS = ("writer", "month", "query", "rows", "page")


def child(*args: str) -> dict:
    """Run one part in a process of its own."""
    command = [sys.executable, __file__, *args]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="three days and eleven minutes, for trying the script itself"
    )
    parser.add_argument("--only", default=",".join(PARTS), help="some of the parts; nothing is kept then")
    parser.add_argument("--no-duckdb", action="store_true", help="do not try to install it")
    parser.add_argument("--write", action="store_true", help="put the table into docs/measured.md and the README")
    parser.add_argument("--folder", type=Path, help="keep the month here, and take it from here if it is there")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options, _ = parser.parse_known_args()  # `make bench` gives all benchmarks the same
    days, seconds, times = (3.0, 660, 10) if options.quick else (30.0, 3_960, 40)
    if options.part:
        part, argument = options.part
        work = {
            "writer": lambda: measure_writer(argument, seconds),
            "month": lambda: measure_month(Path(argument), days),
            "query": lambda: measure_query(Path(argument), times),
            "rows": lambda: measure_rows(Path(argument), times, duck=not options.no_duckdb),
            "page": lambda: measure_page(
                Path(argument), [each.text for each in described(20) if not each.distribution][:CHARTS]
            ),
        }[part]
        print(json.dumps(work()))
        return
    wanted = options.only.split(",")
    more = [flag for flag, on in (("--quick", options.quick), ("--no-duckdb", options.no_duckdb)) if on]
    result: dict = {"machine": {**machine(), "numpy": np.__version__, "sqlite": sqlite3.sqlite_version}}
    if "writer" in wanted:
        result["writer"] = {load: child(*more, "--part", "writer", load) for load in LOADS}
    with tempfile.TemporaryDirectory(prefix="wfmon-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for part in ("month", "query", "rows", "page"):
            if part in wanted and not (part == "month" and (folder / "wfmon.db").exists()):
                result[part] = child(*more, "--part", part, str(folder))
                print(f"measured {part}", file=sys.stderr)
    words = {True: "holds", False: "MISSED", None: ""}
    rows = [(what, promised, measured, words[holds]) for what, promised, measured, holds in table(result)]
    print(markdown(rows))
    if set(wanted) == set(PARTS) and not options.quick:
        print(f"\nraw numbers: {save('store', result).relative_to(ROOT)}")
        if options.write:
            write(rows, result["machine"], "store", "SQLite " + sqlite3.sqlite_version)


if __name__ == "__main__":
    os.umask(0o077)
    main()
