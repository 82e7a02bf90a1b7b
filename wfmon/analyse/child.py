"""Runs the analysis in a short-lived child process, one at a time, and caches its answer."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path

import wfmon
from wfmon.core.answers.insights import InsightsReport
from wfmon.core.clock import Clock
from wfmon.core.errors import Cancelled, Failed, Refused
from wfmon.core.zones import offset_s

PATIENCE_S = 60
KEEP_S = 300
"""How long an answer is cached: a week's findings do not change within minutes."""
MAX_DAYS = 90
PROGRAM = (sys.executable, "-m", "wfmon.analyse")
_ROOT = Path(wfmon.__file__).resolve().parent.parent


class Analyst:
    """Called from any thread; a call while the child runs waits for the same answer.

    ``program``: the command, called with the file and the span as arguments; it writes JSON.
    """

    def __init__(self, path: Path, clock: Clock, program: Sequence[str] = PROGRAM) -> None:
        self._path = path
        self._clock = clock
        self._program = program
        self._lock = threading.Lock()
        # Under the lock.
        self._kept: dict[tuple[int, tzinfo], tuple[int, int, InsightsReport]] = {}
        self._working = threading.Lock()
        # Under this one, which is never held while the child runs.
        self._child: subprocess.Popen[str] | None = None
        self._cancels = 0
        self._deletions = 0

    def insights(self, days: int, zone: tzinfo) -> InsightsReport:
        """Return the report of ``analyse.insights.insights`` on the last days. Raises Cancelled, Failed, Refused."""
        if not 1 <= days <= MAX_DAYS:
            raise Refused(
                "days", f"The analysis was asked for {days} days.",
                f"Use days= from 1 to {MAX_DAYS}.",
            )  # fmt: skip
        cancels = self._cancels
        with self._lock:
            at_ns, of, known = self._kept.get((days, zone), (0, 0, None))
            fresh = of == self._deletions and self._clock.mono_ns() - at_ns < KEEP_S * 1_000_000_000
            if known is not None and fresh:
                return known
            of = self._deletions
            report = self._run(days, zone, cancels)
            self._kept = {(days, zone): (self._clock.mono_ns(), of, report)}
            return report

    def on_deleted(self) -> None:
        """Drop cached answers because something was deleted from the history. One thread; never waits."""
        self._deletions += 1
        self._kept = {}

    def cancel(self) -> None:
        """Kill the running child, if any: every call made so far raises Cancelled at once. Any thread; never waits."""
        with self._working:
            self._cancels += 1
            if self._child is not None:
                self._child.kill()

    def _run(self, days: int, zone: tzinfo, cancels: int) -> InsightsReport:
        if not self._path.exists():
            raise Failed("There is no history yet: it begins when recording is on.")
        now_ms = self._clock.now_ms()
        command = [
            *self._program, str(self._path), "--now", str(now_ms), "--days", str(days),
            f"--zone={getattr(zone, 'key', '')}", f"--offset={offset_s(now_ms // 1_000, zone)}",
        ]  # fmt: skip
        try:
            child = self._start_child(command, cancels)
        except OSError as error:
            raise Failed(f"The analysis could not be started ({error}).") from None
        try:
            out, errors = child.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"The analysis took longer than {PATIENCE_S} s and was stopped; ask for fewer days.") from None
        finally:
            self._end_child(child)
        if self._cancels != cancels:
            raise Cancelled
        if child.returncode:
            last = errors.strip().splitlines()[-1:] or ["it wrote no message"]
            raise Failed(f"The analysis failed: {last[0][:300]}")
        found: InsightsReport = json.loads(out)
        return found

    def _start_child(self, command: Sequence[str], cancels: int) -> subprocess.Popen[str]:
        """Start the child, unless already cancelled. Raises Cancelled, OSError."""
        with self._working:
            if self._cancels != cancels:
                raise Cancelled
            self._child = subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            return self._child

    def _end_child(self, child: subprocess.Popen[str]) -> None:
        """Make sure that the child has ended, whatever happened."""
        with self._working:
            self._child = None
            if child.poll() is None:
                child.kill()
        with child:  # closes its pipes, and waits
            pass
