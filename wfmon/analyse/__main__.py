"""``-m wfmon.analyse``: analyse the history, write the insights as JSON to standard output, and exit."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy reads it when it is imported

import numpy as np
import pandas as pd
from sqlalchemy import create_engine, select

from wfmon.analyse.insights import Past, insights
from wfmon.core import commands
from wfmon.core.zones import zone_of
from wfmon.store.buckets import Buckets
from wfmon.store.read import Reader
from wfmon.store.schema import request
from wfmon.store.tiers import TIERS

HOURLY, FINE = TIERS[4], TIERS[3]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 with a sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog=commands.typed("-m", "wfmon.analyse"), description="Report what changed in the past, as JSON."
    )
    parser.add_argument("file", type=Path, help="the history, wfmon.db")
    parser.add_argument("--now", type=int, required=True, metavar="MS", help="where the span ends, UTC milliseconds")
    parser.add_argument("--days", type=int, default=7, metavar="N", help="days; as many before are compared")
    parser.add_argument("--zone", default="", metavar="NAME", help="the user's zone, such as Europe/Berlin")
    parser.add_argument("--offset", type=int, default=0, metavar="S", help="without it: seconds east of UTC")
    options = parser.parse_args(argv)
    if not options.file.exists():
        sys.stderr.write(f"{options.file}: there is no history yet.\n")
        return 2
    zone = zone_of(options.zone, options.offset)
    report = insights(_past(options.file, options.now, options.days), options.now, options.days, zone)
    json.dump(report, sys.stdout, allow_nan=False)
    return 0


def _past(path: Path, now_ms: int, days: int) -> Past:
    reader = Reader(path)
    numbers = {each.text: each.id for each in reader.series()}
    from_s, to_s = now_ms // 1_000 - 2 * days * 86_400, now_ms // 1_000

    def series(text: str) -> pd.Series:
        found = reader.buckets([numbers[text]], from_s, to_s, HOURLY)[numbers[text]]
        return pd.Series(found.figures.mean.astype(np.float64), index=found.t_s)

    def within(text: str, limit: float) -> tuple[float, int] | None:
        return share_within(reader.buckets([numbers[text]], to_s - days * 86_400, to_s, FINE)[numbers[text]], limit)

    return Past(_requests(path, from_s * 1_000, now_ms), series, within, tuple(numbers))


def share_within(buckets: Buckets, limit: float) -> tuple[float, int] | None:
    """Return the share of samples at or under a limit, from sketches (within 2 % of the limit), and their number."""
    counts = buckets.sketch.counts.astype(np.int64)
    total = int(counts.sum())
    return (float(counts[buckets.sketch.values() <= limit].sum() / total), total) if total else None


def _requests(path: Path, from_ms: int, to_ms: int) -> pd.DataFrame:
    wanted = select(request).where(request.c.started_ms >= from_ms, request.c.started_ms < to_ms)
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    try:
        with engine.connect() as connection:
            found = pd.read_sql(wanted.order_by(request.c.started_ms), connection)
    finally:
        engine.dispose()
    found["causes"] = found["causes"].map(json.loads)
    return found


if __name__ == "__main__":
    sys.exit(main())
