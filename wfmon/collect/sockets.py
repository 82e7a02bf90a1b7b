"""Linux: this machine's sockets and the processes that own them (1 ms; psutil takes 23)."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from wfmon.collect.linux import KernelFile
from wfmon.collect.text import clean

STATES = {
    b"01": "established", b"02": "syn_sent", b"03": "syn_recv", b"04": "fin_wait1", b"05": "fin_wait2",
    b"06": "time_wait", b"07": "close", b"08": "close_wait", b"09": "last_ack", b"0A": "listen", b"0B": "closing",
}  # fmt: skip
"""include/net/tcp_states.h; 0C is syn_recv too, before it is accepted."""
_TABLES = ("tcp", "tcp6", "udp", "udp6")
_KNOWN_ADDRESSES = 4_096
_MAPPED = bytes(10) + b"\xff\xff"


class SocketAddress(NamedTuple):
    """An address as text, and its scope. Wildcard: any address of this machine."""

    text: str
    loopback: bool
    wildcard: bool


class Socket(NamedTuple):
    """One row. ``local`` and ``remote`` are (address, port); ``owner`` is the key used by ``own`` and ``holders``."""

    tcp: bool
    state: str
    local: tuple[SocketAddress, int]
    remote: tuple[SocketAddress, int]
    owner: int


class LinuxSockets:
    """Sockets as the kernel reports them. ``proc`` is the root of /proc. One thread calls it.

    ``quick`` reads TCP sockets faster than /proc does (see ``diag``); once it fails, it is not tried again.
    """

    def __init__(self, proc: Path = Path("/proc"), quick: Callable[[], list[Socket]] | None = None) -> None:
        self._proc = proc
        self._quick = quick
        self._tables = {name: KernelFile(proc / "net" / name) for name in _TABLES}
        self._dev = KernelFile(proc / "net" / "dev")
        self._addresses: dict[bytes, SocketAddress] = {}

    def traffic(self) -> dict[str, tuple[int, int, int, int]]:
        """Return by loopback interface, since it came up: bytes in, bytes out, packets in, packets out."""
        found = {}
        for line in self._dev.read().split(b"\n"):
            name, colon, rest = line.partition(b":")
            interface = name.strip().decode("utf-8", "replace")
            if colon and is_loopback_interface(interface):
                fields = rest.split()
                found[interface] = (int(fields[0]), int(fields[8]), int(fields[1]), int(fields[9]))
        return found

    def sockets(self) -> list[Socket]:
        """Return every TCP and UDP socket of this network namespace. Raises OSError if there is no TCP table."""
        known = self._tcp()
        found = known or []
        for name, file in self._tables.items():
            if known is not None and name.startswith("tcp"):
                continue
            try:
                text = file.read()
            except FileNotFoundError:
                if name == "tcp":
                    raise
                continue  # a machine without IPv6
            found += self._rows(text, tcp=name.startswith("tcp"))
        return found

    def own(self) -> set[int]:
        """Return the inodes of this process's own sockets."""
        return set(_inodes(self._proc / "self" / "fd"))

    def holders(self, wanted: set[int]) -> dict[int, tuple[int, str]]:
        """Return by inode: the pid and name (cleaned) of a process that holds it, as far as this user may see."""
        found: dict[int, tuple[int, str]] = {}
        for entry in os.listdir(self._proc):  # noqa: PTH208  a Path an entry would double the time
            if entry.isdigit() and len(found) < len(wanted):
                mine = wanted.intersection(_inodes(self._proc / entry / "fd"))
                if mine:
                    found.update(dict.fromkeys(mine, (int(entry), self._name(entry))))
        return found

    def close(self) -> None:
        """Close the handles; later calls reopen them."""
        for file in (*self._tables.values(), self._dev):
            file.close()

    def _tcp(self) -> list[Socket] | None:
        if self._quick is not None:
            try:
                return self._quick()
            except OSError:
                self._quick = None
        return None

    def _rows(self, text: bytes, *, tcp: bool) -> Iterator[Socket]:
        for line in text.split(b"\n")[1:]:
            fields = line.split(None, 10)
            if len(fields) > 9:  # the tenth is the inode
                local, remote = fields[1], fields[2]
                yield Socket(
                    tcp,
                    STATES.get(fields[3], "syn_recv"),
                    (self._address(local[:-5]), int(local[-4:], 16)),
                    (self._address(remote[:-5]), int(remote[-4:], 16)),
                    int(fields[9]),
                )

    def _address(self, digits: bytes) -> SocketAddress:
        known = self._addresses.get(digits)
        if known is None:
            if len(self._addresses) >= _KNOWN_ADDRESSES:
                self._addresses.clear()
            known = self._addresses[digits] = address(digits)
        return known

    def _name(self, pid: str) -> str:
        try:
            return clean((self._proc / pid / "comm").read_text("utf-8", "replace").rstrip("\n"))
        except OSError:
            return ""


def address(digits: bytes, byteorder: str = sys.byteorder) -> SocketAddress:
    """Parse the kernel's hexadecimal form: 32-bit words in the machine's byte order. ::ffff:127.0.0.1 is loopback."""
    words = [bytes.fromhex(digits[i : i + 8].decode()) for i in range(0, len(digits), 8)]
    return unpack_address(b"".join(word[::-1] if byteorder == "little" else word for word in words))


def unpack_address(packed: bytes) -> SocketAddress:
    """Parse a packed address, IPv4 (4 bytes) or IPv6 (16), and classify it."""
    if packed.startswith(_MAPPED):
        packed = packed[12:]
    text = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
    loopback = packed[0] == 127 if len(packed) == 4 else packed == bytes(15) + b"\1"
    return SocketAddress(text, loopback, not any(packed))


def is_loopback_interface(name: str) -> bool:
    """Return whether a name is a loopback interface's: lo on Linux, lo0 on macOS and BSD, a phrase on Windows."""
    return name == "lo" or (name.startswith("lo") and name[2:].isdigit()) or "loopback" in name.lower()


def _inodes(folder: Path) -> Iterator[int]:
    """Yield the socket inodes among a process's file descriptors; none if this user may not read them."""
    root = os.fspath(folder)
    try:
        entries = os.listdir(root)  # noqa: PTH208  as above
    except OSError:
        return
    for entry in entries:
        try:
            target = os.readlink(f"{root}/{entry}")  # noqa: PTH115  as above
        except OSError:  # closed after the listing
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])
