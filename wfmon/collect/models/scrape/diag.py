"""Linux: the listening TCP sockets alone, asked of the kernel by netlink.

/proc/net/tcp walks every bucket of the kernel's tables (5 ms on a machine with much memory); this asks for one state
(0.05 ms). Forms: linux/inet_diag.h, linux/sock_diag.h, linux/netlink.h.
"""

from __future__ import annotations

import socket
import struct
import sys

from wfmon.collect.sockets import Socket, place

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_F_REQUEST_DUMP, _NLMSG_ERROR, _NLMSG_DONE = 0x301, 2, 3
_LISTEN = 1 << 10
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, pid
_REQUEST = struct.Struct("=BBBBI48s")  # inet_diag_req_v2: family, protocol, extensions, padding, states, sockid
_PORT_AT, _ADDRESS_AT, _INODE_AT, _LENGTH = 4, 8, 68, 72  # in inet_diag_msg
_READ = 65_536
_MAX_MESSAGES = 4_096
_NOWHERE = place(bytes(4))


def listening() -> list[Socket]:
    """Every TCP socket of this network namespace that listens. Raises OSError where the kernel does not answer."""
    found: list[Socket] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(0.5)
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTEN, bytes(48))
            size = _HEADER.size + len(body)
            link.sendall(_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, family, 0) + body)
            found += _answers(link, 4 if family == socket.AF_INET else 16)
    return found


def _answers(link: socket.socket, width: int) -> list[Socket]:
    found: list[Socket] = []
    for _ in range(_MAX_MESSAGES):
        data = link.recv(_READ)
        at = 0
        while at + _HEADER.size <= len(data):
            size, kind = _HEADER.unpack_from(data, at)[:2]
            if kind == _NLMSG_DONE:
                return found
            if kind == _NLMSG_ERROR or size < _HEADER.size:
                msg = "the kernel refuses to list its sockets by netlink"
                raise OSError(msg)
            message = data[at + _HEADER.size : at + size]
            if len(message) >= _LENGTH:
                port = int.from_bytes(message[_PORT_AT : _PORT_AT + 2], "big")
                inode = int.from_bytes(message[_INODE_AT : _INODE_AT + 4], sys.byteorder)
                local = place(message[_ADDRESS_AT : _ADDRESS_AT + width])
                found.append(Socket(tcp=True, state="listen", local=(local, port), remote=(_NOWHERE, 0), owner=inode))
            at += (size + 3) & ~3
    return found
