"""One connection's requests for log-probabilities: each request rewritten, its answer stripped of what it added."""

from __future__ import annotations

from wfmon.proxy.http1 import Piece
from wfmon.proxy.logprobs import RETRIED, HeldRequest, LogprobsAsker, RewrittenRequest, Stripper


class Rewriter:
    """Rewrites what passes through one tunnel. Without an asker every byte passes unchanged. Loop's thread only."""

    def __init__(self, asker: LogprobsAsker | None) -> None:
        self._asker = asker
        self._held: HeldRequest | None = None
        self._rewritten: dict[int, RewrittenRequest] = {}  # rewritten requests whose answer has not begun, by number
        self._request_no = 0
        self._answer_no = 0
        self._retried: RewrittenRequest | None = None
        self._stripper: Stripper | None = None

    @property
    def active(self) -> bool:
        """Whether anything may be rewritten."""
        return self._asker is not None

    @property
    def holding(self) -> bool:
        """Whether a request is held back until its body is complete."""
        return self._held is not None

    def request(self, piece: Piece) -> bytes:
        """Return the bytes to send to the server now; empty while the request is held."""
        if self._asker is None:
            return piece.raw
        if piece.head is not None:
            self._request_no += 1
            self._held = self._asker.hold(piece.head, piece.raw)
            return b"" if self._held else piece.raw
        if self._held is None:
            return piece.raw
        if piece.kind == "body":
            self._held.body.append(piece.payload)
            return b""
        held, self._held = self._held, None
        rewritten = self._asker.rewrite(held)
        if rewritten is None:
            return held.head + b"".join(held.body) + piece.raw
        self._rewritten[self._request_no] = rewritten
        return rewritten.raw

    def release(self) -> bytes:
        """Stop holding; return what was held, as the client sent it."""
        held, self._held = self._held, None
        return held.head + b"".join(held.body) if held else b""

    def retry(self, pieces: list[Piece]) -> bytes | None:
        """Return the client's original request if these pieces reject its rewritten form, else None."""
        heads = [piece.head for piece in pieces if piece.head is not None and piece.head.status >= 200]
        rewritten = self._rewritten.get(self._answer_no + 1)
        if rewritten is None or not heads or heads[0].status not in RETRIED:
            return None
        del self._rewritten[self._answer_no + 1]
        self._retried = rewritten
        return rewritten.original

    def response(self, piece: Piece) -> bytes:
        """Return the bytes to send to the client now."""
        if piece.head is not None and piece.head.status >= 200:
            self._answer_no += 1
            rewritten = self._rewritten.pop(self._answer_no, None)
            if self._retried is not None and self._asker is not None and piece.head.status < 400:
                self._asker.note_refusal(self._retried)
            self._retried = None
            self._stripper = Stripper.of(piece.head, piece.raw, rewritten.form) if rewritten else None
            return self._stripper.head() if self._stripper else piece.raw
        stripper = self._stripper
        if stripper is None or piece.kind == "blind":
            return piece.raw
        if piece.kind == "body":
            return stripper.body(piece.payload)
        self._stripper = None
        return stripper.end()
