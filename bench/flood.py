"""Measure what a flood of models leaves behind: memory and CPU with every limit reached and nobody watching.

    python bench/flood.py [--names 20000] [--seconds 30] [--minutes 6]

Eight programs on loopback report 20,000 models through /api/v1/hook at the same time, with every field of the form, and
a client reports the frames of pages that do not exist. The monitor then keeps as many models and series as it may,
while nobody watches and no request is open. It is measured right after the flood and then once a minute: the cache is
full after five, and the history is sealed in that time. The raw numbers go to bench/results/flood-<date>.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import threading
import time
from http.client import HTTPConnection
from urllib.parse import urlsplit

from common import ROOT, App, log_errors, machine, open_client, save, say
from tables import markdown, write

SOURCES = 8
"""Programs that tell: one alone is held to 20,000 events a second."""
REQUESTS_A_POST = 100
PAGES = 40
MODELS = 64
MAX_RSS, MAX_IDLE_PERCENT = 100e6, 4.0
SETTLE_S = 10
OVER_S = 50
"""Requests that nobody ends are over 30 s after the last POST, and then their models' energy fades."""
TOP = [math.log(share) for share in (0.5, 0.2, 0.1, 0.05, 0.02)]


def request_lines(number: int, t_us: int) -> list[dict]:
    """Everything that can be told of a request, of a model of its own: but the first models end in each way."""
    name = f"neighbour-{number if number >= 8 * MODELS else number % MODELS:05}-{'x' * 90}"
    end = {"e": "end", "r": f"r{number}", "t": t_us + 9_000, "status": ("ok", "aborted", "error")[number % 3],
           "prompt_tokens": 40, "cached_tokens": 8, "output_tokens": 4, "queue_ms": 1.5, "load_ms": 2.5,
           "prompt_ms": 3.5, "decode_ms": 9.5}  # fmt: skip
    tops = [TOP] * 4
    return [
        {"e": "start", "r": f"r{number}", "t": t_us, "model": name, "vocab": "v", "vocab_size": 32_000},
        {"e": "prompt", "r": f"r{number}", "t": t_us + 1_000, "tokens": 40, "cached": 8},
        {"e": "tokens", "r": f"r{number}", "t": [t_us + 2_000 + 500 * at for at in range(4)], "top": tops},
        *([end] if number % 7 else []),  # some never end: they are lost with their source
    ]


class Neighbour:
    """One program that tells, over one kept connection."""

    def __init__(self, app: App, number: int) -> None:
        host = urlsplit(app.url)
        self._connection = HTTPConnection(host.hostname, host.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {app.token}", "Content-Type": "application/x-ndjson"}
        self._source = {"e": "source", "v": 1, "id": f"neighbour-{number}", "via": "hook", "name": f"n{number}",
                        "pid": 0, "server": f"127.0.0.1:{20_000 + number}"}  # fmt: skip

    def tell(self, lines: list[dict]) -> int:
        """Send lines; give how many were taken."""
        beat = {"e": "beat", "t": time.monotonic_ns() // 1_000, "lost": 0}
        body = "\n".join(json.dumps(line) for line in (self._source, beat, *lines))
        self._connection.request("POST", "/api/v1/hook", body, self._headers)
        answer = json.loads(self._connection.getresponse().read())
        return answer.get("taken", 0)

    def close(self) -> None:
        self._connection.close()


def flood_models(app: App, names: int) -> int:
    """Report so many models with a request each, from all sources at once; give how many lines were taken."""
    taken = [0] * SOURCES

    def tell(source: int) -> None:
        neighbour = Neighbour(app, source)
        for at in range(source * REQUESTS_A_POST, names, SOURCES * REQUESTS_A_POST):
            t_us, numbers = time.monotonic_ns() // 1_000, range(at, min(names, at + REQUESTS_A_POST))
            taken[source] += neighbour.tell([line for number in numbers for line in request_lines(number, t_us)])
        neighbour.close()

    threads = [threading.Thread(target=tell, args=(source,)) for source in range(SOURCES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(taken)


def flood_pages(app: App) -> None:
    """Report frames of pages that do not exist, as a mistyped address does."""
    with open_client(app.url, app.token, 1) as sock:
        say(sock, {"type": "pause", "paused": True})
        for number in range(PAGES):
            report = {"intervals": [16.7] * 59, "work": [4.0] * 59, "inputs": [12.0], "stream_latency": [9.0]}
            say(sock, {"type": "ux", "page": f"page-{number}", "t0": time.time() * 1_000 - 1_000, **report})
            time.sleep(0.4)  # one client may send three a second
            with contextlib.suppress(BlockingIOError):  # who does not read is sent away
                while sock.recv(65_536):
                    pass


class Peak(threading.Thread):
    """Watches the resident memory until it is stopped."""

    def __init__(self, app: App) -> None:
        super().__init__(daemon=True)
        self._app, self._done, self.rss = app, threading.Event(), 0

    def run(self) -> None:
        while not self._done.wait(0.05):
            self.rss = max(self.rss, self._app.ps.memory_info().rss)

    def stop(self) -> int:
        """Give the most that was seen."""
        self._done.set()
        self.join()
        return self.rss


def rest(app: App, seconds: float) -> dict:
    """CPU over a span in which nobody watches and nobody tells, and memory at its end."""
    cpu, begun = app.cpu_s(), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (app.cpu_s() - cpu) / (time.monotonic() - begun)
    return {"cpu_percent": percent, **app.memory(), "threads": app.ps.num_threads()}


def measure(names: int, seconds: float, minutes: int) -> dict:
    """Before, during and after the flood."""
    with contextlib.closing(App()) as app:
        time.sleep(SETTLE_S)
        result: dict = {"before": rest(app, seconds)}
        peak = Peak(app)
        peak.start()
        begun = time.monotonic()
        result["lines_taken"] = flood_models(app, names)
        result["flood_s"] = time.monotonic() - begun
        flood_pages(app)
        time.sleep(OVER_S)
        result["peak_rss"] = peak.stop()
        result["after"] = rest(app, seconds)
        health = app.ask("/api/v1/health")
        result["health"] = {name: health[name] for name in ("cache", "dropped", "process", "ticker")}
        result["models"] = len(app.ask("/api/v1/models")["models"])
        result["minutes"] = []
        for minute in range(1, minutes + 1):
            row = {"minute": minute, **rest(app, 60)}
            result["minutes"].append(row)
            print(f"minute {minute:2}: {row['rss'] / 1e6:.1f} MB, {row['cpu_percent']:.2f} %", flush=True)
        result["log_errors"] = log_errors(app.data)
    return result


def table(result: dict, names: int) -> list[tuple[str, str, str, str]]:
    """The promises: what, promised, measured, whether it holds."""
    before, spans = result["before"], [result["after"], *result["minutes"]]
    rss, cpu = max(span["rss"] for span in spans), max(span["cpu_percent"] for span in spans)
    words, series = {True: "holds", False: "MISSED"}, result["health"]["cache"]["series"]
    return [
        (f"{names:,} models reported, {series:,} series: RSS afterwards, {len(result['minutes'])} minutes", "<= 100 MB",
         f"{rss / 1e6:.1f} MB ({before['rss'] / 1e6:.1f} before)", words[rss <= MAX_RSS]),
        ("the same, while they are reported: most RSS", "stated", f"{result['peak_rss'] / 1e6:.1f} MB", ""),
        ("the same, afterwards, nobody watching: CPU, of one core", "<= 4 %",
         f"{cpu:.1f} % ({before['cpu_percent']:.1f} before)", words[cpu <= MAX_IDLE_PERCENT]),
    ]  # fmt: skip


def main() -> None:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=30, help="span of each measurement")
    parser.add_argument("--minutes", type=int, default=6, help="go on measuring for so long")
    parser.add_argument("--quick", action="store_true", help="short spans, for trying the script itself")
    parser.add_argument("--write", action="store_true", help="put the table into docs/measured.md and the README")
    options, _ = parser.parse_known_args()  # `make bench` gives all benchmarks the same
    spans = (5, 0) if options.quick else (options.seconds, options.minutes)
    result = {"machine": machine(), **measure(options.names, *spans)}
    rows = table(result, options.names)
    print(markdown(rows))
    if not options.quick:
        print(f"\nraw numbers: {save('flood', result).relative_to(ROOT)}")
        if options.write:
            write(rows, result["machine"], "flood", "other programs at work beside it")
    if result["log_errors"]:
        print("troubles:", result["log_errors"])


if __name__ == "__main__":
    main()
