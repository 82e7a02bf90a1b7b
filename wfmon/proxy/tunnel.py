"""One client connection and its connection to the model server: bytes are forwarded first, then a copy is parsed.

A close, half-close or reset of one side is passed on to the other as such. Neither side is read faster than the other
accepts. Everything runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from wfmon.core.clock import Clock
from wfmon.proxy import refusals
from wfmon.proxy.address import ProxyAddress
from wfmon.proxy.exchange import Exchange
from wfmon.proxy.http1 import Framer, Length, MessageHead, Piece, request_length, response_length
from wfmon.proxy.logprobs import LogprobsAsker
from wfmon.proxy.rewriting import Rewriter
from wfmon.proxy.side import Side

log = logging.getLogger(__name__)
CONNECT_S = 10.0
HEAD_S = 60.0
"""A client that has not sent a complete head after this long is closed; later the server's own timeouts apply."""
LINGER_S = 2.0
"""Time a client gets to close after the server did, or after a refusal."""
MAX_PENDING = 256
"""Pipelined requests tracked on one connection; past it the connection is forwarded unmeasured."""


class TunnelHost(Protocol):
    """What a tunnel needs from the proxy process."""

    clock: Clock
    upstream: ProxyAddress
    counts: Counter[str]
    asker: LogprobsAsker | None
    """None: every byte is forwarded unchanged."""

    @property
    def port(self) -> int:
        """The port that clients connect to."""

    def begin(self, head: MessageHead, t_us: int) -> Exchange:
        """Start tracking a request whose first byte arrived at ``t_us``."""

    def opened(self, tunnel: Tunnel) -> bool:
        """Register a connection. False if there are too many."""

    def closed(self, tunnel: Tunnel) -> None:
        """Unregister it."""


class Tunnel:
    """One per client connection; ends by itself once both sides are closed."""

    def __init__(self, host: TunnelHost, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self.client = Side(
            self._client_made,
            self._client_data,
            self._client_eof,
            self._client_lost,
            lambda full: self._up.read(not full),
        )
        self._up = self._new_upstream()
        self._early: list[bytes] = []  # for the server, until it is connected
        self._connecting: asyncio.Task[None] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._requests = Framer("request", request_length)
        self._responses = Framer("response", self._length)
        self._methods: deque[bytes] = deque()  # of requests whose response has not begun
        self._pending: deque[Exchange] = deque()  # requests whose response has not ended
        self._first_us = 0
        self._blind = False
        self._gone = ""
        self._answering = False
        self._draining = False
        self._rewriter = Rewriter(host.asker)

    def drain(self) -> None:
        """Let the requests in flight finish, then close."""
        self._draining = True
        self._close_if_idle()

    def kill(self) -> None:
        """Close both sides now."""
        self._gone = self._gone or "proxy_stopped"
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        for side in (self._up, self.client):
            side.reset(flush=False)

    def _new_upstream(self) -> Side:
        return Side(
            lambda: None, self._up_data, self._up_eof, self._up_lost, lambda full: self.client.read(not full)
        )  # fmt: skip

    def _now_us(self) -> int:
        return self._host.clock.mono_ns() // 1000

    # From the client.

    def _client_made(self) -> None:
        if not self._host.opened(self):
            self._refuse(refusals.TOO_MANY)
            return
        self._head_timer = self._loop.call_later(HEAD_S, self._head_timed_out)

    def _head_timed_out(self) -> None:
        if self._connecting is None and self._up.transport is None and not self._rewriter.holding:
            self._host.counts["silent"] += 1
            self.client.close()

    def _client_data(self, data: bytes) -> None:
        if self._blind:
            self._send_up(data)
            return
        now_us = self._now_us()
        if self._requests.between:
            self._first_us = now_us
        pieces = self._requests.feed(data)
        passed = 0
        refusal = None
        for piece in pieces:
            refusal = self._check(piece, first=not passed)
            if refusal is not None:
                break
            passed += 1
        self._send_up(b"".join([self._rewriter.request(piece) for piece in pieces[:passed]]))
        for piece in pieces[:passed]:
            self._observe(self._parse_request, piece, now_us)
        if refusal is not None:
            self._refuse(refusal)

    def _check(self, piece: Piece, *, first: bool) -> refusals.ProxyRefusal | None:
        if piece.head is not None:
            return refusals.check_request(piece.head, self._host.port)
        if piece.kind == "blind" and first and self._connecting is None and self._up.transport is None:
            return refusals.LONG_HEAD if self._requests.odd == "long_head" else refusals.NOT_HTTP
        return None

    def _parse_request(self, piece: Piece, now_us: int) -> None:
        if piece.head is not None:
            self._methods.append(piece.head.first[0])
            self._pending.append(self._host.begin(piece.head, self._first_us))
            self._first_us = now_us
            if len(self._pending) > MAX_PENDING:
                self._stop_measuring("pipelined")
        elif piece.kind == "blind":
            self._stop_measuring(self._requests.odd)
        elif self._pending:
            if piece.kind == "body":
                self._pending[-1].request_body(piece.payload)
            else:
                self._pending[-1].request_end()

    def _send_up(self, data: bytes) -> None:
        if not data:
            return
        if self._up.transport is not None:
            self._up.write(data)
            return
        self._early.append(data)
        if self._connecting is None:
            self.client.read(False)  # read no more until the server is connected
            self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        error: BaseException = TimeoutError()
        for host in self._host.upstream.hosts:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._loop.create_connection(lambda: self._up, host, self._host.upstream.port)
                break
            except OSError as caught:  # TimeoutError is one
                error = caught
        self._connecting = None
        if self._up.transport is None:
            self._gone = "upstream_refused"
            self._host.counts["upstream_refused"] += 1
            self._refuse(refusals.upstream_unreachable(self._host.upstream.label, error))
            return
        self._up.write(b"".join(self._early))
        self._early.clear()
        if self.client.transport is None:
            self._up.reset(flush=False)
        elif self.client.ended:
            self._up.end()
        elif not self._up.full:
            self.client.read(True)

    def _client_eof(self) -> None:
        self._gone = self._gone or "client_closed"
        if self._up.transport is not None:
            self._up.end()
            if self._up.ended:
                self._close()
        elif self._connecting is None:
            self.client.close()

    def _client_lost(self, error: Exception | None) -> None:
        self._gone = self._gone or "client_closed"
        if self._head_timer is not None:
            self._head_timer.cancel()
        if error is not None or self._pending:
            self._up.reset(flush=False)
        else:
            self._up.close()
        if self._up.transport is None and self._connecting is None:
            self._finish()

    # From the server.

    def _up_data(self, data: bytes) -> None:
        if self._blind or not self._rewriter.active:
            self.client.write(data)
        if self._blind:
            return
        now_us = self._now_us()
        pieces = self._responses.feed(data)
        if self._rewriter.active:
            if self._retry(pieces):
                return
            self.client.write(b"".join([self._rewriter.response(piece) for piece in pieces]))
        for piece in pieces:
            self._observe(self._parse_response, piece, now_us)

    def _length(self, head: MessageHead) -> Length:
        """Return the length of a response's body, which depends on the request's method."""
        method = self._methods[0] if self._methods else b"GET"
        length = response_length(head, method)
        if head.status >= 200 and self._methods:
            self._methods.popleft()
        return length

    def _parse_response(self, piece: Piece, now_us: int) -> None:
        if piece.kind == "blind":
            if not self._blind:
                self._stop_measuring(self._responses.odd)
        elif not self._pending:
            # A response without a request, such as 408 before the server closes.
            self._host.counts["unasked"] += piece.head is not None
        elif piece.head is not None:
            if piece.head.status == 101:
                self._stop_measuring("")
            elif piece.head.status >= 200:
                self._answering = True
                self._pending[0].response_head(piece.head, now_us)
        elif piece.kind == "body":
            self._pending[0].response_body(piece.payload, now_us)
        elif self._answering:  # the end of an interim 1xx does not end the request
            self._answering = False
            self._pending.popleft().response_end(now_us)
            self._close_if_idle()

    def _up_eof(self) -> None:
        for piece in self._responses.eof():
            self.client.write(self._rewriter.response(piece))
            self._observe(self._parse_response, piece, self._now_us())
        self._gone = self._gone or "upstream_closed"
        if self.client.ended:
            self._close()
            return
        self.client.end()
        self._loop.call_later(LINGER_S, self._linger)

    def _linger(self) -> None:
        """Close a client that stays open after the server closed, once it has read everything."""
        if self.client.waits():
            self._loop.call_later(LINGER_S, self._linger)
        else:
            self._close()

    def _up_lost(self, error: Exception | None) -> None:
        self._gone = self._gone or "upstream_closed"
        if error is not None:
            self.client.reset(flush=True)
        else:
            self.client.close()
        if self.client.transport is None:
            self._finish()

    def _retry(self, pieces: list[Piece]) -> bool:
        """Resend the client's original request on a new connection if the server rejected the rewritten one."""
        original = self._rewriter.retry(pieces) if len(self._pending) == 1 else None
        if original is None:
            return False
        self._up.forget()
        self._up = self._new_upstream()
        self._responses = Framer("response", self._length)
        self._methods.appendleft(b"POST")
        self._send_up(original)
        return True

    # Both directions.

    def _observe(self, parse: Callable[[Piece, int], None], piece: Piece, now_us: int) -> None:
        """Parse a copy. Errors are logged; forwarding continues."""
        if self._blind:
            return
        try:
            parse(piece, now_us)
        except Exception as error:  # noqa: BLE001
            # Only the type: the message could contain the user's text.
            log.error("a request could not be followed: %s", type(error).__name__)  # noqa: TRY400
            self._stop_measuring("trouble")

    def _stop_measuring(self, odd: str) -> None:
        """Stop measuring this connection. ``odd`` is the reason, "" for an upgrade to another protocol."""
        self._host.counts[f"odd_{odd}" if odd else "upgraded"] += 1
        self._blind = True
        self._send_up(self._rewriter.release() + self._requests.go_blind())
        self._end_all("unreadable" if odd else "upgraded")

    def _refuse(self, refusal: refusals.ProxyRefusal) -> None:
        """Send a refusal, unless the server's own bytes may be on the way, and close."""
        self._host.counts[f"refused_{refusal.cause}"] += 1
        self._gone = self._gone or "refused"
        if self._up.transport is None and self._connecting is None:
            self.client.write(refusal.response())
        self._blind = True
        self._end_all(self._gone)
        if self.client.transport is None:
            self._finish()
            return
        self.client.end()
        self._loop.call_later(LINGER_S, self._linger)

    def _close_if_idle(self) -> None:
        busy = self._pending or self._blind or self._connecting is not None or not self._requests.between
        if self._draining and not busy:
            self._close()

    def _close(self) -> None:
        self._up.close()
        self.client.close()

    def _finish(self) -> None:
        """Both sides are closed."""
        self._end_all(self._gone)
        self._host.closed(self)

    def _end_all(self, reason: str) -> None:
        now_us = self._now_us()
        while self._pending:
            self._pending.popleft().gone(now_us, reason)
