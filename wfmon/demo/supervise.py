"""The monitor's supervision of the built-in model's process: start, stop, status."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import wfmon
from wfmon.core.answers.models import DemoStatus
from wfmon.core.clock import Clock
from wfmon.core.settings import DemoSettings
from wfmon.demo import state
from wfmon.demo.state import State

START_S = 10.0
STOP_S = 0.15
"""A child still running after this is killed."""


class DemoProcess:
    """At most one child at a time. It ends with the monitor (end of file on its standard input). Any thread."""

    def __init__(self, clock: Clock, settings: DemoSettings, data_dir: Path) -> None:
        self._clock = clock
        self._settings = settings
        self._data = data_dir.expanduser().absolute()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None  # guarded by the lock, like everything below
        self._failed = ""
        self._closed = False

    def command(self, what: str) -> DemoStatus:
        """Run "start", "stop", "wait" (at most 10 s, until it has started or failed) or "" (only the status). Returns
        {state: off|starting|running|failed, reason, pid, url, models, rate}. A running model has a reason if its port
        is not the configured one.
        """
        if what == "wait":
            return self._settled().status()
        with self._lock:
            now = self._poll()
            if what == "start" and now.state in {"off", "failed"} and not self._closed:
                self._start()
            elif what == "stop":
                self._stop()
            else:
                return now.status()
            return self._poll().status()

    def close(self) -> None:
        """Stop the child within 0.2 s; later calls start nothing. Idempotent."""
        with self._lock:
            self._closed = True
            self._stop()

    def _settled(self) -> State:
        never = threading.Event()
        for _ in range(int(START_S / 0.05)):
            with self._lock:
                now = self._poll()
            if now.state != "starting":
                return now
            self._clock.wait(never, 0.05)
        return now

    def _start(self) -> None:
        state.remove(self._data)
        self._failed = ""
        home = str(Path(wfmon.__file__).parent.parent)
        known = os.environ.get("PYTHONPATH")
        command = [
            sys.executable, *(["-OO"] if sys.flags.optimize > 1 else []), "-P", "-m", "wfmon.demo", "--data",
            str(self._data), "--port", str(self._settings.port), "--rate", f"{self._settings.tokens_per_second:g}",
            "--ask", "--stdin-guard",
        ]  # fmt: skip
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is the monitor's; the child ends with its stdin
                env={
                    **os.environ, "WFMON_DATA": str(self._data), "OPENBLAS_NUM_THREADS": "1",
                    "PYTHONPATH": home if not known else home + os.pathsep + known,
                },
            )  # fmt: skip
        except OSError as error:
            self._failed = f"its process could not be started: {error.strerror}"

    def _poll(self) -> State:
        """Return the state; reaps a child that has ended."""
        if self._child is None:
            return State("failed", self._failed) if self._failed else State("off")
        saved = state.read(self._data, self._child.pid)
        code = self._child.poll()
        if code is None:
            return saved or State("starting", pid=self._child.pid, rate=self._settings.tokens_per_second)
        failed = saved is not None and saved.state == "failed"
        self._failed = saved.reason if saved and failed else f"its process ended with exit code {code}"
        self._release()
        return State("failed", self._failed)

    def _stop(self) -> None:
        child = self._child
        self._failed = ""
        if child is None:
            return
        with contextlib.suppress(OSError):
            child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._release()

    def _release(self) -> None:
        child, self._child = self._child, None
        if child is not None and child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
        state.remove(self._data)
