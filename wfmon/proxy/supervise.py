"""The proxy's process, seen from the monitor: start it, adopt one that outlived a crash, let it drain."""

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
"""One that has run for so long starts the back-off anew when it dies."""
TAIL_BYTES = 4_096


class ProxyProcess:
    """The one proxy of a data folder. ``each_second`` never waits; any thread."""

    def __init__(self, clock: Clock, settings: ProxySettings, data_dir: Path) -> None:
        self._clock = clock
        self._settings = settings
        self._data = data_dir
        self._lock = threading.Lock()  # around all that follows
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._state = "off"
        self._reason = ""
        self._running: running.RunningProxy | None = None
        self._retry_s = FIRST_RETRY_S
        self._retry_ns = 0
        self._since_ns = 0
        self._asked = 0  # the pid that was asked to drain

    def start(self) -> None:
        """Adopt the proxy that runs on this folder, or start one; where it is not enabled, let an old one drain."""
        self.each_second()

    def each_second(self) -> None:
        """Start it again if it has died: after 1, 2, 4 ... 60 s."""
        with self._lock:
            if not self._closed:
                self._step()

    def status(self) -> ProxyStatus:
        """Give {state: off|starting|running|draining|failed, reason, pid, listen, upstream}."""
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
        """Ask it to drain, and do not wait. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            found = running.read(self._data)
            if found is not None:
                self._drain(found.pid)
            if self._child is not None:
                self._drain(self._child.pid)
                # It may drain for 30 s, longer than this process lives; if we live on, it is reaped.
                threading.Thread(target=self._child.wait, name="wfmon-proxy-reaper", daemon=True).start()
            self._state, self._reason = "off", ""

    def _step(self) -> None:
        ended = self._reap()
        found = running.read(self._data)
        settings = self._settings
        fits = found is not None and found.does(
            settings.listen, settings.upstream, settings.logprobs, wfmon.__version__
        )
        self._running = found
        if found is not None and settings.enabled and fits and found.pid != self._asked:
            if self._state != "running":
                self._since_ns = self._clock.mono_ns()
            self._state, self._reason = "running", ""
        elif found is not None:
            # Other settings: it lets go of the lock and the port at once, and ends when its requests have.
            self._drain(found.pid)
            self._state, self._reason = "draining", "Its settings changed; it ends when its requests have."
        elif not settings.enabled:
            self._state, self._reason = "off", ""
        elif ended is not None:
            self._fail(ended)
        elif self._state == "running" and self._child is None:
            self._fail("The proxy's process has ended.")
        elif self._state == "running":
            self._state, self._reason = "draining", "It was asked to end, and ends when its requests have."
        elif self._child is None and running.held(self._data):
            if self._state in {"off", "failed"}:
                self._state, self._reason = "failed", f"Another program holds {self._data / running.LOCK}: end it."
        elif self._child is None and self._clock.mono_ns() >= self._retry_ns:
            self._spawn()

    def _reap(self) -> str | None:
        """Give why our child has ended, None while it has not."""
        if self._child is None or self._child.poll() is None:
            return None
        code, self._child = self._child.returncode, None
        return self._last_words() if code == 2 else f"The proxy's process has ended ({_how(code)})."

    def _fail(self, reason: str) -> None:
        steady_ns = STEADY_S * 1_000_000_000
        now_ns = self._clock.mono_ns()
        if self._state == "running" and now_ns - self._since_ns >= steady_ns:
            self._retry_s = FIRST_RETRY_S
        self._state, self._reason = "failed", f"{reason} Tried again in {self._retry_s} s."
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
        """Ask once. The pid is that of the lock's holder or of our child, not reaped yet: so it is no other's."""
        if pid != self._asked:
            self._asked = pid
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGTERM)

    def _last_words(self) -> str:
        """Give the last line of its log: why it could not start."""
        try:
            with open(self._data / "logs" / running.LOG, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                line = file.read().strip().rpartition(b"\n")[2]
            return str(json.loads(line)["message"])
        except (OSError, ValueError, KeyError, TypeError):
            return "The proxy could not start."


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
