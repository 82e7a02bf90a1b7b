"""A past of four hours that ends now, written by the real writer in accelerated time."""

from __future__ import annotations

import numpy as np

from wfmon.core.clock import FakeClock, SystemClock
from wfmon.store.intake import Pulled, SampleSource
from wfmon.store.retention import Keep
from wfmon.store.series_ids import Described
from wfmon.store.tiers import TIERS
from wfmon.store.writer import Writer

TTFT = 'model.ttft_ms{model="tiny",server="127.0.0.1:9"}'
SERIES = (
    Described("system.cpu_percent", "system.cpu_percent", "%", "gauge", False),
    Described("system.memory_percent", "system.memory_percent", "%", "gauge", False),
    Described(TTFT, "model.ttft_ms", "ms", "event", True),
    *(
        Described(
            f'model.entropy_bits{{model="m{number:02}",server="s"}}', "model.entropy_bits", "bits", "gauge", False
        )
        for number in range(60)
    ),
)
HOURS = 4
BEAT_S = 50


def values(number, t_s):
    """What is measured at so many seconds: a daily wave, a ramp, and now and then a request."""
    if number == 0:
        return 50 + 30 * np.sin(t_s / 900)
    if number == 1:
        return 40 + (t_s % 3_600) / 360
    if number == 2:
        return np.where(t_s % 20 == 0, 100 + t_s % 300, np.nan)
    return np.where(t_s % 1_200 < number, number, np.nan)  # the higher its number, the more often it is measured


def make_past(folder):
    """Write the last hours with the real writer, in accelerated time."""
    folder.mkdir(mode=0o700)
    end_s = SystemClock().now_ms() // 1_000
    clock = FakeClock((end_s - HOURS * 3_600) * 1_000)

    def pull(from_ms, to_ms):
        t_s = np.arange(-(-from_ms // 1_000), -(-to_ms // 1_000))
        columns = [values(number, t_s) for number in range(len(SERIES))]
        grid = np.stack(columns, 1)
        ids = np.tile(np.arange(len(SERIES)), len(t_s))
        flat = grid.ravel()
        known = ~np.isnan(flat)
        return Pulled(
            ids[known].astype(np.uint16), np.repeat(t_s * 1_000, len(SERIES))[known], flat[known].astype(np.float32)
        )

    keep = Keep.of([tier.keep_days for tier in TIERS], {"request": 30, "annotation": 30, "alert": 30}, 10**12)
    writer = Writer(folder, clock, SampleSource(pull, lambda since: SERIES[since:]), lambda: keep)
    writer.annotate("start", "The monitor started.")
    writer.tick()
    while clock.now_ms() < end_s * 1_000:
        clock.advance(BEAT_S)
        writer.tick()
    writer.finish()
