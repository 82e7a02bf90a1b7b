"""History, as a person uses it: a monitor whose file holds the last four hours."""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.driving import Page, eventually
from tests.browser.four_hours import TTFT
from wfmon.core.clock import SystemClock

READY = """
const charts = document.querySelector('.history .charts');
return !!charts && !charts.hasAttribute('data-busy') && !!document.querySelector('#history-graph .scatterlayer .trace')
  && { ...document.getElementById('history-stack').dataset };
"""
FOLLOW = "history.pushState(null, '', arguments[0]); dispatchEvent(new PopStateEvent('popstate'))"
ROWS = "return [...document.querySelectorAll('.history .row[data-metric]')].map((row) => row.dataset.metric)"
DRAWN = """
return document.querySelector('#history-graph .js-plotly-plot').data.map((trace) =>
  ({ name: trace.name, dash: trace.line?.dash ?? '', y: Array.from(trace.y ?? []), x0: trace.x0,
     color: trace.line?.color }));
"""
OVERLAY = """
const box = (each) => each.getBoundingClientRect();
const stack = document.getElementById('history-stack');
const graph = document.querySelector('#history-graph .js-plotly-plot');
const drawn = [...graph.querySelectorAll('.draglayer .nsewdrag')].map(box).filter(({ height }) => height > 60);
const tops = drawn.map(({ top }) => top).sort((a, b) => a - b);
const rows = [...document.querySelectorAll('.history .row[data-metric] .plot')].map(box);
const heights = [box(stack).height, box(graph).height, graph._fullLayout.height];
return [rows.map(({ top }, i) => (tops[i] ?? 9999) - top), heights];
"""
"""How far each chart's picture lies below the place that its row keeps for it, and three heights that must be one."""
MISNAMED = """
return [...document.querySelectorAll('.history button[aria-label]')].filter((button) => {
  const words = button.textContent.trim().toLowerCase();
  return /[a-z]/.test(words) && !button.getAttribute('aria-label').toLowerCase().includes(words);
}).map((button) => `${button.textContent}: ${button.getAttribute('aria-label')}`);
"""
TIMED = """
window.took = null;
const start = performance.now();
document.querySelector('#history-graph .js-plotly-plot').once('plotly_afterplot', () =>
  requestAnimationFrame(() => setTimeout(() => { window.took = performance.now() - start; })));
document.querySelector('[data-to="last 1 h"]').click();
"""


class HistoryPage(Page):
    def show(self, **query):
        """Open the page with a view in its address, as a link from another page does, and wait for its picture."""
        text = urlencode(query, doseq=True)
        address = f"/history{'?' + text if text else ''}"
        if self.untouched():
            if self.js("return location.pathname") == "/history":
                self.go("models")
            self.js(FOLLOW, address)
        else:
            self.driver.get(self.monitor.origin + address)
        return self.ready()

    def ready(self, changed_from=None):
        """Wait for the picture; gives what the charts show: from, to, step, tier."""

        def shown():
            now = self.js(READY)
            return now if now and now != changed_from else None

        return eventually(shown)

    def after(self, act):
        """Do something, and wait for another picture."""
        before = self.ready()
        act()
        return self.ready(before)

    def act(self, what, to=None):
        return self.after(lambda: self.click(f'[data-act="{what}"]' + (f'[data-to="{to}"]' if to else "")))

    def focus_charts(self):
        self.js("document.getElementById('history-stack').focus({ preventScroll: true })")

    def length(self, shown):
        return int(shown["to"]) - int(shown["from"])

    def spans(self):
        shown = self.ready()
        return int(shown["from"]), int(shown["to"])


@pytest.fixture(scope="module")
def signed_in(driver, four_hours):
    page = HistoryPage(driver, four_hours)
    page.sign_in()
    return page


@pytest.fixture
def page(signed_in):
    page = HistoryPage(signed_in.driver, signed_in.monitor)
    page.console()
    page.show()
    yield page
    assert page.end() == []


def test_it_shows_the_usual_series_of_the_last_hour_with_figures_and_what_happened(page):
    assert page.js(ROWS) == ["system.cpu_percent", "system.memory_percent", "model.ttft_ms"]
    first, last = page.spans()
    assert last - first == 3_600_000
    assert page.js("return [...document.querySelectorAll('.chip .code')].map((chip) => chip.textContent)") == page.js(
        ROWS
    )
    figures = page.text('.row[data-metric="model.ttft_ms"] .stats')
    assert re.search(r"mean\d+ ms.*p95\d+ ms", figures)
    assert "The monitor started." in page.text("#history-events")


def test_a_choice_that_is_too_wide_shows_the_most_used_and_lists_the_others(page):
    page.show(series="model.entropy_bits", range="last 6 h")
    who = "return [...document.querySelectorAll('.stat-line .who')].map((each) => each.textContent)"
    assert page.js(who) == [f"m{number}, s" for number in range(59, 53, -1)]
    assert page.text("#history-message").startswith("60 series match; the 6 most used in this range are shown.")
    assert page.text('[data-act="more-of"]') == "and 54 more"
    page.click('[data-act="more-of"]')
    assert page.js("return document.getElementById('history-find').value") == "model.entropy_bits"
    eventually(lambda: page.js("return document.querySelectorAll('#history-list .singles .pick').length") == 60)
    page.after(lambda: page.click("""#history-list [data-to='model.entropy_bits{model="m07",server="s"}']"""))
    assert "m07, s" in page.js(who)


@pytest.mark.parametrize("series", [["system.cpu_percent"], ["system.cpu_percent", "system.memory_percent"], TTFT])
def test_titles_and_figures_stand_where_their_chart_is_however_few_there_are(page, series):
    page.show(series=series, range="last 15 min")
    eventually(lambda: page.js(OVERLAY)[0])
    offsets, heights = page.js(OVERLAY)
    assert max(map(abs, offsets)) <= 1
    assert len(set(heights)) == 1


def test_the_chips_are_a_list_of_items_and_every_button_is_called_by_its_words(page):
    page.show(series="system.cpu_percent")
    assert page.js("return [...document.getElementById('history-chips').children].map((e) => e.tagName)") == [
        "LI",
        "LI",
    ]
    page.click('[data-act="table"]')
    page.click('[data-act="choose"]')
    eventually(lambda: page.js("return document.querySelectorAll('#history-list .pick').length"))
    assert page.js(MISNAMED) == []


def test_the_past_goes_on_into_the_present(page):
    fresh = page.after(lambda: page.click('[data-to="last 15 min"]'))

    def joined():
        page.click('[data-act="refresh"]')
        shown = page.ready(fresh)
        cpu = next(trace for trace in page.js(DRAWN) if trace["name"] == "system.cpu_percent")
        known = [i for i, value in enumerate(cpu["y"]) if value is not None]
        longest = max((b - a for a, b in itertools.pairwise(known)), default=999) * int(shown["step"])
        return longest <= 30_000 and (len(cpu["y"]) - known[-1]) * int(shown["step"]) <= 15_000

    assert eventually(joined)  # the gap is the start of the monitor, no more


def test_a_preset_a_typed_range_and_one_that_is_none(page):
    assert page.act("range", "last 24 h")["tier"] == "1min"
    assert page.js("return document.querySelector('[data-to=\"last 24 h\"]').getAttribute('aria-pressed')") == "true"
    page.js("const field = document.getElementById('history-typed'); field.focus(); field.select()")
    page.after(lambda: page.press("last 3 h", Keys.ENTER))
    first, last = page.spans()
    assert last - first == 3 * 3_600_000
    assert "range=last+3+h" in page.js("return location.search")
    before = page.ready()
    page.js("const field = document.getElementById('history-typed'); field.focus(); field.select()")
    page.press("soonish", Keys.ENTER)
    page.wait_js(
        "return document.getElementById('history-message').textContent.includes('“soonish” is not a valid range')"
    )
    assert "“last 3 h”" in page.text("#history-message")
    assert page.ready() == before


def test_zooming_fetches_the_finer_tier_and_back_goes_back(page):
    coarse = page.act("range", "last 6 h")
    assert coarse["tier"] == "10s"
    page.focus_charts()
    page.press("+", "+", "+")
    fine = eventually(lambda: (now := page.ready())["tier"] == "1s" and page.length(now) == 6 * 3_600_000 / 8 and now)
    assert int(fine["step"]) < int(coarse["step"])
    while page.find("#history-back").is_displayed():  # one for each time that the keys rested
        page.act("back")
    assert page.ready()["tier"] == "10s"


def test_keys_pan_zoom_out_reset_and_go_back(page):
    first, last = page.spans()
    page.focus_charts()
    page.after(lambda: page.press(Keys.ARROW_LEFT))
    assert page.spans() == (first - 900_000, last - 900_000)
    page.after(lambda: page.press("-"))
    out = page.spans()
    assert out[1] - out[0] == 2 * (last - first)
    page.after(lambda: page.press(Keys.BACKSPACE))
    assert page.spans() == (first - 900_000, last - 900_000)
    page.after(lambda: page.press("0"))
    again = page.spans()
    assert again[1] - again[0] == 3_600_000
    assert again[0] >= first


def test_a_drag_with_the_mouse_zooms_to_what_was_drawn_over(page):
    first, last = page.spans()
    width = page.js(
        "return document.querySelector('#history-graph .draglayer .nsewdrag').getBoundingClientRect().width"
    )
    plot = page.find("#history-graph .draglayer .nsewdrag")
    drag = ActionChains(page.driver, duration=50).move_to_element(plot).click_and_hold()
    page.after(lambda: drag.move_by_offset(int(width / 4), 2).release().perform())
    begin, end = page.spans()
    assert begin == pytest.approx((first + last) / 2, abs=20_000)
    assert end == pytest.approx(last - (last - first) / 4, abs=20_000)


def test_the_browsers_own_back_goes_to_the_view_before(page):
    page.act("range", "last 6 h")
    page.after(page.driver.back)
    first, last = page.spans()
    assert last - first == 3_600_000
    assert page.js("return document.querySelectorAll('[data-page=history]').length") == 1


def test_the_period_before_lies_dashed_on_the_same_axis_with_the_change_in_words(page):
    page.js("const menu = document.getElementById('history-compare'); menu.value = 'previous';"
            "menu.dispatchEvent(new Event('change', { bubbles: true }))")  # fmt: skip
    page.wait_js("return document.querySelectorAll('.figure.changed').length === 3")
    page.ready()
    traces = page.js(DRAWN)
    dashed = [trace for trace in traces if trace["dash"] == "dash" and trace["name"] == "before"]
    assert len(dashed) == 2
    assert dashed[0]["x0"][:16] == next(trace for trace in traces if trace["name"] == "system.cpu_percent")["x0"][:16]
    assert re.search(
        r"previous mean\d.* \([+−±][\d.]+ %\)", page.text('.row[data-metric="system.cpu_percent"] .changed')
    )
    assert "dashed:" in page.text("#history-detail")


def test_a_link_reproduces_the_view(page):
    page.show(range="last 3 h", series=["system.memory_percent", TTFT], compare="3600000", quantiles="1")
    shown, rows, chips = page.ready(), page.js(ROWS), page.text("#history-chips")
    page.js("navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }")
    page.click('[data-act="link"]')
    link = page.wait_js("return window.copied")
    assert parse_qs(urlsplit(link).query)["series"] == ["system.memory_percent", TTFT]
    page.driver.get(link)
    assert page.ready() == shown
    assert (page.js(ROWS), page.text("#history-chips")) == (rows, chips)
    assert page.js("return document.getElementById('history-compare').value") == "other"
    assert page.js("return document.getElementById('history-quantiles').getAttribute('aria-pressed')") == "true"
    assert {"tiny, 127.0.0.1:9 p50", "tiny, 127.0.0.1:9 p95"} <= {trace["name"] for trace in page.js(DRAWN)}


def test_the_csv_is_the_query(page, tmp_path):
    end = SystemClock().now_ms() - 1_800_000
    page.show(series=["system.cpu_percent", TTFT], **{"from": end - 3_600_000, "to": end})
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    page.click("#history-csv")
    file = eventually(lambda: next(tmp_path.glob("*.csv"), None))
    rows = eventually(lambda: list(csv.DictReader(io.StringIO(file.read_text("utf-8")))))
    asked = urlencode({"series": "system.cpu_percent", "from": end - 3_600_000, "to": end, "points": 1_000})
    wanted = [
        point for point in page.monitor.ask(f"/api/v1/query?{asked}")["series"][0]["points"] if point[2] is not None
    ]
    found = [row for row in rows if row["series"] == "system.cpu_percent"]
    assert len(wanted) > 800
    assert [[int(row["t_ms"]), *(float(row[name]) for name in ("min", "mean", "max"))] for row in found] == wanted
    assert all(row["p95"] for row in rows if row["series"] == TTFT)


def test_where_nothing_was_recorded_it_says_since_when_it_records(page):
    page.driver.get(f"{page.monitor.origin}/history?from=1600000000000&to=1600003600000")
    page.wait_js("return document.getElementById('history-message').textContent.includes('Nothing was recorded')")
    assert re.search(
        r"The history begins on \d+ \w+ \d{4} at \d\d:\d\d, .* ago: choose a later range\.",
        page.text("#history-message"),
    )


def test_a_series_that_was_never_seen_says_so_and_can_be_taken_away(page):
    page.show(series=["gpu.power_watts", "system.cpu_percent"])
    assert page.text(".chip.never") == "gpu.power_wattsnever recorded×"
    page.click('[data-act="remove"][data-to="gpu.power_watts"]')
    page.wait_js("return document.querySelectorAll('.chip').length === 1")
    assert parse_qs(page.js("return location.search.slice(1)"))["series"] == ["system.cpu_percent"]


def test_series_are_found_chosen_and_taken_away_again(page):
    page.click('[data-act="choose"]')
    assert page.js("return document.activeElement.id") == "history-find"
    page.press("monitor rss")
    page.wait_js("return document.querySelectorAll('#history-list .metric').length === 1")
    page.click('#history-list [data-to="monitor.rss_bytes"]')
    page.wait_js("return document.querySelectorAll('.row[data-metric]').length === 4")
    page.wait_js("return !!document.querySelector('#history-list [data-to=\"monitor.rss_bytes\"][aria-pressed=true]')")
    page.press(Keys.ESCAPE)
    assert page.js("return document.activeElement.id") == "history-add"
    page.click('.row[data-metric="monitor.rss_bytes"] [data-act="remove-metric"]')
    page.wait_js("return document.querySelectorAll('.row[data-metric]').length === 3")


def test_a_chart_is_a_table_and_a_chart_again(page):
    page.click('.row[data-metric="system.cpu_percent"] [data-act="table"]')
    page.wait_js("return document.querySelectorAll('.plot.is-table tbody tr').length > 500")
    heads = page.js("return [...document.querySelectorAll('.plot.is-table thead th')].map((each) => each.textContent)")
    assert heads == ["Time", "min", "mean", "max"]
    assert page.js("return document.querySelector('.plot.is-table tbody td').textContent").endswith(" %")
    page.click('.row[data-metric="system.cpu_percent"] [data-act="table"]')
    page.wait_js("return !document.querySelector('.plot.is-table')")


def test_a_view_is_saved_under_a_name_and_opened_again(page):
    page.act("range", "last 6 h")
    page.js("document.getElementById('history-name').focus()")
    page.press("evening", Keys.ENTER)
    page.wait_js(
        "return [...document.getElementById('history-views').options].some((each) => each.value === 'evening')"
    )
    page.show()
    page.wait_js(
        "return [...document.getElementById('history-views').options].some((each) => each.value === 'evening')"
    )
    page.after(lambda: page.js("const menu = document.getElementById('history-views'); menu.value = 'evening';"
                               "menu.dispatchEvent(new Event('change', { bubbles: true }))"))  # fmt: skip
    first, last = page.spans()
    assert last - first == 6 * 3_600_000
    page.js("document.getElementById('history-views').value = 'evening'")
    page.click('[data-act="delete-view"]')
    page.wait_js("return document.getElementById('history-views').options.length === 1")


def test_the_figure_follows_the_theme_without_loading(page):
    page.js("window.sameDocument = true; document.activeElement.blur()")

    def colour():
        return next(each["color"] for each in page.js(DRAWN) if each["name"] == "system.cpu_percent")

    page.press("t")
    eventually(lambda: colour() == "#4cc2ff")
    page.press("t")
    eventually(lambda: colour() == "#0072b2")
    assert page.js("return window.sameDocument")


def test_times_are_those_of_the_users_zone(page):
    page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    page.wear()
    try:
        shown = page.show()
        assert "UTC+05:30" in page.text("#history-detail")
        begin = page.js("return document.getElementById('history-from').value")
        utc = page.js("return new Date(Number(arguments[0]) + 330 * 60000).toISOString().slice(0, 16)", shown["from"])
        assert begin[:16] == utc
    finally:
        page.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})
        page.wear()


def test_on_a_narrow_page_nothing_sticks_out_and_fingers_move_in_time(page):
    page.size(400)
    page.show()
    assert page.js("return document.documentElement.scrollWidth") == 400
    first, last = page.spans()
    box = page.js("return document.querySelector('#history-graph .nsewdrag').getBoundingClientRect().toJSON()")
    y = box["top"] + 30
    page.js("scrollTo(0, arguments[0])", y - 300)
    y = page.js("return document.querySelector('#history-graph .nsewdrag').getBoundingClientRect().top") + 30

    def swipe():
        for kind, x in (("touchStart", 150), ("touchMove", 200), ("touchMove", 290), ("touchEnd", None)):
            points = [] if x is None else [{"x": x, "y": y}]
            page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    page.after(swipe)
    begin, end = page.spans()
    assert end - begin == pytest.approx(last - first, abs=1_000)
    assert begin < first - 600_000


@pytest.mark.alone
def test_ten_charts_are_drawn_fast_enough_to_feel_at_once(page):
    names = [
        row["series"]
        for row in page.monitor.ask("/api/v1/history")["series"]
        if row["series"].startswith(("system.", "monitor."))
    ]
    names = list(dict.fromkeys(name.partition("{")[0] for name in names))[:10]
    assert len(names) == 10
    page.show(series=names, range="last 3 h")
    page.js(TIMED)
    took = page.wait_js("return window.took")
    assert math.isfinite(took)
    assert took < 4_000  # bench measures; here only that it is no order of magnitude off
