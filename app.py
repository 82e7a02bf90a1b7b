"""wfmon's command: load the settings, start the monitor, serve its page on 127.0.0.1, open the browser.

Exit codes: 0 after a normal stop, 2 if it could not start; a sentence on stderr then says why and what to do.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and sys.flags.optimize < 2 and os.name == "posix":
    # Without the libraries' docstrings the process is 7 MB smaller, but the interpreter must start without them. The
    # process id stays the same, so signals and the terminal work as before.
    os.execv(sys.executable, [sys.executable, "-OO", *sys.orig_argv[1:]])  # noqa: S606  no shell needed

# One thread's buffers are enough for folding a second of samples. numpy reads this at import.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import logging
import signal
import ssl
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flask

from wfmon.core import memory

with memory.without_pydantic():
    import dash  # noqa: F401

import callbacks
from wfmon import serve
from wfmon.core import commands
from wfmon.core import log as core_log
from wfmon.core.clock import Clock, SystemClock
from wfmon.core.errors import SettingsError
from wfmon.core.settings import Settings
from wfmon.core.settings_files import load
from wfmon.runtime import Runtime
from wfmon.serve import instance
from wfmon.serve.launch import Launcher, open_running
from wfmon.serve.listener import Listener, PortInUse
from wfmon.serve.tls import BadCertificate, local_certificate, server_context
from wfmon.serve.token import Token, load_token
from wfmon.ui import shell

log = logging.getLogger("wfmon")
HERE = Path(__file__).parent
HOST = "127.0.0.1"
TICK_S = 0.5
"""How often the main thread sweeps used sign-in links while it waits for a signal."""
TRIM_TICKS = 60
"""Free memory is returned to the system every so many ticks."""
EXAMPLES = """examples:
  %(prog)s                          start, and open the page
  %(prog)s --no-browser --port 0    start on any free port; prints the address and a code
  %(prog)s --demo                   also start the built-in model, so that there is a model to see
  %(prog)s --open                   open the page of a running monitor
  %(prog)s --data ~/lab --tls       keep data elsewhere, and serve HTTPS with HTTP/2
"""


class Monitor:
    """A complete monitor. Nothing runs before ``start``; ``stop`` is idempotent. Main thread only."""

    def __init__(self, settings: Settings, token: Token, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._listener: Listener | None = None
        self._port = settings.server.port
        self.origin = serve.Origin(HOST, lambda: self._port, tls=settings.server.tls)
        self.launcher = Launcher(clock, settings.data_dir, self.origin.url, _print_code)
        self.runtime = Runtime(settings, clock, page_token=token.page_token, pages=shell.page_names)
        server = flask.Flask("wfmon", static_folder=None)
        self.dash = shell.App(
            "wfmon", server=server, use_pages=True, pages_folder=str(HERE / "pages"),
            assets_folder=str(HERE / "assets"), assets_path_ignore=["lib", "fonts"], index_string=shell.index_string(),
            include_pages_meta=False, enable_mcp=False, serve_locally=True, title="wfmon", update_title="",
            suppress_callback_exceptions=True,
        )  # fmt: skip
        self.dash.layout = shell.layout
        callbacks.register(self.dash)
        self._hooks = serve.install(
            server, self.runtime.services, hub=self.runtime.hub, ingest=self.runtime.ingest, token=token,
            launcher=self.launcher, origin=self.origin, script_hashes=self.dash.csp_hashes, clock=clock,
            on_refusal=self.runtime.status.count_refusal,
        )  # fmt: skip

    def start(self, running: instance.Instance) -> None:
        """Bind, start the stages and publish the address. Raises PortInUse, OSError, ValueError (certificate)."""
        ca_file, context = _tls(self._settings, self._clock) if self._settings.server.tls else ("", None)
        self._listener = Listener(
            self.dash.server, HOST, self._settings.server.port, clock=self._clock, on_error=_log_error,
            on_refusal=self.runtime.status.count_refusal, ssl_context=context, http2=context is not None,
        )  # fmt: skip
        self._port = self._listener.port
        self.runtime.start()
        self._listener.start()
        running.publish(
            url=self.origin.url() + "/", ca_file=ca_file, boot=self.runtime.boot, started_ms=self._clock.now_ms()
        )

    def stop(self) -> None:
        """Stop the sources, the ticker, the clients and the listener, in under a second."""
        self._hooks.close()
        self.runtime.stop()
        if self._listener is not None:
            self._listener.stop()
        self.launcher.close()


def create_app(settings: Settings) -> shell.App:
    """Build the Dash app of a monitor that is not started, for tests and tools. Creates the data folder."""
    instance.prepare(settings.data_dir)
    return Monitor(settings, load_token(settings.data_dir), SystemClock()).dash


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    options = _options(argv)
    try:
        settings = load(options.config, options.data, _overrides(options))
        if options.open:
            print(f"Opened {open_running(settings.data_dir, _open)}")
            return 0
        return _run(settings)
    except PortInUse as error:
        return _fail(
            f"Port {error.port} of {error.host} is in use by another program. "
            "Choose another with --port N (0 picks a free one)."
        )
    except (SettingsError, instance.FolderError, instance.AlreadyRunning, instance.NotRunning) as error:
        return _fail(str(error))
    except (OSError, BadCertificate) as error:
        return _fail(f"The monitor could not start: {error}")


def _run(settings: Settings) -> int:
    """Lock the data folder, serve until a signal, then shut down in order."""
    memory.tighten()
    sys.setswitchinterval(0.001)  # the ticker runs every 16 ms: it must not wait 5 ms for each computing thread
    memory.spare_masked_arrays()
    clock = SystemClock()
    running = instance.Instance(settings.data_dir, clock)
    logs = core_log.start(
        settings.data_dir, level=settings.log.level, max_bytes=settings.log.max_bytes, keep=settings.log.keep
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    monitor = Monitor(settings, load_token(settings.data_dir), clock)
    try:
        monitor.start(running)
        log.info("wfmon watches this machine at %s/", monitor.origin.url())
        _show(monitor, open_browser=settings.server.open_browser)
        ticks = 0
        while not clock.wait(ended, TICK_S):
            ticks += 1
            monitor.launcher.sweep()
            if ticks % TRIM_TICKS == 0:
                memory.trim()
        log.info("stopping")
    finally:
        monitor.stop()
        running.close()
        logs.close()
    return 0


def _show(monitor: Monitor, *, open_browser: bool) -> None:
    """Open the page, or print how to open it."""
    if open_browser and _open(monitor.launcher.redirect_file(monitor.launcher.new_code()).as_uri()):
        print(f"The page opens in your browser: {monitor.origin.url()}/   Ctrl-C stops the monitor.", flush=True)
        return
    print(f"Open {monitor.origin.url()}/   Ctrl-C stops the monitor.", flush=True)
    monitor.launcher.terminal_code()


def _tls(settings: Settings, clock: Clock) -> tuple[str, ssl.SSLContext]:
    """Return the CA file that clients must trust ("" for the user's own certificate) and the context."""
    given = settings.server.cert_file, settings.server.key_file
    if any(given):
        if not all(given):
            raise SettingsError("server.cert_file and server.key_file belong together: set both, or neither.")
        return "", server_context(Path(given[0]).expanduser(), Path(given[1]).expanduser(), http2=True)
    made = local_certificate(settings.data_dir / "tls", clock)
    return str(made.ca_file), server_context(made.cert_file, made.key_file, http2=True)


def _print_code(code: str) -> None:
    print(f"Code to sign in a browser (works once, for 10 minutes): {code}", flush=True)


def _open(address: str) -> bool:
    """Open a graphical browser. False if there is none: a text browser would take over the terminal."""
    graphical = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(graphical) and webbrowser.open(address)


def _log_error(message: str, error: BaseException | None = None) -> None:
    logging.getLogger("wfmon.serve").error("%s", message, exc_info=error)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=commands.typed(sys.argv[0]),
        description="wfmon: an oscilloscope for local AI. Watches this machine; no data leaves it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, metavar="F", help="settings file (default: config.yaml beside app.py)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder (default: WFMON_DATA, or the user's own)")
    parser.add_argument("--port", type=int, metavar="N", help="port on 127.0.0.1; 0 picks a free one")
    parser.add_argument(
        "--demo", action="store_true", default=None, help="also start the built-in n-gram model, and send it requests"
    )
    parser.add_argument("--tls", action="store_true", default=None, help="serve HTTPS with HTTP/2")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    parser.add_argument("--log-level", metavar="L", help="debug, info, warning or error")
    parser.add_argument("--open", action="store_true", help="open the page of a running monitor, and exit")
    options = parser.parse_args(argv)
    if options.config is None and (HERE / "config.yaml").exists():
        options.config = HERE / "config.yaml"
    return options


def _overrides(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings given on the command line, by dotted name."""
    given = {
        "server.port": options.port,
        "server.tls": options.tls,
        "server.open_browser": False if options.no_browser else None,
        "log.level": options.log_level,
        "demo.enabled": options.demo,
    }
    return {name: value for name, value in given.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main())
