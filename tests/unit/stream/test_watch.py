from __future__ import annotations

import pytest

from wfmon.core.registry import Registry
from wfmon.core.types import Series
from wfmon.stream.watch import Watched, selectors

KNOWN = [
    Series("system.cpu_percent"), Series.of("system.cpu_core_percent", core=0),
    Series.of("system.cpu_core_percent", core=1),
    Series.of("gpu.power_watts", gpu=0), Series.of("ux.fps", page="overview"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ([], []), (["system.cpu_percent"], [0]), (["system.cpu_core_percent"], [1, 2]), (["system.*"], [0, 1, 2]),
        (['system.cpu_core_percent{core="1"}'], [2]), (['*{core="?"}'], [1, 2]), (['ux.*{page="over*"}'], [4]),
        (['gpu.power_watts{core="0"}'], []), (["gpu.*", "ux.fps"], [3, 4]), (["SYSTEM.*"], []),
        (["*"], [0, 1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_a_selector_names_series_by_name_label_and_glob(texts, wanted):
    registry = Registry()
    for series in KNOWN:
        registry.id(series)
    assert Watched(selectors(texts)).flags(registry).nonzero()[0].tolist() == wanted


def test_series_that_come_later_are_watched_too():
    registry = Registry()
    watched = Watched(selectors(["system.cpu_core*"]))
    assert watched.flags(registry).tolist() == []
    registry.id(KNOWN[0])
    assert watched.flags(registry).tolist() == [False]
    registry.id(KNOWN[1])
    registry.id(KNOWN[2])
    assert watched.flags(registry).tolist() == [False, True, True]


def test_the_same_wishes_have_one_form():
    assert selectors(["b", "a", "b"]) == selectors(["a", "b"]) == ("a", "b")


def test_a_selector_that_cannot_be_read_says_why():
    with pytest.raises(ValueError, match='labels must read key="value"'):
        selectors(["system.cpu_core_percent{core=1}"])
