"""The socket that simple-websocket gets."""

from __future__ import annotations

from wfmon.stream.websocket import PacedSocket

DATA, CLOSE, PONG = b"\x81\x02hi", b"\x88\x02\x03\xe8", b"\x8a\x00"


class Socket:
    def __init__(self):
        self.sent = []

    def send(self, data):
        self.sent.append(data)


def test_nothing_follows_the_answer_to_a_clients_goodbye():
    socket = Socket()
    paced = PacedSocket(socket)
    for frame in (DATA, PONG, CLOSE, DATA, PONG, CLOSE):
        assert paced.send(frame) == len(frame)
    assert socket.sent == [DATA, PONG, CLOSE]


def test_nothing_follows_our_own_goodbye():
    socket = Socket()
    paced = PacedSocket(socket)
    paced.send(DATA + CLOSE, last=True)
    paced.send(CLOSE)
    assert socket.sent == [DATA + CLOSE]
