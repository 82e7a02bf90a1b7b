"""Where the data folder is, however it was named: absolute once the settings are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from wfmon.core.errors import SettingsError
from wfmon.core.settings_files import load
from wfmon.hook.place import data_dir


@pytest.mark.parametrize("how", ["option", "variable"])
@pytest.mark.parametrize(
    ("given", "folder"),
    [("mine", "{here}/mine"), ("./a/../b", "{here}/a/../b"), ("~/x", "{home}/x"), ("/srv/w", "/srv/w")],
)
def test_a_data_folder_is_absolute_and_a_tilde_is_the_users_home(how, given, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    if how == "variable":
        monkeypatch.setenv("WFMON_DATA", given)
    found = load(None, Path(given) if how == "option" else None).data_dir
    assert found == Path(folder.format(here=tmp_path, home="/home/somebody"))
    assert found.as_uri().startswith("file:///")  # the launch file's address needs an absolute one


def test_the_hook_looks_in_the_same_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WFMON_DATA", "mine")
    assert Path(data_dir()) == load().data_dir == tmp_path / "mine"


def test_a_home_of_nobody_is_said():
    with pytest.raises(SettingsError, match="that user has no home folder"):
        load(None, Path("~nobody-of-that-name/x"))
