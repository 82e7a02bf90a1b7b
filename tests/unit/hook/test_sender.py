"""The connection: found, greeted, kept, found again; and a caller that never waits for it."""

from __future__ import annotations

import gc
import json
import threading
import time

import pytest

from tests.kit.hook_receiver import TOKEN, Receiver, wait_until
from wfmon.core.clock import SystemClock
from wfmon.hook.hook import Hook
from wfmon.hook.inbox import LIMIT, START, TOKENS, Inbox, Record
from wfmon.hook.place import find
from wfmon.hook.request import Request
from wfmon.serve.tls import ensure_local_certificate, server_context


def run(hook, tokens=3, model="m"):
    with Request(model, hook=hook) as request:
        for _ in range(tokens):
            request.token()


def test_the_first_message_says_who_speaks_and_every_message_begins_with_the_clock(monitor, hook):
    before = time.monotonic_ns() // 1000
    run(hook)
    monitor.ended()
    head = monitor.heads[0]
    assert head["PATH_INFO"] == "/api/v1/hook"
    assert head["HTTP_AUTHORIZATION"] == f"Bearer {TOKEN}"
    assert head["HTTP_HOST"] == f"127.0.0.1:{monitor.port}"
    assert "HTTP_ORIGIN" not in head
    first, *later = [[json.loads(line) for line in message.split("\n")] for message in monitor.messages]
    assert [line["e"] for line in first] == ["source", "beat"]
    assert (first[0]["via"], first[0]["name"], first[0]["v"]) == ("hook", "test", 1)
    assert all(message[0]["e"] == "beat" for message in later)
    beats = [line["t"] for line in monitor.lines("beat")]
    assert before <= beats[0] <= beats[-1] <= time.monotonic_ns() // 1000
    assert {line["lost"] for line in monitor.lines("beat")} == {0}


def test_nothing_starts_before_the_first_request(monitor, hook):
    assert hook.sender._thread is None
    request = Request("m", hook=hook)
    assert hook.sender._thread is None
    del request
    gc.collect()
    assert hook.flush(60)
    assert monitor.lines("start") == []


def test_a_request_that_nobody_holds_any_more_was_aborted(monitor, hook):
    request = Request("m", hook=hook)
    request.token()
    del request
    gc.collect()
    end = monitor.ended()[-1]
    assert (end["status"], end["reason"]) == ("aborted", "forgotten")


def test_everything_that_a_request_can_say(monitor, hook):
    with Request("m", server="127.0.0.1:8000", vocab="v", vocab_size=50, hook=hook) as request:
        request.phase("queued")
        request.phase("loading")
        request.prompt(7, cached=2)
        request.token(3, entropy=2.25)
        request.end("ok", "stop", prompt_tokens=7, output_tokens=3, queue_ms=1.5, load_ms=2.5)
        request.end("error")  # the first end counts
        request.token()  # and nothing comes after it
    assert hook.flush(60)
    lines = [{k: v for k, v in line.items() if k not in {"t", "r"}} for line in monitor.ended()[1:]]
    assert lines == [
        {"e": "start", "model": "m", "server": "127.0.0.1:8000", "vocab": "v", "vocab_size": 50, **lines[0]},
        {"e": "phase", "name": "queued"},
        {"e": "phase", "name": "loading"},
        {"e": "prompt", "tokens": 7, "cached": 2},
        {"e": "tokens", "n": [3], "entropy": [2.25], "k": [50]},
        {
            "e": "end", "status": "ok", "reason": "stop", "prompt_tokens": 7, "output_tokens": 3, "queue_ms": 1.5,
            "load_ms": 2.5,
        },
    ]  # fmt: skip


def test_an_exception_in_the_block_is_the_callers_and_the_requests_end(monitor, hook):
    def fail():
        with Request("m", hook=hook) as request:
            request.token()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    end = monitor.ended()[-1]
    assert (end["status"], end["reason"]) == ("error", "zerodivisionerror")


def test_over_tls_with_the_monitors_own_authority(tmp_path):
    certificate = ensure_local_certificate(tmp_path / "tls", SystemClock())
    context = server_context(certificate.cert_file, certificate.key_file, http2=True)
    monitor = Receiver(tmp_path / "data", ssl_context=context, ca_file=str(certificate.ca_file))
    hook = Hook(find=lambda: find(str(monitor.folder)))
    run(hook)
    assert monitor.ended()[-1]["status"] == "ok"
    hook.close(5)
    monitor.close()


def test_a_stranger_over_tls_gets_nothing(tmp_path):
    ours, other = (ensure_local_certificate(tmp_path / name, SystemClock()) for name in ("ours", "other"))
    context = server_context(other.cert_file, other.key_file, http2=True)
    monitor = Receiver(tmp_path / "data", ssl_context=context, ca_file=str(ours.ca_file))
    hook = Hook(find=lambda: find(str(monitor.folder)))
    run(hook)
    assert hook.flush(60)
    assert monitor.heads == []
    assert hook.sender.lost == 4
    hook.close(5)
    monitor.close()


def test_without_a_monitor_it_counts_and_the_caller_notices_nothing(tmp_path):
    hook = Hook(find=lambda: find(str(tmp_path)))
    run(hook, tokens=50)
    assert hook.flush(60)
    assert hook.sender.lost == 51  # 50 tokens and an end
    assert hook.errors == 0
    hook.close(5)


def test_it_finds_a_monitor_that_starts_later_and_says_what_is_open(tmp_path):
    looked = threading.Event()

    def look():
        found = find(str(tmp_path / "data"))
        looked.set()
        return found

    hook = Hook(find=look)
    request = Request("m", hook=hook)
    request.token()
    assert looked.wait(10)
    assert hook.flush(60)
    monitor = Receiver(tmp_path / "data")
    monitor.wait(lambda lines: any(line["e"] == "start" for line in lines))
    request.token()
    request.end()
    lines = monitor.ended()
    assert [line["e"] for line in lines] == ["source", "start", "tokens", "end"]
    assert lines[1]["again"] is True
    assert lines[3]["output_tokens"] == 2
    assert monitor.lines("beat")[-1]["lost"] == 1
    hook.close(5)
    monitor.close()


def test_with_nothing_open_and_nobody_there_it_sleeps_until_something_comes(monkeypatch):
    slept = []
    true_sleep = Inbox.sleep

    def sleep(inbox, seconds, *, idle):
        slept.append((seconds, idle))
        true_sleep(inbox, seconds, idle=idle)

    monkeypatch.setattr(Inbox, "sleep", sleep)
    hook = Hook(find=lambda: None)
    run(hook)
    wait_until(lambda: hook.inbox.idle)
    assert slept[-1] == (-1, True)
    hook.close(5)


def test_switched_off_nothing_starts(monkeypatch, tmp_path):
    from wfmon.hook.shared import Shared

    for word in ("off", "0", " OFF "):
        monkeypatch.setenv("WFMON_HOOK", word)
        hook = Shared().get()
        run(hook)
        assert hook.flush(0.0)
        assert hook.sender._thread is None
        assert len(hook.inbox) == 0


def test_the_queue_is_bounded_and_starts_and_ends_go_before_tokens():
    inbox, record = Inbox(limit=10), Record("1", 0, "m", "")
    for i in range(15):
        inbox.put((TOKENS, record, i))
    inbox.put((START, record, 99))
    assert len(inbox) == 11
    assert inbox.lost == 5
    assert record.lost
    for _ in range(20):
        inbox.put((START, record, 100))
    assert len(inbox) == 20
    assert LIMIT == 10_000


def test_eight_threads_lose_nothing(monitor, hook):
    barrier = threading.Barrier(8)

    def work(number):
        barrier.wait(10)
        for _ in range(5):
            with Request(f"m{number}", hook=hook) as request:
                for _ in range(100):
                    request.token(entropy=1.0)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    lines = monitor.ended(40)
    assert len({line["r"] for line in lines if line["e"] == "start"}) == 40
    assert sum(len(line["t"]) for line in lines if line["e"] == "tokens") == 4_000
    assert hook.sender.lost == 0
    assert {line["status"] for line in lines if line["e"] == "end"} == {"ok"}


def test_close_says_what_was_open_and_goodbye(monitor, hook):
    request = Request("m", hook=hook)
    request.token()
    hook.close(60)
    end = monitor.ended()[-1]
    assert (end["status"], end["reason"]) == ("aborted", "exit")
    wait_until(lambda: monitor.closes)
    assert int(monitor.closes[0]) == 1001
    request.token()
    hook.close(60)


def test_pings_are_answered_while_nothing_is_said(monitor, hook):
    run(hook)
    monitor.ended()
    hook.flush(60)
    assert hook.sender._websocket is not None
    assert hook.sender._websocket.receive() == []
