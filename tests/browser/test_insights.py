"""The Insights page over a past of two weeks, and over none."""

from __future__ import annotations

import random
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.driving import Monitor, Page, eventually
from tests.kit.recorded_store import RecordedStore
from wfmon.core.clock import FakeClock
from wfmon.core.types import Cause, Request

DAY, HOUR = 86_400, 3_600
TEXTS = "return [...document.querySelectorAll('.findings li')].map((each) => each.textContent)"


def lived(folder):
    """Write two weeks that end now; since nine days in, first tokens take 38 % longer and more is swapped."""
    start_s = (int(time.time()) // DAY - 14) * DAY
    recorded = RecordedStore(folder, "system.cpu_percent", "system.swap_used_bytes", clock=FakeClock(start_s * 1000))
    dice = random.Random(3)
    for hour in range((int(time.time()) - start_s) // HOUR):
        late = hour >= 9 * 24
        recorded.sample("system.cpu_percent", 20 + dice.random())
        recorded.sample("system.swap_used_bytes", (5e8 if late else 1e8) * dice.uniform(1, 1.1))
        for number in range(3):
            ttft = 210 * dice.gauss(1, 0.1) * (1.38 if late else 1) * (6 if number == 0 and hour % 24 == 3 else 1)
            recorded.writer.request(Request(
                id=f"{hour}-{number}", model="<b>llama3</b>", server="127.0.0.1:11434", via="proxy", status="ok",
                started_ms=recorded.now_s * 1000 + number, output_tokens=50, ttft_ms=ttft, slow=ttft > 1_000,
                causes=(Cause("queue", "", 700.0),) if ttft > 1_000 else (),
            ))  # fmt: skip
        recorded.clock.advance(HOUR)
        recorded.writer.tick()
    recorded.writer.finish()


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    data = tmp_path_factory.mktemp("insights") / "data"
    data.mkdir(mode=0o700)
    lived(data)
    made = Monitor(data)
    yield made
    assert made.stop() == 0, made.output.read_text()


@pytest.fixture(scope="module")
def here(driver, old):
    page = Page(driver, old)
    page.sign_in()
    yield page
    assert page.console() == []
    page.leave()


def test_findings_are_plain_sentences_with_their_figures_and_the_chart_they_came_from(here):
    here.open("insights")
    texts = eventually(lambda: here.js(TEXTS))
    [one] = [text for text in texts if "Time to first token of <b>llama3</b> rose" in text]
    assert "together with swap use" in one
    assert "% confidence" in one
    href = here.js(
        "return [...document.querySelectorAll('.findings li')].find((e) => e.textContent.includes('rose'))"
        ".querySelector('a').getAttribute('href')"
    )
    address = urlsplit(href)
    assert address.path == "/history"
    assert 'model.ttft_ms{model="<b>llama3</b>",server="127.0.0.1:11434"}' in parse_qs(address.query)["series"]
    here.js("document.querySelector('.findings a').click()")
    eventually(lambda: here.js("return location.pathname") == "/history")


def test_the_week_health_budgets_and_causes_stand_beside_them(here):
    here.open("insights")
    eventually(lambda: here.js(TEXTS))
    eventually(lambda: here.js("return document.querySelectorAll('.week tbody tr').length") == 7)
    assert here.js("return document.querySelectorAll('.week .cell.unknown').length") > 0 or time.gmtime().tm_hour == 23
    score = int(here.text("#insights-health .figure"))
    assert 50 < score < 100
    assert "waited in the queue" in here.text("#insights-causes")
    assert "700 ms each" in here.text("#insights-causes")
    assert "First tokens of <b>llama3</b>" in here.text("#insights-budgets")


def test_other_days_are_a_press_away(here):
    here.open("insights")
    eventually(lambda: here.js(TEXTS))
    here.js("[...document.querySelectorAll('.insights-head .segments button')].at(-1).click()")
    eventually(
        lambda: (
            "Not enough data to compare" in here.text("#insights-findings")
            or "stands out" in here.text("#insights-findings")
        )
    )
    pressed = (
        "return [...document.querySelectorAll('.insights-head .segments button')]"
        ".map((b) => b.getAttribute('aria-pressed'))"
    )
    assert here.js(pressed) == ["false", "false", "true"]
