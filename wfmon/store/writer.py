"""The one thread that writes: pulls what the cache has, journals it, seals, forgets. It never holds up who measures.

While the file cannot be written (disk full, locked, gone) what is pulled waits here, at most ``WAITING`` seconds of it;
past that the oldest seconds are folded into buckets of ten, and counted. Everything that goes wrong is told once.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfmon.core.answers.store import WriterStatus
from wfmon.core.clock import Clock
from wfmon.core.types import ClockStep, Request, Series
from wfmon.store import database
from wfmon.store.backlog import FOLD_S, Backlog
from wfmon.store.ballast import Ballast
from wfmon.store.buckets import seconds_of
from wfmon.store.codec import encode_second
from wfmon.store.deletion import Asked, Named, Tally
from wfmon.store.deletion_job import DeletionJob
from wfmon.store.retention import Keep, retain
from wfmon.store.rows import Rows, insert
from wfmon.store.seal import Sealer, transaction
from wfmon.store.series_ids import INSERT_SERIES, Described, SeriesIds
from wfmon.store.trouble import RETRY_S, Trouble, sentence

log = logging.getLogger(__name__)
LAG_S = 3
"""A second is written when it is so old: until then its samples may still come."""
MOST_STRIDES = 60
"""A late beat takes what it missed in so many parts at most: five minutes in one go are 100 MB."""
BEAT_S = 1.0
SLICES = 6
"""Slices of sealing or forgetting a beat at most."""
PAUSE_S = 3_600
"""After a leap of the clock nothing is deleted by age for so long: it may be set right again."""
LEAP_MS = 3_600_000
LEAP_BEFORE_S = 86_400
"""A start so long after the newest second counts as a leap: a wrong clock looks like a machine that was off."""


class Pulled(NamedTuple):
    """Samples of a span, by the ids of this boot, each series' in order of time; arrays of shape (n,)."""

    ids: NDArray[np.uint16]
    t_ms: NDArray[np.int64]
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SampleSource:
    """Where the writer pulls from; called by its thread alone.

    ``pull(from_ms, to_ms)``: all samples in [from, to). ``series(since)``: those with ids from ``since`` on, in order.
    """

    pull: Callable[[int, int], Pulled]
    series: Callable[[int], Sequence[Described]]


class Writer:
    """``start`` and ``close`` once each; ``request``, ``annotate``, ``on_clock_step``, ``status`` from any thread."""

    def __init__(
        self, folder: Path, clock: Clock, source: SampleSource, keep: Callable[[], Keep], *, enabled: bool = True
    ) -> None:
        self.path = folder / database.NAME
        self._ballast = Ballast(folder)
        self.forgetting = DeletionJob(self.path, clock)
        """What is to be forgotten while it runs."""
        self._clock = clock
        self._source = source
        self._keep = keep
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wfmon-store", daemon=True)
        self._lock = threading.Lock()
        # Under the lock.
        self._steps: list[ClockStep] = []
        self._enabled = enabled
        self._since_ms = 0  # what was measured before is not recorded: it was switched off
        # The thread's own.
        self._connection: sqlite3.Connection | None = None
        self._sealer: Sealer | None = None
        self._next_ms = clock.now_ms() // 1_000 * 1_000
        self._opened = False
        self._trouble_ns = 0
        self._retry_ns = 0
        self._pause_until_ns = 0
        self._inode: tuple[int, int] | None = None
        # Any thread reads.
        self.trouble: Trouble | None = None
        self.on_deleted: list[Callable[[], None]] = []
        """Whoever remembers what the file held: told by the thread once something is deleted. Filled before it runs."""
        self.after_deletion: list[Callable[[], None]] = []
        """The same, once the file itself holds it no more."""
        self.notice = ""
        """What the user should know of this start, such as a damaged file that was set aside."""
        self.counts: Counter[str] = Counter()
        """seconds, samples; folded and lost (seconds for which there was no room), dropped_rows, series_cap,
        unreadable."""
        self._rows = Rows(self.counts)
        self._backlog = Backlog(self.counts)  # the thread's own, as are the numbers
        self._numbers = SeriesIds(self.counts)
        self.write_ms = 0.0
        """What the last beat took of the file."""
        self.longest_ms = 0.0

    @property
    def written_to_ms(self) -> int:
        """All before this instant is in the file, or waits for it."""
        return self._next_ms

    @property
    def depth(self) -> int:
        """Seconds that wait for the file."""
        return len(self._backlog)

    def start(self) -> None:
        """Start the thread. Once."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and close the file; one that never ran, but was driven by hand, closes it. Idempotent."""
        self.forgetting.close()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        elif self._thread.ident is None:
            self._let_go()

    # --- from any thread

    def request(self, told: Request) -> None:
        """Keep a request that ended, if it records."""
        if self.enabled:
            self._rows.request(told)

    def annotate(self, kind: str, text: str, t_ms: int | None = None) -> None:
        """Note what happened, in one sentence; while it does not record, only what befalls the file itself."""
        if kind != "store" and not self.enabled:
            return
        self._rows.annotation(self._clock.now_ms() if t_ms is None else t_ms, kind, text)

    def on_clock_step(self, step: ClockStep) -> None:
        """The wall clock was set, or the machine slept."""
        with self._lock:
            self._steps.append(step)
        seconds = abs(step.step_ms) / 1_000
        way = "back" if step.step_ms < 0 else "ahead"
        text = f"The machine slept for {seconds:,.0f} s." if step.kind == "sleep" else (
            f"The clock was set {way} by {seconds:,.1f} s.")  # fmt: skip
        self.annotate("sleep" if step.kind == "sleep" else "clock_step", text, step.t_ms)

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Record, or do not: what was measured or asked of a model meanwhile never comes into the file."""
        with self._lock:
            changed, self._enabled = enabled != self._enabled, enabled
            if changed and enabled:
                self._since_ms = self._clock.now_ms()
        if changed and enabled:
            self.annotate("store", "Recording was switched on.")

    @property
    def enabled(self) -> bool:
        """Whether it records."""
        with self._lock:
            return self._enabled

    def status(self) -> WriterStatus:
        """How it fares: {state, reason, since_ms, notice, held_s, waiting, write_ms, longest_ms, counts}.

        ``held_s``: for so long nothing is deleted by age, for the clock may be wrong.
        """
        trouble = self.trouble
        state = "off" if not self.enabled else trouble.word if trouble else "recording"
        return {
            "state": state,
            "reason": trouble.text if trouble and state != "off" else "",
            "since_ms": trouble.since_ms if trouble else None,
            "notice": self.notice,
            "held_s": max(0, (self._pause_until_ns - self._clock.mono_ns()) // 1_000_000_000),
            "waiting": self.depth,
            "write_ms": round(self.write_ms, 3),
            "longest_ms": round(self.longest_ms, 3),
            "counts": dict(self.counts),
        }

    # --- the thread

    def _run(self) -> None:
        begun = self._clock.mono_ns()
        beat = 0
        while not self._clock.wait(self._stop, max(0.0, (begun + beat * 1e9 * BEAT_S - self._clock.mono_ns()) / 1e9)):
            beat = max(beat + 1, int((self._clock.mono_ns() - begun) / 1e9 / BEAT_S) + 1)
            self.beat()
        self.finish()

    def beat(self) -> None:
        """Do what is due, once. Public for tests and for accelerated time, which call it instead of ``start``."""
        self._apply_steps()
        now_ns = self._clock.mono_ns()
        try:
            waits = self._waits(now_ns)
            if not waits:
                self._reopen_if_gone()
                if self._connection is None:
                    self._open()
            self._catch_up(self._clock.now_ms() // 1_000 - LAG_S, write=not waits)
            if not waits:
                self._forget()
                self._tidy()
                self._recovered()
        except Exception as error:  # noqa: BLE001  the edge: one bad beat must not end the thread that keeps the past
            self._failed(error)
        if self.trouble is not None:
            self.forgetting.wait_for(self.trouble.text)
        self.write_ms = (self._clock.mono_ns() - now_ns) / 1e6
        self.longest_ms = max(self.longest_ms, self.write_ms)

    def finish(self) -> None:
        """Write all that is known by now, and close."""
        self._apply_steps()
        try:
            self._catch_up(self._clock.now_ms() // 1_000 + 1, write=self._connection is not None)
        except Exception as error:  # noqa: BLE001  the edge, as for a beat
            log.warning("the last seconds could not be kept: %s", error)
        self._let_go()

    def _catch_up(self, to_s: int, *, write: bool) -> None:
        """Take what is there before ``to_s``, and write it: in parts, so that a late beat neither bloats nor folds."""
        for part_s in self._strides(to_s):
            self.pull_to(part_s)
            if write:
                self.write()
        if write:
            self.write()

    def _strides(self, to_s: int) -> Iterator[int]:
        from_s = self._next_ms // 1_000
        stride_s = max(FOLD_S, -(-(to_s - from_s) // MOST_STRIDES))
        yield from range(from_s + stride_s, to_s, stride_s)
        yield to_s

    def pull_to(self, to_s: int) -> None:
        """Take the seconds before ``to_s`` from the source; once the file was open, for it numbers the series."""
        from_ms, to_ms = self._next_ms, to_s * 1_000
        if to_ms <= from_ms or not self._opened:
            return
        with self._lock:
            enabled, from_ms = self._enabled, max(from_ms, self._since_ms)
        if enabled and from_ms < to_ms:
            pulled = self._source.pull(from_ms, to_ms)
            self._next_ms = to_ms  # before they are taken: what cannot be taken must not come again for ever
            self._numbers.learn(self._source.series(len(self._numbers)))
            if len(pulled.ids):
                self._take(pulled)
        self._next_ms = to_ms

    def _take(self, pulled: Pulled) -> None:
        numbers, known = self._numbers.recorded(pulled.ids, pulled.t_ms)
        ids, t_ms, values = numbers[known], pulled.t_ms[known], pulled.values[known]
        self._backlog.add(seconds_of(ids, t_ms, values, self._numbers.distributions))
        self.counts["samples"] += len(ids)

    def write(self) -> None:
        """Put all that waits into the file, in one transaction. Raises sqlite3.Error; then it waits on."""
        connection, sealer = self._connection, self._sealer
        if connection is None or sealer is None:
            return
        rows, seconds = self._rows.waiting(), self._backlog.waiting()
        if not rows and not seconds and not self._numbers.unwritten:
            return
        with transaction(connection) as cursor:
            cursor.executemany(INSERT_SERIES, self._numbers.unwritten)
            refused = insert(cursor, rows)
            cursor.executemany(
                "INSERT INTO journal (t_s, data) VALUES (?, ?)", [(each.t_s, encode_second(each)) for each in seconds]
            )
        self._numbers.unwritten = []
        self._rows.done(len(rows), refused)
        self._backlog.done(len(seconds))
        for each in seconds:
            sealer.journaled(each.t_s)
        self.counts["seconds"] += len(seconds)

    def _forget(self) -> None:
        """Do what was asked to be forgotten, all of it in this beat; and wipe what is left of its bytes."""
        connection = self._connection
        if connection is not None and self.forgetting.is_due:
            self._numbers.learn(self._source.series(len(self._numbers)))
            self.write()  # what waits may be of what is asked
            self.forgetting.carry_out(connection, self._deleted)
            for told in self.after_deletion:
                told()
        if connection is not None and self.forgetting.wiping_is_due:
            self.forgetting.wipe(connection, self._pull_meanwhile)

    def _pull_meanwhile(self) -> None:
        self._apply_steps()
        self.pull_to(self._clock.now_ms() // 1_000 - LAG_S)

    def _deleted(self, asked: Asked, tally: Tally, since_ms: int) -> None:
        """Let nothing of it come back that is in memory still. Raises sqlite3.Error, when all of that is done."""
        named = self._numbers.called(str(Series.parse(asked.text))) if isinstance(asked, Named) else []
        self._numbers.forget({*tally.series, *named}, since_ms if named else 0)
        if not isinstance(asked, Named):
            self._next_ms = max(self._next_ms, since_ms)
        for told in self.on_deleted:
            told()
        if isinstance(asked, Named):  # after those who may have noted something until now
            self._rows.forget_notes(named)
        else:
            self._rows.forget(since_ms)
        if self._connection is not None:
            self._sealer = Sealer(self._connection)

    def _tidy(self, slices: int = SLICES) -> bool:
        """Seal and forget, some slices; True when more is due."""
        if self._connection is None or self._sealer is None:
            return False
        now_s = self._next_ms // 1_000
        try:
            for _ in range(slices):
                if self._sealer.advance(now_s):
                    continue
                if self._clock.mono_ns() < self._pause_until_ns:
                    return False
                if not retain(self._connection, self._keep(), now_s, self._sealer.live):
                    return False
            return True
        finally:
            self.counts["unreadable"] += self._sealer.unreadable
            self._sealer.unreadable = 0

    def tidy_all(self) -> None:
        """Seal and forget all that is due."""
        while self._tidy():
            pass

    def _apply_steps(self) -> None:
        with self._lock:
            steps, self._steps = self._steps, []
        for step in steps:
            if step.kind == "step":
                # Not past the step itself: a beat between the leap and its news has gone by the new time already.
                self._next_ms = min(self._next_ms + step.step_ms, step.t_ms)
                self.forgetting.moved(step.step_ms)
                self._numbers.moved(step.step_ms)
                self._rows.moved(step.step_ms)
                with self._lock:
                    self._since_ms = 0
                if step.step_ms > LEAP_MS:
                    self._pause_until_ns = self._clock.mono_ns() + PAUSE_S * 1_000_000_000

    # --- the file

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._inode is not None and not self.path.exists():
            self._tell("The file of the history was removed while it was in use; a new one was begun.")
            self._inode = None
        try:
            connection = database.open_writer(self.path)
        except database.NotOurs as error:
            self._set_aside(error.what)
            connection = database.open_writer(self.path)
        try:
            sealer = Sealer(connection)
            self.forgetting.opened(connection)
            if not self._opened:
                self._mistrust_leap(connection)
            if not self._numbers.take_over(connection):
                self._backlog.lose()  # numbered for another file
            stat = self.path.stat()
        except BaseException:
            connection.close()
            raise
        self._connection, self._sealer, self._inode = connection, sealer, (stat.st_dev, stat.st_ino)
        self._opened = True
        if not self._ballast.lies():
            self._ballast.lay()

    def _mistrust_leap(self, connection: sqlite3.Connection) -> None:
        newest_s = database.newest_second(connection)
        if newest_s is not None and self._clock.now_ms() // 1_000 - newest_s > LEAP_BEFORE_S:
            self._pause_until_ns = self._clock.mono_ns() + PAUSE_S * 1_000_000_000

    def _reopen_if_gone(self) -> None:
        """Let go of a file that was removed or replaced under us: what is written into it is lost."""
        if self._connection is None:
            return
        try:
            stat = self.path.stat()
            there = (stat.st_dev, stat.st_ino) == self._inode
        except FileNotFoundError:
            there = False
        if not there:
            self._let_go()

    def _set_aside(self, what: str) -> None:
        self._let_go()
        self._inode = None
        aside = database.set_aside(self.path, what, self._clock.now_ms())
        words = {"empty": "empty", "foreign": "not one of wfmon's", "damaged": "damaged"}[what]
        self._tell(f"The file of the history was {words}. It is kept as {aside.name}, and a new one was begun.")

    def _tell(self, sentence: str) -> None:
        self.notice = sentence
        log.warning("%s", sentence)
        self.annotate("store", sentence)

    def _let_go(self) -> None:
        connection, self._connection, self._sealer = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                log.warning("the file of the history was not closed in order: %s", error)

    def _failed(self, error: BaseException) -> None:
        """Say once what is wrong, and try again later."""
        if database.is_corrupt(error):
            try:
                self._set_aside("damaged")
            except OSError as moved:
                error = moved
            else:
                return  # the next beat makes a new one
        word, text = sentence(error)
        if word == "full":
            self._ballast.free()
            self._make_room()
        if self.trouble is None or self.trouble.word != word:
            foreseen = isinstance(error, sqlite3.Error | OSError | database.NewerSchema | database.NotOurs)
            log.warning("%s", text, exc_info=None if foreseen else error)
            if self.trouble is None:
                self._trouble_ns = self._clock.mono_ns()
            self.trouble = Trouble(word, text, self.trouble.since_ms if self.trouble else self._clock.now_ms())
        self._retry_ns = self._clock.mono_ns() + int(RETRY_S * 1e9)
        left_open = self._connection is not None and self._connection.in_transaction
        if left_open or word not in ("locked", "full"):
            self._let_go()

    def _waits(self, now_ns: int) -> bool:
        """Tell whether it is too early to try again."""
        if self.trouble is None:
            return False
        if now_ns < self._retry_ns:
            return True
        if self.trouble.word != "full" or self._ballast.has_room():
            return False
        self._make_room()
        self._retry_ns = now_ns + int(RETRY_S * 1e9)
        return True

    def _make_room(self) -> None:
        """Delete what is past its time: the ballast has made the room that this needs."""
        if self._connection is None or self._sealer is None:
            return
        try:
            if self._clock.mono_ns() >= self._pause_until_ns:
                retain(self._connection, self._keep(), self._next_ms // 1_000, self._sealer.live)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            return  # there is no room for this either: it waits

    def _recovered(self) -> None:
        trouble, self.trouble = self.trouble, None
        if trouble is None:
            return
        log.info("the history is written again")
        waited_s = (self._clock.mono_ns() - self._trouble_ns) / 1e9
        self.annotate("store", f"Recording waited for {waited_s:,.0f} s. {trouble.text}", trouble.since_ms)
        self._ballast.lay()
