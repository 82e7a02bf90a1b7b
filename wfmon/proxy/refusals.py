"""The proxy's own responses: refusals as ``application/problem+json`` (RFC 9457), before it closes."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

import orjson

from wfmon.proxy.address import is_own_host
from wfmon.proxy.http1 import MessageHead


class ProxyRefusal(NamedTuple):
    """Why a request is not forwarded. ``cause`` is a short identifier for counting."""

    status: int
    cause: str
    detail: str

    def response(self) -> bytes:
        """Return the complete HTTP response."""
        phrase = HTTPStatus(self.status).phrase
        body = orjson.dumps(
            {"type": f"urn:wfmon:problem:{self.cause}", "title": phrase, "status": self.status, "detail": self.detail}
        )
        head = (
            f"HTTP/1.1 {self.status} {phrase}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


NOT_HTTP = ProxyRefusal(400, "not_http", "This is wfmon's proxy: it forwards HTTP/1.0 and HTTP/1.1 only.")
LONG_HEAD = ProxyRefusal(431, "long_head", "wfmon's proxy forwards request heads of up to 64 KiB.")
TOO_MANY = ProxyRefusal(503, "too_many", "wfmon's proxy has reached its limit of open connections. Try again.")


def check_request(head: MessageHead, port: int) -> ProxyRefusal | None:
    """Refuse a request whose Host is not this proxy, as sent by a web page under a rebound DNS name.

    The model server cannot check this, because the proxy is its client. HTTP/1.0 without Host is allowed, since no
    browser sends it.
    """
    method, target, version = head.first
    hosts = head.all(b"host")
    is_ours = is_own_host(hosts[0], port) if len(hosts) == 1 else not hosts and version == b"HTTP/1.0"
    if is_ours and (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")):
        return None
    return ProxyRefusal(
        421,
        "host",
        f"Host must name this proxy: 127.0.0.1:{port}, localhost:{port} or [::1]:{port}, and the target a path.",
    )


def upstream_unreachable(label: str, error: BaseException) -> ProxyRefusal:
    """Return the refusal for a model server that does not answer."""
    reason = "it does not answer" if isinstance(error, TimeoutError) else "nothing listens there"
    return ProxyRefusal(
        502, "upstream", f"The model server at {label} cannot be reached: {reason}. Start it, then try again."
    )
