"""Take docs/screenshots/<page>-<theme>-<width>.png: a real monitor with the built-in model, in a real Chromium.

Its history is a copy of the one from `make seed-history`, so that all pages have something to show.
``--data`` uses a running monitor; ``--out`` sets the target folder.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.options import Options

ROOT = Path(__file__).parents[1]
PAGES = {
    "overview": "/", "models": "/models", "system": "/system", "experience": "/experience", "network": "/network",
    "history": "/history?series=model.ttft_ms&series=system.cpu_percent&series=model.tokens_per_second&range=last+7+d"
    "&compare=week&quantiles=1",
    "requests": "/requests", "insights": "/insights", "settings": "/settings",
}  # fmt: skip
SEEDED = ROOT / "build" / "seed-history" / "wfmon.db"
THEMES = ("dark", "light")
SIZES = {1280: 800, 400: 800}
FILL_S = 70
"""Long enough to fill a window of one minute."""
START_S = 20
SETTLE_S = 3.5
FLAGS = "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --mute-audio --no-first-run --window-size=1280,943"


@contextlib.contextmanager
def monitor(data: Path) -> Iterator[None]:
    """Run a monitor with the built-in model on a free port."""
    command = [sys.executable, "app.py", "--no-browser", "--port", "0", "--data", str(data), "--demo"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while not (data / "server.json").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit("The monitor did not start. To see why: make run ARGS=--no-browser")
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(5)


def launch_url(data: Path) -> str:
    """Request a sign-in link from the monitor."""
    origin = urlsplit(json.loads((data / "server.json").read_text("utf-8"))["url"])
    connection = http.client.HTTPConnection(str(origin.hostname), origin.port, timeout=5)
    token = (data / "token").read_text("utf-8").strip()
    connection.request("POST", "/api/v1/launch", headers={"Authorization": f"Bearer {token}"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["url"])


def browser() -> webdriver.Chrome:
    """Start a headless Chromium."""
    options: Any = Options()
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options)


def photograph(
    driver: Any,  # noqa: ANN401  selenium ships no types
    data: Path,
    out: Path,
    fill_s: float,
    pages: list[str],
) -> list[str]:
    """Take every page's screenshots. Returns the browser console's messages."""
    driver.get(launch_url(data))
    time.sleep(fill_s)
    origin = json.loads((data / "server.json").read_text("utf-8"))["url"].rstrip("/")
    for width, height in SIZES.items():
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        for theme in THEMES:
            driver.execute_script(f"document.cookie = 'wfmon-look={theme}.open; path=/'")
            for page in pages:
                driver.get(origin + PAGES[page])
                time.sleep(SETTLE_S)
                driver.save_screenshot(str(out / f"{page}-{theme}-{width}.png"))
    return [f"{entry['level']}: {entry['message']}" for entry in driver.get_log("browser")]


def main() -> None:
    """Take the screenshots. Any message on the browser's console makes it fail."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data", type=Path, help="data folder of a running monitor")
    parser.add_argument("--history", type=Path, default=SEEDED, help="a wfmon.db that the monitor starts with")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--fill", type=float, default=FILL_S, help="seconds to wait before the first screenshot")
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=list(PAGES))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        data = options.data
        if data is None:
            if not options.history.exists():
                sys.exit(f"There is no {options.history}: run `make seed-history` first.")
            data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            shutil.copy(options.history, data / "wfmon.db")
            stack.enter_context(monitor(data))
        driver = browser()
        stack.callback(driver.quit)
        messages = photograph(driver, data, options.out, options.fill, options.pages)
    for line in messages:
        print(line)
    sys.exit(1 if messages else 0)


if __name__ == "__main__":
    main()
