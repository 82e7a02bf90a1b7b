"""A model has one colour, for good."""

from __future__ import annotations

import json

import pytest

from wfmon.store.model_colours import COLOURS, MOST, NAME, ModelColours


@pytest.fixture
def path(tmp_path):
    return tmp_path / NAME


def colours(path, *, keep=True):
    return ModelColours(path, lambda: keep)


def test_the_first_models_differ_and_a_later_one_takes_what_the_fewest_have(path):
    found = colours(path).of_all([f"m{i}" for i in range(8)])
    assert list(found.values()) == [1, 2, 3, 4, 5, 6, 1, 2]


def test_it_holds_over_restarts_whatever_comes_and_in_whatever_order(path):
    first = colours(path).of_all(["a", "b", "c"])
    assert colours(path).of_all(["new", "c", "b", "a"]) == {**first, "new": 4}
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_is_deleted_leaves_no_name_and_takes_no_colour_from_the_others(path):
    colours(path).of_all(["a", "secret", "c"])
    kept = colours(path)
    kept.retain({"a", "c", "never seen"})
    assert "secret" not in path.read_text()
    assert colours(path).of_all(["c", "later"]) == {"c": 3, "later": 2}


def test_while_nothing_is_recorded_no_name_is_written(path):
    assert colours(path, keep=False).of("a") == 1
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"a": 9, "b": "1", "c": true, "d": 2}', "\x00"])
def test_a_file_that_is_none_is_made_anew(path, text):
    path.write_text(text)
    made = colours(path)
    assert made.of_all(["a", "d"])["d"] == 2
    assert json.loads(path.read_text()).keys() == {"a", "d"}


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_memory(tmp_path):
    nowhere = ModelColours(tmp_path / "gone" / NAME, lambda: True)
    assert [nowhere.of("a"), nowhere.of("b"), nowhere.of("a")] == [1, 2, 1]


def test_names_without_end_cost_no_room_and_still_have_one_colour_each(path):
    many = colours(path)
    many.of_all([f"m{i}" for i in range(MOST)])
    late = many.of("one more")
    assert late in range(1, COLOURS + 1)
    assert colours(path).of("one more") == late
    assert "one more" not in path.read_text()


def test_a_model_past_the_last_one_that_is_remembered_writes_nothing(path):
    made = colours(path)
    made.of_all([f"m{i}" for i in range(MOST)])
    path.unlink()
    made.of_all(["one more", "m1"])
    assert not path.exists()
