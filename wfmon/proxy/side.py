"""One of a tunnel's two connections: what comes is handed on, what is given is sent, bounded by what the peer takes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

HIGH_WATER = 65_536
"""Bytes that may wait for one side before the other is no longer read."""


class Side(asyncio.Protocol):
    """One of the two connections: hands everything to the tunnel."""

    def __init__(
        self, made: Callable[[], None], data: Callable[[bytes], None], eof: Callable[[], None],
        lost: Callable[[Exception | None], None], full: Callable[[bool], None],
    ) -> None:  # fmt: skip
        self._made = made
        self.data_received = data  # type: ignore[method-assign,assignment]  # one call a read, not two
        self._eof = eof
        self._lost = lost
        self._full = full
        self.transport: asyncio.Transport | None = None
        self.ended = False
        """It has sent its last byte."""
        self.full = False
        """It has so much to read that nothing more should be written."""
        self._told = False
        """It was told that no more will come."""

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
        """Close, and tell nobody."""
        self.data_received = self._full = lambda _: None  # type: ignore[method-assign,assignment]
        self._lost = lambda _: None
        self._eof = lambda: None
        self.reset(flush=False)

    def write(self, data: bytes) -> None:
        if self.transport is not None and data and not self._told and not self.transport.is_closing():
            self.transport.write(data)

    def end(self) -> None:
        """Send what waits, then say that no more will come: what is given later is not sent."""
        self._told = True
        if self.transport is not None and not self.transport.is_closing():
            with contextlib.suppress(OSError):  # a peer that has gone is told by connection_lost
                self.transport.write_eof()

    def close(self) -> None:
        """Send what waits, then close."""
        if self.transport is not None:
            self.transport.close()

    def reset(self, *, flush: bool) -> None:
        """Close with a reset, as the other side was."""
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
        """Tell whether bytes wait for it to read them."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def read(self, on: bool) -> None:  # noqa: FBT001  the loop's own form
        """Read on, or stop for now."""
        if self.transport is not None and not self.ended:
            if on:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
