"""How long is kept, and forgetting, on the Settings page: each step says what it will do before it does it."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone

import pytest
from dash import no_update

from tests.kit.recorded_store import START_S, RecordedStore
from tests.unit.ui.settings.test_settings import store, text
from tests.unit.ui.test_pages import walk
from wfmon.core.errors import NotSaved, Unreadable
from wfmon.core.settings_files import load
from wfmon.runtime.settings import ChangedSettings
from wfmon.runtime.topics import StoreTopic
from wfmon.store.retention_settings import NAMES, RetentionSettings
from wfmon.ui.kit import ranges
from wfmon.ui.settings import deletion, retention

NOW_MS = START_S * 1_000
HOUR_MS = 3_600_000


class Told:
    """Services over a real file."""

    def __init__(self, folder):
        self.recorded = RecordedStore(folder, "a", 'b_ms{x="1"}')
        self.recorded.run(700, tick_s=10, **{"a": 1.0, 'b_ms{x="1"}': 5.0})
        settings = ChangedSettings(load(None, folder))
        keeping = RetentionSettings(settings, self.recorded.writer.path, self.recorded.clock.now_ms)
        self.store = Topic(self.recorded.writer, self.recorded.reader, keeping, settings)


class Topic(StoreTopic):
    """The real one, with what the settings' panel shows beside it. ``held_s`` as it is told."""

    held_s = 0

    def status(self):
        return {**store(), **super().status(), "held_s": self.held_s}


@pytest.fixture
def told(tmp_path):
    made = Told(tmp_path)
    yield made
    made.recorded.writer.finish()


def ids(shown):
    return [each.id for each in walk(shown) if hasattr(each, "id")]


def buttons(shown):
    return {each.id["do"]: each.children for each in walk(shown) if isinstance(getattr(each, "id", None), dict)
            and "do" in each.id}  # fmt: skip


def typed(told, **values):
    found = {row["name"]: retention.text_of(row["name"], row["value"]) for row in told.store.retention()}
    return found | {f"store.{name}": value for name, value in values.items()}


# --- how long


def test_every_setting_has_a_field_with_its_unit_and_its_bounds(told):
    shown = retention.rows(told.store.retention())
    fields = {each.id["name"]: each.value for each in walk(shown) if "keep-value" in str(getattr(each, "id", ""))}
    assert list(fields) == list(NAMES)
    assert (fields["store.keep_1s_days"], fields["store.max_bytes"]) == ("0.25", "500")
    words = text(shown)
    for each in ("0.02 to 3,650 days", "20 to 1,000,000 MB", "6 hours", "500 MB", "default"):
        assert each in words


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({}, {}),
        ({"keep_1s_days": " 0.25 "}, {}),
        ({"keep_1s_days": "1"}, {"store.keep_1s_days": 1.0}),
        ({"keep_1s_days": "1 week"}, {"store.keep_1s_days": "1 week"}),
        ({"keep_1s_days": ""}, {"store.keep_1s_days": ""}),
        ({"max_bytes": "600.5"}, {"store.max_bytes": 600_500_000}),
    ],
)
def test_what_was_typed_is_read_in_the_settings_units(told, given, changes):
    assert retention.changes_of(told.store.retention(), typed(told, **given)) == changes


def test_longer_is_saved_at_once(told):
    rows, said, pending, focus = retention.act(told, "save", typed(told, keep_1s_days="1", max_bytes="600"), None)
    assert text(said) == "Saved and in effect: each second, the size."
    assert (pending, focus) == (None, retention.SAVE)
    assert "1 day" in text(rows)
    assert "changed on a page" in text(rows)
    assert buttons(rows) == {"back store.keep_1s_days": "Reset to 0.25 days", "back store.max_bytes": "Reset to 500 MB"}
    assert next(row["value"] for row in told.store.retention() if row["name"] == "store.max_bytes") == 600_000_000


def test_shorter_says_what_goes_and_waits_for_the_second_step(told):
    told.recorded.run(3_000, tick_s=10, **{"a": 1.0, 'b_ms{x="1"}': 5.0})
    rows, said, pending, focus = retention.act(told, "save", typed(told, keep_1s_days="0.02"), None)
    assert rows is no_update
    assert pending == {"store.keep_1s_days": 0.02}
    assert focus == retention.do_of("confirm")
    words = text(said)
    assert "This deletes 4.6 kB of the history permanently" in words
    assert "of each second" in words
    assert set(buttons(said)) == {"confirm", "leave"}
    assert told.store.retention()[0]["value"] == 0.25
    told.store.held_s = 1_800
    rows, said, pending, _ = retention.act(told, "confirm", typed(told, keep_10s_days="99"), pending)
    assert "deleted over the next minutes" in text(said)
    assert "Nothing is deleted for another 30 minutes" in text(said)
    assert [row["value"] for row in told.store.retention()[:2]] == [
        0.02,
        2.0,
    ]  # what was shown, not what was typed since


def test_shorter_with_nothing_to_delete_yet_says_so_and_a_coarser_tier_that_is_shorter_is_told(told):
    _, said, _, _ = retention.act(told, "save", typed(told, keep_5min_days="10"), None)
    assert "This deletes nothing now" in text(said)
    assert "those of 1min for 14" in text(said)


def test_left_alone_nothing_is_changed(told):
    rows, said, pending, _ = retention.act(
        told, "leave", typed(told, keep_1s_days="0.02"), {"store.keep_1s_days": 0.02}
    )
    assert (text(said), pending) == ("Nothing was changed.", None)
    assert [each.value for each in walk(rows) if "1s" in str(getattr(each, "id", ""))] == ["0.25"]
    assert "already in effect" in text(retention.act(told, "save", typed(told), None)[1])


def test_back_to_the_default_that_keeps_less_is_asked_too(told):
    retention.act(told, "save", typed(told, keep_1s_days="1"), None)
    _, said, pending, _ = retention.act(told, "back store.keep_1s_days", typed(told), None)
    assert pending == {"store.keep_1s_days": None}
    assert "This deletes nothing now" in text(said)
    retention.act(told, "confirm", typed(told), pending)
    assert (told.store.retention()[0]["value"], told.store.retention()[0]["origin"]) == (0.25, "default")


@pytest.mark.parametrize("value", ["0", "x", "", "nan", "inf", "-1"])
def test_a_wrong_value_names_its_setting_the_fix_and_gets_the_focus(told, value):
    rows, said, pending, focus = retention.act(told, "save", typed(told, keep_10s_days=value), None)
    assert "store.keep_10s_days must be" in text(said)
    assert "Use a number of days from 0.1 to 3,650." in text(said)
    assert (pending, focus) == (None, retention.value("store.keep_10s_days"))
    field = next(each for each in walk(rows) if getattr(each, "id", None) == retention.value("store.keep_10s_days"))
    assert (field.value, field.className) == (value, "field wrong")
    assert told.store.retention()[1]["value"] == 2.0


def test_a_choice_that_cannot_be_kept_is_said(told):
    def full(*, changes):
        raise NotSaved(OSError("No space left"))

    told.store.change_retention = full
    assert "No space left" in text(retention.act(told, "save", typed(told, keep_1s_days="1"), None)[1])


# --- forget


@pytest.mark.parametrize(
    ("given", "before_ms"),
    [
        ("7 days", NOW_MS - 7 * 24 * HOUR_MS),
        ("12 h ago", NOW_MS - 12 * HOUR_MS),
        ("90 min", NOW_MS - 90 * 60_000),
        ("yesterday", NOW_MS - 25 * HOUR_MS),
        ("2023-11-10", NOW_MS - 4 * 24 * HOUR_MS - HOUR_MS),
        ("2023-11-10 12:30", NOW_MS - 4 * 24 * HOUR_MS + 11 * HOUR_MS + 30 * 60_000),
    ],
)
def test_an_instant_or_an_age_is_read_in_the_users_zone(given, before_ms):
    assert deletion.before_of(given, NOW_MS, timezone(timedelta(hours=1))) == before_ms


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "The time is empty"),
        ("soon", "“soon” is not a valid time"),
        ("2123-01-01", "is not in the past"),
        ("last week", "not a valid time"),
    ],
)
def test_what_is_no_time_is_told_with_what_is_understood(given, words):
    with pytest.raises(ranges.NotUnderstood, match=words) as error:
        deletion.before_of(given, NOW_MS, UTC)
    assert "“7 days”" in str(error.value)


def asked(told, do, what="before", given="", pending=None):
    return deletion.act(told, do, what, given, pending, told.recorded.clock.now_ms(), UTC)


def test_it_is_looked_at_confirmed_watched_and_told(told):
    said, pending, still, hidden, focus = asked(told, "preview", given="5 min")
    assert (still, hidden, focus) == (True, False, deletion.do_of("confirm"))
    assert "This deletes" in text(said)
    assert "of 2 series" in text(said)
    assert [
        each.to_plotly_json()["props"]["data-ms"] for each in walk(said) if "data-ms" in each.to_plotly_json()["props"]
    ] == [str(pending["before_ms"])]
    said, nothing, still, hidden, _ = asked(told, "confirm", pending=pending)
    assert (nothing, still, hidden) == (None, False, True)
    assert "Starting within a second." in text(said)
    assert set(buttons(said)) == {"stop"}
    said, still, hidden, focus = deletion.poll(told)
    assert (still, hidden, focus) == (False, True, no_update)
    told.recorded.run(1)
    said, still, hidden, focus = deletion.poll(told)
    assert (still, hidden, focus) == (True, False, deletion.PREVIEW)
    assert text(said).startswith("Deleted:")
    assert "from memory" in text(said)


def test_everything_wants_a_third_press(told):
    said, pending, *_ = asked(told, "preview", "all")
    assert buttons(said)["confirm"] == "Delete everything"
    said, pending, *_ = asked(told, "confirm", "all", pending=pending)
    assert "This cannot be undone." in text(said)
    assert buttons(said)["confirm"] == "Yes, delete everything"
    assert told.store.deletion()["state"] == "none"
    asked(told, "confirm", "all", pending=pending)
    assert told.store.deletion()["state"] == "waiting"


def test_it_is_called_off_by_its_button(told):
    asked(told, "confirm", pending={"series": "a"})
    said, *_ = asked(told, "stop")
    assert buttons(said) == {}
    told.recorded.run(1)
    assert text(deletion.poll(told)[0]) == "The deletion was cancelled; nothing was deleted."


def test_left_alone_nothing_is_forgotten(told):
    assert text(asked(told, "leave", pending={"all": True})[0]) == "Nothing was deleted."
    assert told.store.deletion()["state"] == "none"


@pytest.mark.parametrize(
    ("what", "given", "words"),
    [
        ("series", 'b_ms{x="2"}', "Choose one of the suggested series"),
        ("series", "", "series is not a name"),
        ("before", "x", "not a valid time"),
    ],
)
def test_what_cannot_be_forgotten_is_said_and_the_field_has_the_focus(told, what, given, words):
    said, pending, _, hidden, focus = asked(told, "preview", what, given)
    assert words in text(said)
    assert (pending, hidden, focus) == (None, False, deletion.TEXT)


def test_nothing_that_fits_leaves_no_button(told):
    said, *_, focus = asked(told, "preview", given="30 days")
    assert "Nothing to delete" in text(said)
    assert (buttons(said), focus) == ({}, deletion.PREVIEW)


def test_a_second_one_is_told_to_wait_and_one_that_failed_says_why(told):
    asked(told, "confirm", pending={"series": "a"})
    assert "Wait until it is done." in text(asked(told, "confirm", pending={"series": "a"})[0])
    told.recorded.writer.deletion.wait_for("The disk is full.")
    assert text(deletion.poll(told)[0]) == "Nothing was deleted. The disk is full."


def test_a_history_that_cannot_be_read_is_said(told):
    def broken(*, what):
        raise Unreadable("The history could not be read (disk I/O error).", "Try again in a moment.")

    told.store.preview_deletion = broken
    assert "disk I/O error" in text(asked(told, "preview", "all")[0])


def test_the_form_is_of_one_way_at_a_time(told):
    before = deletion.form("before", told.store.status())
    assert set(buttons(before)) == {"what before", "what series", "what all", "age 1 day", "age 7 days", "age 30 days"}
    series = deletion.form("series", told.store.status())
    assert [each.value for each in walk(series) if type(each).__name__ == "Option"] == ["a", 'b_ms{x="1"}']
    assert "One of the 2 recorded series" in text(series)
    everything = deletion.form("all", told.store.status())
    assert any(getattr(each, "hidden", False) for each in walk(everything))
    made, way, said, focus = deletion.choose(told, "age 7 days", "before")
    assert (way, said, focus) == ("before", None, deletion.do_of("age 7 days"))
    assert [each.value for each in walk(made) if getattr(each, "id", "") == deletion.TEXT] == ["7 days"]
    assert deletion.choose(told, "what series", "before")[1] == "series"
    assert deletion.choose(told, "confirm", "before") is None


def test_where_nothing_is_recorded_there_is_nothing_to_forget():
    empty = store(from_ms=None)
    empty["usage"]["tables"] = {}
    assert text(deletion.form("before", empty)) == "Nothing is recorded yet, so there is nothing to delete."


def test_a_store_in_trouble_says_that_nothing_can_be_deleted_and_one_that_is_off_does_not():
    assert "nothing can be deleted" in text(deletion.form("before", store(state="full", reason="The disk is full.")))
    assert "nothing can be deleted" not in text(deletion.form("before", store(state="off")))
    assert "Preview" in text(deletion.form("before", {}))


@pytest.mark.parametrize(
    ("state", "hidden", "words"),
    [("none", False, ""), ("done", False, ""), ("deleting", True, "Deleting, 25 %"), ("wiping", True, "is deleted.")],
)
def test_a_page_that_is_opened_meanwhile_shows_how_far_it_is(state, hidden, words):
    status = {"state": state, "done": 1, "of": 4, "can_stop": state == "deleting", "gone": None, "reason": ""}
    body = deletion.panel(store(), status).body
    assert body[0].hidden is hidden
    assert words in text(body[1])
    assert next(each for each in body if getattr(each, "id", "") == deletion.TIMER).disabled is not hidden


def test_what_remains_is_told_with_the_reason():
    gone = {"asked": {"before_ms": 1}, "bytes": 5, "parts": 1, "cut": 0, "touched": 1,
            "series": [str(n) for n in range(7)], "rows": {"request": 1, "annotation": 2, "alert": 0},
            "before_ms": None, "copies": [{"name": "mine.db", "bytes": 5}]}  # fmt: skip
    words = text(deletion.progress({"state": "remains", "reason": "It is tried again.", "gone": gone}))
    for each in ("1 part of 1 series, 5 B", "It is tried again.", "1 request and 2 events", "and 2 more", "mine.db"):
        assert each in words
