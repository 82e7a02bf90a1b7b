"""The guard never falls over, and lets nobody in by luck."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.serve.conftest import GuardedServer

TEXT = st.text(st.characters(max_codepoint=255), max_size=60)
"""What a header or a target can hold: latin-1, as WSGI hands it on."""
RIGHT = {"127.0.0.1:9445", "http://127.0.0.1:9445", "none", "same-origin"}
FIELDS = ("HTTP_HOST", "HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE", "HTTP_COOKIE", "HTTP_AUTHORIZATION")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    return GuardedServer(tmp_path_factory.mktemp("guarded"))


def call(guarded, **environ):
    """Call the guarded application itself; gives the status."""
    said = []
    given_ = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "9445", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "HTTP_COOKIE": guarded.cookie,
        "HTTP_HOST": "127.0.0.1:9445", **environ,
    }  # fmt: skip
    body = guarded.server.wsgi_app(given_, lambda status, *_: said.append(int(status[:3])))
    b"".join(body)
    getattr(body, "close", lambda: None)()
    return said[0]


@given(field=st.sampled_from(FIELDS), text=TEXT.filter(lambda text: text not in RIGHT))
@example("HTTP_HOST", "127.0.0.1:9445\x00")
@example("HTTP_COOKIE", "wfmon-9445")
@example("HTTP_AUTHORIZATION", "Bearer \xff")
def test_no_odd_header_gets_in(guarded, field, text):
    guarded.ran.clear()
    assert call(guarded, **{field: text, "REQUEST_URI": "/"}) in (401, 403, 421)
    assert guarded.ran == []


@given(target=st.text("/.%25eEfFcC0\\ \x00?a\xe4", max_size=16).map(lambda text: "/" + text))
def test_a_target_that_gets_in_is_a_plain_path(guarded, target):
    guarded.ran.clear()
    path = target.partition("?")[0]
    plain = re.sub("%[0-9a-fA-F]{2}", lambda code: chr(int(code[0][1:], 16)), path)
    status = call(guarded, REQUEST_URI=target, PATH_INFO=plain)
    if status == 400:
        assert guarded.ran == []
    else:
        assert not re.search(r"[\x00-\x20\x7f\\]|//|/\.\.?(/|$)", plain.replace(" ", "")), (
            "nothing that leads elsewhere"
        )
