"""/api/v1/hook: where programs tell of models, over a WebSocket and by POST."""

from __future__ import annotations

import contextlib
import json
import logging
import threading

import pytest
import simple_websocket

from tests.kit import serving
from tests.unit.serve.conftest import SECRET
from wfmon.collect.models.ingest.inbox import MAX_MESSAGE_BYTES, Ingest, RefusedLine, Taken
from wfmon.core.clock import SystemClock
from wfmon.serve import tls
from wfmon.serve.limits import Limits
from wfmon.serve.problem import CONTENT_TYPE
from wfmon.serve.routes import hook

PATH = "/api/v1/hook"
HELLO = {"type": "hello", "version": 1, "boot": "boot", "key": "0" * 32, "max_bytes": MAX_MESSAGE_BYTES}
BEARER = {"Authorization": f"Bearer {SECRET}"}
LONG_S = 10


class FakeIngest:
    """Takes a line that reads ``ok``, refuses one that reads ``bad``; the others do what they say."""

    def __init__(self):
        self.taken = []
        self.open_now = 0
        self.opened = 0
        self.posts = 0
        self.changed = threading.Condition()

    def hello(self):
        return HELLO

    def open(self, *, post=False):
        self.posts += post
        with self.changed:
            self.open_now += 1
            self.opened += 1
            self.changed.notify_all()
        return FakeConnection(self)

    def until(self, true):
        with self.changed:
            return self.changed.wait_for(true, LONG_S)


class FakeConnection:
    def __init__(self, ingest):
        self._ingest = ingest
        self._closed = False

    def take(self, text):
        lines = text.decode().split("\n")
        if "go" in lines:
            raise ValueError("The first line is the source.")
        if "fail" in lines:
            raise KeyError("CANARY")
        refused = [RefusedLine(number, "e", "must be ok") for number, line in enumerate(lines, 1) if line == "bad"]
        with self._ingest.changed:
            self._ingest.taken += [line for line in lines if line.startswith("ok")]
            self._ingest.changed.notify_all()
        return Taken(sum(line.startswith("ok") for line in lines), refused)

    def close(self):
        with self._ingest.changed:
            self._ingest.open_now -= not self._closed
            self._closed = True
            self._ingest.changed.notify_all()


class Client(simple_websocket.Client):
    """The library's client loses what comes together with the answer to its handshake, and the hello does."""

    def handshake(self):
        self.host = f"{self.host}:{self.port}"  # as our own sender and browsers say it
        try:
            super().handshake()
        except simple_websocket.ConnectionError:
            self.sock.close()
            raise
        self._handle_events()
        self.connected = True

    def next(self):
        text = self.receive(LONG_S)
        assert text is not None, "the monitor is silent"
        return json.loads(text)

    def ends(self):
        """Read to the end; gives how many messages came before it, and the code and reason."""
        count = 0
        try:
            while True:
                self.next()
                count += 1
        except simple_websocket.ConnectionClosed as closed:
            return count, closed.reason, closed.message


class Line:
    """The guarded edge on a real socket."""

    def __init__(self, guarded, listener, certificate=None):
        self.guarded, self.listener, self._certificate = guarded, listener, certificate
        guarded.origin._port = lambda: listener.port
        self.ingest = guarded.ingest
        self.hooks = guarded.hooks

    def connect(self, **headers):
        secure = self._certificate is not None
        return Client(
            f"{'wss' if secure else 'ws'}://127.0.0.1:{self.listener.port}{PATH}",
            headers=BEARER if not headers else {name.replace("_", "-"): value for name, value in headers.items()},
            ssl_context=serving.client_context(self._certificate) if secure else None, thread_class=serving.DAEMON,
        )  # fmt: skip


@pytest.fixture
def at_home(guarded_at):
    """Open the edge, with TLS or without."""

    @contextlib.contextmanager
    def at_home(certificate=None):
        guarded = guarded_at(tls=certificate is not None, ingest=FakeIngest())
        with serving.serving(guarded.server.wsgi_app, certificate=certificate, limits=Limits()) as listener:
            line = Line(guarded, listener, certificate)
            try:
                yield line
            finally:
                line.hooks.close()

    return at_home


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return tls.ensure_local_certificate(tmp_path_factory.mktemp("tls"), SystemClock())


# --- the WebSocket ---------------------------------------------------------------------------------------------------


def test_the_monitor_speaks_first_and_takes_lines_that_come_right_before_the_end(at_home):
    with at_home() as line:
        client = line.connect()
        assert client.next() == HELLO
        client.send("ok 1\nok 2")
        client.send("ok 3")
        client.close()
        assert line.ingest.until(lambda: line.ingest.taken == ["ok 1", "ok 2", "ok 3"])
        assert line.ingest.until(lambda: line.ingest.open_now == 0)


def test_over_tls_it_is_the_same(at_home, certificate):
    with at_home(certificate) as line:
        client = line.connect()
        assert client.next() == HELLO
        client.send("ok " + "x" * 200_000)
        assert line.ingest.until(lambda: len(line.ingest.taken) == 1)
        client.close()


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        (lambda _: BEARER, True),
        (lambda guarded: {"Cookie": guarded.cookie, "Origin": guarded.origin.url()}, True),
        (lambda guarded: {"Cookie": guarded.cookie}, False),
        (lambda _: {"Authorization": "Bearer wrong"}, False),
        (lambda _: {**BEARER, "Origin": "null"}, False),
        (lambda guarded: {"Cookie": guarded.cookie, "Origin": "http://127.0.0.1:1"}, False),
        (lambda guarded: {"Origin": guarded.origin.url()}, False),
    ],
    ids=["token", "own page", "cookie without origin", "wrong token", "token elsewhere", "other origin", "nothing"],
)  # fmt: skip
def test_only_the_token_or_our_own_page_opens_it(at_home, headers, let_in):
    with at_home() as line:
        given = headers(line.guarded)
        if let_in:
            client = line.connect(**given)
            assert client.next() == HELLO
            client.close()
        else:
            with pytest.raises(simple_websocket.ConnectionError):
                line.connect(**given)
            assert line.ingest.opened == 0


def test_each_refused_line_is_answered_and_the_connection_goes_on(at_home):
    with at_home() as line:
        client = line.connect()
        client.next()
        client.send("ok\nbad\nok\nbad")
        assert [client.next(), client.next()] == [
            {"type": "refused", "line": 2, "field": "e", "detail": "must be ok"},
            {"type": "refused", "line": 4, "field": "e", "detail": "must be ok"},
        ]
        client.send("ok")
        assert line.ingest.until(lambda: len(line.ingest.taken) == 3)
        client.close()


def test_a_client_that_must_go_is_told_why(at_home):
    with at_home() as line:
        client = line.connect()
        client.next()
        client.send("go")
        assert client.ends() == (0, 1008, "The first line is the source.")
        assert line.ingest.until(lambda: line.ingest.open_now == 0)


def test_a_binary_message_ends_the_connection(at_home):
    with at_home() as line:
        client = line.connect()
        client.next()
        client.send(b"ok")
        assert client.ends()[1] == 1003


def test_a_message_has_262_144_bytes_at_most(at_home):
    with at_home() as line:
        client = line.connect()
        client.next()
        client.send("ok " + "x" * (MAX_MESSAGE_BYTES - 3))
        assert line.ingest.until(lambda: len(line.ingest.taken) == 1)
        with contextlib.suppress(OSError):
            client.send("ok " + "x" * (MAX_MESSAGE_BYTES - 2))
        assert client.ends()[1] == 1009
        assert len(line.ingest.taken) == 1


def test_the_bound_of_a_message_counts_bytes_not_letters(at_home):
    with at_home() as line:
        client = line.connect()
        client.next()
        client.send("ok " + "ä" * (MAX_MESSAGE_BYTES // 2))
        assert client.ends() == (0, 1009, "A message may have 262144 bytes.")
        assert line.ingest.taken == []


def test_an_error_of_ours_ends_the_connection_and_its_words_stay_out_of_the_log(at_home, caplog):
    caplog.set_level(logging.ERROR)
    with at_home() as line:
        client = line.connect()
        client.next()
        client.send("fail")
        assert client.ends()[1] == 1011
        assert line.ingest.until(lambda: line.ingest.open_now == 0)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{PATH} failed: KeyError at ")
    assert "CANARY" not in caplog.text


def test_the_65th_program_is_told_that_there_is_no_room(at_home, monkeypatch):
    monkeypatch.setattr(hook, "MAX_CLIENTS", 2)
    with at_home() as line:
        clients = [line.connect(), line.connect()]
        for client in clients:
            client.next()
        with serving.connect(line.listener) as raw:
            lines = [
                f"GET {PATH} HTTP/1.1", f"Host: {line.guarded.origin.authority()}", f"Authorization: Bearer {SECRET}",
                "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            ]  # fmt: skip
            raw.sendall("\r\n".join([*lines, "", ""]).encode())
            status, headers, body = serving.response(raw)
        assert (status, headers["content-type"]) == (503, CONTENT_TYPE)
        assert json.loads(body)["fix"] == "Stop a program that you do not need."
        clients.pop().close()
        assert line.ingest.until(lambda: line.ingest.open_now == 1)
        assert serving.eventually(lambda: len(line.hooks) == 1)
        late = line.connect()
        assert late.next() == HELLO
        for client in (*clients, late):
            client.close()


def test_when_the_monitor_stops_every_client_is_told_and_nobody_more_is_let_in(at_home):
    with at_home() as line:
        clients = [line.connect() for _ in range(3)]
        for client in clients:
            client.next()
        line.hooks.close()
        line.hooks.close()
        assert [client.ends() for client in clients] == [(0, 1001, "The monitor is stopping.")] * 3
        assert line.ingest.until(lambda: line.ingest.open_now == 0)
        with pytest.raises(simple_websocket.ConnectionError):
            line.connect()


def test_a_client_stuck_in_our_write_is_cut_off_at_the_stop():
    class Stuck:
        """A connection whose client reads nothing: a write ends when it is cut off."""

        def __init__(self):
            self.sock = self
            self.event = threading.Event()
            self.writing, self.cut = threading.Event(), threading.Event()
            self.connected = True
            self.input_buffer = []
            self.thread = threading.Thread()
            self.thread.start()

        def send(self, _data, *, last=False):
            del last
            self.writing.set()
            assert self.cut.wait(LONG_S)
            raise OSError("cut off")

        def processed(self):
            pass

        def abort(self):
            self.cut.set()

    ingest, stuck = FakeIngest(), Stuck()
    hooks = hook.Hooks(ingest)
    thread = threading.Thread(target=hooks.serve, args=(stuck,))
    thread.start()
    assert stuck.writing.wait(LONG_S)
    hooks.close()
    thread.join(LONG_S)
    assert not thread.is_alive()
    assert (len(hooks), ingest.open_now) == (0, 0)


def test_a_client_whose_write_is_just_ending_at_the_stop_gets_the_reason():
    """The write has reached the client, but the server's thread has not gone on yet."""

    class Slow:
        def __init__(self):
            self.sock = self
            self.event = threading.Event()
            self.writing, self.sent, self.aborted = threading.Event(), [], False
            self.connected = True
            self.input_buffer = []
            self.thread = threading.Thread()
            self.thread.start()

        def send(self, data, *, last=False):
            self.sent.append(bytes(data))
            if len(self.sent) == 1:
                self.writing.set()
                assert self.event.wait(LONG_S)  # the stop has come

        def processed(self):
            pass

        def abort(self):
            self.aborted = True

    slow = Slow()
    hooks = hook.Hooks(FakeIngest())
    thread = threading.Thread(target=hooks.serve, args=(slow,))
    thread.start()
    assert slow.writing.wait(LONG_S)
    hooks.close()
    assert not slow.aborted
    thread.join(LONG_S)
    assert b"The monitor is stopping." in slow.sent[-1]


# --- POST ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def post(guarded_at):
    guarded = guarded_at(ingest=FakeIngest())

    def post(data, kind="application/x-ndjson", **more):
        answer = guarded.ask(PATH, "POST", data=data, CONTENT_TYPE=kind, **more)
        return answer.status_code, json.loads(answer.data)

    post.guarded = guarded
    return post


def test_a_post_is_taken_and_told_what_was_not(post):
    assert post("ok\nbad\nok") == (200, {"taken": 2, "refused": [{"line": 2, "field": "e", "detail": "must be ok"}]})
    assert post("ok", kind="application/x-ndjson; charset=utf-8") == (200, {"taken": 1, "refused": []})
    assert (post.guarded.ingest.open_now, post.guarded.ingest.posts) == (0, 2)


def test_a_script_needs_the_token_alone(post):
    status, _ = post("ok", signed_in=False, headers={**BEARER, "Origin": None})
    assert status == 200
    assert post("ok", signed_in=False)[0] == 401
    assert post("ok", headers={"Origin": None})[0] == 403


@pytest.mark.parametrize("kind", ["", "application/json", "text/plain", "application/x-ndjsonx"])
def test_another_type_is_refused(post, kind):
    status, problem = post("ok", kind)
    assert status == 415
    assert "application/x-ndjson" in problem["fix"]
    assert post.guarded.ingest.opened == 0


def test_a_body_has_262_144_bytes_at_most(post):
    assert post("ok " + "x" * (MAX_MESSAGE_BYTES - 3))[0] == 200
    status, problem = post("ok " + "x" * (MAX_MESSAGE_BYTES - 2))
    assert status == 413
    assert "262144" in problem["fix"]
    assert len(post.guarded.ingest.taken) == 1


@pytest.mark.parametrize(
    ("body", "detail", "refused"),
    [
        ("", "The body is empty.", 0),
        (" \n", "The body is empty.", 0),
        ("bad", "No line could be read.", 1),
        ("bad\nbad", "No line could be read.", 2),
        ("go", "The first line is the source.", 0),
    ],
)
def test_where_nothing_could_be_read_the_answer_is_a_problem(post, body, detail, refused):
    status, problem = post(body)
    assert (status, problem["detail"], len(problem["refused"])) == (400, detail, refused)
    assert problem["field"] == ("e" if refused else "")
    assert post.guarded.ingest.open_now == 0


def test_an_error_of_ours_is_a_problem_whose_words_stay_out_of_the_log(post, caplog):
    caplog.set_level(logging.ERROR)
    assert post("fail")[0] == 500
    assert "CANARY" not in caplog.text
    assert len(caplog.records) == 1
    assert post.guarded.ingest.open_now == 0


def test_no_room_and_no_monitor_are_503(post, monkeypatch):
    monkeypatch.setattr(hook, "MAX_CLIENTS", 0)
    assert post("ok")[0] == 503
    monkeypatch.undo()
    post.guarded.hooks.close()
    status, problem = post("ok")
    assert (status, problem["detail"]) == (503, "The monitor is stopping.")
    assert post.guarded.ingest.opened == 0


# --- with what really reads the lines --------------------------------------------------------------------------------

SOURCE = '{"e":"source","v":1,"id":"a-test-1","via":"hook","name":"a test","pid":1}'
REQUEST = """{"e":"beat","t":1,"lost":0}
{"e":"start","r":"r1","t":2,"model":"tiny"}
{"e":"tokens","r":"r1","t":[3,4]}
{"e":"end","r":"r1","t":5,"status":"ok"}"""


@pytest.fixture
def events():
    return []


@pytest.fixture
def real(guarded_at, events):
    return guarded_at(ingest=Ingest(SystemClock(), lambda more: events.extend(more) or len(more), boot="boot"))


def test_what_is_told_by_post_becomes_events(real, events):
    answer = real.ask(PATH, "POST", data=f"{SOURCE}\n{REQUEST}\n", CONTENT_TYPE="application/x-ndjson")
    assert json.loads(answer.data) == {"taken": 3, "refused": []}
    assert [type(each).__name__ for each in events] == ["Start", "Tokens", "End"]


def test_text_has_no_place_in_the_form_and_is_not_told_back(real, events, caplog):
    caplog.set_level(logging.DEBUG)
    body = f'{SOURCE}\n{{"e":"beat","t":1,"lost":0}}\n{{"e":"start","r":"r1","t":2,"model":"m","text":"CANARY"}}'
    answer = real.ask(PATH, "POST", data=body, CONTENT_TYPE="application/x-ndjson")
    assert answer.status_code == 400
    assert json.loads(answer.data)["field"] == "text"
    assert "CANARY" not in answer.text + caplog.text
    assert events == []


def test_after_a_hundred_refused_lines_the_client_is_sent_away(real):
    with serving.serving(real.server.wsgi_app, limits=Limits()) as listener:
        client = Line(real, listener).connect()
        assert client.next()["type"] == "hello"
        client.send(SOURCE)
        for _ in range(4):
            client.send("\n".join(["{}"] * 33))
        told, code, why = client.ends()
        assert (told, code) == (99, 1008)
        assert why.startswith("100 lines were rejected")


def test_a_get_that_asks_for_no_websocket_is_told_how(guarded):
    answer = guarded.ask(PATH)
    assert answer.status_code == 426
    assert answer.headers["Upgrade"] == "websocket"
    assert "POST the lines" in json.loads(answer.data)["fix"]
