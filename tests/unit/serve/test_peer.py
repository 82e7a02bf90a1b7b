"""A cookie is taken from our own programs alone, whoever has got hold of it."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from wfmon.serve import guard as guards
from wfmon.serve import peer

OURS, THEIRS = os.geteuid(), os.geteuid() + 1
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
HERE, THERE = "0100007F:24E5", "0100007F:C350"  # 127.0.0.1:9445 and :50000
MAPPED = "0000000000000000FFFF0000"
pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the rows below are those of such a machine")


def row(local, remote, uid, inode=77):
    return f"   0: {local} {remote} 01 00000000:00000000 00:00000000 00000000 {uid}        0 {inode} 1 0 20 4\n"


SERVED = row(HERE, THERE, OURS)


@pytest.mark.parametrize(
    ("tcp", "tcp6", "same"),
    [
        (SERVED + row(THERE, HERE, OURS), "", True),
        (SERVED + row(THERE, HERE, 0), "", True),
        (SERVED + row(THERE, HERE, THEIRS), "", False),
        (SERVED, row(MAPPED + THERE, MAPPED + HERE, THEIRS), False),
        (SERVED, row(MAPPED + THERE, MAPPED + HERE, OURS), True),
        (SERVED + row(THERE, HERE, 0, inode=0), "", False),
        (SERVED, "", False),
        (SERVED + row(THERE, "0100007F:1F90", OURS), "", False),
        ("", "", True),
        (None, None, True),
    ],
    ids=["ours", "root's", "another's", "another's by IPv6", "ours by IPv6", "closed", "gone", "elsewhere", "untold",
         "no tables"],
)  # fmt: skip
def test_the_kernels_table_tells_whose_the_client_is(tmp_path, tcp, tcp6, same):
    tables = [tmp_path / "tcp", tmp_path / "tcp6"]
    for path, text in zip(tables, (tcp, tcp6), strict=True):
        if text is not None:
            path.write_text(HEAD + text)
    environ = {"SERVER_NAME": "127.0.0.1", "SERVER_PORT": "9445", "REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": 50_000}
    assert peer.same_user(environ, tables) == same


@pytest.mark.skipif(not peer.TABLES[0].exists(), reason="only Linux tells")
@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_real_connection_of_ours_is_found(host, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        try:
            client = socket.create_connection((host, server.getsockname()[1]))
        except OSError:
            pytest.skip("no IPv6 here")
        with client, server.accept()[0] as served:
            (name, port), (address, from_port) = served.getsockname(), served.getpeername()
            environ = {"SERVER_NAME": name, "SERVER_PORT": port, "REMOTE_ADDR": address, "REMOTE_PORT": from_port}
            assert peer.same_user(environ)
            monkeypatch.setattr(os, "geteuid", lambda: THEIRS)
            assert peer.same_user(environ) == (OURS == 0)


def test_a_stolen_cookie_is_refused_and_counted_but_a_token_needs_no_user(guarded, monkeypatch):
    other = guards.Guard(
        guarded.server.wsgi_app._app, token=guarded.token, origin=guarded.origin,
        headers=guarded.server.wsgi_app._headers, clock=guarded.clock,
        on_refusal=lambda cause: guarded.refused.update([cause]), locked_page=lambda: b"", same_user=lambda _: False,
    )  # fmt: skip
    monkeypatch.setattr(guarded.server, "wsgi_app", other)
    answer = guarded.ask("/api/v1/latest")
    assert (answer.status_code, answer.json["type"]) == (403, "urn:wfmon:problem:user")
    assert guarded.refused == {"user": 1}
    token = {"Authorization": "Bearer " + "T" * 43, "Cookie": None}
    assert guarded.ask("/api/v1/latest", headers=token).status_code == 200
