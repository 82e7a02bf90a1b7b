"""Runs the analysis in a process that ends, one at a time, and keeps its answer for a while."""

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
"""An answer is given again for so long: what a week tells does not change in a minute."""
MAX_DAYS = 90
PROGRAM = (sys.executable, "-m", "wfmon.analyse")
_ROOT = Path(wfmon.__file__).resolve().parent.parent


class Analyst:
    """Any thread asks; whoever comes while one works waits for the same answer.

    ``program``: what is run, with the file and the span as arguments; it writes JSON.
    """

    def __init__(self, path: Path, clock: Clock, program: Sequence[str] = PROGRAM) -> None:
        self._path = path
        self._clock = clock
        self._program = program
        self._lock = threading.Lock()
        # Under the lock.
        self._kept: dict[tuple[int, tzinfo], tuple[int, int, InsightsReport]] = {}
        self._working = threading.Lock()
        # Under this one, which is never held while the child works.
        self._child: subprocess.Popen[str] | None = None
        self._cancels = 0
        self._forgettings = 0

    def insights(self, days: int, zone: tzinfo) -> InsightsReport:
        """Give what ``wfmon.analyse.insights.insights`` tells of the last days. Raises Failed, Refused."""
        if not 1 <= days <= MAX_DAYS:
            raise Refused(
                "days", f"The analysis was asked for {days} days.",
                f"Give days= from 1 to {MAX_DAYS}.",
            )  # fmt: skip
        cancels = self._cancels
        with self._lock:
            at_ns, of, known = self._kept.get((days, zone), (0, 0, None))
            fresh = of == self._forgettings and self._clock.mono_ns() - at_ns < KEEP_S * 1_000_000_000
            if known is not None and fresh:
                return known
            of = self._forgettings
            told = self._run(days, zone, cancels)
            self._kept = {(days, zone): (self._clock.mono_ns(), of, told)}
            return told

    def on_forgotten(self) -> None:
        """Something was deleted from the history: answers from before are not given again. One thread; never waits."""
        self._forgettings += 1
        self._kept = {}

    def cancel(self) -> None:
        """End the child, if one works: whoever asked by now gets Cancelled, at once. Any thread; never waits."""
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
            child = self._begun(command, cancels)
        except OSError as error:
            raise Failed(f"The analysis could not be started ({error}).") from None
        try:
            out, said = child.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Failed(f"The analysis took longer than {PATIENCE_S} s and was ended; ask for fewer days.") from None
        finally:
            self._ended(child)
        if self._cancels != cancels:
            raise Cancelled
        if child.returncode:
            last = said.strip().splitlines()[-1:] or ["it said nothing"]
            raise Failed(f"The analysis failed: {last[0][:300]}")
        found: InsightsReport = json.loads(out)
        return found

    def _begun(self, command: Sequence[str], cancels: int) -> subprocess.Popen[str]:
        """Start the child, unless it was cancelled before. Raises Cancelled, OSError."""
        with self._working:
            if self._cancels != cancels:
                raise Cancelled
            self._child = subprocess.Popen(
                command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            return self._child

    def _ended(self, child: subprocess.Popen[str]) -> None:
        """See to it that the child is gone, whatever happened."""
        with self._working:
            self._child = None
            if child.poll() is None:
                child.kill()
        with child:  # closes its pipes, and waits
            pass
