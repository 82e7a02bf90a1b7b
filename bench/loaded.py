"""A monitor with a synthetic load beside its real collectors.

    .venv-test/bin/python -OO bench/loaded.py RATE [app.py's arguments]

RATE samples a second come as 60 frames a second of lognormal noise in the place of many cores, through the ticker's
inbox as any collector's frames do. For bench/live.py alone.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as app.py does; numpy reads it when it is imported
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import app
from wfmon.core.types import Frame, Layout, Series
from wfmon.runtime import Runtime

FRAMES = 60
ROWS = 200


def feed(runtime: Runtime, rate: int) -> None:
    """Put frames for ever, on a schedule that does not drift."""
    count = rate // FRAMES
    layout = Layout(tuple(Series.of("system.cpu_core_percent", core=f"s{i}") for i in range(count)))
    dice = random.Random(1)  # numpy's would add 3 MB to what is measured
    noise = np.array([[min(100.0, dice.lognormvariate(2, 0.8)) for _ in range(count)] for _ in range(ROWS)])
    due, beat = time.monotonic(), 0
    while True:
        runtime.ticker.put(Frame("synthetic", time.time_ns() // 1_000_000, layout, noise[beat % ROWS]))
        beat += 1
        due += 1 / FRAMES
        time.sleep(max(0.0, due - time.monotonic()))


def main() -> int:
    """Start the monitor as app.py does, and the load with it."""
    rate = int(sys.argv[1])
    start = Runtime.start

    def start_loaded(self: Runtime) -> None:
        start(self)
        threading.Thread(target=feed, args=(self, rate), name="synthetic", daemon=True).start()

    Runtime.start = start_loaded
    return app.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
