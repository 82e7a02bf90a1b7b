"""The Settings page: words, tables and the switch, from what the services give."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from dash.development.base_component import Component

from wfmon.core import commands
from wfmon.core import settings as core_settings
from wfmon.core.errors import NotSaved, Unreadable
from wfmon.store.retention import Keep
from wfmon.store.tiers import TIERS
from wfmon.ui.settings import page as settings

T0 = 1_700_000_000_000


def store(**given):
    """How a history fares, as the runtime tells it."""
    keep = Keep.of([tier.keep_days for tier in TIERS], {"request": 30, "annotation": 30, "alert": 30}, 500_000_000)
    usage = {
        "bytes": 12_345_678, "free_bytes": 0, "wal_bytes": 4_096,
        "series": {"system.cpu_percent": 300, 'gpu.x{gpu="0"}': 100, "ux.fps": 600, "new": 0},
        "tiers": [
            {"name": tier.name, "step_s": tier.step_s, "chunks": 3, "bytes": 1_500, "first_s": T0 // 1_000}
            for tier in TIERS
        ],
        "tables": {"request": 1_234, "annotation": 5, "alert": 0},
    }  # fmt: skip
    return {
        "state": "recording", "reason": "", "since_ms": None, "notice": "", "path": "/data/wfmon.db", "from_ms": T0,
        "usage": usage, "keep": {"tiers": keep.tiers, "tables": keep.tables, "max_bytes": keep.max_bytes}, **given,
    }  # fmt: skip


def data(**given):
    return settings.Data(store(**given))


def text(component) -> str:
    if isinstance(component, (list, tuple)):
        return " ".join(map(text, component))
    if isinstance(component, Component):
        return text(getattr(component, "children", None))
    return "" if component is None else str(component)


TABLE = [
    {"name": row.name, "value": row.default, "default": row.default, "origin": "default", "restart": row.restart,
     "help": row.help}
    for row in core_settings.catalogue()
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0 B"), (999, "999 B"), (4_096, "4.1 kB"), (99_960, "100 kB"), (12_345_678, "12.3 MB"), (2e15, "2000 TB")],
)
def test_bytes_are_written_in_powers_of_1000(value, words):
    assert settings.bytes_text(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (10, "10 seconds"), (300, "5 minutes"), (21_600, "6 hours"), (86_400 * 30, "30 days"),
     (86_400 * 730, "2 years"), (5_400, "1.5 hours")],
)  # fmt: skip
def test_a_length_of_time_is_written_in_its_largest_unit(seconds, words):
    assert settings.span_text(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"), [(True, "true"), ("", "empty"), (0.25, "0.25"), (9445, "9445"), (500_000_000, "500,000,000")]
)
def test_a_value_is_written_as_in_the_file(value, words):
    assert settings.value_text(value) == words


def test_every_setting_stands_in_one_section_and_every_section_has_words():
    found = settings.grouped(TABLE)
    assert [row for rows in found.values() for row in rows if row in TABLE] == [
        r for rows in found.values() for r in rows
    ]
    assert sum(map(len, found.values())) == len(TABLE)
    assert set(found) - set(settings.SECTIONS) == set()


def test_a_setting_tells_its_value_its_default_where_it_comes_from_and_when_a_change_works():
    rows = [
        {**next(row for row in TABLE if row["name"] == "server.port"), "value": 9500, "origin": "command line"},
        next(row for row in TABLE if row["name"] == "collect.gpu.enabled"),
        next(row for row in TABLE if row["name"] == "store.enabled"),
    ]
    shown = text([panel.body for panel in settings.groups(rows, data())[1].panels])
    assert "server.port" in shown
    assert "9500 default 9445 command line at the next start" in shown
    assert "immediately, on System" in shown
    assert "immediately, above" in shown


def test_the_data_tell_how_much_how_long_where_and_how_to_keep_it():
    told = text(settings.groups(TABLE, data())[0].panels[0].body)
    for words in ("12.3 MB", "of at most 500 MB", "4.1 kB", "1,234", "kept 30 days", "/data/wfmon.db", "5 minutes",
                  "2 years", " -m wfmon store backup", " -m wfmon store restore", " -m wfmon store forget",
                  "Recording"):  # fmt: skip
        assert words in told, words


def test_commands_name_the_data_folder_where_it_is_not_the_users_own(monkeypatch):
    monkeypatch.setenv("WFMON_DATA", "/data")
    assert settings.commands("/data/wfmon.db")[0][1] == commands.wfmon("store", "info")
    assert settings.commands("/my lab/wfmon.db")[2][1].endswith("backup ~/wfmon-backup.db --data '/my lab'")


def test_the_largest_series_come_first_and_those_without_a_byte_not_at_all():
    assert settings.largest(store()) == [
        ("ux.fps", 600, 0.6), ("system.cpu_percent", 300, 0.3), ('gpu.x{gpu="0"}', 100, 0.1),
    ]  # fmt: skip
    many = store()
    many["usage"]["series"] = {str(number): number for number in range(1, 60)}
    assert [size for _, size, _ in settings.largest(many)] == list(range(59, 39, -1))


@pytest.mark.parametrize(
    ("given", "line", "bad"),
    [
        ({}, "", False),
        ({"notice": "It is kept as x."}, "It is kept as x.", False),
        ({"state": "full", "reason": "The disk is full.", "since_ms": T0}, "The disk is full.", True),
        (
            {"state": "full", "reason": "Full.", "since_ms": T0, "notice": "And a new one."},
            "Full. And a new one.",
            True,
        ),
    ],
)
def test_what_is_wrong_stands_above_the_page(given, line, bad):
    made = settings.wrong_line(data(**given))
    assert made.children == line
    assert made.hidden is not bool(line)
    assert ("bad" in made.className) == bad


@pytest.mark.parametrize("state", ["off", "full", "locked", "newer", "failed", "recording"])
def test_every_state_has_words(state):
    words = text(settings.state_words(data(state=state)))
    assert words.startswith(settings.STATES[state])
    assert settings.is_on(data(state=state)) == (state != "off")


def test_before_anything_is_sealed_the_page_says_so():
    fresh = data(from_ms=None)
    fresh.store["usage"]["series"] = {}
    assert "Nothing is sealed yet" in text(settings.data_body(fresh))
    assert "nothing yet" in text(settings.data_body(fresh))


class Switched:
    """A store whose recording can be switched."""

    def __init__(self, tmp_path, error=None):
        self.path = str(tmp_path / "absent.db")
        self.on = True
        self.error = error

    def record(self, *, enabled):
        if self.error:
            raise self.error
        self.on = enabled

    def status(self):
        return store(path=self.path, state="recording" if self.on else "off")


def test_the_switch_turns_the_recording_and_shows_it(tmp_path):
    switched = Switched(tmp_path)
    services = SimpleNamespace(store=switched)
    on, words, *_, hidden = settings.switch_recording(services, "off")
    assert (on, switched.on, hidden) == ("false", False, True)
    assert text(words).startswith("Recording is off")
    assert settings.switch_recording(services, "")[0] == "false"
    assert settings.switch_recording(services, "on")[0] == "true"


def test_a_choice_that_cannot_be_kept_is_said_and_the_switch_stays(tmp_path):
    on, words, body, line, style, hidden = settings.switch_recording(
        SimpleNamespace(store=Switched(tmp_path, NotSaved(OSError("read-only")))), "off"
    )
    assert on == "true"
    assert "read-only" in line
    assert ("bad" in style, hidden) == (True, False)
    assert text(words).startswith("Recording")
    assert "12.3 MB" in text(body)


def test_a_history_that_cannot_be_read_leaves_the_page_standing():
    def broken():
        raise Unreadable("The history could not be read (disk I/O error).", "Try again.")

    found = settings.data_of(SimpleNamespace(store=SimpleNamespace(status=broken)))
    assert "disk I/O error" in settings.wrong_line(found).children
    data_group, sections = settings.groups(TABLE, found)
    assert "Unknown" in text(data_group.panels[0].body)
    assert len(sections.panels) == len(settings.grouped(TABLE))
