"""The guard: every route, asked by everybody who must not be answered, and by everybody who must."""

from __future__ import annotations

import json
import logging

import pytest

from tests.unit.serve.conftest import GuardedServer
from wfmon.serve.problem import CONTENT_TYPE

ORIGIN = "http://127.0.0.1:9445"
ROUTES = {
    "/": ["GET"],
    "/system": ["GET"],
    "/assets/live.mjs": ["GET"],
    "/_dash-component-suites/dash/deps/react@18.v4.js": ["GET"],
    "/_dash-layout": ["GET"],
    "/_dash-update-component": ["POST"],
    "/ws": ["GET"],
    "/sse": ["GET"],
    "/sse/client": ["POST"],
    "/metrics": ["GET"],
    "/launch": ["GET", "POST"],
    "/broken": ["GET"],
    "/no/such/route": ["GET", "POST"],
    "/api/v1/health": ["GET"],
    "/api/v1/series": ["GET"],
    "/api/v1/latest": ["GET"],
    "/api/v1/window": ["GET"],
    "/api/v1/windows": ["GET"],
    "/api/v1/settings": ["GET"],
    "/api/v1/collectors": ["GET"],
    "/api/v1/collectors/system": ["POST"],
    "/api/v1/launch": ["POST"],
    "/api/v1/hook": ["GET", "POST"],
    "/api/v1/models": ["GET"],
    "/_dash-component-suites/plotly/package_data/no-other-file": ["GET"],
    "/api/v1/history": ["GET"],
    "/api/v1/query": ["GET"],
    "/api/v1/statistics": ["GET"],
    "/api/v1/annotations": ["GET"],
    "/api/v1/anomalies": ["GET"],
    "/api/v1/history/requests": ["GET"],
    "/api/v1/insights": ["GET"],
    "/api/v1/store": ["GET", "POST"],
    "/api/v1/store/forget": ["GET", "POST"],
    "/api/v1/store/retention": ["GET", "POST"],
    "/api/v1/requests": ["GET"],
    "/api/v1/requests/a:1.b-c_d": ["GET"],
    "/api/v1/servers": ["GET"],
    "/api/v1/demo": ["GET", "POST"],
    "/api/v1/proxy": ["GET"],
    "/api/no-such": ["GET"],
}
EACH = [(method, path) for path, methods in ROUTES.items() for method in methods]
SOCKETS = [("GET", "/ws"), ("GET", "/api/v1/hook")]
UNKNOWN = ("POST", "/no/such/route")
NO_LINK = [pair for pair in EACH if pair != ("GET", "/launch")]
"""All but the launch link, which comes from a local file: its code decides."""
EVIL_HOSTS = [
    "evil.com", "evil.com:9445", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:94450", "127.0.0.1:9444",
    "127.0.0.1.evil.com:9445",
    "127.0.0.1:9445.evil.com", "evil.com/127.0.0.1:9445", "user@127.0.0.1:9445", "[::1]:9445", "[::1]", "0.0.0.0:9445",
    "", "127.0.0.1.:9445", "127.1:9445", "2130706433:9445", "LOCALHOST:9445", "localhost", "localhost:80",
    "localhost.:9445",
    "127.0.0.1:9445,127.0.0.1:9445", "127.0.0.1:9445, evil.com", " 127.0.0.1:9445", "127.0.0.1:9445 ",
    "127.0.0.1:09445",
    "127.0.0.1:9445\t", "127.0.0.1:9445#", "①27.0.0.1:9445",
]  # fmt: skip
EVIL_ORIGINS = [
    "null", "", "http://evil.com", "http://127.0.0.1", "http://127.0.0.1:94450", "http://127.0.0.1:9444",
    "https://127.0.0.1:9445", "http://127.0.0.1:9445.evil.com", "http://evil.com:9445", "http://localhost:9445",
    "http://[::1]:9445", "HTTP://127.0.0.1:9445", "http://127.0.0.1:9445/", "file://",
    "http://127.0.0.1:9445,http://evil.com",
    "http://user@127.0.0.1:9445", "chrome-extension://abcdefgh",
]  # fmt: skip


def test_the_matrix_names_every_rule_of_the_server(guarded):
    adapter = guarded.server.url_map.bind("")
    met = {
        adapter.match(path, method, return_rule=True, websocket=(method, path) in SOCKETS)[0].rule
        for method, path in EACH
        if (method, path) != UNKNOWN
    }
    assert {rule.rule for rule in guarded.server.url_map.iter_rules()} - met == set()


@pytest.fixture(scope="module")
def one_server(tmp_path_factory):
    return GuardedServer(tmp_path_factory.mktemp("guarded"))


@pytest.fixture
def shared(one_server):
    """The same server for all requests that are refused before they reach it: nothing of theirs stays in it."""
    one_server.ran.clear()
    one_server.refused.clear()
    return one_server


def refused(guarded, answer, status, cause):
    assert answer.status_code == status
    assert answer.content_type == CONTENT_TYPE
    problem = json.loads(answer.data)
    assert problem["status"] == status
    assert problem["type"] == f"urn:wfmon:problem:{cause}"
    assert problem["detail"]
    assert problem["fix"]
    assert guarded.ran == [], "the application ran"
    assert guarded.refused == {cause: 1}
    guarded.refused.clear()


@pytest.mark.parametrize(("method", "path"), EACH)
def test_a_wrong_host_is_refused_on_every_route(shared, method, path):
    for host in EVIL_HOSTS:
        refused(shared, shared.ask(path, method, host=host, headers={"Accept": "text/html"}), 421, "host")
    refused(shared, shared.ask(path, method, headers={"Host": None}), 421, "host")


@pytest.mark.parametrize(("method", "path"), NO_LINK)
def test_a_wrong_origin_is_refused_on_every_route(shared, method, path):
    for origin in EVIL_ORIGINS:
        refused(shared, shared.ask(path, method, headers={"Origin": origin}), 403, "origin")


@pytest.mark.parametrize("mode", ["navigate", "no-cors", "cors", "websocket"])
@pytest.mark.parametrize(("method", "path"), NO_LINK)
def test_a_request_that_another_site_caused_is_refused_on_every_route(shared, method, path, mode):
    for site in ("cross-site", "same-site", "", "NONE", "same-origin, none"):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Accept": "text/html"}
        refused(shared, shared.ask(path, method, headers=headers), 403, "site")


@pytest.mark.parametrize(("method", "path"), [pair for pair in EACH if pair[1] != "/launch"])
def test_nobody_is_answered_without_a_cookie_or_a_token(shared, method, path):
    refused(shared, shared.ask(path, method, signed_in=False), 401, "auth")


@pytest.mark.parametrize(("method", "path"), EACH)
def test_a_websocket_upgrade_without_an_origin_is_refused_on_every_route(shared, method, path):
    answer = shared.ask(path, method, headers={"Upgrade": "websocket", "Connection": "Upgrade", "Origin": None})
    refused(shared, answer, 403, "origin")


@pytest.mark.parametrize("path", [path for method, path in EACH if method == "POST"])
def test_a_change_without_an_origin_is_refused_unless_a_token_comes_with_it(shared, path):
    refused(shared, shared.ask(path, "POST", headers={"Origin": None}), 403, "origin")


@pytest.mark.parametrize("path", ROUTES)
def test_a_method_other_than_get_head_and_post_is_refused_on_every_route(shared, path):
    for method in ("OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "PROPFIND", ""):
        answer = shared.ask(path, REQUEST_METHOD=method)
        refused(shared, answer, 405, "method")
        assert answer.headers["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.com/", "http://evil.com/", "http://127.0.0.1:9445/", "*", "evil.com:443", "/\\evil.com", "/a//b",
        "/%2f%2fevil.com", "/..", "/../etc/passwd", "/assets/../token", "/assets/%2e%2e/token", "/assets/..%2ftoken",
        "/assets/..%5ctoken", "/%252e%252e/token", "/./", "/a/.", "/a%00b", "/a\x00b", "/?q=%00", "/a b",
        "/a%0d%0aSet-Cookie:x", "/a\r\nb", "/%zz", "/%", "/a%7f", "/ä", "/a%5cb",
    ],
)  # fmt: skip
def test_a_weird_target_is_refused(shared, target):
    refused(shared, shared.ask(target), 400, "target")


@pytest.mark.parametrize("path_info", ["//evil", "/../token", "/a\x00b", "/%2e%2e/token"])
def test_a_weird_path_is_refused_when_the_server_does_not_tell_the_target(guarded, path_info):
    refused(guarded, guarded.ask("/", REQUEST_URI="", RAW_URI="", PATH_INFO=path_info), 400, "target")


def test_a_mounted_application_is_refused(guarded):
    refused(guarded, guarded.ask("/", SCRIPT_NAME="/other"), 400, "target")


@pytest.mark.parametrize(
    "target",
    ["/api/v1/window?series=system.cpu_core_percent%7Bcore=%220%22%7D&window=1", "/a.b/c..d/e-%C3%A4@7", "/%20"],
)
def test_an_unusual_but_plain_target_is_let_in(guarded, target):
    assert guarded.ask(target).status_code in (200, 404)


@pytest.mark.parametrize(("method", "path"), EACH)
def test_the_page_itself_is_let_in_everywhere(guarded, method, path):
    answer = guarded.ask(path, method, headers={"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN})
    assert answer.status_code not in (403, 421)
    assert guarded.ran == [path]
    assert guarded.refused == {}


@pytest.mark.parametrize(("method", "path"), EACH)
def test_a_script_with_the_token_needs_neither_cookie_nor_origin(guarded, method, path):
    headers = {"Authorization": f"Bearer {'T' * 43}", "Origin": None}
    answer = guarded.ask(path, method, signed_in=False, headers=headers)
    assert guarded.ran == [path]
    assert guarded.refused == {}
    assert answer.status_code not in (403, 421)


def test_a_script_may_open_a_websocket_without_an_origin_but_not_with_a_wrong_one(guarded):
    upgrade = {"Authorization": f"bearer {'T' * 43}", "Upgrade": "websocket"}
    assert guarded.ask("/sse", signed_in=False, headers=upgrade).status_code == 503
    assert guarded.ran == ["/sse"]
    assert guarded.ask("/ws", signed_in=False, headers={**upgrade, "Origin": "null"}).status_code == 403
    assert guarded.ran == ["/sse"]


@pytest.mark.parametrize(
    "given", ["Bearer ", "Bearer", "Bearer wrong", f"Basic {'T' * 43}", "T" * 43, f"Bearer {'T' * 42}",
              f"Bearer {'T' * 44}", f"Bearer {'T' * 43} x", "Bearer ä€"],
)  # fmt: skip
def test_a_wrong_token_is_refused_even_beside_a_right_cookie(guarded, given):
    refused(guarded, guarded.ask("/api/v1/health", headers={"Authorization": given}), 401, "auth")


def test_a_hundred_wrong_tokens_do_not_lock_the_right_one_out(guarded):
    for _ in range(100):
        assert guarded.ask("/api/v1/health", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert guarded.ask("/api/v1/health", headers={"Authorization": f"Bearer {'T' * 43}"}).status_code == 200
    assert guarded.refused == {"auth": 100}


@pytest.mark.parametrize("name", ["wfmon-9444", "wfmon", "__Host-wfmon-9445", "WFMON-9445", "xwfmon-9445"])
def test_the_cookie_of_another_port_or_name_does_not_count(guarded, name):
    cookie = f"{name}={guarded.token.cookie()}"
    refused(guarded, guarded.ask("/", headers={"Cookie": cookie, "Accept": "*/*"}), 401, "auth")


def test_a_cookie_that_another_port_of_this_host_planted_does_not_hide_ours(guarded):
    for cookie in (
        f"wfmon-9445=planted; {guarded.cookie}",
        f"{guarded.cookie};wfmon-9445=planted",
        f"a=b; {guarded.cookie}; c",
    ):
        assert guarded.ask("/", headers={"Cookie": cookie}).status_code == 200


@pytest.mark.parametrize("value", ["", "x", "T" * 43, "ä"])
def test_a_wrong_cookie_is_refused(guarded, value):
    refused(guarded, guarded.ask("/ws", headers={"Cookie": f"wfmon-9445={value}"}), 401, "auth")


def test_the_page_token_is_no_cookie_and_no_bearer(guarded):
    page = guarded.token.page_token()
    assert guarded.ask("/ws", headers={"Cookie": f"wfmon-9445={page}"}).status_code == 401
    assert guarded.ask("/ws", headers={"Authorization": f"Bearer {page}"}).status_code == 401


def test_a_person_without_a_cookie_reads_how_to_sign_in(guarded):
    answer = guarded.ask(
        "/system", signed_in=False, headers={"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
    )
    assert answer.status_code == 401
    assert answer.content_type == "text/html; charset=utf-8"
    text = answer.text
    assert "make run ARGS=--open" in text
    assert '<form method="post" action="/launch">' in text
    assert "<script" not in text
    # A form posted under no-referrer would say `Origin: null` and be refused.
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert guarded.ran == []
    assert len(guarded.announced) == 1, "the terminal shows a code to type"


@pytest.mark.parametrize("headers", [{"Accept": "*/*"}, {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}])
def test_a_program_without_a_cookie_reads_a_problem(guarded, headers):
    refused(guarded, guarded.ask("/system", signed_in=False, headers=headers), 401, "auth")


def test_localhost_leads_to_the_address(guarded):
    answer = guarded.ask("/system?a=%20b", host="localhost:9445", headers={"Accept": "text/html"})
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"{ORIGIN}/system?a=%20b"
    assert guarded.ran == []
    assert guarded.refused == {}


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {"Accept": "text/html"}),
        ("GET", {"Accept": "*/*"}),
        ("GET", {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}),
    ],
)
def test_localhost_is_refused_to_all_but_a_person_who_opens_a_page(guarded, method, headers):
    refused(guarded, guarded.ask("/system", method, host="localhost:9445", headers=headers), 421, "host")


def test_localhost_leads_nowhere_else(guarded):
    answer = guarded.ask("//evil.com/", host="localhost:9445", headers={"Accept": "text/html"})
    assert answer.status_code == 400
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Mode": "no-cors"}, {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
                {"Upgrade": "websocket"}],
)  # fmt: skip
def test_the_launch_link_is_exempt_for_a_top_level_page_alone(guarded, headers):
    refused(guarded, guarded.ask("/launch?code=x", headers={"Sec-Fetch-Site": "cross-site", **headers}), 403, "site")


@pytest.mark.parametrize("path", ["/launch/", "/launchx", "/LAUNCH", "/launch/x", "/%6caunch/x"])
def test_only_the_launch_route_itself_is_exempt(guarded, path):
    assert guarded.ask(path, signed_in=False).status_code == 401
    assert guarded.ran == []


def test_a_head_request_is_refused_without_a_body(guarded):
    answer = guarded.ask("/launch?code=x", "HEAD", signed_in=False)
    assert answer.status_code == 401
    assert answer.data == b""


def test_the_port_of_the_scheme_itself_is_left_out_as_browsers_do(guarded_at):
    guarded = guarded_at(port=80)
    assert guarded.ask("/", host="127.0.0.1", headers={"Origin": "http://127.0.0.1"}).status_code == 200
    assert guarded.ask("/", host="127.0.0.1:80").status_code == 421


def test_with_tls_host_origin_and_cookie_are_those_of_https(guarded_at):
    guarded = guarded_at(tls=True)
    assert guarded.cookie.startswith("__Host-wfmon-9445=")
    assert guarded.ask("/_dash-update-component", "POST", headers={"Origin": "https://127.0.0.1:9445"}).data == b"taken"
    assert guarded.ask("/_dash-update-component", "POST", headers={"Origin": ORIGIN}).status_code == 403
    assert "connect-src 'self' wss://127.0.0.1:9445;" in guarded.ask("/").headers["Content-Security-Policy"]


WANTED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'sha256-after-1'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self' ws://127.0.0.1:9445; worker-src 'self'; "
    "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}


@pytest.mark.parametrize("target", ["/", "/api/v1/health", "/metrics", "/api/nope", "/broken"])
def test_every_answer_carries_the_headers_that_keep_others_out(guarded, target):
    headers = guarded.ask(target).headers
    assert {name: headers.get(name) for name in WANTED} == WANTED
    assert "unsafe-eval" not in headers["Content-Security-Policy"]


def test_a_refusal_carries_them_too_and_allows_nothing(guarded):
    headers = guarded.ask("/", host="evil.com").headers
    nothing = {**WANTED, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
    assert {name: headers.get(name) for name in WANTED} == nothing


def test_inline_scripts_are_asked_for_once_and_only_when_the_application_has_run(guarded):
    """Dash makes its pages' scripts when its first request comes; a refusal before that must not fix the list."""
    guarded.ask("/", signed_in=False)
    for _ in range(3):
        assert "'sha256-after-1'" in guarded.ask("/").headers["Content-Security-Policy"]


def test_a_static_file_keeps_its_own_caching(guarded):
    (guarded.folder / "live.mjs").write_text("export {}")
    answer = guarded.ask("/assets/live.mjs")
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    answer.close()


def test_refusals_are_all_counted_but_logged_once_in_ten_seconds_a_cause(guarded, caplog):
    caplog.set_level(logging.WARNING)
    for _ in range(5):
        guarded.ask("/?code=secret", host="evil.com")
    guarded.ask("/", "POST", headers={"Origin": "null"})
    guarded.clock.advance(10)
    guarded.ask("/", host="evil.com")
    assert guarded.refused == {"host": 6, "origin": 1}
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split(": ")[0] for line in lines] == [
        "Refused a request (421, host)", "Refused a request (403, origin)", "Refused a request (421, host)"
    ]  # fmt: skip
    assert lines[2].endswith("4 more since the last line.")
    assert "secret" not in "".join(lines)
    assert "evil" not in "".join(lines)
