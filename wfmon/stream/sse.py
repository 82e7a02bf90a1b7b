"""A client on server-sent events: one thread, one way. What it would say comes by POST."""

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
    """Give the client's messages as events, as long as it is read. A last ``error`` event says why it ends."""
    try:
        while True:
            ended = client.ended is not None
            heard = wake.wait(0 if ended else SILENCE_S)
            wake.clear()
            while batch := client.take():
                yield b"".join(wire.event(hub.boot, each) for each in batch)
            if ended:
                return
            if not heard:
                yield HEARTBEAT
    finally:
        hub.leave(client)


def last_event(text: str) -> tuple[str, int] | None:
    """Read an id that ``wire.event`` gave: (boot, seq), None when it is none of ours."""
    boot, colon, seq = text.partition(":")
    return (boot, int(seq)) if colon and seq.isascii() and seq.isdecimal() and len(seq) < 16 else None
