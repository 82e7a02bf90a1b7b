"""The energy stage says what its models do: read back from the pixels it draws, and seen on the page of a monitor."""

from __future__ import annotations

import http.client
import json
import math
import re
import time

import pytest
from selenium.webdriver.common.keys import Keys

from tests.browser.driving import eventually

WIDTH, HEIGHT = 800, 268
LAB = """
const [{ EnergyStage }, { Paint }, { Store }, { bodyAlpha }] = await Promise.all(
  ["overview/energy-stage", "chart/paint", "series/store", "overview/ribbons"]
    .map((name) => import(`/assets/lib/${name}.mjs`)));
const T0 = 1_700_000_000_000;
const section = document.createElement("section");
section.dataset.panel = "lab";
section.innerHTML = "<div></div><div data-energy-legend></div>";
const store = new Store();
let ids = 0;
const stage = new EnergyStage(section.firstChild, { document, paint: new Paint(document) });
stage.resize(%d, %d);
const view = { right: T0, known: T0, span: 30_000, minutesEast: 0, frozenMs: null };
const lab = window.lab = {
  stage, bodyAlpha, section,
  /** What models do from now on: {model: {signal: value}}. */
  tell(models) {
    for (const [model, signals] of Object.entries(models)) {
      for (const [name, value] of Object.entries(signals)) {
        const other = name.startsWith("disagreement ") ? { other: name.slice(13) } : {};
        const labels = { model, server: "127.0.0.1:1", ...other };
        const metric = `model.${name.split(" ")[0]}`;
        const key = JSON.stringify([metric, labels]);
        let id = lab.known.get(key);
        if (!id) {
          lab.known.set(key, (id = (ids += 1)));
          store.boot ??= "lab";
          const kind = /entropy|ttft/.test(metric) ? "event" : "gauge";
          store.describe([{ id, name: metric, unit: "", kind, labels }]);
        }
        store.byId.get(id).push(view.right, value === null ? NaN : value);
      }
    }
  },
  known: new Map(),
  /** Let so many ms pass in steps of 16, then draw. */
  pass(ms, write = true) {
    for (let left = ms; left > 0; left -= 16) {
      view.right += Math.min(16, left);
      view.known = view.right;
      if (write) stage.write(store, view);
      stage.draw(view, store, 0, undefined);
    }
    return stage.debug();
  },
  frame() { stage.draw(view, store, 0, undefined); return stage.debug(); },
  table(name, columns, rows) { store.table(name, view.right, columns, rows); },
  /** Opacity of each pixel, 0 to 255. */
  alpha() {
    const { canvas } = stage;
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    return Uint8Array.from({ length: canvas.width * canvas.height }, (_, i) => data[i * 4 + 3]);
  },
  /** y of the middles of the lines that a column crosses. */
  lines(x) {
    const alpha = lab.alpha();
    const found = [];
    for (let y = 0, sum = 0, at = 0; y < stage.canvas.height; y += 1) {
      const a = alpha[y * stage.canvas.width + x];
      sum += a;
      at += a * (y + 0.5);
      if (a === 0 && sum > 0) { found.push(at / sum); sum = at = 0; }
    }
    return found;
  },
  /** How much is painted in each column from x on. */
  profile(x) {
    const alpha = lab.alpha();
    const { width, height } = stage.canvas;
    return Array.from({ length: width - x }, (_, n) => {
      let sum = 0;
      for (let y = 0; y < height; y += 1) sum += alpha[y * width + x + n];
      return sum;
    });
  },
};
return true;
""" % (WIDTH, HEIGHT)  # noqa: UP031  braces are JavaScript's
CARDS = "return [...document.querySelectorAll('[data-energy-legend] .model')].map((card) => card.textContent)"
FLOWS = {"tokens_per_second": 0, "throughput_percent": 100, "energy_state": 2}


@pytest.fixture
def lab(page):
    """A stage with a store and a clock of its own, beside the page's."""
    assert page.promise(LAB)
    return page


def told(lab, models, ms=1500):
    lab.js("lab.tell(arguments[0])", models)
    return lab.js("return lab.pass(arguments[0])", ms)


@pytest.mark.parametrize("percent", [100, 72, 30, 12])
def test_a_ribbon_is_as_wide_as_the_throughput_says(lab, percent):
    full = told(lab, {"m": {**FLOWS, "energy": None}})["place"]["full"]
    shown = told(lab, {"m": {"throughput_percent": percent}})
    upper, lower = lab.js("return lab.lines(400)")
    assert lower - upper == pytest.approx(full * percent / 100, rel=0.02)
    assert shown["models"][0]["width_px"] == pytest.approx(full * percent / 100, rel=0.001)


@pytest.mark.parametrize("rate", [20, 50, 90])
def test_particles_move_as_fast_as_the_tokens_come(lab, rate):
    signals = {"tokens_per_second": rate, "entropy_bits": 0.9, "entropy_k": 8, "energy": 0}
    told(lab, {"m": {**FLOWS, **signals}})
    before = lab.js("return lab.profile(100)")
    moved_ms = 4000 // rate * 10
    shown = told(lab, {"m": {"entropy_bits": 0.9}}, moved_ms)
    after = lab.js("return lab.profile(100)")
    wanted = shown["models"][0]["speed_px_s"] * moved_ms / 1000
    assert shown["models"][0]["speed_px_s"] == pytest.approx(rate * 4, rel=0.001)

    def difference(shift):
        pairs = list(zip(before, after[shift:], strict=False))
        return sum(abs(one - other) for one, other in pairs) / len(pairs)

    best = min(range(1, 400), key=difference)
    assert best == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize(("bits", "k"), [(0.6, 8), (1.8, 8), (2.4, 64)])
def test_particles_stand_as_densely_as_the_entropy_says(lab, bits, k):
    shown = told(lab, {"m": {**FLOWS, "energy": 0, "entropy_bits": bits, "entropy_k": k}}, 900)
    (model,) = shown["models"]
    density = 40 * bits / math.log2(k)
    assert model["density"] == pytest.approx(density, rel=0.005)
    assert model["particles"] == pytest.approx(density * WIDTH * shown["place"]["full"] / 1000, rel=0.01)
    painted = sum(lab.js("return lab.profile(80)"))
    told(lab, {"m": {"entropy_k": 1}}, 200)
    bare = sum(lab.js("return lab.profile(80)"))
    opacity = round(0.35 * 255)
    mean_area = 0.8 * 2 * 2 + 0.2 * 3 * 3
    in_sight = density * (WIDTH - 80) * shown["place"]["full"] / 1000
    assert (painted - bare) / opacity / mean_area == pytest.approx(in_sight, rel=0.02)


@pytest.mark.parametrize("energy", [0.25, 0.5, 0.81, 1])
def test_a_ribbon_is_as_bright_as_its_energy(lab, energy):
    shown = told(lab, {"m": {**FLOWS, "energy": energy}})
    (upper, lower) = lab.js("const all = lab.alpha(); const w = lab.stage.canvas.width, x = w - 2; const ys = [];"
                            "for (let y = 0; y < lab.stage.canvas.height; y += 1) if (all[y * w + x]) ys.push(y);"
                            "return [ys[0], ys.at(-1)]")  # fmt: skip
    quarter = int(upper + (lower - upper) / 4)
    seen = lab.js(
        "return lab.alpha()[arguments[0] * lab.stage.canvas.width + lab.stage.canvas.width - 2] / 255", quarter
    )
    assert seen == pytest.approx(0.62 * energy, rel=0.02)
    assert shown["models"][0]["brightness"] == pytest.approx(energy, rel=0.001)


def test_without_log_probabilities_no_density_is_claimed_and_the_reason_is_said(lab):
    lab.js("lab.table('models', ['model', 'server', 'via', 'entropy_reason'],"
           " [['m', '127.0.0.1:1', 'proxy', 'the client asked for none']])")  # fmt: skip
    shown = told(lab, {"m": {**FLOWS, "tokens_per_second": 30, "energy": 0.5}})
    assert (shown["models"][0]["density"], shown["models"][0]["particles"]) == (None, 0)
    figures = lab.js("return [...lab.section.querySelectorAll('dd')].map((d) => [d.textContent, d.title])")
    assert ["n/a", "the client asked for none"] in figures


def test_a_disagreement_ripples_between_two_models(lab):
    both = {"tokens_per_second": 30, "throughput_percent": 50, "energy_state": 2, "energy": None}
    told(lab, {"a": both, "b": both})
    still = len(lab.js("return lab.lines(400)"))
    shown = told(lab, {"a": {"disagreement b": 0.4}})
    assert shown["models"][0]["ripple"] == pytest.approx(0.4)
    assert len(lab.js("return lab.lines(400)")) == still + 3


def test_a_stage_at_rest_or_held_paints_nothing_and_says_that_it_rests(lab):
    told(lab, {"m": {**FLOWS, "tokens_per_second": 30, "energy": 0.5}})
    held = lab.js("return [lab.frame().paints, lab.frame().paints, lab.frame().paints]")
    assert len(set(held)) == 1
    told(lab, {"m": {"tokens_per_second": 0, "throughput_percent": 0, "energy": 0, "energy_state": 5}}, 3000)
    before = lab.js("return lab.frame().paints")
    assert lab.js("return lab.pass(1000, false).paints") == before
    assert lab.js("return lab.frame().face") == "resting"
    assert re.fullmatch(
        r"Nothing is being generated. Last: \d\d:\d\d:\d\d, m.", lab.js("return lab.stage.rest.textContent")
    )
    assert lab.js("return lab.stage.canvas.getAttribute('aria-label')") == lab.js("return lab.stage.rest.textContent")


def test_who_wants_no_motion_gets_still_ribbons(lab):
    lab.prefers(reduced_motion="reduce")
    signals = {
        "tokens_per_second": 50,
        "throughput_percent": 80,
        "energy": 0.7,
        "entropy_bits": 1,
        "entropy_k": 8,
        "ttft_ms": 100,
    }
    shown = told(lab, {"m": {**FLOWS, **signals}}, 200)["models"][0]
    assert (shown["flown_px"], shown["flash"]) == (0, 0)
    assert shown["width_share"] == pytest.approx(0.8)


def test_the_name_of_a_model_is_text(lab):
    name = "<img src=x onerror=alert(1)>"
    told(lab, {name: {**FLOWS, "tokens_per_second": 3}})
    assert lab.js("return lab.section.querySelector('.model .name').textContent") == name
    assert lab.js("return lab.section.querySelectorAll('img').length") == 0


def test_what_happens_is_said_when_it_changes_and_not_when_figures_do(lab):
    told(lab, {"m": {**FLOWS, "tokens_per_second": 30, "energy_state": 0}}, 32)
    said = lab.js("return lab.stage.speaker.region.textContent = ''")
    told(lab, {"m": {"tokens_per_second": 31}}, 32)
    told(lab, {"m": {"tokens_per_second": 32}}, 32)
    assert said == lab.js("return lab.stage.speaker.region.textContent")
    told(lab, {"m": {"energy_state": 3}}, 32)
    assert "stalling" in lab.js("return lab.stage.speaker.pending ?? lab.stage.speaker.region.textContent")


# --- on the page of a monitor


def post(monitor, *lines):
    """Tell the monitor of a model, as a program in another language would."""
    connection = http.client.HTTPConnection(monitor.at.hostname, monitor.port, timeout=10)
    body = "\n".join(json.dumps(line) for line in lines)
    headers = {"Authorization": f"Bearer {monitor.token}", "Content-Type": "application/x-ndjson"}
    connection.request("POST", "/api/v1/hook", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == 200, text
    return json.loads(text)


@pytest.fixture
def model(page, monitor):
    """Tell of a model that answers at 50 tokens a second; called again, it goes on."""
    source = {
        "e": "source",
        "v": 1,
        "id": f"browser-test-{time.monotonic_ns()}",
        "via": "hook",
        "name": "test",
        "pid": 1,
    }
    names = iter(f"r{number}" for number in range(1000))

    def now():
        return time.monotonic_ns() // 1000

    def speak(name="stage:test", tokens=50, end=True):
        request, at = next(names), now()
        times = [at - (tokens - i) * 20_000 for i in range(tokens)]
        lines = [
            source,
            {"e": "beat", "t": at, "lost": 0},
            {"e": "start", "r": request, "t": times[0] - 100_000, "model": name, "prompt_tokens": 5},
            {"e": "tokens", "r": request, "t": times, "entropy": [1.5] * tokens, "k": [8] * tokens},
        ]
        if end:
            lines.append({"e": "end", "r": request, "t": at, "status": "ok", "output_tokens": tokens})
        return post(monitor, *lines)

    return speak


def stage(page):
    return page.js("return document.querySelector('[data-widget=energy]').stage.debug()")


def test_a_model_that_tells_of_itself_has_a_ribbon_a_card_and_a_request(page, model):
    def shown():
        model()
        found = [one for one in stage(page)["models"] if one["model"] == "stage:test"]
        return found and found[0]["width_px"] > 5 and found[0]["density"] == pytest.approx(20, rel=0.02)

    eventually(shown, pause_s=0.3)
    # The frame with the tokens comes before the table that says by whom they were seen.
    eventually(lambda: ["hook" in text for text in page.js(CARDS) if "stage:test" in text] == [True])

    def said():
        model()
        return "stage:test at" in page.js(
            "return document.querySelector('.energy-stage canvas').getAttribute('aria-label')"
        )

    eventually(said, pause_s=0.3)
    cells = page.wait_js(
        "const row = [...document.querySelectorAll('[data-table=requests] tbody tr')].find("
        "(r) => r.cells[1]?.textContent === 'stage:test');"
        "return row && [...row.cells].map((c) => [c.dataset.col, c.textContent])"
    )
    cells = dict(cells)
    assert re.fullmatch(r"\d\d:\d\d:\d\d", cells["started_ms"])
    assert (cells["model"], cells["output_tokens"]) == ("stage:test", "50")


def test_a_ribbon_is_read_out_with_the_keyboard_and_evidence_stays_on(page, model):
    def shown():
        model()
        return [one for one in stage(page)["models"] if one["model"] == "stage:test"]

    eventually(shown, pause_s=0.3)
    page.js("document.querySelector('.energy-stage canvas').focus()")
    page.press(Keys.ARROW_DOWN)
    box = page.find(".energy-stage .readout")
    assert box.is_displayed()
    assert {"width", "speed", "density", "brightness"} <= set(box.text.split())
    eventually(lambda: "hook" in box.text)
    page.press(Keys.ESCAPE)
    assert not box.is_displayed()
    page.click("[data-energy-evidence]")
    assert page.find("[data-energy-evidence]").get_attribute("aria-pressed") == "true"
    eventually(lambda: "of peak" in "".join(page.js(CARDS)))
    page.load()
    assert page.find("[data-energy-evidence]").get_attribute("aria-pressed") == "true"
