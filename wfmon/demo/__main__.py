"""``-m wfmon.demo``: the built-in model's process. It serves until it is told to end, or its parent is gone."""

from __future__ import annotations

import os
import sys

# Vectors of a few thousand numbers: more threads would only take memory. numpy reads this when it is imported.
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

FAREWELL_S = 0.08
"""How long requests have to end and be told; their monitor waits 0.15 s."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run; gives the exit code."""
    options = _options(argv)
    sys.setswitchinterval(0.0005)  # its client measures in the same process: neither may wait 5 ms for the other
    data = data_folder(options.data)
    os.environ["WFMON_DATA"] = str(data)  # where the hook looks for the monitor
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    if options.stdin_guard:
        threading.Thread(target=_guard, args=(ended,), name="demo-guard", daemon=True).start()
    try:
        return _serve(options, data, SystemClock(), ended)
    except Exception as error:  # noqa: BLE001  whatever it was, the monitor tells it to the user
        write(data, State("failed", reason=f"{type(error).__name__}: {error}"[:300], pid=os.getpid()))
        return 1


def _serve(options: argparse.Namespace, data: Path, clock: Clock, ended: threading.Event) -> int:
    from wfmon.demo.ask import Asker
    from wfmon.demo.library import corpus, train
    from wfmon.demo.server import HOST, DemoServer, Watching
    from wfmon.demo.watching import Seen

    models = train(clock, options.rate)
    askers: list[Asker] = []
    seen: list[Seen] = []

    def watching(address: str) -> Watching:
        seen.append(Seen(models[next(iter(models))].vocabulary, address))
        return seen[-1].request

    def measured() -> list[dict[str, Any]]:
        return [row for asker in askers for row in asker.measured()]

    reason = ""
    try:
        server = DemoServer(options.port, models, clock, watching, measured)
    except OSError:
        server = DemoServer(0, models, clock, watching, measured)
        reason = f"port {options.port} is in use by another program, so it took {server.port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), name="demo-listen", daemon=True).start()
    if options.ask:
        askers.append(Asker(clock, server.port, list(models), corpus(), ended))
        threading.Thread(target=askers[0].run, name="demo-asker", daemon=True).start()
    write(data, State(
        "running", reason, os.getpid(), f"http://{HOST}:{server.port}", tuple(models), options.rate
    ))  # fmt: skip
    sys.stdout.write(f"The built-in n-gram model answers at http://{HOST}:{server.port}\n")
    sys.stdout.flush()
    ended.wait()
    server.ended.set()  # every request ends as aborted, and is told so
    for _ in range(8):
        if not server.busy:
            break
        clock.wait(threading.Event(), FAREWELL_S / 8)
    for each in seen:
        each.close()
    return 0


def _guard(ended: threading.Event) -> None:
    """End with the one who holds the other end of standard input, however it ends."""
    while os.read(0, 1_024):
        pass
    ended.set()


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=commands.typed("-m", "wfmon.demo"),
        description="wfmon's built-in n-gram model: small and real, on 127.0.0.1, in OpenAI's and Ollama's forms.",
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the monitor's data folder (default: WFMON_DATA)")
    parser.add_argument("--port", type=int, default=11_599, metavar="N", help="port; 0, or one in use: any free one")
    parser.add_argument(
        "--rate", type=float, default=40.0, metavar="R", help="tokens a second and request; 0: no limit"
    )
    parser.add_argument("--ask", action="store_true", help="keep asking both models, and tell at /demo/measured")
    parser.add_argument("--stdin-guard", action="store_true", help="end at the end of file of standard input")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
