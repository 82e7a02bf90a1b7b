"""One request and its answer, followed on a copy."""

from __future__ import annotations

from wfmon.collect.models.proxy.http1 import Head


class Exchange:
    """Follows one request. One thread."""

    def request_body(self, payload: bytes) -> None:
        """More of the request's body."""

    def request_end(self) -> None:
        """The request is whole."""

    def response_head(self, head: Head, t_us: int) -> None:
        """The answer began."""

    def response_body(self, payload: bytes, t_us: int) -> None:
        """More of the answer."""

    def response_end(self, t_us: int) -> None:
        """The answer is whole."""

    def gone(self, t_us: int, reason: str) -> None:
        """One side went away before the answer was whole."""
