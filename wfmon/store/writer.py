"""The only writing thread: pulls samples from the cache, journals them, seals, deletes. It never blocks collection.

While the file cannot be written (disk full, locked, gone) pulled seconds wait here, at most ``backlog.WAITING``; beyond
that the oldest are folded into buckets of ten, and counted. Every trouble is logged once.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from wfmon.core.answers.store import WriterStatus
from wfmon.core.clock import Clock
from wfmon.core.types import ClockStep, Request, Series
from wfmon.store import database
from wfmon.store.age_hold import AgeHold
from wfmon.store.ballast import Ballast
from wfmon.store.deletion import Asked, Named, Tally
from wfmon.store.deletion_job import DeletionJob
from wfmon.store.intake import Intake, SampleSource
from wfmon.store.retention import Keep, retain
from wfmon.store.seal import Sealer
from wfmon.store.trouble import Trouble, Troubles, sentence

log = logging.getLogger(__name__)
LAG_S = 3
"""Delay before a second is written: until then its samples may still arrive."""
TICK_S = 1.0
SLICES = 6
"""Maximum slices of sealing or retention per tick."""


class Writer:
    """``start`` and ``close`` once each; ``request``, ``annotate``, ``on_clock_step``, ``status`` from any thread."""

    def __init__(
        self, folder: Path, clock: Clock, source: SampleSource, keep: Callable[[], Keep], *, enabled: bool = True
    ) -> None:
        self.path = folder / database.NAME
        self._ballast = Ballast(folder)
        self.deletion = DeletionJob(self.path, clock)
        """Deletions requested while it runs."""
        self._clock = clock
        self._keep = keep
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wfmon-store", daemon=True)
        self._lock = threading.Lock()
        # Under the lock.
        self._steps: list[ClockStep] = []
        # Used by the thread only.
        self._connection: sqlite3.Connection | None = None
        self._sealer: Sealer | None = None
        self._opened = False
        self._age_hold = AgeHold(clock)
        self._inode: tuple[int, int] | None = None
        self._troubles = Troubles(clock)
        # Any thread reads.
        self.on_deleted: list[Callable[[], None]] = []
        """Called by the thread after a deletion, for caches of the file's content. Filled before the start."""
        self.after_deletion: list[Callable[[], None]] = []
        """The same, once the deleted data is no longer in the file."""
        self.notice = ""
        """A message for the user about this start, such as a damaged file that was set aside."""
        self.counts: Counter[str] = Counter()
        """seconds, samples; folded and lost (seconds beyond the backlog), dropped_rows, series_cap, unreadable."""
        self._intake = Intake(source, self.counts, clock.now_ms() // 1_000 * 1_000, enabled=enabled)
        self.write_ms = 0.0
        """Duration of the last tick."""
        self.longest_ms = 0.0

    @property
    def trouble(self) -> Trouble | None:
        """Why nothing is being written now; None while all is well. Any thread."""
        return self._troubles.current

    @property
    def written_to_ms(self) -> int:
        """Everything before this instant is in the file or waits for it."""
        return self._intake.next_ms

    @property
    def depth(self) -> int:
        """Number of seconds waiting for the file."""
        return len(self._intake.backlog)

    def start(self) -> None:
        """Start the thread. Call once."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left and close the file, also if the thread was never started. Idempotent."""
        self.deletion.close()
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2.0)
        elif self._thread.ident is None:
            self._close_file()

    # --- from any thread

    def request(self, request: Request) -> None:
        """Record a finished request, if recording is on."""
        if self.enabled:
            self._intake.rows.request(request)

    def annotate(self, kind: str, text: str, t_ms: int | None = None) -> None:
        """Record an event as one sentence; while recording is off, only events of the file itself (kind "store")."""
        if kind != "store" and not self.enabled:
            return
        self._intake.rows.annotation(self._clock.now_ms() if t_ms is None else t_ms, kind, text)

    def on_clock_step(self, step: ClockStep) -> None:
        """Handle a step of the wall clock or a sleep of the machine."""
        with self._lock:
            self._steps.append(step)
        seconds = abs(step.step_ms) / 1_000
        way = "back" if step.step_ms < 0 else "ahead"
        text = f"The machine slept for {seconds:,.0f} s." if step.kind == "sleep" else (
            f"The clock was set {way} by {seconds:,.1f} s.")  # fmt: skip
        self.annotate("sleep" if step.kind == "sleep" else "clock_step", text, step.t_ms)

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001  the settings' own form
        """Switch recording on or off: samples and requests of the time in between never get into the file."""
        changed = self._intake.set_enabled(self._clock.now_ms(), enabled=enabled)
        if changed and enabled:
            self.annotate("store", "Recording was switched on.")

    @property
    def enabled(self) -> bool:
        """Whether recording is on."""
        return self._intake.enabled

    def status(self) -> WriterStatus:
        """Return {state, reason, since_ms, notice, held_s, waiting, write_ms, longest_ms, counts}.

        ``held_s``: how long nothing is deleted by age, because the clock may be wrong.
        """
        trouble = self.trouble
        state = "off" if not self.enabled else trouble.word if trouble else "recording"
        return {
            "state": state,
            "reason": trouble.text if trouble and state != "off" else "",
            "since_ms": trouble.since_ms if trouble else None,
            "notice": self.notice,
            "held_s": self._age_hold.left_s,
            "waiting": self.depth,
            "write_ms": round(self.write_ms, 3),
            "longest_ms": round(self.longest_ms, 3),
            "counts": dict(self.counts),
        }

    # --- the thread

    def _run(self) -> None:
        start_ns, ticks = self._clock.mono_ns(), 0
        while not self._clock.wait(self._stop, max(0.0, start_ns / 1e9 + ticks * TICK_S - self._clock.mono_ns() / 1e9)):
            ticks = max(ticks + 1, int((self._clock.mono_ns() - start_ns) / 1e9 / TICK_S) + 1)
            self.tick()
        self.finish()

    def tick(self) -> None:
        """Do what is due, once. Public for tests and accelerated time, which call it instead of ``start``."""
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
                self._delete()
                self._tidy()
                self._recovered()
        except Exception as error:  # noqa: BLE001  the edge: one bad tick must not end the recording thread
            self._failed(error)
        if self.trouble is not None:
            self.deletion.wait_for(self.trouble.text)
        self.write_ms = (self._clock.mono_ns() - now_ns) / 1e6
        self.longest_ms = max(self.longest_ms, self.write_ms)

    def finish(self) -> None:
        """Write everything known by now, and close."""
        self._apply_steps()
        try:
            self._catch_up(self._clock.now_ms() // 1_000 + 1, write=self._connection is not None)
        except Exception as error:  # noqa: BLE001  the edge, as for a tick
            log.warning("the last seconds could not be kept: %s", error)
        self._close_file()

    def _catch_up(self, to_s: int, *, write: bool) -> None:
        """Pull and write everything before ``to_s``, in parts: a late tick then neither bloats nor folds."""
        for part_s in self._intake.strides(to_s):
            self.pull_to(part_s)
            if write:
                self.write()
        if write:
            self.write()

    def pull_to(self, to_s: int) -> None:
        """Pull the seconds before ``to_s``; only after the file was first opened, because it numbers the series."""
        if self._opened:
            self._intake.pull_to(to_s)

    def write(self) -> None:
        """Write everything that waits, in one transaction. Raises sqlite3.Error; then it keeps waiting."""
        if self._connection is not None and self._sealer is not None:
            for t_s in self._intake.write(self._connection):
                self._sealer.journaled(t_s)

    def _delete(self) -> None:
        """Carry out a requested deletion within this tick, and wipe its bytes when due."""
        connection = self._connection
        if connection is not None and self.deletion.is_due:
            self._intake.learn()
            self.write()  # waiting data may be part of the deletion
            self.deletion.carry_out(connection, self._deleted)
            for call in self.after_deletion:
                call()
        if connection is not None and self.deletion.wiping_is_due:
            self.deletion.wipe(connection, self._pull_meanwhile)

    def _pull_meanwhile(self) -> None:
        self._apply_steps()
        self.pull_to(self._clock.now_ms() // 1_000 - LAG_S)

    def _deleted(self, asked: Asked, tally: Tally, since_ms: int) -> None:
        """Discard deleted data that is still in memory. Raises sqlite3.Error, but only after that."""
        intake = self._intake
        named = intake.numbers.called(str(Series.parse(asked.text))) if isinstance(asked, Named) else []
        intake.numbers.forget({*tally.series, *named}, since_ms if named else 0)
        if not isinstance(asked, Named):
            intake.next_ms = max(intake.next_ms, since_ms)
        for call in self.on_deleted:
            call()
        if isinstance(asked, Named):  # after the callbacks, which may have written notes until now
            intake.rows.forget_notes(named)
        else:
            intake.rows.forget(since_ms)
        if self._connection is not None:
            self._sealer = Sealer(self._connection)

    def _tidy(self, slices: int = SLICES) -> bool:
        """Do some slices of sealing and retention; True if more is due."""
        if self._connection is None or self._sealer is None:
            return False
        now_s = self._intake.next_ms // 1_000
        try:
            for _ in range(slices):
                if self._sealer.advance(now_s):
                    continue
                if self._age_hold.is_on:
                    return False
                if not retain(self._connection, self._keep(), now_s, self._sealer.live):
                    return False
            return True
        finally:
            self.counts["unreadable"] += self._sealer.unreadable
            self._sealer.unreadable = 0

    def tidy_all(self) -> None:
        """Do all due sealing and retention."""
        while self._tidy():
            pass

    def _apply_steps(self) -> None:
        with self._lock:
            steps, self._steps = self._steps, []
        for step in steps:
            if step.kind == "step":
                self._intake.shift(step)
                self.deletion.moved(step.step_ms)
                self._age_hold.after_step(step.step_ms)

    # --- the file

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._inode is not None and not self.path.exists():
            self._notify("The history file was removed while in use; a new one was created.")
            self._inode = None
        try:
            connection = database.open_writer(self.path)
        except database.NotOurs as error:
            self._set_aside(error.what)
            connection = database.open_writer(self.path)
        try:
            sealer = Sealer(connection)
            self.deletion.opened(connection)
            if not self._opened:
                self._age_hold.after_start(database.newest_second(connection))
            if not self._intake.numbers.take_over(connection):
                self._intake.backlog.lose()  # its numbers are those of another file
            stat = self.path.stat()
        except BaseException:
            connection.close()
            raise
        self._connection, self._sealer, self._inode = connection, sealer, (stat.st_dev, stat.st_ino)
        self._opened = True
        if not self._ballast.lies():
            self._ballast.lay()

    def _reopen_if_gone(self) -> None:
        """Close a file that was removed or replaced while open: data written to it would be lost."""
        if self._connection is None:
            return
        try:
            stat = self.path.stat()
            there = (stat.st_dev, stat.st_ino) == self._inode
        except FileNotFoundError:
            there = False
        if not there:
            self._close_file()

    def _set_aside(self, what: str) -> None:
        self._close_file()
        self._inode = None
        aside = database.set_aside(self.path, what, self._clock.now_ms())
        words = {"empty": "empty", "foreign": "not one of wfmon's", "damaged": "damaged"}[what]
        self._notify(f"The history file was {words}. It is kept as {aside.name}, and a new one was created.")

    def _notify(self, sentence: str) -> None:
        self.notice = sentence
        log.warning("%s", sentence)
        self.annotate("store", sentence)

    def _close_file(self) -> None:
        connection, self._connection, self._sealer = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                log.warning("the history file was not closed properly: %s", error)

    def _failed(self, error: BaseException) -> None:
        """Log what is wrong once, and retry later."""
        if database.is_corrupt(error):
            try:
                self._set_aside("damaged")
            except OSError as moved:
                error = moved
            else:
                return  # the next tick creates a new one
        word, text = sentence(error)
        if word == "full":
            self._ballast.free()
            self._make_room()
        self._troubles.met(word, text, error)
        left_open = self._connection is not None and self._connection.in_transaction
        if left_open or word not in ("locked", "full"):
            self._close_file()

    def _waits(self, now_ns: int) -> bool:
        """Return whether it is too early to retry."""
        if self._troubles.is_too_early(now_ns):
            return True
        if self.trouble is None or self.trouble.word != "full" or self._ballast.has_room():
            return False
        self._make_room()
        self._troubles.retry_after(now_ns)
        return True

    def _make_room(self) -> None:
        """Delete data past its retention, in the space freed by the ballast."""
        if self._connection is None or self._sealer is None:
            return
        try:
            if not self._age_hold.is_on:
                retain(self._connection, self._keep(), self._intake.next_ms // 1_000, self._sealer.live)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            return  # no space for this either: it waits

    def _recovered(self) -> None:
        trouble, waited_s = self._troubles.over()
        if trouble is None:
            return
        log.info("the history is being written again")
        self.annotate("store", f"Recording waited for {waited_s:,.0f} s. {trouble.text}", trouble.since_ms)
        self._ballast.lay()
