"""Clients that misbehave, on real sockets: each is closed with the fitting code, and the others notice nothing."""

from __future__ import annotations

import base64
import socket
import struct
import threading
import zlib

import pytest

from tests.kit.stream_server import CPU, LOAD, SWAP, StreamServer
from wfmon.serve.limits import Limits

pytestmark = pytest.mark.faults


@pytest.fixture
def streaming():
    made = StreamServer()
    yield made
    made.close()


def wait_until(true, seconds=5.0):
    pause = threading.Event()
    for _ in range(int(seconds * 200)):
        if true():
            return
        pause.wait(0.005)
    raise AssertionError("it did not come to pass")


def raw(streaming, *, extra=""):
    """A WebSocket of bytes: the upgrade is done, the rest is up to the test."""
    line = socket.create_connection(("127.0.0.1", streaming.port), 5)
    key = base64.b64encode(b"0123456789abcdef").decode()
    line.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{streaming.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{extra}\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += line.recv(1)
    return line, head


def masked(opcode, payload, *, first=0x80):
    size = len(payload)
    if size < 126:
        length = struct.pack("!B", 0x80 | size)
    elif size < 65_536:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    return bytes([first | opcode]) + length + b"\0\0\0\0" + payload


def close_code(line):
    """Read to the end of the connection; the code of the closing frame, None if there was none."""
    data = b""
    line.settimeout(5)
    try:
        while piece := line.recv(65_536):
            data += piece
    except ConnectionResetError:
        pass
    code = None
    while len(data) >= 2:
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = struct.unpack("!H", data[2:4])[0], 4
        if data[0] == 0x88:
            code = struct.unpack("!H", data[at : at + 2])[0]
        data = data[at + size :]
    return code


OLD = "Sec-WebSocket-Version: 8\r\n"
NO_KEY = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n"
HELLO = b'{"type":"hello","version":1,"token":"the token"}'


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (masked(2, b"binary"), 1003),
        (masked(1, b"{"), 1007),
        (masked(1, b"[" * 60_000), 1007),
        (masked(1, b'{"type":"hello","version":NaN}'), 1007),
        (masked(1, b"\xff\xfe"), 1007),
        (masked(1, b"[]"), 1008),
        (masked(1, b'{"type":"hello","version":1,"token":["the token"]}'), 1008),
        (masked(1, HELLO) + masked(1, b'{"type":"exec"}'), 1008),
        (masked(1, HELLO) + masked(1, b'{"type":"ping","id":1,"client_ms":0}') * 150, 4429),
        (masked(1, b" " * 65_537), 1009),
        (masked(1, b" " * 40_000, first=0) + masked(0, b" " * 40_000), 1009),
        (masked(1, b" ", first=0) + masked(1, b" "), 1002),  # a message within a message
        (masked(3, b""), 1002),  # a reserved opcode
        (masked(1, b"{}", first=0xC0), 1002),  # compressed, though nobody agreed to that
        (b"\x81\x02{}", 1002),  # without a mask
        (masked(9, b"x" * 126), 1002),  # a ping that is too long
        (b"\x81\xff" + b"\xff" * 8, 1002),  # 2 ** 64 bytes announced
    ],
    ids=lambda value: repr(value)[:40],
)
def test_nonsense_is_answered_with_the_fitting_code(streaming, sent, code):
    page = streaming.websocket()
    line, _ = raw(streaming)
    line.sendall(sent)
    assert close_code(line) == code
    line.close()
    streaming.tick({CPU: 1})
    assert page.until("frame")["v"] == [[0, 0, 1.0]]


def test_compression_is_not_agreed_to(streaming):
    line, head = raw(streaming, extra="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    assert b"extensions" not in head.lower()
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    line.sendall(masked(1, (bomb.compress(b" " * 30_000_000) + bomb.flush())[:60_000], first=0xC0))
    assert close_code(line) == 1002
    line.close()


@pytest.mark.parametrize("headers", ["", OLD, NO_KEY])
@pytest.mark.parametrize("upgrade", ["", "Upgrade: websocket\r\nConnection: Upgrade\r\n"])
def test_what_is_no_upgrade_is_told_so(streaming, headers, upgrade):
    line = socket.create_connection(("127.0.0.1", streaming.port), 5)
    line.sendall(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{streaming.port}\r\n{upgrade}{headers}\r\n".encode())
    answer = line.recv(4_096)
    line.close()
    assert answer.startswith(b"HTTP/1.1 426 ")
    assert b"application/problem+json" in answer


def test_a_client_that_does_not_read_is_closed_and_its_threads_end():
    streaming = StreamServer(stall_seconds=0.5, limits=Limits(send_buffer_bytes=8_192))
    before = threading.active_count()
    line, _ = raw(streaming)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    line.sendall(masked(1, HELLO))
    wait_until(streaming.hub.anyone)
    crowd = {CPU: 0, SWAP: 0, LOAD: 0}
    pause = threading.Event()
    for n in range(3_000):
        streaming.hub.set_absent({0: "x" * 100_000 + str(n)})  # large, so that the buffers of the system fill soon
        streaming.tick(dict.fromkeys(crowd, n))
        if streaming.hub.stats()["closed"]:
            break
        pause.wait(1 / 120)
    assert streaming.hub.stats()["closed"] == {"stalled": 1}
    wait_until(lambda: threading.active_count() <= before)
    line.close()
    streaming.close()


def test_a_slow_reader_has_every_last_value_in_the_end_and_delays_nobody():
    streaming = StreamServer(mailbox_frames=20, stall_seconds=30, limits=Limits(send_buffer_bytes=8_192, send_s=30))
    fast, slow = streaming.websocket(), streaming.websocket()
    sentence = "x" * 60_000  # large, so that the buffers of the system fill soon
    slow.pause()
    n = 0
    while {c["level"] for c in streaming.hub.stats()["clients"]} != {"normal", "drop"}:
        n += 1
        streaming.hub.set_absent({0: f"{sentence}{n}"})
        streaming.tick({CPU: n, SWAP: n, LOAD: n})
        assert fast.until("frame")["seq"] == n
        assert n < 3_000
    slow.resume()
    streaming.beat(lambda _: None)
    merged = slow.until("frame", lambda frame: len(frame["v"]) == 3 and frame["v"][0][2] == n, timeout=5)
    assert [value for _, _, value in merged["v"]] == [n, n, n]
    assert [m["client"]["level"] for m in slow.of("state") if "client" in m][-2:] == ["drop", "normal"]
    streaming.close()


def test_a_flood_of_messages_does_not_pile_up_in_memory(streaming):
    """The reader waits for the one who obeys, so the network holds the client back."""
    line, _ = raw(streaming)
    line.sendall(masked(1, HELLO))
    line.settimeout(2)
    flood = masked(1, b'{"type":"ux","x":"' + b"y" * 60_000 + b'"}') * 2_000
    with pytest.raises(OSError, match=r"reset|Broken pipe|timed out"):
        line.sendall(flood)
    wait_until(lambda: streaming.hub.stats()["clients"] == [])
    assert streaming.hub.stats()["closed"] == {"too_fast": 1}
    line.close()


def test_a_client_that_vanishes_leaves_nothing_behind(streaming):
    before = threading.active_count()
    lines = [raw(streaming)[0] for _ in range(10)]
    for line in lines[:5]:
        line.sendall(masked(1, HELLO))
    wait_until(lambda: len(streaming.hub.stats()["clients"]) == 10)
    for line in lines:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        line.close()

    def gone():
        streaming.tick({CPU: 1})
        return streaming.hub.stats()["clients"] == [] and threading.active_count() <= before

    wait_until(gone)


def test_who_never_says_hello_is_closed_with_4408(streaming, monkeypatch):
    monkeypatch.setattr("wfmon.stream.hub.HELLO_S", 0.05)
    line, _ = raw(streaming)
    streaming.beat()
    assert close_code(line) == 4408
    line.close()


def test_one_client_too_many_is_told_so():
    streaming = StreamServer(max_clients=1)
    streaming.websocket()
    late = streaming.websocket(hello=False)
    assert late.next()["code"] == 1013
    assert late.ends() == (1013, "1 clients are already connected. Close a page, or raise server.max_clients.")
    assert streaming.sse().status == 503
    streaming.close()


def test_a_close_by_the_client_is_answered_and_counted_as_nothing(streaming):
    page = streaming.websocket()
    page.ws.close(1000, "done")
    wait_until(lambda: streaming.hub.stats()["clients"] == [])
    assert streaming.hub.stats()["closed"] == {}


def test_an_sse_client_that_vanishes_is_noticed_at_the_next_frame(streaming):
    page = streaming.sse()
    page.until("state", lambda m: "client" in m)
    page.close()

    def gone():
        streaming.tick({CPU: 1})
        return streaming.hub.stats()["clients"] == []

    wait_until(gone)


def test_an_error_inside_is_told_and_ends_that_client_alone(streaming):
    page = streaming.websocket()
    victim = streaming.websocket()
    streaming.hub._handlers["ping"] = lambda client, fields: 1 / 0
    victim.say("ping", id=1, client_ms=0)
    assert victim.ends()[0] == 1011
    streaming.tick({CPU: 1})
    page.until("frame")
    wait_until(lambda: streaming.errors)  # it is told once the client has taken its leave
    where, error = streaming.errors.pop()
    assert (where, type(error)) == ("/ws", ZeroDivisionError)
