from __future__ import annotations

from wfmon.collect.models.meter.names import MAX_NAMES, Names


def test_each_name_counts_once():
    names = Names()
    for at in [*range(1_000), *range(1_000), 3, 999]:
        names.add((f"model {at}", "127.0.0.1:1"))
    assert len(names) == 1_000
    names.add(("model 3", "127.0.0.1:2"))
    assert len(names) == 1_001
    assert not names.full


def test_past_the_limit_it_is_full_and_counts_no_more():
    names = Names()
    for at in range(MAX_NAMES + 10):
        names.add((f"model {at}", ""))
    assert (len(names), names.full) == (MAX_NAMES, True)
