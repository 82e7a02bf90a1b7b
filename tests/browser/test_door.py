"""Who gets in, and that nothing gets out."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.driving import CHARTLESS, PAGES, Page, chromium, eventually

OUTSIDE = "https://elsewhere.example"
INSIDE_THE_BROWSER = {"data", "blob", "about", "chrome", "devtools"}
VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation", (e) => violations.push([e.effectiveDirective, e.blockedURI]));
"""


@pytest.fixture
def watched(monitor):
    """A browser of its own, whose every request is written down."""
    driver = chromium(log={"performance": "ALL"})
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": VIOLATIONS})
    yield Page(driver, monitor)
    driver.quit()


def asked_for(driver):
    """Give the address of everything that the browser has asked for."""
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]
        elif message["method"] in ("Network.webSocketCreated", "Network.eventSourceMessageReceived"):
            yield message["params"].get("url", "")


def test_no_page_asks_any_other_host_for_anything_and_none_is_held_back_by_the_policy(watched, monitor):
    watched.sign_in()
    violations = []
    for name in PAGES:
        if name in ("overview", "history"):  # its document, and all that it loads
            watched.load(name)
        else:
            watched.go(name)
        if name not in CHARTLESS:
            eventually(watched.pictures)
        watched.press("t", "?", Keys.ESCAPE)
        violations += watched.js("return violations")
    asked = [urlsplit(url) for url in asked_for(watched.driver) if url]
    assert {url.netloc for url in asked if url.scheme not in INSIDE_THE_BROWSER} == {monitor.at.netloc}
    assert {"/ws", "/assets/live.mjs", "/assets/lib/series/store.mjs"} <= {url.path for url in asked}
    assert violations == []
    assert watched.console() == []
    # The watch itself works, and the policy holds a script that would.
    assert watched.promise(f"return fetch('{OUTSIDE}').then(() => 'out', () => 'held')") == "held"
    assert watched.wait_js("return violations.length && violations") == [["connect-src", f"{OUTSIDE}/"]]


def test_a_browser_that_is_not_signed_in_is_told_what_to_do_and_the_terminals_code_lets_it_in(page, driver, monitor):
    page.allowed = [r"status of 401"]
    driver.delete_all_cookies()
    driver.get(monitor.origin)
    assert "not signed in" in page.text("h1")
    assert "make run ARGS=--open" in page.text("main")
    assert page.js("return !window.wfmon && !document.querySelector('meta[name=wfmon-token]')")
    page.find("#code").send_keys("ABCD-EFGH-JKMN")
    page.click("button")
    eventually(lambda: "wrong or has expired" in page.text(".why"))
    page.find("#code").send_keys(monitor.code().lower())
    page.click("button")
    eventually(lambda: page.js("return location.pathname") == "/" and page.js("return !!window.wfmon"))
    page.live()
    (cookie,) = [cookie for cookie in driver.get_cookies() if str(monitor.port) in cookie["name"]]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert "code" not in driver.current_url


def test_a_page_whose_session_has_ended_says_so_and_how_to_get_in(page, driver):
    page.allowed = [r"status of 401", r"WebSocket connection to .*/ws' failed: HTTP Authentication failed"]
    with page.sockets_in_hand():
        page.load()
    cookies = driver.get_cookies()
    driver.delete_all_cookies()
    try:
        page.js("probe.sockets.at(-1).close()")
        eventually(lambda: page.status("transport") == "session ended")
        assert "make run ARGS=--open" in page.text("[data-banner]")
    finally:
        for cookie in cookies:
            driver.add_cookie(cookie)
    page.js("dispatchEvent(new Event('online'))")
    eventually(lambda: page.debug["phase"] == "live")
