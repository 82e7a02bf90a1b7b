"""What the page shows, and how often it touches it."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.browser.driving import PAGES, eventually

pytestmark = pytest.mark.alone
NUMBER = re.compile(r"\d+(\.\d+)?")
LUMINANCE = """
const [r, g, b] = getComputedStyle(document.documentElement).backgroundColor.match(/[\\d.]+/g).map(Number);
return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
"""
BESIDE = """
return [...document.querySelectorAll("[data-panel]")].filter((p) => p.checkVisibility()).filter((p) => {
  const { left, right } = p.getBoundingClientRect();
  return left < 0 || right > 400;
}).map((p) => p.dataset.panel);
"""
NAVIGATION = """
const links = [...document.querySelectorAll(".pages [data-nav]")].filter((a) => a.checkVisibility());
return [document.querySelector(".side"), ...links].map((e) => {
  const { left, top, right, bottom } = e.getBoundingClientRect();
  return [left, top, right, bottom];
});
"""
WRITTEN = """
const times = new Map();
const seen = new MutationObserver((records) => {
  const texts = records.map(({ target }) => (target.nodeType === 3 ? target.parentElement : target));
  for (const text of new Set(texts.map((e) => e?.closest("[data-value], [data-status], td")))) {
    if (text) times.set(text, [...(times.get(text) ?? []), performance.now()]);
  }
});
seen.observe(document.body, { subtree: true, characterData: true, childList: true });
await new Promise((resolve) => setTimeout(resolve, 1500));
seen.disconnect();
return [...times].map(([e, t]) => [e.dataset.value ?? e.dataset.status ?? e.dataset.col, t]);
"""


def test_the_first_page_is_drawn_and_its_figures_are_numbers(page, values):
    assert page.driver.title == "Overview · wfmon"
    eventually(lambda: page.pictures() and not any("blank" in picture for picture in page.pictures().values()))
    for name in ("system.cpu_percent", "system.memory_used_bytes", "monitor.rss_bytes"):
        page.wait_js("return /^\\d/.test(document.querySelector(`[data-value='${arguments[0]}']`).textContent)", name)
    page.wait_js("return /% of a core, \\d+ MB/.test(document.querySelector('[data-status=cost]').textContent)")
    eventually(lambda: page.status("locality") == "Local only ✓")
    assert page.status("transport") == "WebSocket"
    assert page.js("return document.documentElement.dataset.stream") == "live"


def test_every_chart_says_in_words_what_it_shows(page, values):
    label = page.wait_js(
        "const text = document.querySelector('[data-panel=memory] canvas').getAttribute('aria-label');"
        "return /now/.test(text) && text"
    )
    assert re.search(
        r"^Memory in use, as a share of the total: now [\d.]+ %, between [\d.]+ % and [\d.]+ %; last 30 seconds", label
    )


def test_values_move_and_so_do_the_charts(page, values):
    before, seq = page.pictures(), page.debug["seq"]
    seen = set()
    eventually(lambda: len(seen.add(page.text("[data-value='system.cpu_percent']")) or seen) > 2)
    assert page.debug["seq"] > seq
    eventually(lambda: all(picture != before[label] for label, picture in page.pictures().items() if label in before))


def test_no_figure_is_written_more_often_than_four_times_a_second(page, values):
    for key, name in ("s", "system"), ("e", "experience"), ("n", "network"), ("o", "overview"):
        page.press("g", key)
        page.live(name)
        written = page.promise(WRITTEN)
        assert len(written) > 3
        for what, times in written:
            assert all(later - before > 200 for before, later in itertools.pairwise(times)), (what, times)


def test_who_wants_no_motion_gets_a_picture_a_second_and_still_every_sample(page, values):
    page.prefers(reduced_motion="reduce")
    page.load()
    eventually(lambda: [client["rate_hz"] for client in page.monitor.clients()] == [10])
    assert page.debug["rate"] == 10
    before, after = page.promise(
        "const a = wfmon.debug(); await new Promise((r) => setTimeout(r, 3000)); return [a, wfmon.debug()];"
    )
    assert 1 <= after["draws"] - before["draws"] <= 4
    assert after["seq"] > before["seq"]
    moving = "return document.getAnimations().filter((a) => a.playState === 'running').length"
    page.wait_js(f"{moving} === 0")
    page.prefers(reduced_motion="no-preference")
    page.wait_js("return wfmon.debug().rate === 60")
    draws = page.debug["draws"]
    page.wait_js("return wfmon.debug().draws > arguments[0] + 10", draws, wait_s=5)


def test_the_look_follows_the_system_until_a_person_chooses(page, values):
    page.prefers(color_scheme="light")
    page.wait_js(LUMINANCE.replace("return", "return 0.6 <"))
    page.prefers(color_scheme="dark")
    page.wait_js(LUMINANCE.replace("return", "return 0.1 >"))
    page.press(" ")
    page.wait_js("return wfmon.debug().frozen")
    eventually(lambda: page.pictures() == page.pictures())
    dark = page.pictures()
    page.press("t", "t")  # as the system -> dark -> light
    page.wait_js(LUMINANCE.replace("return", "return 0.6 <"))
    eventually(lambda: all(picture != dark[label] for label, picture in page.pictures().items()))
    page.load()
    assert page.js("return document.documentElement.dataset.theme") == "light"
    assert page.js(LUMINANCE) > 0.6
    server = page.promise("return (await fetch('/')).text()")
    assert '<html lang="en" data-theme="light"' in server


def test_at_400_pixels_the_pages_are_at_the_thumb_and_nothing_lies_beside_the_screen(page):
    page.size(400)
    for name in ("system", "network", "experience", "overview"):
        page.click(f".pages [data-nav={name}]")
        page.live(name)
        assert page.js("return [innerWidth, document.documentElement.scrollWidth]") == [400, 400]
        assert page.js(BESIDE) == []
    (left, top, right, bottom), *links = page.js(NAVIGATION)
    assert (left, right, bottom) == (0, 400, 800)
    assert top > 700
    assert len(links) == len(PAGES)
    assert all(right - left >= 44 and bottom - top >= 40 for left, top, right, bottom in links)


def test_a_machine_without_a_graphics_card_is_told_why_there_is_nothing_to_show(page, monitor, values):
    gpu = next(row for row in monitor.ask("/api/v1/health")["collectors"] if row["name"] == "gpu")
    if gpu["state"] == "running":
        pytest.skip("this machine has one")
    page.wait_js("return document.querySelector('[data-panel=gpu]').hasAttribute('data-absent')")
    assert page.text("[data-panel=gpu] .absent") == gpu["reason"]
    assert len(gpu["reason"]) > 20
    assert not page.find("[data-panel=gpu] canvas").is_displayed()
    assert page.find("[data-panel=gpu] .absent").is_displayed()
    eventually(lambda: re.fullmatch(r"updated \d+ s ago", page.text("[data-panel=gpu] .looked")))
