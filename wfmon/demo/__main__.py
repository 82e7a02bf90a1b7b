"""``-m wfmon.demo``: the built-in model's process. It serves until it is stopped or its parent has gone."""

from __future__ import annotations

import os
import sys

# Vectors have a few thousand numbers: more threads would only use memory. numpy reads this at import.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wfmon.core import commands
from wfmon.core.clock import Clock, SystemClock
from wfmon.core.settings import data_folder
from wfmon.demo.state import State, write

DRAIN_S = 0.08
"""How long requests get to end and be reported; the monitor waits 0.15 s."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    options = _options(argv)
    sys.setswitchinterval(0.0005)  # its client measures in this process: no 5 ms waits between threads
    data = data_folder(options.data)
    os.environ["WFMON_DATA"] = str(data)  # where the hook looks for the monitor
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if options.stdin_guard:
        threading.Thread(target=_guard, args=(ended,), name="demo-guard", daemon=True).start()
    try:
        return _serve(options, data, SystemClock(), ended)
    except Exception as error:  # noqa: BLE001  the monitor shows the reason
        write(data, State("failed", reason=f"{type(error).__name__}: {error}"[:300], pid=os.getpid()))
        return 1


def _serve(options: argparse.Namespace, data: Path, clock: Clock, ended: threading.Event) -> int:
    from wfmon.demo.client import LoadGenerator
    from wfmon.demo.library import corpus, train
    from wfmon.demo.reporting import DemoReporter
    from wfmon.demo.server import HOST, DemoServer, NewWatch

    models = train(clock, options.rate)
    generators: list[LoadGenerator] = []
    reporters: list[DemoReporter] = []

    def new_watch(address: str) -> NewWatch:
        reporters.append(DemoReporter(models[next(iter(models))].vocabulary, address))
        return reporters[-1].request

    def measured() -> list[dict[str, Any]]:
        return [row for generator in generators for row in generator.measured()]

    reason = ""
    try:
        server = DemoServer(options.port, models, clock, new_watch, measured)
    except OSError:
        server = DemoServer(0, models, clock, new_watch, measured)
        reason = f"port {options.port} is in use by another program, so it uses {server.port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), name="demo-listen", daemon=True).start()
    if options.ask:
        generators.append(LoadGenerator(clock, server.port, list(models), corpus(), ended))
        threading.Thread(target=generators[0].run, name="demo-load", daemon=True).start()
    write(data, State(
        "running", reason, os.getpid(), f"http://{HOST}:{server.port}", tuple(models), options.rate
    ))  # fmt: skip
    sys.stdout.write(f"The built-in n-gram model answers at http://{HOST}:{server.port}\n")
    sys.stdout.flush()
    ended.wait()
    server.ended.set()  # every request ends, and is reported, as aborted
    for _ in range(8):
        if not server.busy:
            break
        clock.wait(threading.Event(), DRAIN_S / 8)
    for each in reporters:
        each.close()
    return 0


def _guard(ended: threading.Event) -> None:
    """End this process when standard input is closed, which happens however the parent ends."""
    while os.read(0, 1_024):
        pass
    ended.set()


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=commands.typed("-m", "wfmon.demo"),
        description="wfmon's built-in n-gram model: small and real, on 127.0.0.1, with OpenAI's and Ollama's APIs.",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the monitor's data folder (default: WFMON_DATA)")
    parser.add_argument("--port", type=int, default=11_599, metavar="N", help="port; 0, or a port in use: any free one")
    parser.add_argument(
        "--rate", type=float, default=40.0, metavar="R", help="tokens per second and request; 0: no limit"
    )
    parser.add_argument(
        "--ask", action="store_true", help="keep sending requests to both models, and report them at /demo/measured"
    )
    parser.add_argument("--stdin-guard", action="store_true", help="stop at the end of standard input")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
