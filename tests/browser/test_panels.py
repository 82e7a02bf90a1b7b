"""The frame and the panels, with the keyboard: what is decided in assets/lib, seen to happen."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.browser.driving import PAGES

SHOWN = "return [...document.querySelectorAll('[data-panel]:not([hidden])')].map((each) => each.dataset.panel)"
LOOK = "return [document.documentElement.dataset.theme, document.documentElement.dataset.side]"
GROUND = "return getComputedStyle(document.documentElement).backgroundColor"
TOO_SMALL = """
return [...document.querySelectorAll('.bar button, .side a, .panel .more, .switch, .legend .key')]
  .filter((each) => each.offsetParent)
  .map((each) => [each, each.getBoundingClientRect(), getComputedStyle(each, '::after')])
  .filter(([, box, after]) => Math.max(box.height, parseFloat(after.height) || 0) < arguments[0])
  .map(([each]) => each.outerHTML.slice(0, 80));
"""


def test_g_and_a_letter_go_to_a_page_without_loading_it_anew(page):
    page.js("window.sameDocument = true")
    page.press("g", "s")
    page.wait_js("return document.querySelector('[data-page]').dataset.page === 'system'")
    page.wait_js("return document.title === 'System · wfmon'")
    assert page.js("return window.sameDocument")
    assert page.js("return document.querySelector('.pages [aria-current]').title") == "System"
    assert page.js("return document.activeElement.id") == "main"
    page.driver.back()
    page.wait_js("return document.querySelector('[data-page]').dataset.page === 'overview'")
    assert page.js("return document.querySelector('.pages [aria-current]').title") == "Overview"


def test_every_chart_has_one_canvas_after_going_through_all_pages(page):
    for letter, name in (("n", "network"), ("e", "experience"), ("o", "overview"), ("s", "system"), ("o", "overview")):
        page.press("g", letter)
        page.wait_js(f"return document.querySelector('[data-page]').dataset.page === '{name}'")
        page.wait_js(
            "return document.querySelectorAll('.chart canvas').length === document.querySelectorAll('.chart').length"
        )
        page.wait_js("return wfmon.debug().charts === document.querySelectorAll('.chart').length")
        assert page.js(
            "return [...document.querySelectorAll('.chart')].every((c) => c.querySelectorAll('canvas').length === 1)"
        )


def test_the_list_of_shortcuts_opens_takes_the_focus_and_gives_it_back(page):
    page.find("[data-shortcuts]").send_keys(Keys.ENTER)
    page.wait_js("return document.getElementById('shortcuts').open")
    assert page.js("return document.getElementById('shortcuts').contains(document.activeElement)")
    page.press("g", "s")
    assert page.js("return location.pathname") == "/"
    page.press(Keys.ESCAPE)
    page.wait_js("return !document.getElementById('shortcuts').open")
    assert page.js("return document.activeElement.hasAttribute('data-shortcuts')")


def test_a_panel_moves_by_the_keyboard_and_stays_there(page):
    before = page.js(SHOWN)
    page.press("a")
    page.wait_js("return document.activeElement.dataset.panel === 'energy'")
    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    moved = [before[1], before[2], before[0], *before[3:]]
    assert page.js(SHOWN) == moved
    assert page.js("return document.activeElement.dataset.panel") == "energy"
    assert page.text("#announcer") == f"Energy: place 3 of {len(before)}"
    page.press(Keys.ESCAPE)
    assert not page.js("return document.documentElement.hasAttribute('data-arranging')")
    page.load()
    assert page.js(SHOWN) == moved
    page.press("a")
    page.find("[data-arrange-reset]").click()
    assert page.js(SHOWN) == before


def test_a_hidden_panel_is_gone_until_it_is_brought_back(page):
    before = page.js(SHOWN)
    page.press("a")
    page.press(Keys.DELETE)
    assert page.js(SHOWN) == before[1:]
    page.load()
    assert page.js(SHOWN) == before[1:]
    page.press("a")
    page.find("[data-show=energy]").click()
    assert page.js(SHOWN) == before
    assert page.js("return document.activeElement.dataset.panel") == "energy"


def test_a_panel_that_is_dragged_onto_another_takes_its_place(page):
    before = page.js(SHOWN)
    page.press("a")
    grip, place = page.find("[data-panel=memory] h2"), page.find("[data-panel=frames] h2")
    ActionChains(page.driver).drag_and_drop(grip, place).perform()
    assert before[:5] == ["energy", "cpu", "memory", "gpu", "frames"]
    assert page.js(SHOWN) == ["energy", "cpu", "gpu", "frames", "memory", *before[5:]]


def test_an_address_without_a_page_says_so_and_keeps_the_frame(page):
    page.driver.get(page.monitor.origin + "/nonsense?a=1")
    page.wait_js("return !!document.querySelector('main h1')")
    assert page.text("main h1") == "No page at this address"
    assert page.js("return document.querySelectorAll('.pages a').length") == len(PAGES)
    page.js("window.wfmon.debug({ reset: true })")
    page.wait_js("return window.wfmon.debug().intervals.length > 150")  # more than two seconds: it would have reported
    assert "ux_no_such_page" not in page.monitor.ask("/api/v1/health")["dropped"]
    assert not [row for row in page.monitor.ask("/api/v1/series")["series"] if row["labels"].get("page") == "nonsense"]


def test_the_menu_of_a_panel_works_without_a_mouse(page):
    page.js("document.querySelector('[data-panel=memory] .more').focus()")
    page.press(Keys.ENTER)
    page.wait_js("return document.getElementById('panel-menu').matches(':popover-open')")
    assert page.js("return document.activeElement.textContent") == "Show as a table"
    page.press(Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ARROW_UP)
    assert page.js("return document.activeElement.textContent") == "Hide this panel"
    page.press(Keys.ESCAPE)
    page.wait_js("return !document.getElementById('panel-menu').matches(':popover-open')")
    assert page.js("return document.activeElement.matches('[data-panel=memory] .more')")
    page.press(Keys.ENTER, Keys.ENTER)
    page.wait_js("return !!document.querySelector('[data-panel=memory] .chart-table:not([hidden]) tbody tr')")


def test_theme_and_sidebar_are_as_they_were_left(page):
    page.press("t", "b")
    assert page.js(LOOK) == ["dark", "folded"]
    page.load("network")
    assert page.js(LOOK) == ["dark", "folded"]
    assert page.js(GROUND) == "rgb(10, 13, 17)"
    page.press("t")
    assert page.js(GROUND) == "rgb(245, 247, 249)"


def test_a_collector_is_switched_off_and_on_by_the_space_bar(page):
    page.open("system")
    row, switch = "[data-collector-row=network]", "[data-switch=network]"
    page.find(switch).send_keys(Keys.SPACE)
    page.wait_js(f"return document.querySelector('{row}').dataset.state === 'off'")
    assert page.find(switch).get_attribute("aria-checked") == "false"
    page.wait_js("return document.querySelector('[data-status=locality]').dataset.ok === 'unknown'")
    page.find(switch).send_keys(Keys.SPACE)
    page.wait_js(f"return document.querySelector('{row}').dataset.state === 'running'")
    assert page.find(switch).get_attribute("aria-checked") == "true"


@pytest.mark.parametrize(("width", "touch"), [(1280, 32), (400, 43)])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_sticks_out_and_everything_can_be_touched(page, name, width, touch):
    page.size(width)
    page.open(name)
    page.wait_js("return [...document.querySelectorAll('.legend')].every((each) => each.childElementCount)")
    assert page.js("return document.documentElement.scrollWidth") == width
    assert page.js(TOO_SMALL, touch) == []
