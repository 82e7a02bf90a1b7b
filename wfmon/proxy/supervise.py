"""The monitor's supervision of the proxy process: starts it, adopts one that outlived a crash, drains it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import wfmon
from wfmon.core.answers.models import ProxyStatus
from wfmon.core.clock import Clock
from wfmon.core.settings import ProxySettings
from wfmon.proxy import running

FIRST_RETRY_S, LAST_RETRY_S = 1, 60
STEADY_S = 10
"""A proxy that ran this long resets the back-off."""
TAIL_BYTES = 4_096


class ProxyProcess:
    """The proxy of a data folder. ``each_second`` never waits. Any thread."""

    def __init__(self, clock: Clock, settings: ProxySettings, data_dir: Path) -> None:
        self._clock = clock
        self._settings = settings
        self._data = data_dir
        self._lock = threading.Lock()  # guards everything below
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._state = "off"
        self._reason = ""
        self._running: running.RunningProxy | None = None
        self._retry_s = FIRST_RETRY_S
        self._retry_ns = 0
        self._since_ns = 0
        self._draining_pid = 0  # the pid already signalled to drain

    def start(self) -> None:
        """Adopt the proxy that runs on this folder, or start one; if disabled, drain an old one."""
        self.each_second()

    def each_second(self) -> None:
        """Restart it if it has died: after 1, 2, 4 ... 60 s."""
        with self._lock:
            if not self._closed:
                self._step()

    def status(self) -> ProxyStatus:
        """Return {state: off|starting|running|draining|failed, reason, pid, listen, upstream}."""
        with self._lock:
            found = self._running
            enabled = self._settings.enabled or found is not None
            return {
                "state": self._state,
                "reason": self._reason,
                "pid": found.pid if found else self._child.pid if self._child else None,
                "listen": (found.at if found else self._settings.listen) if enabled else "",
                "upstream": (found.upstream if found else self._settings.upstream) if enabled else "",
            }

    def close(self) -> None:
        """Signal it to drain, without waiting. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            found = running.read(self._data)
            if found is not None:
                self._drain(found.pid)
            if self._child is not None:
                self._drain(self._child.pid)
                # It may drain for 30 s, longer than this process lives; if not, this thread reaps it.
                threading.Thread(target=self._child.wait, name="wfmon-proxy-reaper", daemon=True).start()
            self._state, self._reason = "off", ""

    def _step(self) -> None:
        ended = self._reap()
        found = running.read(self._data)
        settings = self._settings
        fits = found is not None and found.matches(
            settings.listen, settings.upstream, settings.logprobs, wfmon.__version__
        )
        self._running = found
        if found is not None and settings.enabled and fits and found.pid != self._draining_pid:
            if self._state != "running":
                self._since_ns = self._clock.mono_ns()
            self._state, self._reason = "running", ""
        elif found is not None:
            # Other settings: it releases lock and port at once, and exits when its requests have finished.
            self._drain(found.pid)
            self._state, self._reason = "draining", "Its settings changed; it stops when its requests have finished."
        elif not settings.enabled:
            self._state, self._reason = "off", ""
        elif ended is not None:
            self._fail(ended)
        elif self._state == "running" and self._child is None:
            self._fail("The proxy's process has ended.")
        elif self._state == "running":
            self._state, self._reason = "draining", "It was told to stop, and stops when its requests have finished."
        elif self._child is None and running.held(self._data):
            if self._state in {"off", "failed"}:
                self._state, self._reason = "failed", f"Another program holds {self._data / running.LOCK}: stop it."
        elif self._child is None and self._clock.mono_ns() >= self._retry_ns:
            self._spawn()

    def _reap(self) -> str | None:
        """Return why our child has ended, None while it runs."""
        if self._child is None or self._child.poll() is None:
            return None
        code, self._child = self._child.returncode, None
        return self._last_log_line() if code == 2 else f"The proxy's process has ended ({_exit_text(code)})."

    def _fail(self, reason: str) -> None:
        steady_ns = STEADY_S * 1_000_000_000
        now_ns = self._clock.mono_ns()
        if self._state == "running" and now_ns - self._since_ns >= steady_ns:
            self._retry_s = FIRST_RETRY_S
        self._state, self._reason = "failed", f"{reason} Retry in {self._retry_s} s."
        self._retry_ns = now_ns + self._retry_s * 1_000_000_000
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)

    def _spawn(self) -> None:
        settings = self._settings
        command = [
            sys.executable, "-m", "wfmon", "proxy", "--supervised", "--data", str(self._data),
            "--upstream", settings.upstream, "--listen", settings.listen, "--logprobs", str(settings.logprobs),
        ]  # fmt: skip
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True, cwd=Path(wfmon.__file__).parents[1],
            )  # fmt: skip
        except OSError as error:
            self._fail(f"The proxy could not be started ({error.strerror}).")
        else:
            self._state, self._reason = "starting", ""

    def _drain(self, pid: int) -> None:
        """Send one SIGTERM. The pid cannot be reused: it holds the lock, or is our child and not reaped yet."""
        if pid != self._draining_pid:
            self._draining_pid = pid
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)

    def _last_log_line(self) -> str:
        """Return the last line of its log: why it could not start."""
        try:
            with open(self._data / "logs" / running.LOG, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                line = file.read().strip().rpartition(b"\n")[2]
            return str(json.loads(line)["message"])
        except (OSError, ValueError, KeyError, TypeError):
            return "The proxy could not start."


def _exit_text(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
