"""The hook against monitors that die, hang, lie or are somebody else: the model goes on and never notices."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import socket
import struct
import threading

import pytest

from tests.kit.hook_receiver import KEY, TOKEN, WAIT_S, Receiver, wait_until
from wfmon.hook.hook import Hook
from wfmon.hook.place import Place, find
from wfmon.hook.request import Request
from wfmon.hook.websocket import Closed, WebSocket

pytestmark = pytest.mark.faults

HELLO = json.dumps({"type": "hello", "version": 1, "boot": "b", "key": KEY, "max_bytes": 262_144}).encode()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def hook(folder):
    made = Hook(find=lambda: find(str(folder)))
    yield made
    made.close(5)


def accept_for(head):
    key = next(line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def upgraded(head):
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept_for(head) + b"\r\n\r\n"
    )  # fmt: skip


def frame(payload, first=0x81):
    size = len(payload)
    head = struct.pack("!BB", first, size) if size < 126 else struct.pack("!BBH", first, 126, size)
    return head + payload


class Hostile:
    """Listens, reads the head of the handshake, answers what the test wants, and keeps all that comes after."""

    def __init__(self, answer, folder=None):
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.port = self._listener.getsockname()[1]
        self.place = Place("127.0.0.1", self.port, TOKEN)
        self.connections = 0
        self.done = threading.Event()
        self._sockets = []
        if folder is not None:
            folder.mkdir()
            (folder / "token").write_text(TOKEN)
            self._lock = (folder / "lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            (folder / "server.json").write_text(json.dumps({"url": f"http://127.0.0.1:{self.port}"}))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._sockets.append(sock)
                with contextlib.suppress(OSError):
                    self._serve(sock)

    def _serve(self, sock):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = sock.recv(1)
            if not piece:
                return
            head += piece
        if b" /api/v1/hook " not in head:
            sock.close()
            return
        self.connections += 1
        self._answer(sock, head)

    def close(self):
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(WAIT_S)
        for sock in (self._listener, *self._sockets):
            sock.close()
        if hasattr(self, "_lock"):
            self._lock.close()


def sends(data):
    def answer(sock, head):
        sock.sendall(data(head) if callable(data) else data)

    return answer


WRONG_HANDSHAKES = {
    "not found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "unauthorised": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
    "another's accept": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
    "an extension that was not asked for": lambda head: upgraded(head)[:-2] + b"Sec-WebSocket-Extensions: x\r\n\r\n",
    "no http": b"\x16\x03\x01" + b"\xff" * 200 + b"\r\n\r\n",
    "a head without end": b"HTTP/1.1 101 X\r\n" + b"a: b\r\n" * 10_000,
}


@pytest.mark.parametrize("answer", WRONG_HANDSHAKES.values(), ids=WRONG_HANDSHAKES)
def test_a_wrong_handshake_is_no_connection(answer):
    server = Hostile(sends(answer))
    with pytest.raises(Closed):
        WebSocket(server.place, "/api/v1/hook", timeout_s=10)
    server.close()


WRONG_FRAMES = {
    "masked": bytes([0x81, 0x81, 0, 0, 0, 0, 65]),
    "reserved bits": bytes([0xC1, 1, 65]),
    "unknown opcode": bytes([0x83, 1, 65]),
    "long ping": bytes([0x89, 126, 0, 200]) + b"x" * 200,
    "ping in pieces": bytes([0x09, 0]),
    "continuation of nothing": bytes([0x80, 1, 65]),
    "two beginnings": bytes([0x01, 1, 65, 0x01, 1, 66]),
    "ten megabytes": bytes([0x81, 127]) + struct.pack("!Q", 10 << 20),
    "a length that is none": bytes([0x81, 127]) + b"\xff" * 8,
    "many pieces": b"".join([bytes([0x01, 126, 0xFF, 0xFF]) + b"x" * 65_535, bytes([0x00, 126, 0, 200]) + b"x" * 200]),
    "closed": bytes([0x88, 2, 0x03, 0xF0]),
    "closed without a code": bytes([0x88, 0]),
}


@pytest.mark.parametrize("data", WRONG_FRAMES.values(), ids=WRONG_FRAMES)
def test_frames_against_the_protocol_end_the_connection(data):
    server = Hostile(sends(lambda head: upgraded(head) + data))
    line = WebSocket(server.place, "/api/v1/hook", timeout_s=10)
    with pytest.raises(Closed):
        [line.receive(0.2) for _ in range(100)]
    line.drop()
    server.close()


def test_frames_in_pieces_and_pings_between_them_are_read():
    pieces = bytes([0x01, 2]) + b"ab" + bytes([0x89, 1, 7]) + bytes([0x00, 0]) + bytes([0x80, 1]) + b"c"
    got = []

    def answer(sock, head):
        for byte in upgraded(head) + pieces:
            sock.sendall(bytes([byte]))
        got.append(sock.recv(7, socket.MSG_WAITALL))

    server = Hostile(answer)
    line = WebSocket(server.place, "/api/v1/hook", timeout_s=10)
    assert line.receive(10) == [b"abc"]
    wait_until(lambda: got)
    assert got[0][:2] == bytes([0x8A, 0x81])  # a pong, masked
    assert got[0][6] ^ got[0][2] == 7
    line.close()
    line.close()
    server.close()


WRONG_HELLOS = {
    "another version": HELLO.replace(b'"version": 1', b'"version": 2'),
    "no key": HELLO.replace(KEY.encode(), b"not hex"),
    "no hello": b'{"type":"refused"}',
    "no object": b"[1]",
    "deep": b"[" * 60_000,
    "no json": b"\xff\xfe",
}


@pytest.mark.parametrize("hello", WRONG_HELLOS.values(), ids=WRONG_HELLOS)
def test_a_monitor_that_does_not_say_hello_gets_nothing(folder, hook, hello):
    server = Hostile(sends(lambda head: upgraded(head) + frame(hello)), folder)
    with Request("m", hook=hook) as request:
        request.token()
    assert hook.flush(WAIT_S)
    assert server.connections == 1
    assert hook.sender.lost == 2
    assert hook.sender.connections == 0
    server.close()


def test_a_monitor_that_never_reads_is_left_and_the_model_goes_on(folder, hook):
    server = Hostile(sends(lambda head: upgraded(head) + frame(HELLO)), folder)
    tokens = 0
    pause = threading.Event()
    with Request("m", vocab_size=1_000, hook=hook) as request:
        while hook.sender._websocket is not None or hook.sender.connections == 0:
            for _ in range(500):
                request.token(logprobs=[-5.0 - i / 64 for i in range(64)])
                tokens += 1
            pause.wait(0.01)
            assert len(hook.inbox) <= 10_000
            assert tokens < 500_000
    assert hook.sender.lost > 0
    server.close()


def test_a_server_that_floods_with_pings_does_not_hold_the_sender(folder, hook):
    def answer(sock, head):
        sock.sendall(upgraded(head) + frame(HELLO))
        sock.settimeout(1)
        while True:
            sock.sendall(frame(b"", 0x89) * 2_000)
            sock.recv(1 << 20)

    server = Hostile(answer, folder)
    with Request("m", hook=hook) as request:
        for _ in range(20):
            request.token()
    assert hook.flush(WAIT_S)
    server.close()


def test_refused_lines_are_counted_and_go_on(tmp_path):
    monitor = Receiver(tmp_path)
    hook = Hook(find=lambda: find(str(tmp_path)))
    with Request("m", hook=hook) as request:
        request.token()
    monitor.ended()
    hook.sender._handle_replies([b'{"type":"refused","line":1,"field":"text","detail":"d"}', b'{"type":"other"}'])
    assert (hook.sender.refused, hook.errors) == (1, 1)
    hook.close(5)
    monitor.close()


def test_a_monitor_killed_and_started_again_under_load(folder, hook):
    """The model never notices; the hook comes back, says what is open, and what was lost."""
    stop = threading.Event()
    given = []

    def model():
        pause = threading.Event()
        while not stop.is_set():
            pause.wait(0.002)
            yield "x"

    def work():
        with Request("m", hook=hook) as request:
            given.extend(request.follow(model()))

    first = Receiver(folder, boot="one")
    thread = threading.Thread(target=work)
    thread.start()
    first.wait(lambda lines: sum(len(x["t"]) for x in lines if x["e"] == "tokens") > 20)
    first.close(leave=True)
    wait_until(lambda: hook.sender.lost > 0)
    count = len(given)
    wait_until(lambda: len(given) > count + 20)
    second = Receiver(folder, boot="two")
    second.wait(lambda lines: sum(len(x["t"]) for x in lines if x["e"] == "tokens") > 20)
    stop.set()
    thread.join(WAIT_S)
    lines = second.ended()
    assert lines[0]["id"] == first.lines("source")[0]["id"]
    start = next(x for x in lines if x["e"] == "start")
    assert start == {**first.lines("start")[0], "again": True}
    assert lines[-1]["status"] == "ok"
    assert lines[-1]["output_tokens"] == len(given)
    told = sum(len(x["t"]) for each in (first, second) for x in each.lines("tokens"))
    lost = second.lines("beat")[-1]["lost"]
    assert lost == hook.sender.lost > 0
    # What was on its way to the dead one counts neither as told nor, all of it, as lost.
    assert told + lost <= len(given)
    hook.close(5)
    second.close()
