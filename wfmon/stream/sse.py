"""A client on server-sent events: one thread, one direction. The client's own messages arrive by POST."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from wfmon.stream import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wfmon.stream.client import Client
    from wfmon.stream.hub import Hub

SILENCE_S = 10.0
HEARTBEAT = b": still here\n\n"


def events(hub: Hub, client: Client, wake: threading.Event) -> Iterator[bytes]:
    """Yield the client's messages as events. A final ``error`` event has the reason if we close it."""
    try:
        while True:
            ended = client.ended is not None
            woken = wake.wait(0 if ended else SILENCE_S)
            wake.clear()
            while batch := client.take():
                yield b"".join(wire.event(hub.boot, each) for each in batch)
            if ended:
                return
            if not woken:
                yield HEARTBEAT
    finally:
        hub.leave(client)


def last_event(text: str) -> tuple[str, int] | None:
    """Parse an event id made by ``wire.event`` into (boot, seq); None if it is not one."""
    boot, colon, seq = text.partition(":")
    return (boot, int(seq)) if colon and seq.isascii() and seq.isdecimal() and len(seq) < 16 else None
