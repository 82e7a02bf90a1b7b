"""Everything by keyboard: pages, windows, freezing, reading charts, arranging panels."""

from __future__ import annotations

from selenium.webdriver.common.keys import Keys

from tests.browser.driving import eventually

ORDER = "return [...document.querySelectorAll('[data-panel]')].filter((p) => !p.hidden).map((p) => p.dataset.panel)"
FOCUSABLE = """
window.within = [...document.querySelectorAll("a[href], button, input, [tabindex]")]
  .filter((e) => e.tabIndex >= 0 && e.checkVisibility({ visibilityProperty: true }));
window.reached = [];
if (!window.watchedFocus) document.addEventListener("focusin", ({ target }) => {
  const { outlineStyle, outlineWidth } = getComputedStyle(target);
  reached.push([within.indexOf(target), outlineStyle !== "none" && parseFloat(outlineWidth) > 0]);
});
window.watchedFocus = true;
return within.map((e) => e.getAttribute("aria-label") || e.textContent.trim() || e.className);
"""
ARRANGING = "return document.documentElement.hasAttribute('data-arranging')"


def still(page):
    """Freeze once every chart has its lines, and wait until the picture stands."""
    page.wait_js("return wfmon.store.tracks.get('ux.frame_time_ms{page=\"overview\"}')?.size > 0")
    page.press(" ")
    page.wait_js("return wfmon.debug().frozen")
    eventually(lambda: page.pictures() == page.pictures())
    return page.pictures()


def test_tab_reaches_everything_in_the_order_of_the_page_and_shows_where_it_is(page, values):
    def walked():
        """From the first to the last; None when something came or went meanwhile (the stage's face, a moment late)."""
        page.js("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
        names = page.js(FOCUSABLE)
        page.press(*[Keys.TAB] * len(names))
        reached = page.js("return reached")
        return (names, reached) if [i for i, _ in reached] == list(range(len(names))) else None

    eventually(walked)
    names, reached = eventually(walked)  # from the first again, wherever a walk has ended
    assert len(names) > 25
    assert all(names)
    assert [names[i] for i, ringed in reached if not ringed] == []


def test_the_skip_link_leads_past_the_frame(page):
    page.load()  # where Tab begins is a matter of the document
    page.js("document.activeElement.blur()")
    page.press(Keys.TAB, Keys.ENTER)
    page.wait_js("return document.activeElement.id === 'main'")


def test_1_2_and_3_choose_the_window_and_it_is_kept(page):
    for key, seconds in (("3", 300), ("2", 60)):
        page.press(key)
        page.wait_js("return wfmon.debug().window === arguments[0]", seconds)
        pressed = (
            "return [...document.querySelectorAll('[data-window][aria-pressed=true]')].map((b) => b.dataset.window)"
        )
        assert page.js(pressed) == [str(seconds)]
    page.load()
    assert page.debug["window"] == 60
    page.press("1")
    page.wait_js("return wfmon.debug().window === 30")


def test_space_holds_the_picture_while_samples_come_in_and_lets_it_go_on(page, values):
    before = still(page)
    seq, samples = page.debug["seq"], page.debug["counters"]["samples"]
    page.wait_js("return wfmon.debug().seq > arguments[0] + 60", seq)
    assert page.debug["counters"]["samples"] > samples
    after = page.pictures()  # a panel that was absent may have come since
    kept = before.keys() & after.keys()
    assert len(kept) > 2
    assert [label for label in kept if after[label] != before[label]] == []
    eventually(lambda: (page.status("time") or "").startswith("frozen"))
    assert page.js("return document.querySelector('[data-freeze]').getAttribute('aria-pressed')") == "true"
    page.press(" ")
    page.wait_js("return !wfmon.debug().frozen")
    eventually(lambda: all(picture != before.get(label) for label, picture in page.pictures().items()))
    assert page.debug["gaps"] == 0


def test_arrows_on_one_chart_move_the_cursor_on_all_and_escape_takes_it_away(page, values):
    page.wait_js("return wfmon.store.tracks.get('system.cpu_percent').size > 20")
    still(page)
    page.js("document.querySelector('[data-panel=memory] canvas').focus({ preventScroll: true })")
    seen = [page.pictures()]
    for key in (Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.HOME, Keys.ESCAPE):
        page.press(key)
        eventually(lambda: all(picture != seen[-1].get(label) for label, picture in page.pictures().items()))
        seen.append(page.pictures())
        if key == Keys.HOME:
            said = (
                "return [...document.querySelectorAll('[aria-live]')].some((r) => /\\d %|no data/.test(r.textContent))"
            )
            page.wait_js(said)
    page.press(Keys.ESCAPE)  # there is no cursor any more
    page.wait_js("return wfmon.debug().draws > arguments[0] + 3", page.debug["draws"])
    assert page.pictures() == seen[-1]


def test_t_on_a_chart_shows_its_table_and_the_chart_again(page, values):
    page.js("document.querySelector('[data-panel=memory] canvas').focus()")
    page.press("t")
    page.wait_js("return document.querySelectorAll('[data-panel=memory] .chart-table tbody tr').length > 0")
    assert not page.find("[data-panel=memory] canvas").is_displayed()
    assert page.js("return document.documentElement.dataset.theme") == ""
    page.press("t")
    eventually(lambda: page.find("[data-panel=memory] canvas").is_displayed())
    assert not page.find("[data-panel=memory] .chart-table").is_displayed()
    assert page.js("return document.activeElement === document.querySelector('[data-panel=memory] canvas')")


def test_the_question_mark_lists_every_key_and_escape_closes_the_list(page):
    page.press("?")
    page.wait_js("return document.getElementById('shortcuts').open")
    assert page.js("return document.querySelectorAll('#shortcuts dt').length") >= 11
    page.press("a", "3")  # what is under the dialog does not hear
    assert not page.js(ARRANGING)
    assert page.debug["window"] == 30
    page.press(Keys.ESCAPE)
    page.wait_js("return !document.getElementById('shortcuts').open")


def test_a_hidden_panel_stays_away_and_comes_back(page, values):
    first = page.js(ORDER)
    page.click("[data-panel=memory] .more")
    page.wait_js("return document.getElementById('panel-menu').matches(':popover-open')")
    page.click("#panel-menu [data-do=hide]")
    assert page.js(ORDER) == [key for key in first if key != "memory"]
    page.load()
    assert page.js(ORDER) == [key for key in first if key != "memory"]
    page.press("a")
    page.wait_js(ARRANGING)
    page.click("[data-show=memory]")
    assert page.js(ORDER) == first
    page.press(Keys.ESCAPE)
    eventually(lambda: "blank" not in page.pictures().get("Memory in use, as a share of the total", "blank"))
