"""One of a tunnel's two connections, with backpressure: the other side is not read faster than this one accepts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

HIGH_WATER = 65_536
"""Bytes queued for one side before reading from the other pauses."""


class Side(asyncio.Protocol):
    """The asyncio protocol of one connection; passes its events to the tunnel."""

    def __init__(
        self, made: Callable[[], None], data: Callable[[bytes], None], eof: Callable[[], None],
        lost: Callable[[Exception | None], None], full: Callable[[bool], None],
    ) -> None:  # fmt: skip
        self._made = made
        self.data_received = data  # type: ignore[method-assign,assignment]  # one call per read, not two
        self._eof = eof
        self._lost = lost
        self._full = full
        self.transport: asyncio.Transport | None = None
        self.ended = False
        """The peer has sent its last byte."""
        self.full = False
        """The write buffer is full: the tunnel should write no more."""
        self._write_ended = False
        """Our end of the stream was sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        self._made()

    def eof_received(self) -> bool:
        self.ended = True
        self._eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        transport, self.transport = self.transport, None
        if transport is not None:
            self._lost(exc)

    def pause_writing(self) -> None:
        self.full = True
        self._full(True)

    def resume_writing(self) -> None:
        self.full = False
        self._full(False)

    def forget(self) -> None:
        """Close without calling the tunnel."""
        self.data_received = self._full = lambda _: None  # type: ignore[method-assign,assignment]
        self._lost = lambda _: None
        self._eof = lambda: None
        self.reset(flush=False)

    def write(self, data: bytes) -> None:
        if self.transport is not None and data and not self._write_ended and not self.transport.is_closing():
            self.transport.write(data)

    def end(self) -> None:
        """Half-close after sending queued bytes. Later writes are ignored."""
        self._write_ended = True
        if self.transport is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):  # connection_lost reports a peer that is gone
                self.transport.write_eof()

    def close(self) -> None:
        """Close after sending queued bytes."""
        if self.transport is not None:
            self.transport.close()

    def reset(self, *, flush: bool) -> None:
        """Close with a TCP reset; ``flush`` sends queued bytes first."""
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if flush:
            self.transport.close()
        else:
            self.transport.abort()

    def waits(self) -> bool:
        """Return whether sent bytes are still queued."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def read(self, on: bool) -> None:  # noqa: FBT001  reads clearly at the call
        """Resume or pause reading."""
        if self.transport is not None and not self.ended:
            if on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
