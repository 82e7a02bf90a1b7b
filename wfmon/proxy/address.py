"""The proxy's listening and upstream addresses: loopback only."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

_HOST = re.compile(rb"(?i)(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(?::(\d{1,5}))?")


class AddressError(ValueError):
    """An address cannot be used. The message is written for the user and includes the fix."""


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A port on this machine. ``hosts`` are the numeric loopback addresses of the name, in order of preference."""

    hosts: tuple[str, ...]
    port: int

    @property
    def label(self) -> str:
        """``host:port`` as in server labels: numeric, IPv6 in brackets."""
        host = self.hosts[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def upstream(text: str) -> ProxyAddress:
    """Parse ``http://HOST:PORT`` or ``HOST:PORT``. Raises AddressError."""
    url = urlsplit(text if "//" in text else f"http://{text}")
    if url.scheme != "http":
        raise AddressError(
            f"The upstream {text!r} is not plain HTTP, the only protocol that the proxy forwards. "
            "Use an address such as http://127.0.0.1:11434."
        )
    if url.path not in ("", "/") or url.query or url.fragment or url.username is not None:
        raise AddressError(f"The upstream {text!r} must end after its port: clients' paths are forwarded unchanged.")
    try:
        host, port = url.hostname or "", url.port or 80
    except ValueError:
        raise AddressError(f"The upstream {text!r} has an invalid port. Use 1 to 65535.") from None
    return ProxyAddress(_loopback(host, text, "upstream"), port)


def listening(text: str) -> ProxyAddress:
    """Parse ``HOST:PORT``; port 0 picks a free one. Raises AddressError."""
    host, colon, port = text.removeprefix("http://").rstrip("/").rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise AddressError(f"The listening address {text!r} needs a host and a port, such as 127.0.0.1:11500.")
    return ProxyAddress(_loopback(host.strip("[]"), text, "listening address"), int(port))


def is_own_host(host: bytes, port: int) -> bool:
    """Return whether a Host header names a loopback address and this port. A rebound DNS name does not."""
    found = _HOST.fullmatch(host.strip())
    if found is None:
        return False
    return int(found[2]) == port if found[2] else port == 80


def _loopback(host: str, text: str, what: str) -> tuple[str, ...]:
    refused = AddressError(
        f"The {what} {text!r} is not on this machine. The proxy uses loopback only: "
        "give 127.0.0.1, localhost or [::1], and a port."
    )
    try:
        found = [str(ipaddress.ip_address(host))]
    except ValueError:
        if host.lower() != "localhost":
            raise refused from None
        try:
            found = [str(row[4][0]) for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
        except OSError:
            found = ["127.0.0.1"]
    if not all(ipaddress.ip_address(each).is_loopback for each in found):
        raise refused
    # 127.0.0.1 first: model servers listen there, and their labels use it.
    return tuple(dict.fromkeys(sorted(found, key=lambda each: ":" in each)))
