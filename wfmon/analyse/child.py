"""Runs the analysis in a process that ends, one at a time, and keeps its answer for a while."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import wfmon
from wfmon.core.clock import Clock

PATIENCE_S = 60
KEEP_S = 300
"""An answer is given again for so long: what a week tells does not change in a minute."""
MAX_DAYS = 90
_ROOT = Path(wfmon.__file__).resolve().parent.parent


class Failed(Exception):
    """The analysis gave no answer; the message is one sentence for the user."""


class Analyst:
    """Any thread asks; whoever comes while one works waits for the same answer."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        # Under the lock.
        self._kept: dict[tuple[int, int], tuple[int, dict[str, Any]]] = {}

    def insights(self, days: int, offset_s: int) -> dict[str, Any]:
        """Give what ``wfmon.analyse.insights.insights`` tells of the last days. Raises Failed, ValueError."""
        if not 1 <= days <= MAX_DAYS or abs(offset_s) > 86_400:
            raise ValueError(f"days must be from 1 to {MAX_DAYS}, and the zone within a day of UTC")
        with self._lock:
            at_ns, known = self._kept.get((days, offset_s), (0, None))
            if known is not None and self._clock.mono_ns() - at_ns < KEEP_S * 1_000_000_000:
                return known
            told = self._run(days, offset_s)
            self._kept = {(days, offset_s): (self._clock.mono_ns(), told)}
            return told

    def _run(self, days: int, offset_s: int) -> dict[str, Any]:
        if not self._path.exists():
            raise Failed("There is no history yet: it begins when recording is on.")
        command = [
            sys.executable, "-m", "wfmon.analyse", str(self._path), "--now", str(self._clock.now_ms()),
            "--days", str(days), f"--offset={offset_s}",
        ]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=_ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Failed(f"The analysis took longer than {PATIENCE_S} s and was ended; ask for fewer days.") from None
        except OSError as error:
            raise Failed(f"The analysis could not be started ({error}).") from None
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise Failed(f"The analysis failed: {last[0][:300]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found
