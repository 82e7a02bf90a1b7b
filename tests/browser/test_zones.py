"""Every page on the clocks of other places: one 5 h 45 min east of UTC, one west of it with a change of summer time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.browser.driving import PAGES, Monitor, Page, eventually
from tests.browser.test_history import READY
from tests.kit.recorded_store import RecordedStore
from wfmon.core import zones
from wfmon.core.clock import FakeClock

HOUR_S = 3_600
KATHMANDU, ST_JOHNS = "Asia/Kathmandu", "America/St_Johns"
"""The band's outline and its line, and the instants at which the axis and the pointer name a time."""
PLOT = """
const graph = document.querySelector('#history-graph .js-plotly-plot');
const lines = graph.calcdata.filter(([p]) => p.trace.mode === 'lines');
const starts = (fill) => lines.filter(([p]) => p.trace.fill === fill).map(([p]) => p.x);
return { band: starts('toself'), line: starts('none'), ticks: graph.layout.xaxis.ticktext };
"""


def last_change_s(zone):
    """When the zone's clock was set last, whole hours of UTC around it."""
    now = datetime.now(UTC)
    since = zones.changes(int((now - timedelta(days=300)).timestamp()), int(now.timestamp()) - 86_400, zone)
    return since[-1][0]


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """A day around the last change in St John's, with a wave that gives a band."""
    data = tmp_path_factory.mktemp("zones") / "data"
    data.mkdir(mode=0o700)
    change_s = last_change_s(ZoneInfo(ST_JOHNS))
    recorded = RecordedStore(data, "system.cpu_percent", clock=FakeClock((change_s // HOUR_S - 14) * HOUR_S * 1_000))
    for _ in range(26 * 2):
        for minute in range(30):
            recorded.sample("system.cpu_percent", 20 + minute)
            recorded.clock.advance(60)
        recorded.writer.tick()
    recorded.writer.finish()
    monitor = Monitor(data)
    yield monitor, change_s
    assert monitor.stop() == 0, monitor.output.read_text()
    assert "Traceback" not in monitor.output.read_text()


@pytest.fixture(scope="module")
def signed_in(driver, past):
    page = Page(driver, past[0])
    page.sign_in()
    return page


@pytest.fixture(params=[KATHMANDU, ST_JOHNS])
def place(request, signed_in):
    """A browser there: (page, zone's name)."""
    page = Page(signed_in.driver, signed_in.monitor)
    page.console()
    page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": request.param})
    yield page, request.param
    said = page.console()
    page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})
    page.reset()
    assert said == []


def test_every_page_opens_there(place):
    page, name = place
    page.open()
    for each, path in PAGES.items():
        page.js("document.querySelector(`nav a[href='${arguments[0]}']`).click()", path)
        page.live(each)
    zone = ZoneInfo(name)
    today = datetime.now(UTC).astimezone(zone).strftime("%a %d %b")
    page.js("document.querySelector(`nav a[href='/insights']`).click()")
    rows = eventually(
        lambda: page.js("return [...document.querySelectorAll('.week tbody th')].map((th) => th.textContent)")
    )
    assert rows[-1] == today


def test_a_band_lies_around_its_line_and_ticks_name_the_hour_of_their_own_instant(place, past):
    page, name = place
    _, change_s = past
    begin_s = change_s - 12 * HOUR_S
    page.driver.get(
        f"{page.monitor.origin}/history?series=system.cpu_percent&from={begin_s}000&to={begin_s + 24 * HOUR_S}000"
    )
    eventually(lambda: page.js(READY))
    drawn = page.js(PLOT)
    assert drawn["band"] == drawn["line"] != []
    texts = [text.split("<br>")[0] for text in drawn["ticks"]]
    local = [
        zones.local((begin_s + minutes * 60) * 1_000, ZoneInfo(name)).strftime("%H:%M")
        for minutes in range(24 * 60 + 1)
    ]
    assert len(texts) > 3
    assert set(texts) <= set(local)
    assert all(text.endswith(":00") for text in texts)
    two = name == ST_JOHNS
    assert (", then " in page.text("#history-detail")) is two
