"""``-m wfmon proxy``: parse the options, listen, forward until a signal arrives, then drain."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import os
import signal
from collections import Counter
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import wfmon
from wfmon.core.clock import SystemClock
from wfmon.core.errors import CommandError
from wfmon.core.log import JsonLines
from wfmon.core.settings import ProxySettings, data_folder
from wfmon.proxy.address import AddressError, ProxyAddress, listening, upstream
from wfmon.proxy.logprobs import LogprobsAsker
from wfmon.proxy.reporting import RequestReporter
from wfmon.proxy.running import LOG, Lock, RunningProxy
from wfmon.proxy.server import ProxyServer

log = logging.getLogger(__name__)
LOCK_TRIES, LOCK_TRY_S = 20, 0.05
MAX_LOG_BYTES = 262_144
HELP = "observe every client of a model server without code changes: a streaming proxy"
EXAMPLES = """examples:
  %(prog)s                    Ollama at 11434, observed at 127.0.0.1:11500
  %(prog)s --logprobs 8       also request log-probabilities, and strip them from the answers
  %(prog)s --upstream http://127.0.0.1:8080 --listen 127.0.0.1:11501
  OLLAMA_HOST=127.0.0.1:11500 ollama run llama3.2      a client that uses the proxy
"""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    default = ProxySettings()
    parser.add_argument(
        "--upstream", default=default.upstream, metavar="URL", help=f"the model server (default: {default.upstream})"
    )
    parser.add_argument(
        "--listen", default=default.listen, metavar="HOST:PORT",
        help=f"the address for clients (default: {default.listen}; port 0 picks a free one)",
    )  # fmt: skip
    parser.add_argument(
        "--logprobs", type=int, default=default.logprobs, metavar="K",
        help="request K log-probabilities per token (1 to 20) and strip them from the answers (default: 0, off)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the monitor's data folder (default: the monitor's default)"
    )
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Run until a signal and return the exit code. Raises CommandError."""
    try:
        target, at = upstream(args.upstream), listening(args.listen)
    except AddressError as error:
        raise CommandError(str(error)) from None
    if not 0 <= args.logprobs <= 20:
        raise CommandError(f"--logprobs {args.logprobs} is out of bounds: use 0 to 20.")
    if target.port == at.port and set(target.hosts) & set(at.hosts):
        raise CommandError(f"The proxy cannot forward to itself: --upstream and --listen are both {at.label}.")
    args.data_dir = data_folder(args.data)
    if not args.supervised:
        return asyncio.run(_serve(args, target, at))
    os.umask(0o077)
    logs = _log_to(args.data_dir / "logs")
    try:
        return asyncio.run(_serve(args, target, at))
    except CommandError as error:
        log.error("%s", error)  # noqa: TRY400  the traceback would add nothing
        raise
    finally:
        logs.close()


async def _serve(args: argparse.Namespace, target: ProxyAddress, at: ProxyAddress) -> int:
    clock = SystemClock()
    counts: Counter[str] = Counter()
    reporter = RequestReporter(args.data_dir, target.label, counts)
    asker = LogprobsAsker(args.logprobs, counts) if args.logprobs else None
    server = ProxyServer(clock, target, counts, reporter.begin, asker)
    stop, stop_now = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_on_error)
    _on_signals(loop, stop, stop_now)
    lock = await _lock(args.data_dir) if args.supervised else None
    try:
        bound = await _bind(server, at)
        if lock is not None:
            lock.publish(
                RunningProxy(
                    os.getpid(), args.listen, args.upstream, args.logprobs, bound.label, wfmon.__version__,
                    clock.now_ms(),
                )
            )  # fmt: skip
        print(f"http://{bound.label} forwards to http://{target.label}.   Ctrl-C ends it.", flush=True)  # noqa: T201
        log.info("listening at %s, forwarding to %s", bound.label, target.label)
        await stop.wait()
        server.stop_listening()
    finally:
        if lock is not None:
            lock.close()  # a successor may start while this one drains
    await server.drain(stop_now)
    reporter.close()
    log.info("ended: %s", ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "no connections")
    return 0


async def _bind(server: ProxyServer, at: ProxyAddress) -> ProxyAddress:
    try:
        return await server.listen(at)
    except OSError as error:
        why = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise CommandError(
            f"The proxy cannot listen at {at.label}: {why}. Choose another with --listen HOST:PORT."
        ) from None


async def _lock(folder: Path) -> Lock:
    """Acquire the folder's lock, with retries: the monitor holds it for an instant when it checks it."""
    for _ in range(LOCK_TRIES):
        try:
            return Lock(folder)
        except BlockingIOError:
            await asyncio.sleep(LOCK_TRY_S)
        except OSError as error:
            raise CommandError(
                f"The data folder {folder} cannot be used ({error.strerror}). Choose another with --data."
            ) from None
    raise CommandError(f"Another proxy is already running on {folder}.")


def _log_to(folder: Path) -> logging.Handler:
    """Log JSON lines to ``proxy.log`` in a folder, at most two files of 256 KB."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = RotatingFileHandler(folder / LOG, maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"The log in {folder} cannot be written ({error.strerror}).") from None
    handler.setFormatter(JsonLines())
    logging.getLogger("wfmon").addHandler(handler)
    logging.getLogger("wfmon").setLevel(logging.INFO)
    logging.raiseExceptions = False
    return handler


def _on_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log the type of an error in the loop. Its message and arguments could contain the user's text."""
    del loop
    log.error("error in the event loop: %s", type(context.get("exception")).__name__)


def _on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, stop_now: asyncio.Event) -> None:
    """Drain at the first signal, stop at once at the second."""

    def note() -> None:
        if stop.is_set():
            stop_now.set()
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, note)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(note))
