"""A collector's switch, on the page."""

from __future__ import annotations

import re

import pytest

from tests.browser.driving import eventually

SYSTEM_PANELS = ["cpu", "cores", "load", "memory", "disk", "free"]
ABSENT = """
const panels = arguments[0].map((key) => document.querySelector(`[data-panel=${key}]`));
return panels.filter((p) => p.hasAttribute("data-absent")).map((p) => p.querySelector(".absent").textContent);
"""


def state(monitor, name):
    return next(row["state"] for row in monitor.ask("/api/v1/collectors")["collectors"] if row["name"] == name)


@pytest.fixture
def _all_on(monitor):
    yield
    monitor.ask("/api/v1/collectors/system", "POST", {"enabled": True})


@pytest.mark.usefixtures("_all_on")
def test_panels_say_within_2_s_that_their_collector_is_off_and_values_return(page, monitor, values):
    page.open("system")
    switch = page.find("[data-switch=system]")
    assert switch.get_attribute("aria-checked") == "true"
    assert page.js(ABSENT, SYSTEM_PANELS) == []
    page.js("arguments[0].scrollIntoView({ block: 'center' })", switch)
    switch.click()
    told = eventually(
        lambda: (told := page.js(ABSENT, SYSTEM_PANELS)) and len(told) == len(SYSTEM_PANELS) and told, wait_s=2
    )
    assert all("off" in why.lower() for why in told), told
    eventually(lambda: page.find("[data-switch=system]").get_attribute("aria-checked") == "false")
    assert state(monitor, "system") == "off"
    assert page.text("[data-collector-row=system] [data-field=state]") == "off"
    eventually(lambda: page.text("[data-panel=cpu] .now .value") == "no data")
    page.click("[data-switch=system]")
    eventually(lambda: page.js(ABSENT, SYSTEM_PANELS) == [], wait_s=3)
    eventually(lambda: re.match(r"\d", page.text("[data-panel=cpu] .now .value")))
    assert page.find("[data-switch=system]").get_attribute("aria-checked") == "true"
    assert state(monitor, "system") == "running"
