"""What a chart tells the engine of its axis."""

from __future__ import annotations

import json

from wfmon.ui.kit.parts import chart


def spec(component):
    return json.loads(component.to_plotly_json()["props"]["data-chart"])


def test_a_share_of_all_ends_at_100_and_what_only_reaches_so_far_has_no_end():
    assert spec(chart("system.cpu_percent", label="CPU"))["max"] == 100
    reaching = spec(chart("monitor.cpu_percent", label="CPU", reach=10))
    assert (reaching["max"], reaching["reach"]) == (None, 10)
