"""The Requests page, over a past that was written before the monitor started: names are as bad as names can be."""

from __future__ import annotations

import csv
import sqlite3
import time
from contextlib import closing

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.driving import Monitor, Page, eventually
from tests.browser.test_models import Teller
from tests.kit.recorded_store import RecordedStore
from wfmon.core.clock import FakeClock
from wfmon.core.types import Cause, Request

NASTY = "=cmd|' /C calc'!A0 <img src=x onerror=boom()>, \"a name\""
MODELS = ("llama3.2:3b", "qwen2.5:7b", NASTY)
COUNT = 40
MINUTE_MS = 60_000


def requests_of(now_ms):
    """Requests of the last 40 minutes, one a minute, each tenth of them slow; and one of another day."""
    for i in range(COUNT):
        slow = i % 10 == 9
        load = 2_000.0 if slow else None
        ttft = 100.0 + 10 * i + (load or 0)
        yield Request(
            id=f"past-{i:02d}", model=MODELS[i % 3], server="127.0.0.1:11434", via="proxy",
            started_ms=now_ms - (i + 1) * MINUTE_MS, status="error" if i == 5 else "ok",
            ended_ms=now_ms - (i + 1) * MINUTE_MS + 3_000, prompt_tokens=100 * (i + 1), output_tokens=20 + i,
            queue_ms=100.0 if slow else None, load_ms=load, prompt_ms=50.0, ttft_ms=ttft, duration_ms=ttft + 1_000,
            tokens_per_second=20.0 + i, entropy_bits=None if i % 3 == 1 else 0.05 * i, entropy_k=20, energy=0.5,
            stalls=((ttft + 100, 500.0),) if slow else (), reason="stop", slow=slow,
            causes=(Cause("load", "cold load 2.0 s", 2_000.0),) if slow else (),
        )  # fmt: skip
    yield Request(
        id="past-old", model=MODELS[0], server="127.0.0.1:11434", via="hook", started_ms=now_ms - 3 * 86_400_000,
        status="ok", ended_ms=now_ms - 3 * 86_400_000 + 1_000, output_tokens=5, slow=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """A monitor whose history knows requests of before."""
    data = tmp_path_factory.mktemp("past") / "data"
    data.mkdir(mode=0o700)
    now_ms = int(time.time() * 1_000)
    recorded = RecordedStore(data, "system.cpu_percent", clock=FakeClock(now_ms - 20_000))
    for each in requests_of(now_ms):
        recorded.writer.request(each)
    recorded.run(10, **{"system.cpu_percent": 20})
    recorded.writer.finish()
    monitor = Monitor(data)
    yield monitor
    assert monitor.stop() == 0, monitor.output.read_text()
    assert "Traceback" not in monitor.output.read_text()


@pytest.fixture(scope="module")
def signed_in(past, driver):
    Page(driver, past).sign_in()


@pytest.fixture
def here(past, driver, signed_in):
    """The Requests page of that monitor, with its rows."""
    here = Page(driver, past)
    here.console()
    open_requests(here)
    eventually(lambda: shown(here) == COUNT)
    yield here
    assert here.end() == []


def open_requests(here):
    here.load("requests")
    here.wait_js("return document.querySelector('#requests-host')?.dataset.state")
    here.wait_js("return !!window.dash_ag_grid.getApi('requests-grid')?.getAllGridColumns()?.length")


API = "window.dash_ag_grid.getApi('requests-grid')"


def shown(here):
    return here.js(f"return {API}.getDisplayedRowCount()")


def cells(here, column):
    """What the visible cells of a column show, from the top."""
    return here.js(
        "return [...document.querySelectorAll('.ag-center-cols-container .ag-row')]"
        ".sort((a, b) => a.rowIndex - b.rowIndex || a.getAttribute('row-index') - b.getAttribute('row-index'))"
        ".map((row) => row.querySelector(`[col-id=${arguments[0]}]`).textContent)",
        column,
    )


def header(here, column):
    return here.find(f".ag-header-cell[col-id={column}]")


def columns(here):
    return here.js(f"return {API}.getAllDisplayedColumns().map((column) => column.getColId())")


def numbers(texts):
    return [float(text.replace(",", "")) for text in texts]


def test_the_newest_stand_first_and_a_click_on_a_title_sorts_by_its_figures(here):
    eventually(lambda: cells(here, "ttft_ms")[:3] == ["100", "110", "120"])
    assert cells(here, "why")[:2] == ["–", "–"]
    header(here, "ttft_ms").click()
    eventually(lambda: cells(here, "ttft_ms")[:2] == ["2,490", "2,390"])  # as figures, not as texts
    assert cells(here, "why")[0] == "cold load 2.0 s"
    header(here, "ttft_ms").click()
    eventually(lambda: cells(here, "ttft_ms")[:2] == ["100", "110"])
    open_requests(here)
    eventually(lambda: cells(here, "ttft_ms")[:2] == ["100", "110"])
    eventually(lambda: header(here, "ttft_ms").get_attribute("aria-sort") == "ascending")


def test_names_of_models_are_text(here):
    eventually(lambda: NASTY in cells(here, "model"))
    here.wait_js("return document.querySelectorAll('.spread svg').length === 3")
    assert here.js("return document.querySelectorAll('main img').length") == 0
    keys = "return [...document.querySelectorAll('.spread .keys li')].map((li) => li.title)"
    choices = "return [...document.querySelectorAll('[data-model-choice] option')].map((each) => each.value)"
    eventually(lambda: NASTY in here.js(keys) and NASTY in here.js(choices))


def test_a_filter_leaves_rows_out_says_so_is_kept_and_goes_away(here):
    title = header(here, "model")
    here.js("arguments[0].querySelector('.ag-header-cell-filter-button').click()", title)
    here.wait_js("return document.querySelector('.ag-filter input')?.checkVisibility()")
    here.find(".ag-filter input.ag-text-field-input, .ag-filter input[type=text]").send_keys("qwen")
    eventually(lambda: shown(here) == 13)
    eventually(lambda: "13 match the filters" in here.text("[data-filtered]"))
    eventually(lambda: set(cells(here, "model")) == {"qwen2.5:7b"})
    open_requests(here)
    eventually(lambda: shown(here) == 13)
    here.wait_js("return document.querySelector('[data-requests-do=clear]').checkVisibility()")
    here.click("[data-requests-do=clear]")
    eventually(lambda: shown(here) == COUNT)


def test_the_columns_that_were_chosen_are_kept_over_a_reload_and_can_be_as_at_first(here):
    first = columns(here)
    assert "server" in first
    assert "joules" not in first
    here.click("[data-requests-do=columns]")
    here.wait_js("return document.getElementById('requests-columns').matches(':popover-open')")
    for name in ("server", "joules"):
        here.click(f"#requests-columns [data-column={name}]")
    eventually(lambda: "joules" in columns(here) and "server" not in columns(here))
    chosen = columns(here)
    kept = "localStorage['_dash_persistence.requests-grid.columnState.true']"  # written half a second after a change
    here.wait_js(f"return JSON.parse({kept})[0].some(({{ colId, hide }}) => colId === 'joules' && !hide)")
    open_requests(here)
    eventually(lambda: columns(here) == chosen)
    here.click("[data-requests-do=columns]")
    here.click("#requests-columns [data-requests-do=reset]")
    eventually(lambda: columns(here) == first)


def test_a_row_opens_its_timeline_by_keyboard_and_says_that_its_tokens_are_gone(here):
    row = ".ag-center-cols-container .ag-row[row-id=past-09] [col-id=started_ms]"
    here.js(f"document.querySelector('{row}').scrollIntoView({{ block: 'center' }})")
    here.js(f"{API}.setFocusedCell(9, 'started_ms')")
    here.press(Keys.ENTER)
    here.wait_js("return !!document.querySelector('#request[open] .timeline')")
    assert here.text("#request-title").startswith(f"{MODELS[0]}, 20")
    widths = dict(
        here.js(
            "return [...document.querySelectorAll('.bar-of i')].map((i) => [i.className, parseFloat(i.style.width)])"
        )
    )
    assert widths["load"] / widths["queue"] == pytest.approx(20, rel=0.01)
    assert here.text("#request .why").startswith("Why was it slow?cold load 2.0 s")
    assert "only in the monitor's memory" in here.text("#request .said")
    assert here.js("return document.querySelector('#request canvas').hidden")
    assert here.js("return document.querySelectorAll('.bar-of .stall').length") == 1
    figures = here.js("return document.querySelector('.request-figures').innerText").replace("\n", " ")
    assert "1,000 tokens" in figures
    here.press(Keys.ESCAPE)
    here.wait_js("return !document.getElementById('request').open")
    here.wait_js("return document.activeElement.getAttribute('col-id') === 'started_ms'")


def test_a_request_that_is_in_memory_opens_with_its_tokens(here, past):
    Teller(past, "tiny-live").request("live-one", 30)

    def there():
        here.click("[data-requests-do=again]")
        return "tiny-live" in cells(here, "model")

    eventually(there, pause_s=0.5)
    here.js(
        "[...document.querySelectorAll('.ag-cell[col-id=model]')].find((c) => c.textContent === 'tiny-live').click()"
    )
    here.wait_js("return !!document.querySelector('#request[open] .timeline canvas:not([hidden])')")
    here.click("#request [data-close]")
    with closing(sqlite3.connect(past.data / "wfmon.db")) as file, file:
        file.execute("DELETE FROM request WHERE model = 'tiny-live'")


def test_csv_has_the_rows_and_columns_that_are_shown_and_no_formula(here, tmp_path):
    here.driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": False}
    )
    here.click("[data-requests-do=csv]")
    file = eventually(lambda: next(iter(tmp_path.glob("wfmon-requests-*.csv")), None))
    eventually(lambda: file.read_text("utf-8-sig").count("\n") > COUNT)
    titles, *rows = list(csv.reader(file.read_text("utf-8-sig").splitlines()))
    assert titles == here.js(f"return {API}.getAllDisplayedColumns().map((column) => column.getColDef().headerName)")
    given = here.js(
        f"const rows = []; {API}.forEachNodeAfterFilterAndSort(({{ data }}) => rows.push(data)); return rows"
    )
    assert len(rows) == COUNT
    at = {title: i for i, title in enumerate(titles)}
    assert [row[at["Model"]] for row in rows] == [f"'{NASTY}" if r["model"] == NASTY else r["model"] for r in given]
    for title, field in (
        ("First token, ms", "ttft_ms"),
        ("Output, tokens", "output_tokens"),
        ("Tokens/s", "tokens_per_second"),
    ):
        assert [float(row[at[title]]) for row in rows] == [r[field] for r in given]
    assert [row[at["Entropy, bits"]] for row in rows if not row[at["Entropy, bits"]]] == [""] * 13
    assert all(cell[:1] not in ("=", "+", "-", "@") for row in rows for cell in row)


def test_a_model_and_a_span_are_asked_of_the_history_and_kept(here):
    here.click("[data-span='7d']")
    eventually(lambda: shown(here) == COUNT + 1)
    here.js(
        "const s = document.querySelector('[data-model-choice]'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('change', { bubbles: true }))",
        MODELS[0],
    )
    eventually(lambda: shown(here) == 15)
    eventually(lambda: here.text("#requests-summary") == "15 requests, 2 slow")
    open_requests(here)
    eventually(lambda: shown(here) == 15)
    # The models to choose from come with the answer, as the rows do, and either may stand first.
    eventually(lambda: here.js("return document.querySelector('[data-model-choice]').value") == MODELS[0])
    assert here.js("return document.querySelector('[data-span=\"7d\"]').getAttribute('aria-pressed')") == "true"


def test_two_instants_may_be_chosen_and_a_span_without_requests_says_so(here):
    here.js(
        "const [from, to] = document.querySelectorAll('input.when'); from.value = '2020-01-01T00:00';"
        "to.value = '2020-01-02T00:00'; to.dispatchEvent(new Event('change', { bubbles: true }))"
    )
    eventually(lambda: (here.text("#requests-none") or "").startswith("No request started in this range"))
    eventually(lambda: not here.js("return document.querySelector('.grid-place').checkVisibility()"))
    assert here.js("return document.querySelectorAll('[data-span][aria-pressed=true]').length") == 0
    here.click("[data-span='1h']")
    eventually(lambda: shown(here) == COUNT)
    eventually(lambda: here.js("return document.querySelector('.grid-place').checkVisibility()"))


def test_the_figures_have_units_and_a_sentence(here):
    here.wait_js("return document.querySelectorAll('.spread svg').length === 3")
    labels = here.js(
        "return [...document.querySelectorAll('.spread svg')].map((each) => each.getAttribute('aria-label'))"
    )
    assert labels[0].startswith("Time to first token against prompt tokens, 40 requests")
    assert "llama3.2:3b: median" in labels[1]
    assert labels[2].startswith("Mean entropy of 27 answers")
    titles = here.js("return [...document.querySelectorAll('.spread text.title')].map((each) => each.textContent)")
    assert titles == ["first token, ms", "prompt, tokens", "tokens/s", "requests", "mean entropy, bits"]
    assert here.js("return document.querySelectorAll('.spread circle').length") == COUNT


def test_the_grid_follows_the_theme(here):
    def ground():
        return here.js("return getComputedStyle(document.querySelector('.ag-root-wrapper')).backgroundColor")

    here.js("document.documentElement.dataset.theme = 'dark'")
    assert ground() == "rgb(16, 21, 27)"
    here.js("document.documentElement.dataset.theme = 'light'")
    assert ground() == "rgb(255, 255, 255)"


def test_a_narrow_page_shows_the_columns_that_matter(here):
    here.js("localStorage.clear()")
    here.size(400)
    open_requests(here)
    eventually(lambda: columns(here) == ["started_ms", "model", "ttft_ms", "tokens_per_second"])
    assert here.js("return document.documentElement.scrollWidth") == 400


def test_g_r_leads_to_the_requests(here):
    here.open()
    here.press("g", "r")
    here.wait_js("return document.querySelector('[data-page]')?.dataset.page === 'requests'")
    eventually(lambda: shown(here) == COUNT)


@pytest.fixture
def fresh(tmp_path, driver):
    """The Requests page of a monitor without a past."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    monitor = Monitor(data)
    here = Page(driver, monitor)
    here.console()
    here.sign_in()
    yield here
    said = here.console()
    here.reset()
    monitor.stop()
    assert said == []


def test_before_any_request_the_page_says_how_they_are_seen_and_what_is_wrong_with_a_file(fresh):
    open_requests(fresh)
    eventually(
        lambda: (fresh.text("#requests-none") or "").startswith(
            "No requests recorded yet. Requests are recorded by the hook"
        )
    )
    assert (
        fresh.js("return [...document.querySelectorAll('[data-panel]')].filter((p) => p.checkVisibility()).length") == 1
    )
    with closing(sqlite3.connect(fresh.monitor.data / "wfmon.db")) as file, file:
        file.execute("DROP TABLE request")
    fresh.click("[data-requests-do=again]")
    eventually(lambda: (fresh.text("#requests-none") or "").startswith("The history could not be read (no such table"))
    assert fresh.js("return document.querySelector('#requests-host').dataset.state") == "error"
