"""The Settings page: every setting, the data, and the switch of the recording."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.driving import Monitor, Page, eventually
from wfmon.core import settings

SWITCH = "#record-switch"


@pytest.fixture
def here(page, monitor):
    page.open("settings")
    yield page
    monitor.ask("/api/v1/store", "POST", {"recording": True})


def switched(here):
    return here.js(f"return document.querySelector('{SWITCH}').getAttribute('aria-checked')")


def test_every_setting_is_there_with_its_value_and_where_it_comes_from(here):
    names = here.js(
        "return [...document.querySelectorAll('[data-panel^=settings-] th code')].map((e) => e.textContent)"
    )
    assert sorted(names) == sorted(row.name for row in settings.catalogue())
    rows = here.js(
        "return [...document.querySelectorAll('[data-panel^=settings-] tbody tr')].map((tr) =>"
        " [tr.querySelector('code').textContent, tr.querySelector('.origin').textContent, tr.cells[3].textContent])"
    )
    found = {name: (origin, when) for name, origin, when in rows}
    assert found["server.port"] == ("command line", "at the next start")
    origin, when = found["collect.servers.enabled"]
    assert origin in {"quiet.yaml", "changed on a page"}  # another test may have switched it
    assert when == "immediately, on System"
    assert found["log.level"] == ("default", "at the next start")


def test_the_data_say_what_is_kept_where_and_how_it_is_backed_up(here, monitor):
    said = here.js("return document.querySelector('[data-panel=data]').innerText")
    for words in ("Recording", "wfmon.db", "of at most 500 MB", "6 hours", "2 years", " -m wfmon store backup"):
        assert words in said
    assert here.js("return document.querySelectorAll('#settings-data table')[0].tBodies[0].rows.length") == 5
    here.click("#settings-again")
    eventually(lambda: "wfmon.db" in here.text("#settings-data"))
    assert not here.js("return document.getElementById('settings-wrong').checkVisibility()")


def test_recording_is_switched_by_keyboard_and_the_choice_survives_a_reload(here, monitor):
    assert switched(here) == "true"
    here.js(f"document.querySelector('{SWITCH}').focus()")
    here.press(Keys.SPACE)
    eventually(lambda: switched(here) == "false")
    assert here.text("#record-told").startswith("Recording is off")
    assert here.js(f"return document.activeElement === document.querySelector('{SWITCH}')")
    assert monitor.ask("/api/v1/store")["state"] == "off"
    here.load("settings")
    assert switched(here) == "false"
    assert here.text("#record-told").startswith("Recording is off")
    origin = "return [...document.querySelectorAll('tr')].find((tr) => tr.textContent.startsWith('store.enabled'))"
    assert here.js(f"{origin}.querySelector('.origin').dataset.origin") == "settings.json"
    here.click(SWITCH)
    eventually(lambda: switched(here) == "true")
    eventually(lambda: monitor.ask("/api/v1/store")["state"] == "recording")


def test_instants_are_written_in_the_zone_of_the_browser(here):
    told = eventually(
        lambda: (
            here.js(
                "const t = document.querySelector('[data-widget=moment]'); return t && !/UTC/.test(t.textContent)"
                " && [t.textContent, t.dataset.ms]"
            )
            or here.click("#settings-again")
        ),
        wait_s=60,
        pause_s=2,
    )
    assert len(told[0]) == len("2026-11-28 14:02")


def test_the_page_fits_a_narrow_screen(here):
    here.size(400)
    here.load("settings")
    assert here.js("return document.documentElement.scrollWidth") == 400


def test_g_d_leads_to_the_settings(page):
    page.press("g", "d")
    page.wait_js("return document.querySelector('[data-page]').dataset.page === 'settings'")


def test_a_file_that_was_set_aside_is_told_above_the_page(tmp_path, driver):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "wfmon.db").write_text("This is no database. " * 200)
    monitor = Monitor(data)
    here = Page(driver, monitor)
    here.console()
    here.sign_in()
    here.load("settings")
    here.wait_js("return document.getElementById('settings-wrong').checkVisibility()")
    assert "a new one was created" in here.text("#settings-wrong")
    assert here.text("#record-told").startswith("Recording")
    assert here.console() == []
    here.reset()
    assert monitor.stop() == 0


# --- how long is kept, and forgetting


def typed(here, selector, text):
    """Replace what stands in a field, as a person does."""
    field = here.find(selector)
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text)


def focused(here):
    return here.js("return document.activeElement.textContent")


def test_less_is_kept_once_it_was_seen_what_goes_and_back_by_a_button(here, monitor):
    def days():
        rows = monitor.ask("/api/v1/store/retention")["retention"]
        return next(row["value"] for row in rows if row["name"] == "store.keep_10s_days")

    try:
        typed(here, "[id*='keep_10s_days'][id*='keep-value']", "1")
        here.click("#keep-save")
        eventually(lambda: "This deletes nothing now" in here.text("#keep-said"))
        eventually(lambda: focused(here) == "Keep less")
        assert days() == 2
        here.press(Keys.ENTER)
        eventually(lambda: here.text("#keep-said").startswith("Saved and in effect: every 10 seconds."))
        eventually(lambda: focused(here) == "Save")
        assert days() == 1
        assert "changed on a page" in here.text("#keep-rows")
        here.load("settings")
        here.click("[id*='back store.keep_10s_days']")
        eventually(lambda: "Saved and in effect" in here.text("#keep-said"))
        assert days() == 2
        eventually(lambda: "changed on a page" not in here.text("#keep-rows"))
    finally:
        monitor.ask("/api/v1/store/retention", "POST", {"values": {"store.keep_10s_days": None}, "preview": False})


def test_a_value_that_cannot_be_is_told_beside_its_field(here):
    typed(here, "[id*='keep_1min_days'][id*='keep-value']", "0")
    here.click("#keep-save")
    eventually(lambda: "store.keep_1min_days must be from 0.5 to 3,650" in here.text("#keep-said"))
    eventually(lambda: "keep_1min_days" in here.js("return document.activeElement.id"))


def test_a_series_is_looked_at_and_forgotten_and_the_history_shows_none_of_it(here, monitor):
    """One that the machine does not measure on: its collector is switched off."""
    series = "network.loopback_listeners"
    monitor.ask("/api/v1/collectors/network", "POST", {"enabled": False})
    try:
        eventually(lambda: series in monitor.ask("/api/v1/store")["usage"]["series"])
        here.load("settings")
        here.click("[id*='what series']")
        eventually(lambda: here.js("return document.querySelectorAll('#forget-known option').length") > 20)
        typed(here, "#forget-text", series)
        here.click("#forget-look")
        eventually(lambda: "This deletes" in here.text("#forget-said"))
        assert series in here.text("#forget-said")
        eventually(lambda: focused(here) == "Delete")
        assert series in [row["series"] for row in monitor.ask("/api/v1/history")["series"]]
        here.press(Keys.ENTER)
        eventually(lambda: here.text("#forget-said").startswith("Deleted:"))
        eventually(lambda: focused(here) == "Preview")
        eventually(lambda: series not in [row["series"] for row in monitor.ask("/api/v1/history")["series"]])
        here.click("#forget-look")
        eventually(lambda: f"has no series {series}" in here.text("#forget-said"))
    finally:
        monitor.ask("/api/v1/collectors/network", "POST", {"enabled": True})


def test_everything_is_forgotten_by_the_third_press_alone(here, monitor):
    begun_ms = here.js("return Date.now()")
    here.click("[id*='what all']")
    eventually(lambda: "The whole history" in here.text("#forget-form"))
    here.click("#forget-look")
    eventually(lambda: focused(here) == "Delete everything")
    here.press(Keys.ENTER)
    eventually(lambda: focused(here) == "Yes, delete everything")
    assert monitor.ask("/api/v1/store/forget")["state"] != "waiting"
    assert "This cannot be undone." in here.text("#forget-said")
    here.press(Keys.ENTER)
    eventually(lambda: here.text("#forget-said").startswith("Deleted:"))
    assert monitor.ask("/api/v1/store/forget")["state"] == "done"
    eventually(lambda: (monitor.ask("/api/v1/store")["from_ms"] or 0) >= begun_ms // 1_000 * 1_000)
    old = f"/api/v1/annotations?from=0&to={begun_ms}"
    assert monitor.ask(old)["annotations"] == []
