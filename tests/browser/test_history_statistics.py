"""Statistics below the charts of the History page, as a person opens, reads and follows them."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser import test_history as history
from tests.browser.driving import eventually
from tests.browser.four_hours import TTFT
from wfmon.core.clock import SystemClock

signed_in, page = history.signed_in, history.page

CPU, MEMORY = "system.cpu_percent", "system.memory_percent"
ASKED = "return performance.getEntriesByType('resource').filter((each) => each.name.includes('/statistics?')).length"
ROWS = """
const section = [...document.querySelectorAll('.spans section')].find((each) => each.dataset.series === arguments[0]);
if (!section || section.hasAttribute('aria-busy')) return null;
const rows = [...section.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent));
return rows.length ? rows : null;
"""
PLACES = """
const stack = document.getElementById('history-stack').getBoundingClientRect();
const box = document.querySelector('.row[data-metric="system.cpu_percent"] .statistics').getBoundingClientRect();
return { bottom: box.bottom - stack.top, height: box.height,
  next: document.querySelector('.row[data-metric="system.memory_percent"]').getBoundingClientRect().top - stack.top,
  plot: document.querySelector('#history-graph .js-plotly-plot')._fullLayout.yaxis2._offset,
  stack: stack.height, figure: document.querySelector('#history-graph .js-plotly-plot')._fullLayout.height };
"""


def opened(page, metric, series):
    """Open a chart's statistics with the keyboard; gives its rows."""
    page.js("document.querySelector(`[data-statistics='${arguments[0]}'] > summary`).focus()", metric)
    page.press(Keys.ENTER)
    return rows(page, series)


def rows(page, series):
    return page.wait_js(ROWS, series)


def figure(page, series, name):
    return next(row for row in rows(page, series) if row[0] == name)


def values_of(found):
    return next(row[1] for row in found if row[0] == "samples")


def said(page, what):
    """What stands beside a name, once it stands there."""
    script = """
    const name = [...document.querySelectorAll('.spans dt')].find((each) => each.textContent === arguments[0]);
    return name?.nextElementSibling.textContent;
    """
    return page.wait_js(script, what)


def test_nothing_is_asked_before_it_is_opened_and_then_it_says_what_the_api_says(page):
    assert page.js(ASKED) == 0
    first, last = page.spans()
    found = opened(page, "model.ttft_ms", TTFT)
    asked = urlencode({"series": TTFT, "from": first, "to": last})
    told = page.monitor.ask(f"/api/v1/statistics?{asked}")
    assert [row[0] for row in found] == [
        "median (p50)", "95th percentile (p95)", "99th percentile (p99)", "mean", "minimum", "maximum",
        "last", "samples",
    ]  # fmt: skip
    assert found[-1][1] == f"{told['span']['count']:,}"
    assert found[0][1] == f"{told['span']['p50']:.0f} ms"
    assert re.search(r"(significantly (higher|lower)|no significant difference) [+−±][\d.]+ % \(between ", found[0][3])
    assert page.js(ASKED) == 1
    page.js("document.querySelector('.spans .how summary').click()")
    page.wait_js("return document.querySelector('.spans .how dl').textContent.includes('Kuensch 1989')")


def test_the_charts_below_make_room_for_it_and_close_up_again(page):
    before = page.js(PLACES)
    opened(page, CPU, CPU)

    def roomy():
        now = page.js(PLACES)
        grown = now["stack"] - before["stack"]
        fits = grown == pytest.approx(now["height"], abs=1) and now["bottom"] <= now["next"] + 1
        moved = now["plot"] - before["plot"] == pytest.approx(now["height"], abs=1)
        return now["height"] > 100 and fits and moved and now["figure"] == pytest.approx(now["stack"], abs=1)

    assert eventually(roomy)
    page.press(Keys.ENTER)  # the focus is on what opened it
    closed = "return !document.querySelector('details.reckoned[open]') && document.activeElement.tagName"
    assert page.wait_js(closed) == "SUMMARY"
    eventually(lambda: page.js(PLACES)["stack"] == before["stack"] and page.js(PLACES)["plot"] == before["plot"])


def test_it_stays_open_and_follows_what_is_shown(page):
    end = SystemClock().now_ms() // 60_000 * 60_000 - 1_800_000
    page.show(**{"from": end - 3_600_000, "to": end})
    assert values_of(opened(page, CPU, CPU)) == "3,600"
    page.focus_charts()
    page.after(lambda: page.press("+"))
    eventually(lambda: values_of(rows(page, CPU)) == "1,800")
    assert page.js("return document.querySelectorAll('details.reckoned[open]').length") == 1
    first, last = page.spans()
    told = page.monitor.ask(f"/api/v1/statistics?{urlencode({'series': CPU, 'from': first, 'to': last})}")
    assert figure(page, CPU, "mean")[1] == f"{told['span']['mean']:.0f} %"


def test_the_compared_span_is_the_pages_own(page):
    opened(page, CPU, CPU)
    heads = "return [...document.querySelectorAll('.spans thead th')].map((each) => each.textContent)"
    assert page.js(heads)[1:3] == ["This range", "Previous range"]
    page.show(range="last 1 h", compare="3600000")
    found = opened(page, CPU, CPU)
    assert page.js(heads)[1:3] == ["This range", "Compared range"]
    assert found[0][2] == "–"
    assert "inconclusive Nothing was measured in this span." in found[0][3]
    assert "Comparison range: Nothing was measured in this span." in page.text(".spans .body")


def test_another_series_is_chosen_and_how_they_go_together_is_told(page):
    opened(page, CPU, CPU)
    assert "Shorter than a day" in said(page, "Hours of the day")
    assert re.match(r"(significantly (rising|falling)|no significant trend|inconclusive)", said(page, "Trend"))
    assert page.js("return [...document.querySelector('.spans select').options].map((each) => each.value)") == [
        "", MEMORY, TTFT,
    ]  # fmt: skip
    page.js("document.querySelector('.spans select').focus()")
    page.press(Keys.ARROW_DOWN)
    answer = page.wait_js("return document.querySelector('.spans .answer')?.textContent")
    assert re.match(r"(significant, \w+: .*|no significant correlation|inconclusive) ", answer)
    assert page.js("return document.activeElement.value") == MEMORY


def test_a_day_has_its_hours_as_a_picture_that_can_be_read_aloud(page):
    page.show(range="last 24 h")
    opened(page, CPU, CPU)
    page.wait_js("return document.querySelector('.spans svg.day')")
    words = page.js("return document.querySelector('.spans svg.day').getAttribute('aria-label')")
    assert re.match(r"Median by hour of the day: \d+:00 to \d+:00: \d+ %; ", words)
    assert page.js("return document.querySelectorAll('.spans svg.day rect').length") >= 4
    assert re.search(r"lowest .* from \d+:00, highest .* from \d+:00", said(page, "Hours of the day"))


def test_where_the_monitor_gives_no_answer_it_says_so_and_asks_again(page):
    page.js("window.real = window.fetch; window.fetch = () => Promise.reject(new TypeError('gone'))")
    page.js("document.querySelector(`[data-statistics='${arguments[0]}'] > summary`).click()", CPU)
    page.wait_js("return document.querySelector('.spans .bad')?.textContent.startsWith('The monitor did not respond.')")
    page.js("window.fetch = window.real")
    page.click(".spans .body > button")
    assert figure(page, CPU, "mean")[1].endswith(" %")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_on_a_narrow_page_nothing_sticks_out(page, theme):
    page.size(400)
    page.prefers(color_scheme=theme)
    page.show(range="last 24 h")
    opened(page, CPU, CPU)
    page.wait_js("return document.querySelector('.spans svg.day')")
    assert page.js("return document.documentElement.scrollWidth") == 400
    wide = page.js("return [...document.querySelectorAll('.statistics *')].filter((each) =>"
                   " each.getBoundingClientRect().right > 400).map((each) => each.className)")  # fmt: skip
    assert wide == []
