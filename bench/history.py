"""From a click to ten charts: the History page in a real Chromium, over a month that bench/store.py made.

Each range is pressed some times; a turn ends with the first frame after Plotly has drawn.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from urllib.parse import urlencode

from common import App, chromium, percentile

CHARTS = 10
TURNS = 8
RANGES = ("last 1 h", "last 6 h", "last 24 h", "last 7 d", "last 30 d")
WAIT_S = 20
PRESS = """
const done = arguments[1], figure = document.querySelector("#history-graph .js-plotly-plot");
const start = performance.now();
figure.once("plotly_afterplot", () => requestAnimationFrame(() => setTimeout(() => {
  const points = figure.data.map((trace) => trace.fill ? 0 : trace.y?.length ?? 0);
  done({ ms: performance.now() - start, points: points.reduce((most, each) => Math.max(most, each), 0) });
})));
document.querySelector(`[data-to="${arguments[0]}"]`).click();
"""


def measure_page(folder: Path, series: list[str]) -> dict:
    """Milliseconds from the click to the painted charts, by range; ``series``: one a chart."""
    driver = chromium()
    try:
        with contextlib.closing(App(history=folder / "wfmon.db")) as app:
            driver.get(app.launch_url())
            driver.set_script_timeout(WAIT_S)
            query = urlencode([("series", each) for each in series] + [("range", "last 15 min")])
            driver.get(f"{app.url}/history?{query}")
            begun = time.monotonic()
            while len(driver.find_elements("css selector", "#history-graph .ysy, #history-rows > *")) < len(series):
                if time.monotonic() - begun > WAIT_S:
                    raise RuntimeError("the charts did not come")
                time.sleep(0.1)
            time.sleep(2)  # the page's own start is over
            found = {}
            for name in RANGES:
                turns = []
                for _ in range(TURNS + 1):
                    driver.execute_async_script(PRESS, "last 15 min")
                    turns.append(driver.execute_async_script(PRESS, name))
                spent = [each["ms"] for each in turns[1:]]  # the first one compiles
                found[name] = {
                    "p50_ms": percentile(spent, 50), "p95_ms": percentile(spent, 95), "points": turns[-1]["points"],
                }  # fmt: skip
            errors = [row["message"] for row in driver.get_log("browser") if row["level"] == "SEVERE"]
            return {"charts": len(series), "ranges": found, "console": errors, "rss": app.memory()["rss"]}
    finally:
        driver.quit()
