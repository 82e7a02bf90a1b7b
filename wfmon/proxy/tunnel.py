"""One client's connection and the one to the model server that belongs to it: bytes first, a look at the copy after.

A close, a half-close or a reset of either side goes to the other as what it was. Neither side is read faster than the
other takes it. All of it runs on the loop's thread.
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
from wfmon.proxy.logprobs import RETRIED, Asked, HeldRequest, LogprobsAsker, Stripper
from wfmon.proxy.side import Side

log = logging.getLogger(__name__)
DIAL_S = 10.0
HEAD_S = 60.0
"""A client that has sent no whole head after so long is closed; from then on the server's own patience counts."""
LINGER_S = 2.0
"""A client gets so long to close after the server did, or after a refusal."""
MAX_PENDING = 256
"""Requests pipelined on one connection that are followed; past it the connection is passed on unseen."""


class House(Protocol):
    """What a tunnel needs of the process around it."""

    clock: Clock
    upstream: ProxyAddress
    counts: Counter[str]
    asker: LogprobsAsker | None
    """None: every byte passes as it came."""

    @property
    def port(self) -> int:
        """The port that clients name."""

    def begin(self, head: MessageHead, t_us: int) -> Exchange:
        """Follow a request from here; its first byte came at ``t_us``."""

    def opened(self, tunnel: Tunnel) -> bool:
        """Take note of a connection; False if there are too many."""

    def closed(self, tunnel: Tunnel) -> None:
        """Forget it."""


class Tunnel:
    """Made for each client that connects; ends by itself when either side has gone."""

    def __init__(self, house: House, loop: asyncio.AbstractEventLoop) -> None:
        self._house = house
        self._loop = loop
        self.client = Side(
            self._client_made,
            self._client_data,
            self._client_eof,
            self._client_lost,
            lambda full: self._up.read(not full),
        )
        self._up = self._new_upstream()
        self._early: list[bytes] = []  # for the server, until its connection stands
        self._dialing: asyncio.Task[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._requests = Framer("request", request_length)
        self._responses = Framer("response", self._length)
        self._methods: deque[bytes] = deque()  # of requests whose answer has not begun
        self._pending: deque[Exchange] = deque()  # of requests whose answer has not ended
        self._first_us = 0
        self._blind = False
        self._gone = ""
        self._answering = False
        self._draining = False
        # With an asker alone: the request that is held, what was asked by the request's number, and what is stripped.
        self._held: HeldRequest | None = None
        self._asked: dict[int, Asked] = {}
        self._request_no = 0
        self._answer_no = 0
        self._retried: Asked | None = None
        self._stripper: Stripper | None = None

    def drain(self) -> None:
        """Let the requests in flight end, then close."""
        self._draining = True
        self._close_if_idle()

    def kill(self) -> None:
        """Close both sides now."""
        self._gone = self._gone or "proxy_stopped"
        if self._dialing is not None:
            self._dialing.cancel()
            self._dialing = None
        for side in (self._up, self.client):
            side.reset(flush=False)

    def _new_upstream(self) -> Side:
        return Side(
            lambda: None, self._up_data, self._up_eof, self._up_lost, lambda full: self.client.read(not full)
        )  # fmt: skip

    def _now_us(self) -> int:
        return self._house.clock.mono_ns() // 1000

    # The client's way.

    def _client_made(self) -> None:
        if not self._house.opened(self):
            self._refuse(refusals.TOO_MANY)
            return
        self._patience = self._loop.call_later(HEAD_S, self._impatient)

    def _impatient(self) -> None:
        if self._dialing is None and self._up.transport is None and self._held is None:
            self._house.counts["silent"] += 1
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
            refusal = self._judge(piece, first=not passed)
            if refusal is not None:
                break
            passed += 1
        self._send_up(b"".join([self._outward(piece) for piece in pieces[:passed]]))
        for piece in pieces[:passed]:
            self._look(self._look_at_request, piece, now_us)
        if refusal is not None:
            self._refuse(refusal)

    def _judge(self, piece: Piece, *, first: bool) -> refusals.ProxyRefusal | None:
        if piece.head is not None:
            return refusals.judge(piece.head, self._house.port)
        if piece.kind == "blind" and first and self._dialing is None and self._up.transport is None:
            return refusals.LONG_HEAD if self._requests.odd == "long_head" else refusals.NOT_HTTP
        return None

    def _look_at_request(self, piece: Piece, now_us: int) -> None:
        if piece.head is not None:
            self._methods.append(piece.head.first[0])
            self._pending.append(self._house.begin(piece.head, self._first_us))
            self._first_us = now_us
            if len(self._pending) > MAX_PENDING:
                self._give_up("pipelined")
        elif piece.kind == "blind":
            self._give_up(self._requests.odd)
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
        if self._dialing is None:
            self.client.read(False)  # nothing more until there is somebody to give it to
            self._dialing = self._loop.create_task(self._dial())

    async def _dial(self) -> None:
        error: BaseException = TimeoutError()
        for host in self._house.upstream.hosts:
            try:
                async with asyncio.timeout(DIAL_S):
                    await self._loop.create_connection(lambda: self._up, host, self._house.upstream.port)
                break
            except OSError as caught:  # TimeoutError is one
                error = caught
        self._dialing = None
        if self._up.transport is None:
            self._gone = "upstream_refused"
            self._house.counts["upstream_refused"] += 1
            self._refuse(refusals.upstream_away(self._house.upstream.label, error))
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
        elif self._dialing is None:
            self.client.close()

    def _client_lost(self, error: Exception | None) -> None:
        self._gone = self._gone or "client_closed"
        if self._patience is not None:
            self._patience.cancel()
        if error is not None or self._pending:
            self._up.reset(flush=False)
        else:
            self._up.close()
        if self._up.transport is None and self._dialing is None:
            self._over()

    # The server's way.

    def _up_data(self, data: bytes) -> None:
        if self._blind or self._house.asker is None:
            self.client.write(data)
        if self._blind:
            return
        now_us = self._now_us()
        pieces = self._responses.feed(data)
        if self._house.asker is not None:
            if self._refused(pieces):
                return
            self.client.write(b"".join([self._inward(piece) for piece in pieces]))
        for piece in pieces:
            self._look(self._look_at_response, piece, now_us)

    def _length(self, head: MessageHead) -> Length:
        """Give the length of a response's body, by the request that it answers."""
        method = self._methods[0] if self._methods else b"GET"
        length = response_length(head, method)
        if head.status >= 200 and self._methods:
            self._methods.popleft()
        return length

    def _look_at_response(self, piece: Piece, now_us: int) -> None:
        if piece.kind == "blind":
            if not self._blind:
                self._give_up(self._responses.odd)
        elif not self._pending:
            # An answer that nobody asked for: 408 before a server closes, say.
            self._house.counts["unasked"] += piece.head is not None
        elif piece.head is not None:
            if piece.head.status == 101:
                self._give_up("")
            elif piece.head.status >= 200:
                self._answering = True
                self._pending[0].response_head(piece.head, now_us)
        elif piece.kind == "body":
            self._pending[0].response_body(piece.payload, now_us)
        elif self._answering:  # the end of an interim 1xx is no end
            self._answering = False
            self._pending.popleft().response_end(now_us)
            self._close_if_idle()

    def _up_eof(self) -> None:
        for piece in self._responses.eof():
            self.client.write(self._inward(piece))
            self._look(self._look_at_response, piece, self._now_us())
        self._gone = self._gone or "upstream_closed"
        if self.client.ended:
            self._close()
            return
        self.client.end()
        self._loop.call_later(LINGER_S, self._linger)

    def _linger(self) -> None:
        """Close a client that did not after the server had, once it has read everything."""
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
            self._over()

    # With an asker.

    def _outward(self, piece: Piece) -> bytes:
        """Give what of a request goes to the server now."""
        asker = self._house.asker
        if asker is None:
            return piece.raw
        if piece.head is not None:
            self._request_no += 1
            self._held = asker.hold(piece.head, piece.raw)
            return b"" if self._held else piece.raw
        if self._held is None:
            return piece.raw
        if piece.kind == "body":
            self._held.body.append(piece.payload)
            return b""
        held, self._held = self._held, None
        asked = asker.rewrite(held)
        if asked is None:
            return held.head + b"".join(held.body) + piece.raw
        self._asked[self._request_no] = asked
        return asked.raw

    def _refused(self, pieces: list[Piece]) -> bool:
        """Ask again as the client did, on a new connection, where the server did not take what we asked for."""
        heads = [piece.head for piece in pieces if piece.head is not None and piece.head.status >= 200]
        asked = self._asked.get(self._answer_no + 1)
        if asked is None or not heads or heads[0].status not in RETRIED or len(self._pending) != 1:
            return False
        del self._asked[self._answer_no + 1]
        self._retried = asked
        self._up.forget()
        self._up = self._new_upstream()
        self._responses = Framer("response", self._length)
        self._methods.appendleft(b"POST")
        self._send_up(asked.original)
        return True

    def _inward(self, piece: Piece) -> bytes:
        """Give what of an answer goes to the client now."""
        if piece.head is not None and piece.head.status >= 200:
            self._answer_no += 1
            asked = self._asked.pop(self._answer_no, None)
            if self._retried is not None and self._house.asker is not None and piece.head.status < 400:
                self._house.asker.refuses(self._retried)
            self._retried = None
            self._stripper = Stripper.of(piece.head, piece.raw, asked.form) if asked else None
            return self._stripper.head() if self._stripper else piece.raw
        stripper = self._stripper
        if stripper is None or piece.kind == "blind":
            return piece.raw
        if piece.kind == "body":
            return stripper.body(piece.payload)
        self._stripper = None
        return stripper.end()

    # Both.

    def _look(self, how: Callable[[Piece, int], None], piece: Piece, now_us: int) -> None:
        """Look at a copy; whatever goes wrong there, the bytes go on."""
        if self._blind:
            return
        try:
            how(piece, now_us)
        except Exception as error:  # noqa: BLE001
            # By its kind alone: its words could hold what passed by.
            log.error("a request could not be followed: %s", type(error).__name__)  # noqa: TRY400
            self._give_up("trouble")

    def _give_up(self, odd: str) -> None:
        """Measure no more on this connection; ``odd`` is why, "" for an upgrade, which is none of ours."""
        self._house.counts[f"odd_{odd}" if odd else "upgraded"] += 1
        self._blind = True
        held, self._held = self._held, None
        self._send_up((held.head + b"".join(held.body) if held else b"") + self._requests.go_blind())
        self._end_all("unreadable" if odd else "upgraded")

    def _refuse(self, refusal: refusals.ProxyRefusal) -> None:
        """Answer in the server's place, if nothing of its own is on the way, and close."""
        self._house.counts[f"refused_{refusal.cause}"] += 1
        self._gone = self._gone or "refused"
        if self._up.transport is None and self._dialing is None:
            self.client.write(refusal.response())
        self._blind = True
        self._end_all(self._gone)
        if self.client.transport is None:
            self._over()
            return
        self.client.end()
        self._loop.call_later(LINGER_S, self._linger)

    def _close_if_idle(self) -> None:
        busy = self._pending or self._blind or self._dialing is not None or not self._requests.between
        if self._draining and not busy:
            self._close()

    def _close(self) -> None:
        self._up.close()
        self.client.close()

    def _over(self) -> None:
        """Both sides are gone."""
        self._end_all(self._gone)
        self._house.closed(self)

    def _end_all(self, reason: str) -> None:
        now_us = self._now_us()
        while self._pending:
            self._pending.popleft().gone(now_us, reason)
