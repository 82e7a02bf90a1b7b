"""The listener over HTTP/1.1: what a client may do, and what it gets."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import simple_websocket
from flask import Flask, request
from flask_sock import Sock
from wsproto.events import Ping

from tests.kit import serving
from tests.kit.serving import DAEMON, connect, response
from tests.kit.serving import serving as serve
from wfmon.core.clock import SystemClock
from wfmon.serve import tls
from wfmon.serve.limits import Limits
from wfmon.serve.listener import Listener, PortInUse


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return tls.ensure_local_certificate(tmp_path_factory.mktemp("tls"), SystemClock())


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def certificate(request, made):
    return made if request.param else None


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']} {len(body)}".encode()]


def test_one_connection_serves_many_requests(certificate):
    with serve(echo, certificate=certificate) as listener, connect(listener, certificate) as client:
        for n in range(3):
            client.sendall(serving.request(f"GET /page?n={n}"))
            status, headers, body = response(client)
            assert (status, body) == (200, f"GET /page?n={n} 0".encode())
            assert "connection" not in headers
        assert listener.open_connections == 1


def test_pipelined_requests_are_answered_in_order():
    with serve(echo) as listener, connect(listener) as client:
        posted = serving.request("POST /b", "Content-Length: 3", body=b"abc")
        last = serving.request("GET /c", "Connection: close")
        client.sendall(serving.request("GET /a") + posted + last)
        text = serving.all_of(client)
    places = [text.index(part) for part in (b"GET /a? 0", b"POST /b? 3", b"GET /c? 0")]
    assert places == sorted(places)


def test_no_banner_tells_the_version_and_a_date_is_given():
    with serve(echo) as listener, connect(listener) as client:
        client.sendall(serving.request("GET /"))
        _, headers, _ = response(client)
    assert "server" not in headers
    assert headers["date"].endswith(" GMT")


def test_a_body_that_the_application_leaves_unread_does_not_become_the_next_request():
    def careless(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with serve(careless) as listener, connect(listener) as client:
        client.sendall(serving.request("POST /", "Content-Length: 20000", body=b"GET /evil HTTP/1.1\r\n"))
        status, headers, body = response(client)
        assert (status, body, headers["connection"]) == (200, b"ok", "close")


def test_a_client_that_waits_for_100_continue_gets_it():
    with serve(echo) as listener, connect(listener) as client:
        client.sendall(serving.request("POST /", "Content-Length: 2", "Expect: 100-continue"))
        assert client.recv(100) == b"HTTP/1.1 100 \r\n\r\n"
        client.sendall(b"hi")
        assert response(client)[2] == b"POST /? 2"


def test_a_chunked_body_is_read_to_its_end():
    with serve(echo) as listener, connect(listener) as client:
        body = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        client.sendall(serving.request("POST /", "Transfer-Encoding: chunked", body=body))
        assert response(client)[2] == b"POST /? 5"


@pytest.mark.parametrize("head", ["Content-Length: 1048577", "Transfer-Encoding: chunked"])
def test_a_body_over_the_cap_is_refused_and_the_client_reads_why(head):
    app = Flask(__name__)
    app.post("/")(lambda: str(len(request.get_data())))
    with serve(app) as listener, connect(listener) as client:
        client.sendall(serving.request("POST /", head))
        if "chunked" in head:
            client.sendall(b"100001\r\n" + bytes(0x100001) + b"\r\n0\r\n\r\n")
        status, headers, body = response(client)
    assert (status, headers["content-type"]) == (413, "application/problem+json")
    assert b'"status": 413' in body


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 33_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_a_request_that_is_too_long_or_malformed_is_refused_with_its_reason(sent, status):
    with serve(echo) as listener, connect(listener) as client:
        client.sendall(sent)
        assert response(client)[0] == status


def test_names_with_an_underscore_cannot_pass_for_those_with_a_dash():
    def tell(environ, start_response):
        start_response("200 OK", [])
        return [environ.get("HTTP_X_REAL", "none").encode()]

    with serve(tell) as listener, connect(listener) as client:
        client.sendall(serving.request("GET /", "X_Real: forged"))
        assert response(client)[2] == b"none"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "200 OK"])
def test_answers_without_a_body_send_none_and_keep_the_connection(method, status):
    closed = threading.Event()

    def endless(environ, start_response):
        start_response(status, [("X-One", "1")])
        try:
            while True:
                yield b"" if method == "GET" and status.startswith("200") else b"tick"
                if method == "GET" and status.startswith("200"):
                    return
        finally:
            closed.set()

    with serve(endless) as listener, connect(listener) as client:
        for _ in range(2):
            client.sendall(serving.request(f"{method} /"))
            answer, headers, body = response(client, method)
            assert (answer, headers["x-one"], body) == (int(status[:3]), "1", b"")
            assert closed.wait(2)


def test_an_exception_is_a_500_without_its_words_and_is_reported():
    def broken(environ, start_response):
        raise ValueError("secret")

    errors = serving.Errors()
    with serve(broken, errors=errors) as listener, connect(listener) as client:
        client.sendall(serving.request("GET /x?token=t"))
        status, _, body = response(client)
    assert status == 500
    assert b"secret" not in body
    assert [(where, str(error)) for where, error in errors] == [("GET /x", "secret")]


def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one():
    def breaks(environ, start_response):
        start_response("200 OK", [])
        yield b"half"
        raise ValueError("late")

    errors = serving.Errors()
    with serve(breaks, errors=errors) as listener, connect(listener) as client:
        client.sendall(serving.request("GET /"))
        text = serving.all_of(client)
    assert b"half" in text
    assert b"\r\n0\r\n" not in text
    assert len(errors) == 1


def test_the_write_callable_and_exc_info_work_as_pep_3333_says():
    def old(environ, start_response):
        start_response("200 OK", [("X", "1")])
        try:
            {}["early"]
        except KeyError as error:
            write = start_response("503 Busy", [("X", "2")], (KeyError, error, error.__traceback__))
        write(b"written ")
        return [b"returned"]

    with serve(old) as listener, connect(listener) as client:
        client.sendall(serving.request("GET /"))
        status, headers, body = response(client)
    assert (status, headers["x"], body) == (503, "2", b"written returned")


def test_events_arrive_one_by_one_as_they_are_made(certificate):
    go = threading.Semaphore(0)

    def events(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        for n in range(3):
            yield f"data: {n}\n\n".encode()
            assert go.acquire(timeout=5)

    with serve(events, certificate=certificate) as listener, connect(listener, certificate) as client:
        client.sendall(serving.request("GET /"))
        text = b""
        for n in range(3):
            while f"data: {n}\n\n".encode() not in text:
                text += client.recv(1000)
            assert f"data: {n + 1}".encode() not in text
            go.release()
        while not text.endswith(b"0\r\n\r\n"):
            text += client.recv(1000)


def websockets(handler, **options):
    app = Flask(__name__)
    app.config["SOCK_SERVER_OPTIONS"] = {"receive_bytes": 16_384, **options}
    Sock(app).route("/ws")(handler)
    return app


def ws_client(listener, certificate, **options):
    scheme = "ws" if certificate is None else "wss"
    context = None if certificate is None else serving.client_context(certificate)
    return simple_websocket.Client(
        f"{scheme}://127.0.0.1:{listener.port}/ws", ssl_context=context, thread_class=DAEMON, **options
    )


@pytest.mark.parametrize("options", [{}, {"ping_interval": 0.05}], ids=["no ping", "ping"])
def test_a_websocket_echoes_small_and_large_messages(certificate, options):
    def handler(ws):
        while True:
            ws.send(ws.receive())

    with serve(websockets(handler, **options), certificate=certificate) as listener:
        client = ws_client(listener, certificate)
        for size in (1, 300, 16_384, 40_000, 200_000):
            client.send("x" * size)
            assert client.receive(timeout=5) == "x" * size
        client.close()


def test_a_websocket_is_written_by_two_threads_and_read_by_a_third_without_mixing_up_frames(certificate):
    def handler(ws):
        lock = threading.Lock()

        def push(letter):
            for _ in range(200):
                with lock:
                    ws.send(letter * 700)

        threads = [threading.Thread(target=push, args=(letter,)) for letter in "ab"]
        for thread in threads:
            thread.start()
        for _ in range(200):
            assert ws.receive(timeout=5) == "c" * 900
        for thread in threads:
            thread.join()
        ws.send("end")
        ws.receive(timeout=5)

    with serve(websockets(handler), certificate=certificate) as listener:
        client = ws_client(listener, certificate)
        for _ in range(200):
            client.send("c" * 900)
            client.sock.send(client.ws.send(Ping()))  # the reading thread answers, and so writes too
        counts = {"a": 0, "b": 0}
        while (message := client.receive(timeout=5)) != "end":
            assert message == message[0] * 700
            counts[message[0]] += 1
        client.close()
    assert counts == {"a": 200, "b": 200}


def test_compression_is_not_negotiated():
    def handler(ws):
        ws.receive(timeout=10)  # first: the client of the tests loses what comes together with the handshake
        ws.send(ws.environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "none"))
        ws.receive(timeout=10)

    offered = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    with serve(websockets(handler)) as listener:
        client = ws_client(listener, None, headers=offered)
        client.send("what was negotiated?")
        assert client.receive(timeout=10) == "none"
        client.close()


def test_a_refused_upgrade_is_an_ordinary_answer():
    upgrade = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: aaaaaaaaaaaaaaaaaaaaaa==",
    )
    with serve(echo) as listener, connect(listener) as client:
        for _ in range(2):
            client.sendall(serving.request("GET /ws", *upgrade))
            assert response(client)[::2] == (200, b"GET /ws? 0")


def test_plain_http_on_a_tls_port_is_told_where_to_go(made):
    with serve(echo, certificate=made) as listener, connect(listener) as client:
        client.sendall(serving.request("GET /"))
        status, _, body = response(client)
    assert status == 400
    assert f"https://127.0.0.1:{listener.port}/".encode() in body


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "example.org", "127.0.0.1.example.org"])
def test_only_a_loopback_address_is_bound(host):
    with pytest.raises(ValueError, match="not a loopback address"):
        Listener(echo, host, 0, clock=SystemClock(), on_error=serving.Errors())


def test_a_port_in_use_is_told_with_host_and_port():
    with serve(echo) as listener:
        with pytest.raises(PortInUse) as caught:
            Listener(echo, "localhost", listener.port, clock=SystemClock(), on_error=serving.Errors())
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", listener.port)


def test_http2_without_tls_is_refused():
    with pytest.raises(ValueError, match="HTTP/2 needs TLS"):
        Listener(echo, "127.0.0.1", 0, clock=SystemClock(), on_error=serving.Errors(), http2=True)


def test_stop_cuts_open_streams_sockets_and_half_open_clients_at_once(certificate):
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/ws":
            return sockets(environ, start_response)
        start_response("200 OK", [])
        return iter(lambda: time.sleep(0.01) or b"tick", None)

    def handler(ws):
        while True:
            ws.receive()

    sockets = websockets(handler)
    clients = []
    with serve(app, certificate=certificate, limits=Limits()) as listener:
        for sent in (b"", b"GET / HT", serving.request("GET /sse"), serving.request("POST /", "Content-Length: 9")):
            client = connect(listener, certificate)
            client.sendall(sent)
            clients.append(client)
        clients.append(ws_client(listener, certificate))
        clients.append(connect(listener))  # says nothing, not even hello
        assert b"200 OK" in clients[2].recv(100)
        began = time.monotonic()
        assert listener.stop()
        assert time.monotonic() - began < serving.WELL_BEFORE_S  # of the seconds that each of them may take
        assert listener.open_connections == 0
        assert listener.stop()
        for client in clients:
            with contextlib.suppress(simple_websocket.ConnectionClosed):  # its own thread closes the socket then
                client.close()


def test_stop_lets_an_answer_at_work_finish():
    asked, go = threading.Event(), threading.Event()

    def slow(environ, start_response):
        asked.set()
        assert go.wait(5)
        start_response("200 OK", [])
        return [b"done"]

    with serve(slow) as listener, connect(listener) as client:
        client.sendall(serving.request("GET /"))
        assert asked.wait(5)
        stopper = threading.Thread(target=listener.stop, args=(4.0,))
        stopper.start()
        go.set()
        assert response(client)[2] == b"done"
        stopper.join()


def test_a_listener_that_was_never_started_frees_its_port():
    listener = Listener(echo, "127.0.0.1", 0, clock=SystemClock(), on_error=serving.Errors())
    assert listener.stop()
    with pytest.raises(ConnectionRefusedError):
        connect(listener)
