"""How a browser gets its cookie: links, codes to type, and `--open`."""

from __future__ import annotations

import json
import re
import stat
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from wfmon.core.clock import FakeClock
from wfmon.serve.instance import Instance, NotRunning
from wfmon.serve.launch import ATTEMPTS, open_running
from wfmon.serve.token import Token, load_token, write_private

FROM_A_FILE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
COOKIE = f"wfmon-9445={Token('T' * 43).cookie()}"


def open_link(guarded, code):
    return guarded.ask(f"/launch?code={code}", signed_in=False, headers=FROM_A_FILE)


def type_code(guarded, code):
    return guarded.ask("/launch", "POST", signed_in=False, data={"code": code})


def test_a_link_signs_a_browser_in_and_leads_to_the_page(guarded):
    answer = open_link(guarded, guarded.launcher.new_code())
    assert answer.status_code == 200
    assert "<script>location.replace('/')</script>" in answer.text
    # The hash is the one that a browser computes for that script: openssl dgst -sha256 -binary | base64.
    assert (
        "script-src 'sha256-qBjLReXPsRLHPao6+8nICoVlbEWZcc/Os2pcXx5BCa0=';" in answer.headers["Content-Security-Policy"]
    )
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(COOKIE + "; ")
    assert {part.split("=")[0] for part in cookie.split("; ")[1:]} == {
        "Expires", "Max-Age", "HttpOnly", "Path", "SameSite"
    }  # fmt: skip
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert "Max-Age=34560000" in cookie
    assert guarded.ask("/", signed_in=False, headers={"Cookie": cookie.partition(";")[0]}).status_code == 200


def test_with_tls_the_cookie_is_secure_and_bound_to_the_host(guarded_at):
    guarded = guarded_at(tls=True)
    cookie = open_link(guarded, guarded.launcher.new_code()).headers["Set-Cookie"]
    assert cookie.startswith("__Host-wfmon-9445=")
    assert "; Secure" in cookie
    assert "Domain" not in cookie


def test_a_link_works_once(guarded):
    code = guarded.launcher.new_code()
    assert open_link(guarded, code).status_code == 200
    again = open_link(guarded, code)
    assert again.status_code == 401
    assert "Set-Cookie" not in again.headers
    assert "was used or has expired" in again.text
    assert "make run ARGS=--open" in again.text


def test_a_link_is_used_once_even_when_two_ask_at_the_same_instant(guarded):
    code, results, together = guarded.launcher.new_code(), [], threading.Barrier(8)

    def ask():
        together.wait()
        results.append(guarded.launcher.redeem(code))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]


def test_a_link_expires_after_thirty_seconds(guarded):
    first, second = guarded.launcher.new_code(), guarded.launcher.new_code()
    guarded.clock.advance(29.9)
    assert open_link(guarded, first).status_code == 200
    guarded.clock.advance(0.1)
    assert open_link(guarded, second).status_code == 401


def test_the_redirect_file_is_private_and_leads_to_the_link(guarded):
    code = guarded.launcher.new_code()
    path = guarded.launcher.redirect_file(code)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.parent == guarded.folder
    assert re.findall(r"url=([^\"]+)", path.read_text()) == [f"http://127.0.0.1:9445/launch?code={code}"]
    assert list(guarded.folder.glob(".*")) == []


def test_the_redirect_file_is_gone_once_its_link_was_used(guarded):
    code = guarded.launcher.new_code()
    path = guarded.launcher.redirect_file(code)
    open_link(guarded, code)
    assert not path.exists()


def test_the_redirect_file_is_gone_after_thirty_seconds(guarded):
    path = guarded.launcher.redirect_file(guarded.launcher.new_code())
    guarded.launcher.sweep()
    assert path.exists()
    guarded.clock.advance(30)
    guarded.launcher.sweep()
    assert not path.exists()


def test_closing_voids_links_and_removes_files_even_those_of_a_killed_monitor(guarded):
    code = guarded.launcher.new_code()
    guarded.launcher.redirect_file(code)
    (guarded.folder / "open-left.html").write_text("left behind")
    guarded.launcher.close()
    guarded.launcher.close()
    assert list(guarded.folder.iterdir()) == []
    assert open_link(guarded, code).status_code == 401


def test_a_code_is_typed_as_people_type(guarded):
    code = guarded.launcher.terminal_code()
    assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){2}[0-9A-HJKMNP-TV-Z]{4}", code)
    assert guarded.announced == [code]
    typed = f" {code.lower().replace('-', ' ').replace('0', 'o').replace('1', 'l')}\n"
    assert type_code(guarded, typed).status_code == 200
    assert type_code(guarded, typed).status_code == 401


def test_codes_do_not_repeat_and_use_the_whole_alphabet(guarded):
    codes = set()
    for _ in range(400):
        codes.add(guarded.launcher.terminal_code())
        guarded.clock.advance(600)
    assert len(codes) == 400
    assert set("".join(codes)) == set("0123456789ABCDEFGHJKMNPQRSTVWXYZ-")


def test_a_typed_code_lasts_ten_minutes_and_the_terminal_then_shows_a_new_one_on_request(guarded):
    first = guarded.launcher.terminal_code()
    guarded.clock.advance(599)
    assert guarded.launcher.terminal_code() == first
    guarded.clock.advance(1)
    assert guarded.announced == [first], "nothing is printed until somebody asks"
    answer = type_code(guarded, first)
    assert answer.status_code == 401
    assert "The terminal shows a valid one" in answer.text
    assert len(guarded.announced) == 2
    assert type_code(guarded, guarded.announced[1]).status_code == 200


def test_asking_for_the_page_again_and_again_prints_one_code(guarded):
    for _ in range(50):
        guarded.ask("/", signed_in=False, headers={"Accept": "text/html"})
    assert len(guarded.announced) == 1


def test_wrong_codes_are_bounded_for_all_together_and_a_link_works_all_the_same(guarded):
    code = guarded.launcher.terminal_code()
    for _ in range(ATTEMPTS):
        assert type_code(guarded, "AAAA-BBBB-CCCC").status_code == 401
    stopped = type_code(guarded, code)
    assert stopped.status_code == 429
    assert stopped.headers["Retry-After"] == "3"
    assert "Set-Cookie" not in stopped.headers
    assert open_link(guarded, "guess").status_code == 429
    assert open_link(guarded, guarded.launcher.new_code()).status_code == 200
    guarded.clock.advance(3)
    assert type_code(guarded, code).status_code == 200


def test_the_form_shows_no_reproach_before_a_code_was_typed(guarded):
    assert 'role="alert"' not in open_link(guarded, "").text
    assert 'role="alert"' in open_link(guarded, "x").text


@pytest.mark.parametrize("origin", [None, "null", "http://evil.com", "http://127.0.0.1:9444"])
def test_another_page_cannot_type_codes(guarded, origin):
    code = guarded.launcher.terminal_code()
    answer = guarded.ask("/launch", "POST", signed_in=False, headers={"Origin": origin}, data={"code": code})
    assert answer.status_code == 403
    assert guarded.launcher.redeem(code) is True


def test_a_code_is_not_taken_from_the_body_of_another_kind(guarded):
    code = guarded.launcher.terminal_code()
    answer = guarded.ask(
        "/launch", "POST", signed_in=False, data=json.dumps({"code": code}), CONTENT_TYPE="application/json"
    )
    assert answer.status_code == 401


def test_untrusted_text_does_not_reach_the_page_of_a_wrong_code(guarded):
    assert "<img" not in open_link(guarded, "%3Cimg%20src=x%3E").text
    assert "<img" not in type_code(guarded, "<img src=x>").text


def test_a_cookie_survives_a_restart_and_dies_with_the_token(tmp_path):
    first = load_token(tmp_path)
    assert load_token(tmp_path).cookie() == first.cookie()
    (tmp_path / "token").unlink()
    assert load_token(tmp_path).cookie() != first.cookie()


def test_the_values_derived_from_the_token_are_fixed():
    token = Token("T" * 43)
    # printf 'wfmon cookie v1' | openssl dgst -sha256 -hmac TTT...
    assert token.cookie() == "ba09ef3ca0505461c655276155014da4a52b8d0aed1ad7d976e8f970d890d4cf"
    assert token.page_token() == "7dc87ee2d08a09ab662376e0732adc60839b0b8c6cc841977e76dbadd494cb9d"


def test_a_stream_is_opened_by_the_page_token_or_the_token_itself():
    token = Token("T" * 43)
    assert token.check_page_token(token.page_token())
    assert token.check_page_token("T" * 43)
    for wrong in ("", token.cookie(), "t" * 43, "T" * 42, token.page_token().upper(), "ä", "\ud800"):
        assert not token.check_page_token(wrong)
    assert token.check("T" * 43)
    assert not token.check(token.page_token())
    assert not token.check_cookie("T" * 43)


def test_the_token_file_is_private_whole_and_kept(tmp_path):
    load_token(tmp_path)
    path = tmp_path / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert re.fullmatch(r"[\w-]{43}\n", path.read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
    assert load_token(tmp_path).check(path.read_text().strip())


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o640), lambda path: path.write_text("short\n")])
def test_a_token_that_others_could_read_or_that_is_broken_is_replaced_and_said(tmp_path, caplog, spoil):
    before = load_token(tmp_path)
    spoil(tmp_path / "token")
    after = load_token(tmp_path)
    assert after.cookie() != before.cookie()
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    (line,) = [record.getMessage() for record in caplog.records]
    assert "it is replaced, and open pages must sign in again" in line


def test_a_token_that_is_a_link_elsewhere_is_replaced_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text("A" * 43)
    (tmp_path / "token").symlink_to(tmp_path / "elsewhere")
    assert not load_token(tmp_path).check("A" * 43)
    assert not (tmp_path / "token").is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "A" * 43


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "token").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(tmp_path / "token", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_the_api_makes_a_link_for_who_bears_the_token(guarded):
    headers = {"Authorization": f"Bearer {'T' * 43}", "Origin": None}
    answer = guarded.ask("/api/v1/launch", "POST", signed_in=False, headers=headers)
    assert answer.status_code == 201
    made = json.loads(answer.data)
    assert made["url"].startswith("http://127.0.0.1:9445/launch?code=")
    assert made["url"] in Path(made["file"]).read_text()
    assert open_link(guarded, made["url"].partition("=")[2]).status_code == 200


def test_the_api_says_so_when_the_launch_file_cannot_be_written(guarded):
    guarded.launcher._folder = guarded.folder / "gone"
    answer = guarded.ask("/api/v1/launch", "POST")
    assert answer.status_code == 507
    assert "No such file" in json.loads(answer.data)["detail"]


class Monitor(HTTPServer):
    """Answers for a monitor that runs: `answer` is what POST /api/v1/launch gives."""

    def __init__(self, answer):
        self.answer = answer
        self.seen = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.seen.append(
            (self.path, self.headers["Host"], self.headers["Authorization"], self.headers["Origin"])
        )
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        """Say nothing."""


@pytest.fixture
def running(tmp_path):
    """Start a monitor on tmp_path that answers as it is told."""
    stops = []

    def start(status=201, body=b'{"file": "open-1.html"}'):
        server = Monitor((status, body))
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01})
        thread.start()
        instance = Instance(tmp_path, FakeClock())
        load_token(tmp_path)
        url = f"http://127.0.0.1:{server.server_port}/"
        instance.publish(url=url, ca_file="", boot="b", started_ms=1)
        stops.append((server, thread, instance))
        return server

    yield start
    for server, thread, instance in stops:
        server.shutdown()
        server.server_close()
        thread.join()
        instance.close()


def test_open_asks_the_running_monitor_and_hands_the_file_to_the_browser(tmp_path, running, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server, opened = running(), []
    url = open_running(tmp_path, lambda address: opened.append(address) or True)
    port = server.server_port
    assert url == f"http://127.0.0.1:{port}/"
    assert opened == [(tmp_path / "open-1.html").as_uri()]
    assert server.seen == [
        ("/api/v1/launch", f"127.0.0.1:{port}", f"Bearer {(tmp_path / 'token').read_text().strip()}", None)
    ]


def test_open_never_opens_a_file_outside_the_data_folder(tmp_path, running):
    running(body=b'{"file": "/etc/passwd"}')
    opened = []
    open_running(tmp_path, lambda address: opened.append(address) or True)
    assert opened == [(tmp_path / "passwd").as_uri()]


@pytest.mark.parametrize(("status", "body"), [(401, b"{}"), (500, b"")])
def test_open_says_when_the_monitor_refuses(tmp_path, running, status, body):
    running(status, body)
    with pytest.raises(NotRunning, match=f"refused \\({status}\\)"):
        open_running(tmp_path, lambda _: True)


def test_open_says_when_what_answers_is_no_monitor(tmp_path, running):
    running(201, b"<html>")
    with pytest.raises(NotRunning, match="does not answer"):
        open_running(tmp_path, lambda _: True)


def test_open_says_when_there_is_no_browser(tmp_path, running):
    server = running()
    with pytest.raises(NotRunning, match=f"http://127.0.0.1:{server.server_port}/ and type the code"):
        open_running(tmp_path, lambda _: False)


def test_open_says_when_no_monitor_runs_and_asks_nobody(tmp_path):
    load_token(tmp_path)
    instance = Instance(tmp_path, FakeClock())
    instance.publish(url="http://127.0.0.1:1/", ca_file="", boot="b", started_ms=1)
    stale = (tmp_path / "server.json").read_text()
    instance.close()
    (tmp_path / "server.json").write_text(stale)
    with pytest.raises(NotRunning, match="No monitor is running on"):
        open_running(tmp_path, pytest.fail)


def test_open_says_when_the_monitor_does_not_answer(tmp_path):
    load_token(tmp_path)
    instance = Instance(tmp_path, FakeClock())
    instance.publish(url="http://127.0.0.1:1/", ca_file="", boot="b", started_ms=1)
    with pytest.raises(NotRunning, match="does not answer"):
        open_running(tmp_path, pytest.fail)
    instance.close()
