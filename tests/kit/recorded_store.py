"""A store on a real file in accelerated time: samples that the test gives, a clock that the test moves."""

from __future__ import annotations

import numpy as np

from tests.kit import closing
from wfmon.core.clock import FakeClock
from wfmon.store.database import reading
from wfmon.store.intake import Pulled, SampleSource
from wfmon.store.read import Reader
from wfmon.store.retention import Keep
from wfmon.store.series_ids import Described
from wfmon.store.tiers import TIERS
from wfmon.store.writer import Writer

START_S = 1_700_000_000 // 86_400 * 86_400  # midnight, UTC
KEEP = Keep.of([tier.keep_days for tier in TIERS], {"request": 30, "annotation": 30, "alert": 30}, 10**12)


class RecordedStore:
    """``series``: names; those that end in ``_ms`` are distributions."""

    def __init__(self, folder, *series, clock=None, keep=KEEP):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.clock = clock or FakeClock(START_S * 1000)
        self.described = []
        self.keep = keep
        self._samples = []
        self.add(*series)
        self.writer = Writer(
            folder, self.clock, SampleSource(self.pull, lambda since: self.described[since:]), lambda: self.keep
        )
        closing.later(self.writer.close)
        self.reader = Reader(self.writer.path)
        self.writer.tick()

    def add(self, *names):
        self.described += [Described(name, name, "", "gauge", name.endswith("_ms")) for name in names]

    @property
    def now_s(self):
        return self.clock.now_ms() // 1000

    def pull(self, from_ms, to_ms):
        found = sorted((t, i, v) for t, i, v in self._samples if from_ms <= t < to_ms)
        self._samples = [each for each in self._samples if each[0] >= to_ms]
        return Pulled(
            np.array([i for _, i, _ in found], np.uint16),
            np.array([t for t, _, _ in found], np.int64),
            np.array([v for _, _, v in found], np.float32),
        )

    def sample(self, name, value, t_ms=None):
        at = self.clock.now_ms() if t_ms is None else t_ms
        self._samples.append((at, next(i for i, each in enumerate(self.described) if each.name == name), value))

    def run(self, seconds, *, tick_s=1, **values):
        """Let so many seconds pass; each series has its value (or what ``value(t_s)`` gives) once a second.

        ``tick_s``: the writer's beat; a longer one writes the same seconds for less CPU.
        """
        for second in range(1, seconds + 1):
            for name, value in values.items():
                self.sample(name, value(self.now_s) if callable(value) else value)
            self.clock.advance(1)
            if second % tick_s == 0 or second == seconds:
                self.writer.tick()

    def step(self, seconds, *, sleep=False):
        """Set the wall clock; the source moves what it holds along, as the cache does."""
        self.clock.step(seconds, sleep=sleep)
        told = self.clock.check()
        if not sleep:
            self._samples = [(t + told.step_ms, i, v) for t, i, v in self._samples]
        self.writer.on_clock_step(told)

    def rows(self, statement):
        with reading(self.writer.path) as connection:
            return connection.execute(statement).fetchall()

    def number(self, name):
        return next(each.id for each in self.reader.series() if each.text == name)

    def buckets(self, name, from_s, to_s, tier=0):
        number = self.number(name)
        return self.reader.buckets([number], from_s, to_s, TIERS[tier])[number]

    def means(self, name, from_s, to_s, tier=0):
        found = self.buckets(name, from_s, to_s, tier)
        return dict(zip(found.t_s.tolist(), found.figures.mean.tolist(), strict=True))

    def killed(self):
        """Go on in a new process: nothing of the old one's memory is left, its last words are not said."""
        self.writer._connection.close()
        keep, samples = self.described, self._samples
        other = RecordedStore(self.folder, clock=self.clock, keep=self.keep)
        other.described, other._samples = keep, samples
        return other
