"""How long is kept, changed while the monitor runs: the values, where they come from, what a change would delete."""

from __future__ import annotations

import dataclasses
import json
import threading

import pytest

from tests.kit.recorded_store import START_S, RecordedStore
from wfmon.core.errors import NotSaved, Refused, SettingsError
from wfmon.core.settings_files import load, save_change
from wfmon.runtime.settings import ChangedSettings
from wfmon.store.retention_settings import NAMES, SIZE_SETTING, TIER_SETTINGS, RetentionSettings

DAY_S = 86_400


@pytest.fixture
def recorded(tmp_path):
    made = RecordedStore(tmp_path, "a")
    yield made
    made.writer.finish()


def keeping(folder, config=None, now_s=START_S):
    return RetentionSettings(ChangedSettings(load(config, folder)), folder / "wfmon.db", lambda: now_s * 1_000)


def row(made, name):
    return next(each for each in made.retention() if each["name"] == name)


def saved(folder):
    return json.loads((folder / "settings.json").read_text())


def test_every_setting_of_how_long_is_kept_is_among_them(tmp_path):
    fields = {f"store.{each.name}" for each in dataclasses.fields(load(None, tmp_path).store)} - {"store.enabled"}
    assert {each["name"] for each in keeping(tmp_path).retention()} == set(NAMES) == fields


def test_a_change_holds_at_once_and_at_the_next_start(tmp_path):
    made = keeping(tmp_path)
    assert made.keep().tiers[0] == DAY_S // 4
    made.change({"store.keep_1s_days": 1, "store.max_bytes": 100_000_000})
    assert (made.keep().tiers[0], made.keep().max_bytes) == (DAY_S, 100_000_000)
    assert saved(tmp_path) == {"store.keep_1s_days": 1.0, "store.max_bytes": 100_000_000}
    told = row(made, "store.keep_1s_days")
    assert (told["value"], told["default"], told["origin"], told["back"]) == (1.0, 0.25, "settings.json", 0.25)
    assert row(keeping(tmp_path), "store.keep_1s_days") == told


def test_back_is_what_stands_beneath_in_the_file_or_the_default(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("store:\n  keep_1h_days: 100\n")
    keeping(tmp_path, config).change({"store.keep_1h_days": 90, "store.keep_1s_days": 1})
    made = keeping(tmp_path, config)
    assert row(made, "store.keep_1h_days")["back"] == 100
    made.change({"store.keep_1h_days": None, "store.keep_1s_days": None})
    assert saved(tmp_path) == {}
    assert [row(made, name)["origin"] for name in ("store.keep_1h_days", "store.keep_1s_days")] == [
        "config.yaml", "default",
    ]  # fmt: skip
    assert (made.keep().tiers[4], made.keep().tiers[0]) == (100 * DAY_S, DAY_S // 4)


def test_a_value_as_it_was_before_any_change_is_no_change(tmp_path):
    made = keeping(tmp_path)
    made.change({"store.keep_1s_days": 0.25})
    assert saved(tmp_path) == {}
    assert row(made, "store.keep_1s_days")["origin"] == "default"


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"store.keep_1s_days": 0}, "store.keep_1s_days", "must be from 0.02 to 3,650, not 0"),
        ({"store.keep_1s_days": "1"}, "store.keep_1s_days", "must be a number, not '1'"),
        ({"store.keep_1s_days": float("nan")}, "store.keep_1s_days", "must be from"),
        ({"store.keep_1s_days": True}, "store.keep_1s_days", "must be a number"),
        ({"store.max_bytes": 1.5}, "store.max_bytes", "must be a whole number"),
        ({"store.max_bytes": 1}, "store.max_bytes", "must be from 20,000,000 to 1,000,000,000,000, not 1"),
        ({"store.enabled": False}, "store.enabled", "not a retention setting"),
        ({"server.port": 1}, "server.port", "not a retention setting"),
        ({}, "values", "No setting was named"),
    ],
)
def test_a_value_that_config_yaml_may_not_have_is_refused_in_the_same_words(tmp_path, changes, field, words):
    made = keeping(tmp_path)
    good = {"store.keep_10s_days": 5} if changes else {}
    for refuse in (made.preview, made.change):
        with pytest.raises(Refused, match=words) as error:
            refuse({**good, **changes})
        assert error.value.field == field
        assert error.value.fix
    assert made.keep() == keeping(tmp_path).keep()
    assert not (tmp_path / "settings.json").exists()


def test_the_words_are_those_of_the_file(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("store:\n  keep_1s_days: 0\n")
    with pytest.raises(SettingsError) as of_the_file:
        load(config, tmp_path)
    with pytest.raises(Refused) as of_the_page:
        keeping(tmp_path).change({"store.keep_1s_days": 0})
    assert str(of_the_file.value) == f"config.yaml line 2: {of_the_page.value}"


def test_what_cannot_be_saved_changes_nothing(tmp_path):
    made = keeping(tmp_path)
    (tmp_path / "settings.tmp").mkdir()
    with pytest.raises(NotSaved, match=r"settings\.tmp"):
        made.change({"store.keep_1s_days": 1})
    assert made.keep().tiers[0] == DAY_S // 4
    assert row(made, "store.keep_1s_days")["origin"] == "default"


def test_a_preview_tells_what_the_writer_then_deletes(recorded, tmp_path):
    recorded.run(7_300, tick_s=10, a=1.0)
    recorded.writer.annotate("model", "Seen.", (recorded.now_s - 5 * 3_600) * 1_000)
    recorded.run(5)
    made = keeping(tmp_path, now_s=recorded.now_s - 3)  # as far as the writer is
    changes = {"store.keep_1s_days": 0.02, "store.keep_annotations_days": 0.1}
    told = made.preview(changes)
    assert told["shorter"] == ["store.keep_1s_days", "store.keep_annotations_days"]
    before = recorded.rows("SELECT id, bytes, start_s FROM chunk")
    made.change(changes)
    recorded.writer._keep = made.keep
    recorded.writer.tidy_all()
    gone = set(before) - set(recorded.rows("SELECT id, bytes, start_s FROM chunk"))
    of_rows = sum(each["bytes"] for each in told["tables"].values())
    assert (told["parts"], told["bytes"] - of_rows) == (len(gone), sum(each[1] for each in gone))
    assert told["parts"] > 10
    assert told["tiers"][0] == {
        "name": "1s", "rows": len(gone), "bytes": told["bytes"] - of_rows,
        "until_ms": (max(each[2] for each in gone) + 300) * 1_000,
    }  # fmt: skip
    assert told["tables"]["annotation"]["rows"] == 1
    assert recorded.rows("SELECT count(*) FROM annotation") == [(0,)]


def test_longer_deletes_nothing_and_no_file_has_nothing(recorded, tmp_path):
    recorded.run(700, tick_s=10, a=1.0)
    told = keeping(tmp_path, now_s=recorded.now_s).preview(dict.fromkeys(TIER_SETTINGS, 3000))
    assert (told["shorter"], told["parts"]) == ([], 0)
    (tmp_path / "none").mkdir()
    told = keeping(tmp_path / "none").preview({SIZE_SETTING: 20_000_000})
    assert (told["shorter"], told["parts"], told["tiers"]) == ([SIZE_SETTING], 0, [])


def test_a_coarser_tier_may_be_kept_shorter_and_it_is_said_what_that_means(tmp_path):
    (hint,) = keeping(tmp_path).preview({"store.keep_5min_days": 10})["hints"]
    assert hint.startswith("Buckets of 5min would be kept for 10 days and those of 1min for 14")


def test_settings_that_are_saved_at_once_are_all_kept(tmp_path):
    settings, errors = load(None, tmp_path), []

    def save(name, values):
        try:
            for value in values:
                save_change(settings, name, value)
        except (OSError, SettingsError) as error:
            errors.append(error)

    given = {
        "store.keep_1s_days": range(1, 41),
        "store.keep_10s_days": range(2, 42),
        "store.enabled": [True, False] * 20,
    }
    threads = [threading.Thread(target=save, args=each) for each in given.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert saved(tmp_path) == {"store.keep_1s_days": 40.0, "store.keep_10s_days": 41.0, "store.enabled": False}
