"""``python -m wfmon proxy``: read the options, bind, pass on until a signal comes, then drain."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from wfmon.collect.models.proxy.address import Address, AddressError, listening, upstream
from wfmon.collect.models.proxy.exchange import Exchange
from wfmon.collect.models.proxy.server import ProxyServer
from wfmon.core.clock import SystemClock
from wfmon.core.settings import ProxySettings, default_data_dir

HELP = "see every client of a model server with no code: a streaming pass-through"
EXAMPLES = """examples:
  python -m wfmon proxy                                    Ollama at 11434, seen at 127.0.0.1:11500
  python -m wfmon proxy --upstream http://127.0.0.1:8080 --listen 127.0.0.1:11501
  OLLAMA_HOST=127.0.0.1:11500 ollama run llama3.2          a client, pointed at the proxy
  python -m wfmon proxy --logprobs 8                       ask for log-probabilities too, and strip them again
"""


class StartError(Exception):
    """The proxy could not start; the message is one sentence for the user."""


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    default = ProxySettings()
    parser.add_argument(
        "--upstream", default=default.upstream, metavar="URL", help=f"the model server (default: {default.upstream})"
    )
    parser.add_argument(
        "--listen", default=default.listen, metavar="HOST:PORT",
        help=f"where clients come in (default: {default.listen}; port 0 takes any free one)",
    )  # fmt: skip
    parser.add_argument(
        "--logprobs", type=int, default=default.logprobs, metavar="K",
        help="ask for so many log-probabilities a token (1 to 20) and strip them again (default: 0, do not)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the monitor's data folder (default: as the monitor's)"
    )
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)


def run(given: argparse.Namespace) -> int:
    """Run until a signal; gives the exit code. Raises StartError."""
    try:
        leads_to, at = upstream(given.upstream), listening(given.listen)
    except AddressError as error:
        raise StartError(str(error)) from None
    if not 0 <= given.logprobs <= 20:
        raise StartError(f"--logprobs {given.logprobs} is out of bounds: give 0 to 20.")
    if leads_to.port == at.port and set(leads_to.hosts) & set(at.hosts):
        raise StartError(f"The proxy cannot lead to itself: --upstream and --listen are both {at.label}.")
    data = given.data or default_data_dir()
    return asyncio.run(_serve(leads_to, at, data))


async def _serve(leads_to: Address, at: Address, data: Path) -> int:
    server = ProxyServer(SystemClock(), leads_to, lambda _head, _t_us: Exchange())
    asked, again = asyncio.Event(), asyncio.Event()
    _on_signals(asked, again)
    try:
        bound = await server.listen(at)
    except OSError as error:
        raise StartError(
            f"The proxy cannot listen at {at.label} ({error.strerror}). Choose another with --listen HOST:PORT."
        ) from None
    print(f"http://{bound.label} leads to http://{leads_to.label}.   Ctrl-C ends it.", flush=True)  # noqa: T201
    await asked.wait()
    await server.drain(again)
    return 0


def _on_signals(asked: asyncio.Event, again: asyncio.Event) -> None:
    """Let the first signal ask for the end, the second one for now."""
    loop = asyncio.get_running_loop()

    def note() -> None:
        if asked.is_set():
            again.set()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, note)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(note))
    with contextlib.suppress(AttributeError):
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
