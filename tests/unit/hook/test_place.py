"""Where the hook looks is where the monitor writes."""

from __future__ import annotations

import json
import os
import sys

import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from tests.kit.hook_receiver import TOKEN, Receiver
from wfmon.core.settings import default_data_dir
from wfmon.hook.place import MAX_BYTES, data_dir, find, loopback, server_label

ENVIRONMENTS = [
    {},
    {"WFMON_DATA": "/srv/wfmon"},
    {"WFMON_DATA": "~/mine"},
    {"XDG_DATA_HOME": "/srv/xdg"},
    {"XDG_DATA_HOME": "relative"},
    {"XDG_DATA_HOME": "  "},
]


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name in ("WFMON_DATA", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


@pytest.mark.parametrize("given", ENVIRONMENTS, ids=str)
def test_on_this_machine_both_take_the_same_folder(environment, given):
    for name, value in given.items():
        environment.setenv(name, value)
    assert data_dir() == str(default_data_dir())


@pytest.mark.parametrize(("platform", "theirs"), [("linux", Unix), ("darwin", MacOS)])
@pytest.mark.parametrize("given", ENVIRONMENTS, ids=str)
def test_elsewhere_too(environment, platform, theirs, given):
    for name, value in given.items():
        environment.setenv(name, value)
    environment.setattr(platformdirs, "user_data_path", lambda name, **kw: theirs(name, **kw).user_data_path)
    assert data_dir(platform=platform) == str(default_data_dir())


@pytest.mark.skipif(sys.platform == "win32", reason="asks Windows itself there")
def test_on_windows_it_is_the_local_application_data(environment):
    environment.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", r"C:\Users\me\AppData\Local")
    assert data_dir(platform="win32") == Windows("wfmon", appauthor=False).user_data_dir.replace("/", "\\")
    plain = {"LOCALAPPDATA": r"D:\Local"}
    assert data_dir(plain, "win32") == r"D:\Local\wfmon"
    assert data_dir({"USERPROFILE": r"C:\Users\me"}, "win32") == r"C:\Users\me\AppData\Local\wfmon"


def test_a_monitor_that_runs_is_found(tmp_path):
    monitor = Receiver(tmp_path)
    place = find(str(tmp_path))
    monitor.close()
    assert (place.host, place.port, place.token, place.tls) == ("127.0.0.1", monitor.port, TOKEN, False)
    assert find(str(tmp_path)) is None


def test_what_a_killed_monitor_left_is_not_trusted(tmp_path):
    """Its port may be another's by now, who must not get the token."""
    monitor = Receiver(tmp_path)
    monitor.close(leave=True)
    assert (tmp_path / "server.json").exists()
    assert find(str(tmp_path)) is None


@pytest.mark.parametrize(
    "said",
    [
        {"url": "http://192.0.2.1:9445"}, {"url": "http://localhost.example:9445"}, {"url": "ftp://127.0.0.1:21"},
        {"url": "http://127.0.0.1"}, {"url": "http://127.0.0.1:99999"}, {"url": 5}, {"url": "http://[::1"}, {}, [], 7,
    ],
    ids=str,
)  # fmt: skip
def test_nothing_but_loopback_and_no_nonsense(tmp_path, said):
    monitor = Receiver(tmp_path)
    (tmp_path / "server.json").write_text(json.dumps(said))
    found = find(str(tmp_path))
    monitor.close()
    assert found is None


@pytest.mark.parametrize("text", ["", "{", "[" * 50_000, '{"a":"' + "x" * MAX_BYTES + '"}', "\udcff"], ids=len)
def test_a_broken_server_json_is_no_monitor(tmp_path, text):
    monitor = Receiver(tmp_path)
    (tmp_path / "server.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    found = find(str(tmp_path))
    monitor.close()
    assert found is None


@pytest.mark.parametrize("token", ["", "short", "x" * 200, "a" * 20 + "\r\nX-Evil: 1"], ids=repr)
def test_a_token_of_another_form_is_not_sent(tmp_path, token):
    monitor = Receiver(tmp_path)
    (tmp_path / "token").write_text(token)
    found = find(str(tmp_path))
    monitor.close()
    assert found is None


def test_localhost_is_not_looked_up(tmp_path):
    monitor = Receiver(tmp_path)
    (tmp_path / "server.json").write_text(json.dumps({"url": f"https://localhost:{monitor.port}", "ca_file": "/ca"}))
    place = find(str(tmp_path))
    monitor.close()
    assert (place.host, place.tls, place.ca_file) == ("127.0.0.1", True, "/ca")


def test_loopback():
    assert all(map(loopback, ["127.0.0.1", "127.1.2.3", "::1", "localhost"]))
    assert not any(map(loopback, ["10.0.0.1", "127.0.0.1.example", "127.0.0", "127.0.0.256", "", "::2", "127.0.0.x"]))


def test_a_server_on_this_machine_has_a_label_and_no_other():
    assert server_label("localhost", 8000) == "127.0.0.1:8000"
    assert server_label("::1", 8000) == "[::1]:8000"
    assert server_label("api.example", 443) == ""
    assert server_label("127.0.0.1", None) == ""


def test_the_folder_need_not_exist():
    assert find(os.path.join("/nonexistent", "folder")) is None  # noqa: PTH118
