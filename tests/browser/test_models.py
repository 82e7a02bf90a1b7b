"""The Models page: cards, the token strip, requests and their timelines, servers, and the page before all that.

The hook's own form feeds a real monitor. Text of an answer is not part of it; names are as bad as names can be.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import threading
import time

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.driving import Monitor, Page, eventually

NASTY = 'Qwen/"a name"\\ that goes on {and} on, %SERVER% <img src=x onerror=boom()> until nobody can read it any more'
PLAIN = "tiny-1"
SERVER = "127.0.0.1:11434"
CARD = "[...document.querySelectorAll('.card')].find((each) => each.dataset.model === {})"
PAUSE_S = 0.05


class Teller:
    """Tells the monitor of one model's requests, as a program that is observed does: a token each 50 ms."""

    def __init__(self, monitor, model, *, entropy=True, server=SERVER):
        self.monitor = monitor
        self.model = model
        self.entropy = entropy
        self.source = {
            "e": "source", "v": 1, "id": f"teller-{next(NUMBERS):04d}", "via": "hook", "name": "test", "pid": 1,
            "server": server,
        }  # fmt: skip
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failed = None

    def tell(self, *lines):
        """Post some lines now; raises what the monitor refused."""
        now = time.monotonic_ns() // 1_000
        body = "".join(json.dumps(line) + "\n" for line in (self.source, {"e": "beat", "t": now, "lost": 0}, *lines))
        with contextlib.closing(
            http.client.HTTPConnection(self.monitor.at.hostname, self.monitor.port, timeout=10)
        ) as c:
            headers = {"Authorization": f"Bearer {self.monitor.token}", "Content-Type": "application/x-ndjson"}
            c.request("POST", "/api/v1/hook", body, headers)
            answer = c.getresponse()
            told = json.loads(answer.read())
        assert answer.status == 200, told
        assert told["refused"] == []

    def request(self, name, tokens, wait_us=(300_000, 50_000), **end):
        """Tell of a request that has just ended: its first token after the first wait, the others after the second."""
        first, between = wait_us
        begin = time.monotonic_ns() // 1_000 - first - between * tokens
        times = [begin + first + between * i for i in range(tokens)]
        line = {"e": "tokens", "r": name, "t": times}
        if self.entropy:
            line |= {"entropy": [i % 5 for i in range(tokens)], "k": [32] * tokens}
        self.tell(
            {"e": "start", "r": name, "t": begin, "model": self.model, "prompt_tokens": 12}, line,
            {"e": "end", "r": name, "t": times[-1], "status": "ok", "reason": "stop", **end},
        )  # fmt: skip

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *raised):
        self._stop.set()
        self._thread.join(10)
        assert self.failed is None or raised[0], self.failed

    def _run(self):
        try:
            name = f"live-{self.source['id']}"
            now = time.monotonic_ns() // 1_000
            self.tell({"e": "start", "r": name, "t": now, "model": self.model, "prompt_tokens": 12})
            for i in itertools.count():
                if self._stop.wait(PAUSE_S):
                    break
                line = {"e": "tokens", "r": name, "t": [time.monotonic_ns() // 1_000]}
                if self.entropy:
                    line |= {"entropy": [i % 5], "k": [32]}
                self.tell(line)
            self.tell({"e": "end", "r": name, "t": time.monotonic_ns() // 1_000, "status": "ok"})
        except (OSError, AssertionError) as error:  # told by __exit__
            self.failed = error


NUMBERS = itertools.count(1)


@pytest.fixture
def teller(monitor):
    with Teller(monitor, NASTY) as teller:
        yield teller


def card(page, script, model=NASTY):
    """Ask the card of a model; ``card`` is its element."""
    return page.js(f"const card = {CARD.format('arguments[0]')}; return card ? ({script}) : null", model)


def shown(page, model=NASTY):
    """Wait for a model's card, and have its strip in view: what is out of sight is not drawn."""
    eventually(lambda: card(page, "(card.querySelector('.strip').scrollIntoView({ block: 'center' }), true)", model))


def figure(page, metric, model=NASTY):
    """The text of a card's live figure."""
    selector = f'[data-value^="{metric}{{"]:not([data-stat])'
    return card(page, f"card.querySelector('{selector}').textContent", model)


def number(page, metric, model=NASTY):
    """A card's live figure as a number, once there is one."""
    return eventually(lambda: float("".join(c for c in figure(page, metric, model) if c in "0123456789.")))


def to_requests(page, condition):
    """Look at the last requests, wherever cards that come push them, until a condition holds."""
    look = "document.querySelector('table.requests').closest('[data-panel]').scrollIntoView();"
    page.wait_js(f"{look} return {condition}")


def test_a_model_that_tells_has_a_card_and_its_name_is_text(page, teller):
    page.open("models")
    shown(page)
    assert card(page, "card.querySelector('h3').textContent") == NASTY
    assert card(page, "card.querySelector('h3').title") == NASTY
    assert card(page, "card.querySelectorAll('img').length") == 0
    assert card(page, "card.querySelector('[data-field=via]').textContent") == "hook"
    eventually(lambda: card(page, "card.querySelector('[data-field=state]').textContent") in {"flowing", "saturated"})
    eventually(lambda: figure(page, "model.tokens_per_second").endswith("tokens/s"))
    assert 2 < number(page, "model.tokens_per_second") < 40
    eventually(lambda: figure(page, "model.entropy_bits").endswith("bits"))
    assert number(page, "model.entropy_k") == 32
    eventually(lambda: card(page, "card.querySelectorAll('canvas').length") == 5)


def test_a_figure_says_what_it_is_how_old_and_by_whom(page, teller):
    page.open("models")
    shown(page)
    number(page, "model.inter_token_latency_ms")
    told = card(
        page,
        "(card.querySelector('[data-metric=\"model.inter_token_latency_ms\"] .value').dispatchEvent("
        "new PointerEvent('pointerover', { bubbles: true })),"
        " card.querySelector('[data-metric=\"model.inter_token_latency_ms\"]').title)",
    )
    assert told.startswith("Time between two tokens of a request.\nmodel.inter_token_latency_ms, ")
    assert told.endswith(" s ago, by hook")


def test_what_is_not_measured_is_n_a_with_its_reason(page, monitor):
    with Teller(monitor, PLAIN, entropy=False):
        page.open("models")
        shown(page, PLAIN)
        number(page, "model.tokens_per_second", PLAIN)
        assert figure(page, "model.entropy_bits", PLAIN) == "n/a"
        assert figure(page, "model.load_ms", PLAIN) == "n/a"
        reason = eventually(lambda: card(page, "card.querySelector('[data-field=entropy_reason]').textContent", PLAIN))
        assert reason.startswith("Entropy and certainty: n/a, ")
        assert card(page, "card.querySelector('.small.is-absent .chart') !== null", PLAIN)


STRIP = """
const canvas = [...document.querySelectorAll('.card')].find((each) => each.dataset.model === arguments[0])
  .querySelector('.strip canvas');
const g = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
g.drawImage(canvas, 0, 0);
const { data } = g.getImageData(0, Math.round(canvas.height * 0.62), canvas.width, 1);
const style = getComputedStyle(document.documentElement);
const ramp = [0, 1, 2, 3, 4, 5].map((i) => style.getPropertyValue(`--h-${i}`).trim());
const found = {};
for (let i = 0; i < data.length; i += 4) {
  const hex = '#' + [data[i], data[i + 1], data[i + 2]].map((v) => v.toString(16).padStart(2, '0')).join('');
  if (data[i + 3] === 255 && ramp.includes(hex)) found[ramp.indexOf(hex)] = (found[ramp.indexOf(hex)] ?? 0) + 1;
}
return [found, canvas.width, canvas.getAttribute('aria-label')];
"""


def test_the_strip_has_a_line_a_token_in_the_colour_of_its_entropy(page, teller):
    page.open("models")
    shown(page)
    found, width, _ = eventually(lambda: (told := page.js(STRIP, NASTY)) and sum(told[0].values()) >= 20 and told)
    assert {"0", "1", "2", "3", "4"} >= set(found)  # 0 to 4 bits, none of six and more
    assert len(found) >= 4
    assert sum(found.values()) < width / 2  # 20 a second over 10 s
    eventually(lambda: "mean entropy" in page.js(STRIP, NASTY)[2])


def test_a_strip_is_read_token_by_token_from_the_keyboard(page, teller):
    page.open("models")
    shown(page)
    eventually(lambda: sum(page.js(STRIP, NASTY)[0].values()) >= 10)
    page.press(" ")
    page.wait_js("return wfmon.debug().frozen")
    card(page, "card.querySelector('.strip canvas').focus()")
    said = "card.querySelector('.strip .said').textContent"
    page.press(Keys.END)
    last = eventually(lambda: card(page, said))
    page.press(Keys.ARROW_LEFT)
    before = eventually(lambda: (now := card(page, said)) != last and now)
    assert " ms after the previous one, " in before
    assert before.endswith(" bits")
    place = [int(text.split()[1]) for text in (before, last)]
    assert place[1] - place[0] == 1
    assert not card(page, "card.querySelector('.caret').hidden")
    page.press(Keys.ESCAPE)
    eventually(lambda: card(page, said) == "")
    page.press(" ")


def test_the_panel_shows_its_tokens_as_a_table(page, teller):
    page.open("models")
    shown(page)
    page.js("document.querySelector('[data-panel=models] .more').focus()")
    page.press(Keys.ENTER)
    page.wait_js("return document.getElementById('panel-menu').matches(':popover-open')")
    page.press(Keys.ENTER)
    rows = "card.querySelectorAll('.strip .chart-table tbody tr').length"
    eventually(lambda: card(page, rows) >= 5)
    assert card(page, "card.querySelector('.strip canvas').hidden")
    cells = card(page, "[...card.querySelectorAll('.strip tbody tr')][1].innerText")
    assert "ms" in cells
    assert "bits" in cells


def test_a_request_opens_its_timeline_and_gives_the_focus_back(page, monitor):
    Teller(monitor, PLAIN).request("slow-one", 40, (2_500_000, 30_000), load_ms=2_000.0, queue_ms=100.0)
    page.open("models")
    row = "document.querySelector('table.requests tr.slow')"
    to_requests(page, f"!!{row}")
    page.js(f"{row}.querySelector('button').focus()")
    page.press(Keys.ENTER)
    page.wait_js("return !!document.querySelector('#request[open] .timeline')")
    assert page.text("#request-title").startswith(f"{PLAIN} at ")
    phases = page.js(
        "return [...document.querySelectorAll('.bar-of i')].map((i) => [i.className, parseFloat(i.style.width)])"
    )
    widths = dict(phases)
    assert list(widths)[:2] == ["queue", "load"]
    assert widths["load"] / widths["queue"] == pytest.approx(20, rel=0.01)
    assert page.text("#request .why").startswith("Why was it slow?cold load 2.0 s")
    assert "first token 2.50 s" in page.js(
        "return document.querySelector('.request-figures').innerText"
    ).lower().replace("\n", " ")
    page.js("document.querySelector('#request canvas').focus()")
    page.press(Keys.HOME, Keys.ARROW_RIGHT)
    page.wait_js(
        "return /^token 2 of 40 in this request, 30\\.0 ms/.test(document.querySelector('#request .said').textContent)"
    )
    page.press(Keys.ESCAPE)
    page.wait_js("return !document.getElementById('request').open")
    assert page.js(f"return document.activeElement === {row}.querySelector('button')")


def test_a_fast_request_is_not_slow(page, monitor):
    Teller(monitor, PLAIN).request("fast-one", 20)
    page.open("models")
    to_requests(page, "document.querySelectorAll('table.requests tbody tr:not(.slow)').length > 0")
    page.js("document.querySelector('table.requests tbody tr:not(.slow)').click()")
    eventually(lambda: page.text("#request .why") == "Why was it slow?Not slow.")
    page.click("#request [data-close]")
    page.wait_js("return !document.getElementById('request').open")


def test_a_request_that_is_no_longer_kept_says_so_and_can_be_asked_again(page, monitor):
    page.allowed.append("404")
    Teller(monitor, PLAIN).request("gone-one", 5)
    page.open("models")
    to_requests(page, "!!document.querySelector('table.requests tbody tr')")
    page.js("window.kept = fetch; window.fetch = (url, given) => kept(url + '-gone', given)")
    page.js("document.querySelector('table.requests tbody tr').click()")
    page.wait_js("return /no longer in memory/.test(document.querySelector('#request .failed')?.textContent)")
    page.js("window.fetch = () => Promise.reject(new TypeError('no network'))")
    page.click("#request .request-body button")
    page.wait_js("return /did not respond/.test(document.querySelector('#request .failed').textContent)")
    page.js("window.fetch = kept")
    page.click("#request .request-body button")
    page.wait_js("return !!document.querySelector('#request .timeline')")


def test_requests_are_chosen_by_their_model(page, monitor):
    Teller(monitor, PLAIN).request("a-one", 5)
    Teller(monitor, "tiny-2").request("b-one", 5)
    page.open("models")
    to_requests(
        page, "[...document.querySelectorAll('[data-filter=model] option')].some((each) => each.value === 'tiny-2')"
    )
    page.js(
        "const s = document.querySelector('[data-filter=model]'); s.value = 'tiny-2';"
        "s.dispatchEvent(new Event('change', { bubbles: true }))"
    )
    cells = "document.querySelectorAll('table.requests td[data-col=model]')"
    to_requests(page, f"[...{cells}].map((cell) => cell.textContent).join() === 'tiny-2'")


SERVERS = """
const columns = ["server", "runtime", "version", "pid", "process", "models", "gpu_bytes", "state", "shows", "lacks",
  "fix"];
const row = ["127.0.0.1:9", "Ollama", "0.5.4", 12, "ollama", "<b>m</b>", 5e9, "ok", "loaded models", "tokens",
  "for tokens: cd /x && .venv/bin/python -m wfmon proxy --upstream http://127.0.0.1:9, and point clients there"];
const put = () => wfmon.store.table("servers", Date.now(), columns, [row]);
const real = wfmon.store.table.bind(wfmon.store);
wfmon.store.table = (name, ...given) => (name === "servers" && given[2][0] !== row ? undefined : real(name, ...given));
put();
"""


@pytest.fixture
def _servers_on(monitor):
    """Look for servers: a panel whose collector is off shows that, and no table."""
    monitor.ask("/api/v1/collectors/servers", "POST", {"enabled": True})
    yield
    monitor.ask("/api/v1/collectors/servers", "POST", {"enabled": False})


@pytest.mark.usefixtures("_servers_on")
def test_a_server_says_what_would_make_it_show_more_and_its_line_can_be_had_without_a_clipboard(page):
    page.open("models")
    page.js(SERVERS)
    page.wait_js(
        "document.querySelector('[data-panel=servers]').scrollIntoView();"
        "return !!document.querySelector('table.servers code')"
    )
    assert page.text("table.servers td[data-col=models]") == "<b>m</b>"
    assert page.text("table.servers code") == "cd /x && .venv/bin/python -m wfmon proxy --upstream http://127.0.0.1:9"
    page.js("Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
    page.js("document.querySelector('table.servers .copy').click()")
    page.wait_js("return getSelection().toString() === document.querySelector('table.servers code').textContent")
    page.wait_js("return /Ctrl\\+C/.test(document.querySelector('table.servers .said').textContent)")


def test_a_card_leaves_with_its_model(page, teller):
    page.open("models")
    shown(page)
    page.js(
        "wfmon.store.table = new Proxy(wfmon.store.table, { apply: (real, self, [name, t, columns, rows]) =>"
        " Reflect.apply(real, self, [name, t, columns, name === 'models' ? [] : rows]) });"
    )
    eventually(lambda: page.js("return document.querySelectorAll('.card').length === 1"))  # the template's
    assert page.js("return wfmon.debug().charts") == 0


def test_cards_requests_and_servers_fit_a_narrow_page(page, teller, monitor):
    Teller(monitor, PLAIN).request("narrow-one", 40, (2_500_000, 30_000), load_ms=2_000.0)
    page.size(400)
    page.open("models")
    shown(page)
    page.js(SERVERS)
    to_requests(page, "!!document.querySelector('table.requests tbody tr')")
    assert page.js("return document.documentElement.scrollWidth") == 400
    page.js("document.querySelector('table.requests tbody tr').click()")
    page.wait_js("return !!document.querySelector('#request[open] .timeline')")
    box = page.js(
        "const { width, height } = document.getElementById('request').getBoundingClientRect(); return [width, height]"
    )
    assert box == [400, 800]
    assert page.js("const d = document.getElementById('request'); return d.scrollWidth <= d.clientWidth")


@pytest.fixture
def quiet(tmp_path):
    """A monitor that looks for no server and has seen no model."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "settings.json").write_text('{"collect.servers.enabled": false}')
    monitor = Monitor(data)
    yield monitor
    assert monitor.stop() == 0, monitor.output.read_text()


def test_before_any_model_the_page_says_how_to_be_seen_and_offers_the_built_in_one(quiet, driver, page):
    here = Page(driver, quiet)
    here.sign_in()
    here.open("models")
    here.wait_js("return document.querySelector('.no-models').checkVisibility()")
    assert here.js("return document.querySelectorAll('.no-models li').length") == 3
    assert here.text(".demo .start") == "Start the built-in model"
    assert here.js("return document.querySelector('.demo .start').checkVisibility()")
    assert not here.js("return document.querySelector('.demo .stop').checkVisibility()")
    assert here.text("[data-panel=servers] .absent")  # its collector is off, and says so
    page.load()


def test_g_m_leads_to_the_models(page):
    page.press("g", "m")
    page.wait_js("return document.querySelector('[data-page]').dataset.page === 'models'")
    page.wait_js("return document.title === 'Models · wfmon'")
