"""The few answers that are the proxy's own: refusals as ``application/problem+json`` (RFC 9457), then it closes."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

import orjson

from wfmon.proxy.address import names_us
from wfmon.proxy.http1 import MessageHead


class ProxyRefusal(NamedTuple):
    """Why a request is not passed on. ``cause`` is a short name for counting."""

    status: int
    cause: str
    detail: str

    def response(self) -> bytes:
        """Encode it, whole."""
        phrase = HTTPStatus(self.status).phrase
        body = orjson.dumps(
            {"type": f"urn:wfmon:problem:{self.cause}", "title": phrase, "status": self.status, "detail": self.detail}
        )
        head = (
            f"HTTP/1.1 {self.status} {phrase}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


NOT_HTTP = ProxyRefusal(
    400, "not_http", "This is wfmon's proxy: it passes on HTTP/1.0 and HTTP/1.1, and this was neither."
)
LONG_HEAD = ProxyRefusal(431, "long_head", "wfmon's proxy passes on heads of up to 64 KiB.")
TOO_MANY = ProxyRefusal(503, "too_many", "wfmon's proxy has as many connections open as it may have. Try again.")


def judge(head: MessageHead, port: int) -> ProxyRefusal | None:
    """Refuse a request that does not name this proxy: a web page under a rebound DNS name names its own host.

    The server behind cannot do this itself: it sees us as its client. HTTP/1.0 without Host passes,
    since no browser speaks it.
    """
    method, target, version = head.first
    hosts = head.all(b"host")
    ours = names_us(hosts[0], port) if len(hosts) == 1 else not hosts and version == b"HTTP/1.0"
    if ours and (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")):
        return None
    return ProxyRefusal(
        421,
        "host",
        f"Host must name this proxy: 127.0.0.1:{port}, localhost:{port} or [::1]:{port}, and the path be bare.",
    )


def upstream_away(label: str, error: BaseException) -> ProxyRefusal:
    """Tell that the model server does not answer."""
    reason = "it does not answer" if isinstance(error, TimeoutError) else "nothing listens there"
    return ProxyRefusal(
        502, "upstream", f"The model server at {label} cannot be reached: {reason}. Start it, then try again."
    )
