"""Selects the sockets that may be probed: TCP, listening, reachable over loopback, and not of a program known to be
something else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from wfmon.collect.models.scrape.http import Host
from wfmon.collect.network import Sockets
from wfmon.collect.sockets import Socket

ALL_S = 5.0
"""How often all sockets are read: that takes 5 ms on a machine with much memory."""
SKIPPED_PORTS = frozenset(
    (
        *(7, 9, 13, 19, 20, 21, 22, 23, 25, 53, 69, 79, 88, 110, 111, 113, 119, 135, 139, 143, 179, 389, 445, 465, 512),
        *(513, 514, 515, 548, 554, 587, 631, 636, 873, 902, 989, 990, 993, 995, 1080, 1433, 1521, 1723, 1883, 2049),
        *(2181, 2375, 2376, 3306, 3389, 4369, 5037, 5060, 5222, 5353, 5355, 5432, 5672, 5900, 5901, 6000, 6001, 6379),
        *(6443, 8883, 9042, 9050, 9092, 9100, 9229, 9418, 9445, 10250, 11211, 15672, 25672, 26379, 27017, 27018),
    )
)
"""Ports of other services: mail, files, databases, brokers, displays, debuggers; and the monitor itself."""
SKIPPED_NAMES = (
    "sshd", "postgres", "redis", "valkey", "mysqld", "mariadbd", "mongod", "memcached", "cupsd", "systemd", "dnsmasq",
    "unbound", "avahi", "rpcbind", "rpc.", "smbd", "nmbd", "chrome", "chromium", "firefox", "msedge",
    "Xorg", "Xvfb", "Xwayland", "gnome", "kded", "pulseaudio", "pipewire", "exim", "postfix", "dovecot",
    "dockerd", "containerd", "kubelet", "rabbitmq", "beam.smp", "epmd", "erlang", "etcd", "consul",
    "syncthing", "transmission", "qbittorrent", "openvpn", "wireguard", "tailscaled", "zerotier", "spotify",
    "steam", "Discord", "slack", "zoom", "dropbox", "headless_shell", "chromedriver", "geckodriver", "jupyter",
)  # fmt: skip
"""Beginnings of process names that are never probed. docker-proxy is probed: a model server may be behind it."""

SKIPPED_WHOLE_NAMES = frozenset(("code", "named", "master", "vault", "adb", "tor"))
"""Skipped only as whole names: too short to be used as prefixes."""


class ListeningSocket(NamedTuple):
    """A socket that may be probed, at ``hosts`` in this order. ``pid`` None: not visible to this user."""

    port: int
    hosts: tuple[Host, ...]
    owner: int
    pid: int | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """host:port, as clients write it (IPv6 in brackets)."""
        return address(self.hosts[0], self.port)


def address(host: str, port: int) -> str:
    """Return host:port, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Listening:
    """Lists the listening TCP sockets. One thread.

    ``quick`` is called each time, if there is one; if the kernel refuses it, or there is none, all sockets are read
    instead, only every five seconds.
    """

    def __init__(self, sockets: Sockets, quick: Callable[[], list[Socket]] | None) -> None:
        self._sockets = sockets
        self._quick = quick
        self._due_ns: int | None = None
        self._found: list[Socket] = []

    def sockets(self, now_ns: int) -> list[Socket]:
        """Return the sockets, at most ALL_S old. Raises OSError if the system does not report its sockets."""
        if self._quick is not None:
            try:
                return self._quick()
            except OSError:
                self._quick = None
        if self._due_ns is None or now_ns >= self._due_ns:
            self._found = [one for one in self._sockets.sockets() if one.tcp and one.state == "listen"]
            self._due_ns = now_ns + round(ALL_S * 1e9)
        return self._found


def quick_listening(platform: str = sys.platform) -> Callable[[], list[Socket]] | None:
    """Return this operating system's quick listing, None if it has none."""
    if platform != "linux":
        return None
    from wfmon.collect.diag import listening

    return listening


def reachable(found: Iterable[Socket], own: set[int]) -> list[ListeningSocket]:
    """Return other processes' sockets that listen on loopback or on all addresses, with the hosts to probe."""
    listening = []
    for one in found:
        if one.tcp and one.state == "listen" and one.owner not in own and one.local[1] not in SKIPPED_PORTS:
            hosts = _hosts(one)
            if hosts:
                listening.append(ListeningSocket(one.local[1], hosts, one.owner))
    return listening


def _hosts(one: Socket) -> tuple[Host, ...]:
    """Return the hosts to probe. A socket bound to 127.0.0.2 cannot be reached at 127.0.0.1, so it has none."""
    text = one.local[0].text
    if text in ("127.0.0.1", "0.0.0.0"):
        return ("127.0.0.1",)
    if text == "::":
        return ("127.0.0.1", "::1")  # it accepts IPv4 too, unless configured otherwise
    return ("::1",) if text == "::1" else ()


def held(listening: Iterable[ListeningSocket], holders: Mapping[int, tuple[int, str]]) -> list[ListeningSocket]:
    """Add the owning processes. A program with an IPv4 and an IPv6 socket on one port counts once."""
    kept: dict[tuple[int, int | None], ListeningSocket] = {}
    for one in sorted(listening, key=lambda one: (one.port, one.hosts[0] == "::1", len(one.hosts), one.owner)):
        pid, name = holders.get(one.owner, (None, ""))
        kept.setdefault((one.port, pid), one._replace(pid=pid, name=name))
    return list(kept.values())


def is_skipped(one: ListeningSocket, is_proxy: Callable[[str], bool]) -> bool:
    """Return whether it must not be probed: another program by its name, or a proxy (its upstream is probed)."""
    return one.name in SKIPPED_WHOLE_NAMES or one.name.startswith(SKIPPED_NAMES) or is_proxy(one.label)
