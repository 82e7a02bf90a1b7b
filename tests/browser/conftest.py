"""One monitor and one browser for all flows; every flow ends with an empty console."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.driving import Monitor, Page, chromium, eventually
from tests.browser.four_hours import make_past

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def monitor(tmp_path_factory):
    monitor = Monitor(tmp_path_factory.mktemp("monitor") / "data")
    yield monitor
    assert monitor.stop() == 0, monitor.output.read_text()
    assert "Traceback" not in monitor.output.read_text()


@pytest.fixture(scope="session")
def four_hours(tmp_path_factory):
    """A monitor whose file holds the last four hours."""
    data = tmp_path_factory.mktemp("past") / "data"
    make_past(data)
    monitor = Monitor(data)
    yield monitor
    assert monitor.stop() == 0, monitor.output.read_text()
    assert "Traceback" not in monitor.output.read_text()


@pytest.fixture(scope="session")
def driver(monitor):
    driver = chromium()
    Page(driver, monitor).sign_in()
    yield driver
    driver.quit()


@pytest.fixture
def page(driver, monitor):
    """The Overview, laid out anew, live, with nothing remembered of the test before."""
    page = Page(driver, monitor)
    page.begin()
    yield page
    assert page.end() == []


@pytest.fixture
def values(monitor):
    """Ask until the monitor has measured everything that has a value at all; gives {series: value}."""

    def measured():
        latest = monitor.ask("/api/v1/latest")["series"]
        names = {row["name"] for row in latest if row["value"] is not None}
        return latest if {"system.cpu_percent", "monitor.rss_bytes", "network.loopback_listeners"} <= names else None

    return eventually(measured)
