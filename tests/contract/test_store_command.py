"""`python -m wfmon store` as a user meets it: a real process on a real file, beside a monitor that runs."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.test_command import Running
from tests.unit.store.test_maintenance import MODEL, Models, is_anywhere, kept, text_of
from wfmon.core.errors import CommandError
from wfmon.store import command
from wfmon.store.tiers import TIERS

ROOT = Path(__file__).parents[2]
BERLIN = {"TZ": "Europe/Berlin"}
PAGE = (ROOT / "docs/store.md").read_text("utf-8")


def store(folder, *words, env=None, code=0):
    """Run the command on a data folder; gives what it said, on stderr where it could not be done."""
    done = subprocess.run(
        [sys.executable, "-m", "wfmon", "store", *map(str, words), "--data", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    if code == 2:
        assert (done.stdout, len(done.stderr.splitlines())) == ("", 1)
        return done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def folder(tmp_path):
    """The data folder of a monitor that ran and ended: 325 seconds, a request of each model's, all in November 2023."""
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    recorded = Models(made)
    recorded.live(320, tick_s=40)
    recorded.ask("the-request-id", MODEL)
    recorded.live(5)
    recorded.end()
    return made


@pytest.fixture
def running(folder):
    monitor = Running(folder)
    yield monitor
    if monitor.process.poll() is None:
        monitor.stop()
    monitor.process.stdout.close()


def test_info_tells_sizes_with_units_and_times_of_the_users_zone(folder):
    text = store(folder, "info", env=BERLIN)
    assert "2023-11-14 01:00:00 CET" in text  # midnight, UTC
    assert re.search(r"^size +\d+\.\d kB, of which free ", text, re.MULTILINE)
    assert re.search(r"^tier 1s +3 chunks, \d+\.\d kB, from 2023-11-14 01:00:00 CET$", text, re.MULTILINE)
    assert re.search(r"^requests +1$", text, re.MULTILINE)
    assert text_of(MODEL) in text


def test_info_and_check_for_scripts(folder):
    found = json.loads(store(folder, "info", "--json"))
    assert found["first_ms"] == int(datetime(2023, 11, 14, tzinfo=UTC).timestamp() * 1_000)
    assert found["tables"]["request"] == 1
    assert dict(found["series"]).keys() >= {"cpu", text_of(MODEL)}
    checked = json.loads(store(folder, "check", "--json"))
    assert (checked["ok"], checked["problems"], checked["chunks"]) == (True, [], 3)


def test_check_of_a_damaged_file_ends_with_1_and_the_way_out(folder):
    content = bytearray((folder / "wfmon.db").read_bytes())
    content[8_192:24_576] = b"\xa5" * 16_384
    (folder / "wfmon.db").write_bytes(content)
    assert "store restore FILE" in store(folder, "check", code=1)
    assert json.loads(store(folder, "check", "--json", code=1))["ok"] is False
    assert "store restore FILE" in store(folder, "backup", folder / "copy.db", code=2)
    assert "store" in store(folder, "compact", code=2)


def test_a_backup_comes_back_and_the_one_before_is_kept(folder, tmp_path):
    file, before = tmp_path / "backup.db", kept(folder / "wfmon.db")
    assert "verified" in store(folder, "backup", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "--force" in store(folder, "backup", file, code=2)
    store(folder, "backup", file, "--force")
    store(folder, "forget", "--all", "--yes")
    text = store(folder, "restore", file)
    [aside] = folder.glob("wfmon.db.replaced-*")
    assert str(aside) in text
    assert kept(folder / "wfmon.db") == before
    assert aside.name in store(folder, "info")


def test_a_backup_moves_to_a_machine_that_has_no_history(folder, tmp_path):
    store(folder, "backup", tmp_path / "backup.db")
    store(tmp_path / "new", "restore", tmp_path / "backup.db")
    assert kept(tmp_path / "new/wfmon.db") == kept(folder / "wfmon.db")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert "is intact" in store(tmp_path / "new", "check")


def test_forget_tells_what_would_go_and_does_it_with_yes(folder):
    before = kept(folder / "wfmon.db")
    text = store(folder, "forget", "--all", code=1)
    assert re.search(r"^ +1 +requests +\d+ B$", text, re.MULTILINE)
    assert re.search(r"^ +3 +chunks +\d+\.\d kB$", text, re.MULTILINE)
    assert "--yes" in text
    assert kept(folder / "wfmon.db") == before
    assert is_anywhere(folder, MODEL)
    assert "deleted." in store(folder, "forget", "--all", "--yes")
    assert is_anywhere(folder, MODEL) == is_anywhere(folder, "the-request-id") == []
    assert "Nothing deleted" in store(folder, "forget", "--all", "--yes")


def test_forget_before_an_instant_of_the_users_zone(folder):
    text = store(folder, "forget", "--before", "2023-11-14 01:02", "--yes", env=BERLIN)
    assert "Before 2023-11-14 01:02:00 CET" in text
    start = int(datetime(2023, 11, 14, 0, 2, tzinfo=UTC).timestamp())
    assert min(t_s for _, _, t_s in kept(folder / "wfmon.db")) == start
    store(folder, "forget", "--before", "7 days", "--yes")
    assert kept(folder / "wfmon.db") == {}


def test_forget_a_series_by_its_text(folder):
    store(folder, "forget", "--series", text_of(MODEL), "--yes")
    left = {text for text, _ in json.loads(store(folder, "info", "--json"))["series"]}
    assert left == {"cpu", text_of("plain-3b")}
    assert "Similar names: cpu" in store(folder, "forget", "--series", "cpus", code=2)


def test_what_is_no_time_and_what_lies_ahead_are_refused(folder):
    assert '"7 days"' in store(folder, "forget", "--before", "yesterday", code=2)
    assert "is in the future" in store(folder, "forget", "--before", "2999-01-01", "--yes", code=2)


def test_without_a_history_each_action_says_so(tmp_path):
    for words in (["info"], ["check"], ["compact"], ["backup", tmp_path / "b.db"], ["forget", "--all", "--yes"]):
        assert "--data DIR" in store(tmp_path, *words, code=2)
    assert "name a backup" in store(tmp_path, "restore", tmp_path / "none.db", code=2)
    assert not (tmp_path / "wfmon.db").exists()


def test_another_programs_file_is_left_alone(tmp_path):
    (tmp_path / "wfmon.db").write_text("some words\n" * 100)
    before = (tmp_path / "wfmon.db").read_bytes()
    for words in (["info"], ["compact"], ["backup", tmp_path / "b.db"], ["forget", "--all", "--yes"]):
        store(tmp_path, *words, code=2)
    store(tmp_path, "check", code=1)
    assert (tmp_path / "wfmon.db").read_bytes() == before


def test_beside_a_running_monitor_reading_works_and_the_rest_says_to_stop_it(running, tmp_path):
    data, file = running.data, tmp_path / "backup.db"
    store(data, "info")
    assert "is intact" in store(data, "check")
    store(data, "backup", file)
    assert "--yes" in store(data, "forget", "--series", text_of(MODEL), code=1)
    for words in (["compact"], ["restore", file], ["forget", "--all", "--yes"]):
        told = store(data, *words, code=2)
        assert f"process {running.process.pid}" in told
        assert "stop it with Ctrl-C" in told
    code, _, output = running.stop()
    assert code == 0, output
    assert text_of(MODEL) in store(data, "info", "--json").replace('\\"', '"')
    store(data, "compact")
    store(data, "restore", file)
    store(data, "forget", "--all", "--yes")
    assert is_anywhere(data, "the-request-id") == []
    assert "is intact" in store(data, "check")


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "UTC"])
def test_a_time_is_of_the_users_zone_across_the_change_of_summer_time(folder, zone):
    for text, offsets in {
        "2023-07-01": {"Europe/Berlin": 2, "America/New_York": -4, "UTC": 0},
        "2023-01-01 12:00": {"Europe/Berlin": 1, "America/New_York": -5, "UTC": 0},
    }.items():
        wanted = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() - offsets[zone] * 3_600
        code = f"from wfmon.store.command import instant; print(instant({text!r}, 2 * 10**12))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
            env={**os.environ, "TZ": zone},
        )  # fmt: skip
        assert int(done.stdout) == wanted * 1_000


NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7 days", 604_800), ("12 h", 43_200), ("12h", 43_200), ("1.5 hours", 5_400), ("90 min", 5_400),
     ("2 w", 1_209_600), ("1 Day", 86_400), ("30 s", 30)],
)  # fmt: skip
def test_a_span_is_before_now(text, seconds):
    assert command.instant(text, NOW_MS) == NOW_MS - seconds * 1_000


@pytest.mark.parametrize(
    "text", ["", "7", "3 m", "2 months", "days", "-1 h", "2026-13-01", "2026-11-01 25:00", "1e9 h"]
)
def test_what_is_no_time_says_what_is(text):
    with pytest.raises(CommandError, match='"7 days"'):
        command.instant(text, NOW_MS)


def test_a_time_with_an_offset_is_what_it_says():
    assert command.instant("2023-11-14T01:00+01:00", NOW_MS) == 1_699_920_000_000


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**9, "5.0 GB"),
        (10**13, "10,000.0 GB"),
    ],
)
def test_sizes_have_units(n, text):
    assert command.size(n) == text


def actions():
    parser = argparse.ArgumentParser()
    command.options(parser)
    [found] = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return found.choices


def test_the_page_names_every_action_and_option():
    for name, parser in actions().items():
        assert f"store {name}" in PAGE
        for option in parser._actions:
            for word in option.option_strings:
                assert f"`{word}" in PAGE or word in {"-h", "--help"}, word


def test_every_command_of_the_page_is_one():
    lines = re.findall(r"^\.venv/bin/python -m wfmon store (.+)$", PAGE, re.MULTILINE)
    assert len(lines) > 8
    for line in lines:
        words = re.findall(r"'[^']*'|\"[^\"]*\"|\S+", line.partition("   ")[0])
        parser = argparse.ArgumentParser(exit_on_error=False)
        command.options(parser)
        parser.parse_args([word.strip("'\"") for word in words])


def test_the_pages_tiers_are_those_of_the_code():
    table = re.findall(r"^\| (\w+) \| ([\w ]+) \| ([\w ]+) \| `store\.keep_(\w+)_days` \|$", PAGE, re.MULTILINE)
    seconds = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "year": 365 * 86_400}

    def span(words):
        number, unit = words.split()
        return int(number) * seconds[unit.rstrip("s")]

    assert [(name, span(step), span(kept) / 86_400, setting) for name, step, kept, setting in table] == [
        (tier.name, tier.step_s, tier.keep_days, tier.name) for tier in TIERS
    ]
