"""A real monitor in its own process, a real Chromium on its pages, and a client that hears the stream beside them."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import simple_websocket
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from tests.kit.serving import DAEMON

ROOT = Path(__file__).parents[2]
PAGES = {
    "overview": "/", "models": "/models", "system": "/system", "experience": "/experience", "network": "/network",
    "history": "/history", "requests": "/requests", "insights": "/insights", "settings": "/settings",
}  # fmt: skip
CHARTLESS = ("models", "history", "requests", "insights", "settings")
"""Pages without a live chart, or that have none before there is something to show."""
WAIT_S = 25
"""Patience with a machine that has other things to do. Nothing sleeps that long: conditions are polled."""
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio", "--no-first-run",
    "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1280,943",
)  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def eventually(ask, wait_s=WAIT_S, pause_s=0.05):
    """Ask until the answer is true; gives it. An exception is an answer that is not true, while there is time."""
    deadline = time.monotonic() + wait_s
    while True:
        late = time.monotonic() > deadline
        try:
            answer = ask()
        except Exception:
            if late:
                raise
            answer = None
        if answer:
            return answer
        assert not late, f"not within {wait_s} s; the last answer was {answer!r}"
        time.sleep(pause_s)


class Monitor:
    """`python app.py` on one port and one data folder, over restarts."""

    def __init__(self, data):
        self.data = data
        self.port = 0
        self.process = None
        self.output = data.parent / "output"
        self.start()

    def start(self):
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable, "app.py", "--no-browser", "--port", str(self.port), "--data", str(self.data),
                    "--config", str(ROOT / "tests/data/quiet.yaml"),
                ],
                cwd=ROOT, stdout=output, stderr=output,
            )  # fmt: skip
        eventually(lambda: (self.data / "server.json").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.output.read_text()
        self.at = urlsplit(json.loads((self.data / "server.json").read_text())["url"])
        self.port = self.at.port
        self.origin = f"{self.at.scheme}://{self.at.netloc}"
        self.token = (self.data / "token").read_text().strip()

    def stop(self):
        """Ask it to end; idempotent."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def ask(self, path, method="GET", body=None):
        with contextlib.closing(http.client.HTTPConnection(self.at.hostname, self.port, timeout=10)) as connection:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status < 300, text
        return json.loads(text)

    def launch_url(self):
        return self.ask("/api/v1/launch", "POST")["url"]

    def clients(self, transport=None):
        """The stream's clients as the monitor sees them."""
        clients = self.ask("/api/v1/health")["stream"]["clients"]
        return [client for client in clients if transport in (None, client["transport"])]

    def code(self):
        """The newest code that the terminal shows."""
        return re.findall(r": ([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})", self.output.read_text())[-1]


class Recorder(simple_websocket.Client):
    """Hears the stream beside the page: every sample as {series: {t_ms: value}}, and the grid of what was before."""

    def __init__(self, monitor):
        self.samples = {}
        self.grid = {}
        self.frames = 0
        self.heard_ms = 0
        """All before this instant has been heard. A value that stays as it is (a CPU at 100 %) comes in no frame."""
        self._names = {}
        headers = {"Authorization": f"Bearer {monitor.token}"}
        super().__init__(f"ws://{monitor.at.netloc}/ws", headers=headers, thread_class=DAEMON)
        self.send(json.dumps({"type": "hello", "version": 1, "rate_hz": 60}))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def handshake(self):
        self.host = f"{self.host}:{self.port}"  # the library leaves the port out
        super().handshake()

    def _read(self):
        with contextlib.suppress(simple_websocket.ConnectionClosed):
            while True:
                self._take(json.loads(self.receive()))

    def _take(self, message):
        for row in message.get("series", ()) if message["type"] in ("hello", "series") else ():
            labels = ",".join(f'{name}="{row["labels"][name]}"' for name in sorted(row["labels"]))
            self._names[row["id"]] = f"{row['name']}{{{labels}}}" if labels else row["name"]
        if message["type"] == "snapshot":
            for number, values in message["series"].items():
                times = (message["t0"] + i * message["step_ms"] for i in range(len(values)))
                self.grid[self._names[int(number)]] = dict(zip(times, values, strict=True))
        if message["type"] == "frame":
            for number, dt, value in message["v"]:
                self.samples.setdefault(self._names[number], {})[message["t"] - dt] = value
            self.frames += 1
            self.heard_ms = message["t"]

    def close(self):
        with contextlib.suppress(simple_websocket.ConnectionClosed):
            super().close()
        self._reader.join(5)
        self.sock.close()


@functools.cache
def starts(program):
    """Whether a program is there and starts: Ubuntu's package may be the stub of a snap."""
    if shutil.which(program) is None:
        return False
    return subprocess.run([program, "--version"], capture_output=True, check=False, timeout=WAIT_S).returncode == 0


def chromium(*flags, log=None):
    """Start Chromium without a window. ``log``: more kinds of entries to keep, such as {"performance": "ALL"}."""
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", **(log or {})})
    options.binary_location = shutil.which(next(filter(starts, BROWSERS)))
    driver = webdriver.Chrome(options=options)
    driver.set_script_timeout(WAIT_S)
    driver.set_page_load_timeout(WAIT_S * 2)
    return driver


class Page:
    """What a person does and sees in one browser."""

    def __init__(self, driver, monitor):
        self.driver = driver
        self.monitor = monitor
        self.allowed = []
        """Patterns of console entries that a test brings about on purpose."""

    # --- going somewhere

    def leave(self):
        """Let go of the page that is shown: one whose monitor has stopped complains for as long as it stands."""
        self.driver.get("about:blank")
        self.console()

    def sign_in(self):
        self.leave()
        self.driver.get(self.monitor.launch_url())
        eventually(lambda: self.js("return location.pathname === '/' && !!window.wfmon"))

    def load(self, name="overview"):
        """Load a page from the server, as on a reload, and wait until it is live."""
        self.driver.get(self.monitor.origin + PAGES[name])
        self.live(name)

    def open(self, name="overview"):
        """Show a page, laid out anew, and wait until it is live. A document that nothing was done to stays loaded.

        It costs a quarter of a load. Whatever is remembered (in the browser, in the document) makes it a load.
        """
        if not self.untouched():
            self.load(name)
            return
        if self.js("return location.pathname") == PAGES[name]:
            self.go("models" if name != "models" else "overview")
        self.go(name)

    def go(self, name):
        """Follow the frame's own link to another page."""
        self.js("document.querySelector(`.pages [data-nav=${arguments[0]}]`).click()", name)
        self.live(name)

    def untouched(self):
        """Whether the document is this monitor's, live, and as good as just loaded."""
        return self.js(UNTOUCHED, self.monitor.origin)

    def wear(self):
        """Say that the document was changed where nobody sees it: the next one is loaded."""
        self.js("window.worn = true")

    def live(self, name="overview"):
        eventually(
            lambda: self.js(
                "const p = document.querySelector('[data-page]');"
                "return !!window.wfmon && p && p.dataset.page === arguments[0] && wfmon.debug().phase === 'live'"
                " && (wfmon.debug().charts > 0 || arguments[1]) && wfmon.debug().series > 0",
                name,
                name in CHARTLESS,
            )
        )

    # --- looking

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait_js(self, script, *arguments, wait_s=WAIT_S):
        """Wait until the script's answer is true; gives it."""
        return eventually(lambda: self.js(script, *arguments), wait_s)

    def promise(self, script):
        """Run the body of an async function; gives what it returns."""
        body = f"const done = arguments[arguments.length - 1]; (async () => {{ {script} }})().then(done)"
        return self.driver.execute_async_script(body)

    @property
    def debug(self):
        return self.js("return wfmon.debug()")

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0])?.textContent ?? null", selector)

    def status(self, name):
        return self.text(f'[data-status="{name}"]')

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def panel(self, key):
        return self.find(f'[data-panel="{key}"]')

    def pictures(self):
        """Every visible chart's picture, by its label, as short texts that are equal when the pixels are."""
        return self.promise(PICTURES)

    # --- acting

    def press(self, *keys):
        """Type keys to what has the focus, one after the other."""
        actions = ActionChains(self.driver, duration=0)
        for key in keys:
            actions.send_keys(key)
        actions.perform()

    def click(self, selector):
        self.find(selector).click()

    def size(self, width, height=800):
        """Give the page this much room, whatever a window may be."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefers(self, **features):
        """Say what the system prefers: ``color_scheme="light"``, ``reduced_motion="reduce"``."""
        listed = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})

    @contextlib.contextmanager
    def sockets_in_hand(self, *, forbidden=False):
        """Pages that are loaded meanwhile have `probe.sockets`, and open none while `probe.forbidden`."""
        source = {"source": SOCKETS % ("true" if forbidden else "false")}
        made = self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", made)

    # --- beginning and leaving

    def begin(self):
        """Go to the Overview, with nothing remembered of what was before."""
        if not self.untouched():
            self.leave()
        self.console()
        self.open()

    def end(self):
        """Close what was opened and forget what was done; gives what the browser has complained about."""
        said = self.console()
        while len(self.driver.window_handles) > 1:
            self.driver.close()
            self.driver.switch_to.window(self.driver.window_handles[0])
        if not self.untouched():
            self.wear()
        self.reset()
        return said

    def reset(self):
        """Undo what a test may have changed in the browser. The page must be one of the monitor's."""
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.prefers()
        self.js("localStorage.clear(); document.cookie = 'wfmon-look=; Path=/; Max-Age=0'")

    def console(self):
        """What the browser has complained about since the last time, without what was allowed."""
        entries = [f"{entry['level']}: {entry['message']}" for entry in self.driver.get_log("browser")]
        return [entry for entry in entries if not any(re.search(pattern, entry) for pattern in self.allowed)]


UNTOUCHED = """
if (location.origin !== arguments[0] || !window.wfmon || window.worn || window.probe) return false;
const { phase, transport, frozen, gaps, duplicates, counters } = wfmon.debug();
const patched = Object.hasOwn(wfmon.store, 'table') || Object.hasOwn(navigator, 'clipboard');
const usual = { 'wfmon.evidence': '0' };
const remembered = Object.entries(localStorage).filter(([key, value]) => usual[key] !== value);
return phase === 'live' && transport === 'ws' && !frozen && !gaps && !duplicates && !counters.resumed && !patched
  && !remembered.length && !document.cookie.includes('wfmon-look') && !document.querySelector('dialog[open]')
  && !document.querySelector(':popover-open') && !document.documentElement.hasAttribute('data-arranging')
  && !document.hidden && !!document.querySelector('[data-page]');
"""
"""Whether anything that outlives a change of page is not as a load would leave it."""
SOCKETS = """
(() => {
  const probe = (window.probe = { sockets: [], forbidden: %s });
  class Refused {
    constructor() { setTimeout(() => this.onclose?.({ code: 1006 }), 5); }
    close() {}
  }
  window.WebSocket = new Proxy(window.WebSocket, {
    construct(Real, given) {
      if (probe.forbidden) return new Refused();
      const socket = new Real(...given);
      probe.sockets.push(socket);
      return socket;
    },
  });
})();
"""
"""The page's sockets in our hands: they can be killed, and new ones refused as a proxy between would."""
PICTURES = """
const wanted = [...document.querySelectorAll('.chart canvas')].filter((c) => c.checkVisibility() && c.width > 1
  && c.getBoundingClientRect().top < innerHeight && c.getBoundingClientRect().bottom > 0);
const all = {};
for (const canvas of wanted) {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  const digest = await crypto.subtle.digest('SHA-1', data);
  const { label } = JSON.parse(canvas.closest('[data-chart]').dataset.chart);
  all[label] = [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('')
    + (data.some((v) => v) ? '' : ' blank');
}
return all;
"""
