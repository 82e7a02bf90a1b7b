"""What is unusual for an hour of the day: on a live chart, in History, on Insights; and the Cancel of Insights."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlencode, urlsplit

import psutil
import pytest

from tests.browser.driving import Monitor, Page, eventually
from tests.kit.recorded_store import RecordedStore
from wfmon.analyse import marks
from wfmon.analyse.anomaly import Run, Usual
from wfmon.core import units
from wfmon.core.clock import FakeClock
from wfmon.core.types import Series

MINUTE, HOUR = 60, 3_600
MARK = "return document.querySelector('[data-chart*=\"system.cpu_percent\"] .unusual')"
FACT = """
wfmon.store.facts = { ...wfmon.store.facts, unusual: [{
  series: 'system.cpu_percent', also: [], usually: 'usually 12 to 30 % at this hour',
  text: 'CPU time in use, all cores together: 91 %, usually 12 to 30 % at this hour (14 days).', since_ms: Date.now(),
}] };
"""


def lived(folder):
    """Write three hours that end now, and in their midst twenty minutes that were unusual."""
    now_s = int(time.time()) // MINUTE * MINUTE
    recorded = RecordedStore(
        folder, "system.cpu_percent", "system.memory_percent", clock=FakeClock((now_s - 3 * HOUR) * 1_000)
    )
    since_s, until_s = now_s - 100 * MINUTE, now_s - 80 * MINUTE
    run = Run(1, since_s, until_s, 91.0, 12.5, Usual(21.0, 2.5, 12.0, 30.0, 14), 90.0, confirmed=True)
    while recorded.now_s < now_s:
        recorded.sample("system.cpu_percent", 91.0 if since_s <= recorded.now_s < until_s else 20.0)
        recorded.sample("system.memory_percent", 40.0)
        recorded.clock.advance(MINUTE)
        recorded.writer.tick()
    for over, at_s in ((False, since_s), (True, until_s)):
        row = marks.row_of(Series("system.cpu_percent"), run, units.text, over=over)
        recorded.writer.annotate(marks.KIND, marks.note(row, units.text, until_s * 1_000), at_s * 1_000)
    recorded.writer.tick()
    recorded.writer.finish()
    return since_s * 1_000, until_s * 1_000


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    data = tmp_path_factory.mktemp("unusual") / "data"
    data.mkdir(mode=0o700)
    span = lived(data)
    made = Monitor(data)
    yield made, span
    assert made.stop() == 0, made.output.read_text()


@pytest.fixture(scope="module")
def here(driver, past):
    page = Page(driver, past[0])
    page.sign_in()
    yield page
    assert page.console() == []
    page.leave()


def test_a_live_chart_carries_a_quiet_mark_that_opens_history_there_and_loses_it_again(here):
    here.open()
    assert here.js(MARK + ".hidden")
    here.js(FACT)
    eventually(lambda: not here.js(MARK + ".hidden"))
    assert here.js(MARK + ".textContent") == "unusual"  # a narrow chart; the rest is its name and its tooltip
    assert here.js(MARK + ".getAttribute('aria-label')") == "unusual: usually 12 to 30 % at this hour"
    assert "91 %" in here.js(MARK + ".title")
    assert "not an alert" in here.js(MARK + ".title")
    shown = "return [...document.querySelectorAll('.unusual')].filter((each) => !each.hidden).length"
    assert here.js(shown) == 1
    here.open("system")
    here.js(FACT)
    eventually(lambda: here.js(MARK + ".textContent") == "unusual: usually 12 to 30 % at this hour")
    asked = parse_qs(urlsplit(here.js(MARK + ".href")).query)
    assert (asked["series"], asked["range"]) == (["system.cpu_percent"], ["last 6 h"])
    here.js("wfmon.store.facts = { ...wfmon.store.facts, unusual: [] }")
    eventually(lambda: here.js(MARK + ".hidden"))


def test_history_shades_the_stretch_on_the_chart_of_its_series_alone_and_lists_it(here, past):
    since_ms, until_ms = past[1]
    series = ("system.cpu_percent", "system.memory_percent")
    query = urlencode([*(("series", each) for each in series), ("range", "last 3 h")])
    here.driver.get(f"{here.monitor.origin}/history?{query}")
    shapes = (
        "return (document.querySelector('.js-plotly-plot')?.layout?.shapes ?? []).filter((s) => s.type === 'rect')"
        ".map((s) => [s.yref, Date.parse(s.x0 + 'Z'),"
        " Date.parse(s.x1 + 'Z')])"
    )
    [[axis, begin, end]] = eventually(lambda: here.js(shapes))
    assert (axis, begin, end) == ("y domain", since_ms, until_ms)
    words = eventually(lambda: here.text("#history-events"))
    assert "CPU time in use, all cores together was 91 %" in words or "all cores together: 91 %, usually" in words
    assert "{" not in words
    told = here.monitor.ask(f"/api/v1/anomalies?from={since_ms}&to={until_ms}")["past"]
    assert [(row["series"], row["since_ms"], row["until_ms"]) for row in told] == [(series[0], since_ms, until_ms)]
    here.driver.get(f"{here.monitor.origin}/history?{urlencode([('series', series[1]), ('range', 'last 3 h')])}")
    eventually(lambda: here.js("return document.querySelectorAll('.history .row:not(.skeleton)').length") == 1)
    assert here.js(shapes) == []


def test_insights_say_what_is_needed_before_anything_can_be_judged(here):
    here.open("insights")
    words = eventually(lambda: here.text("#insights-unusual"))
    eventually(lambda: "Nothing is checked at the moment" in here.text("#insights-unusual"), wait_s=25)
    assert "alert" not in words


def child_of(monitor):
    """Find the process that reads the history, and hold it."""
    for each in psutil.Process(monitor.process.pid).children(recursive=True):
        if "wfmon.analyse" in each.cmdline():
            each.suspend()
            return each
    return None


def test_reading_that_takes_long_shows_that_it_works_and_can_be_cancelled(here):
    here.open("insights")
    working = "return getComputedStyle(document.querySelector('#insights-working'))"
    eventually(lambda: "Not enough data to compare" in here.text("#insights-findings"))
    eventually(lambda: here.js(working + ".display") == "none")
    here.js("[...document.querySelectorAll('.insights-head .segments button')].at(-1).click()")
    child = eventually(lambda: child_of(here.monitor), pause_s=0.005)
    eventually(lambda: here.js(working + ".display") == "flex")
    assert here.js(working + ".animationDelay") == "0.5s"  # what is quicker than that is not told
    eventually(lambda: here.js(working + ".visibility") == "visible")
    here.click("#insights-cancel")
    eventually(lambda: "cancelled before it was done" in here.text("#insights-findings"))
    eventually(lambda: here.js(working + ".display") == "none")
    eventually(lambda: not child.is_running())
    here.js("[...document.querySelectorAll('.insights-head .segments button')].at(-1).click()")
    eventually(lambda: "Not enough data to compare" in here.text("#insights-findings"))
