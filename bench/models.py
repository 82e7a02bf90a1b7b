"""Measure what the models' way costs and how true it is, in one run on this machine, and print the table.

    .venv-test/bin/python bench/models.py [--seconds N] [--only hook,proxy,meter,page,discovery,accuracy]

The hook on the caller's thread against the bare loop; the proxy against a direct connection; the meters' CPU; the page
with four models at 100 tokens a second; what we report against what the client itself measured. The raw numbers go to
bench/results/models-<date>.json.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from urllib.parse import quote, urlsplit

from common import APP_PYTHON, ROOT, App, WireClients, chromium, log_errors, machine, percentile, save
from live import best_page
from tables import markdown, write

PYTHON = str(APP_PYTHON if APP_PYTHON.exists() else sys.executable)
TOKENS = 200_000

HOOK = """
import json, math, statistics, time
from wfmon.hook import observe

def flood(make, rounds=9, n=TOKENS):
    # CPU of this thread alone: the sender's is its own.
    spent = []
    for _ in range(rounds):
        stream = make(n)
        begun = time.thread_time_ns()
        for _ in stream:
            pass
        spent.append((time.thread_time_ns() - begun) / n)
        time.sleep(0.3)
    return statistics.median(spent)

def paced(call, n=1500):
    # As a model that makes 500 tokens a second. Caches are cold each time, so a call that does nothing is measured too.
    spent = []
    for _ in range(n):
        time.sleep(0.002)
        begun = time.perf_counter_ns()
        call()
        spent.append(time.perf_counter_ns() - begun)
    return statistics.median(spent)

found = {"bare": flood(lambda n: iter(["x"] * n)), "observe": flood(lambda n: observe(iter(["x"] * n), model="bench"))}
with observe(model="bench") as request:
    found["paced_nothing"] = paced(lambda: None)
    found["paced_token"] = paced(lambda: request.token())
with observe(model="bench", vocab="v", vocab_size=2000) as request:
    top, words = [math.log(0.04)] * 20, [f"w{i}" for i in range(20)]
    found["paced_logprobs"] = paced(lambda: request.token(logprobs=top))
    found["paced_hashed"] = paced(lambda: request.token(logprobs=top, tokens=words))
print(json.dumps(found))
"""


def hook(app: App) -> dict:
    """Nanoseconds a token on the caller's thread, with the sender running; the import's time in a fresh process."""
    env = {**os.environ, "WFMON_DATA": str(app.data), "PYTHONPATH": str(ROOT)}
    code = HOOK.replace("TOKENS", str(TOKENS))
    out = subprocess.run([PYTHON, "-c", code], env=env, capture_output=True, text=True, check=True)
    imports = []
    for _ in range(11):
        text = "import time; a=time.perf_counter_ns(); import wfmon.hook; print(time.perf_counter_ns()-a)"
        imports.append(int(subprocess.check_output([PYTHON, "-c", text], env=env)) / 1e6)
    return {**json.loads(out.stdout), "import_ms": statistics.median(imports)}


@contextlib.contextmanager
def child(*command: str, env: dict | None = None):
    """A process that prints a line when it is ready and ends with its standard input."""
    process = subprocess.Popen(
        [PYTHON, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=env or dict(os.environ),
    )
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    """Wait until something listens."""
    for _ in range(500):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on {port}")


def read_stream(port: int, count: int, pace_ms: int, padding: int, late: list[float]) -> tuple[int, float]:
    """Ask for one stream; note how late each chunk came. Gives bytes and seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": f"{count} {pace_ms} {padding}"}]}
    begun = time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer, total = connection.getresponse(), 0
    for line in answer:
        total += len(line)
        at = line.find(b'"content":"')
        if at > 0:
            late.append((time.monotonic_ns() - int(line[at + 11 : at + 31])) / 1e6)
    connection.close()
    return total, time.monotonic() - begun


def many(port: int, streams: int, count: int, pace_ms: int, padding: int) -> dict:
    """So many streams at once, a thread each, in a child process so that this one's GIL measures nothing else."""
    code = (
        "import sys, json, threading, time; sys.path.insert(0, 'bench'); from models import read_stream\n"
        f"late=[[] for _ in range({streams})]; total=[]\n"
        f"def one(n): total.append(read_stream({port}, {count}, {pace_ms}, {padding}, late[n])[0])\n"
        f"threads=[threading.Thread(target=one, args=(n,)) for n in range({streams})]\n"
        "begun=time.monotonic(); [t.start() for t in threads]; [t.join() for t in threads]\n"
        "flat = [x for row in late for x in row]\n"
        "print(json.dumps({'late': flat, 'bytes': sum(total), 's': time.monotonic() - begun}))"
    )
    seen = json.loads(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT))
    return {
        "p50_ms": percentile(seen["late"], 50), "p99_ms": percentile(seen["late"], 99), "chunks": len(seen["late"]),
        "bytes_per_second": seen["bytes"] / seen["s"], "seconds": seen["s"],
    }  # fmt: skip


@contextlib.contextmanager
def proxied(app: App, upstream: int):
    """A proxy before a local server; gives its port."""
    port = free_port()
    command = ["-m", "wfmon", "proxy", "--upstream", f"http://127.0.0.1:{upstream}", "--listen", f"127.0.0.1:{port}",
               "--data", str(app.data)]  # fmt: skip
    process = subprocess.Popen([PYTHON, *command], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port, process
    finally:
        process.terminate()
        process.wait(40)


def proxy(app: App, seconds: float) -> dict:
    """The lateness of chunks, direct and through the proxy, in turns; and the throughput of 100 streams."""
    with child("bench/upstream.py") as server:
        upstream = int(server.stdout.readline())
        with proxied(app, upstream) as (port, process):
            count = max(100, int(seconds * 100))
            rows: dict = {"direct": [], "proxy": []}
            for _ in range(3):
                for name, to in (("direct", upstream), ("proxy", port)):
                    rows[name].append({
                        "one": many(to, 1, count, 5, 20),
                        "hundred": many(to, 100, 50, 50, 20),
                        "flood": many(to, 100, 300, 0, 400),
                    })  # fmt: skip
            import psutil

            rss = psutil.Process(process.pid).memory_info().rss
    result: dict = {"rss": rss, "raw": rows}
    for kind in ("one", "hundred", "flood"):
        for name in ("direct", "proxy"):
            best = min(rows[name], key=lambda row, kind=kind: row[kind]["p50_ms"])
            result[f"{kind}_{name}"] = best[kind]
    return result


def ticker_ms(app: App, seconds: float) -> float:
    """CPU of the ticker's thread, percent of a core, over a span."""
    time.sleep(seconds)
    series = quote('monitor.thread_cpu_percent{thread="wfmon-ticker"}')
    return app.ask(f"/api/v1/window?series={series}&window={seconds:g}")["mean"]


def meter(app: App, seconds: float) -> dict:
    """CPU of the whole process and of its beat with 8 models at 100 tokens/s, a client at 60 Hz; and without."""
    clients = WireClients(app, 1)
    try:
        time.sleep(2)
        cpu, begun = app.cpu_s(), time.monotonic()
        rest_tick = ticker_ms(app, seconds)
        rest = 100 * (app.cpu_s() - cpu) / (time.monotonic() - begun)
        env = {**os.environ, "WFMON_DATA": str(app.data), "PYTHONPATH": str(ROOT)}
        with child("bench/feeder.py", "8", "100", env=env):
            time.sleep(5)
            cpu, begun = app.cpu_s(), time.monotonic()
            busy_tick = ticker_ms(app, seconds)
            busy = 100 * (app.cpu_s() - cpu) / (time.monotonic() - begun)
            models = app.ask("/api/v1/models")["models"]
            health = app.ask("/api/v1/health")
        return {
            "rest_percent": rest, "busy_percent": busy, "rest_tick_percent": rest_tick, "busy_tick_percent": busy_tick,
            "models": len(models), "tokens_per_second": sum(row["tokens_per_second"] or 0 for row in models),
            "rss": app.memory()["rss"], "dropped": health["dropped"], "servers_percent": next(
                row["cpu_percent"] for row in health["collectors"] if row["name"] == "servers"
            ),
        }  # fmt: skip
    finally:
        clients.close()


def page(app: App, seconds: float) -> dict:
    """The Overview and the Models page with four models at 100 tokens/s each, five clients in all."""
    driver = chromium()
    clients = WireClients(app, 4)
    env = {**os.environ, "WFMON_DATA": str(app.data), "PYTHONPATH": str(ROOT)}
    try:
        with child("bench/feeder.py", "4", "100", env=env):
            driver.get(app.launch_url())
            result: dict = {}
            for path in ("/", "/models"):
                driver.get(app.url + path)
                time.sleep(6)
                driver.execute_script("window.wfmon.debug({reset: true})")
                shown = best_page(driver, seconds)
                paint = driver.execute_script("return window.wfmon.debug().tokenPaint")
                result[path] = {
                    **shown, "token_paint_p50_ms": percentile(paint, 50), "token_paint_p99_ms": percentile(paint, 99),
                    "token_paints": len(paint),
                }  # fmt: skip
            result["rss"] = app.memory()["rss"]
            result["console"] = [row["message"] for row in driver.get_log("browser")]
            return result
    finally:
        clients.close()
        driver.quit()


def discovery(seconds: float) -> dict:
    """CPU of the servers' collector with the built-in model and two plain servers on this machine."""
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            server = stack.enter_context(child("bench/upstream.py"))
            server.stdout.readline()
        app = stack.enter_context(contextlib.closing(App("--demo")))
        time.sleep(8)
        shares = []
        for _ in range(max(3, int(seconds / 5))):
            time.sleep(5)
            row = next(row for row in app.ask("/api/v1/health")["collectors"] if row["name"] == "servers")
            shares.append(row["cpu_percent"])
        return {
            "cpu_percent": statistics.median(shares), "all": shares, "collectors": {
                row["name"]: row["cpu_percent"] for row in app.ask("/api/v1/health")["collectors"]
            },
            "found": [row["runtime"] for row in app.ask("/api/v1/servers")["servers"]],
        }  # fmt: skip


def accuracy(seconds: float) -> dict:
    """TTFT and tokens/s as reported against what the client itself measured: by hook (built-in model) and by proxy."""
    with contextlib.closing(App("--demo")) as app:
        time.sleep(4)
        demo = app.ask("/api/v1/demo")
        url = urlsplit(demo["url"])
        time.sleep(max(20, seconds))
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
        connection.request("GET", "/demo/measured")
        told = json.loads(connection.getresponse().read())
        told = told["requests"] if isinstance(told, dict) else told
        ours = app.ask("/api/v1/requests?limit=200")["requests"]
        by_hook = _match(told, [row for row in ours if row["via"] == "hook"])
        with child("bench/upstream.py") as server:
            upstream = int(server.stdout.readline())
            with proxied(app, upstream) as (port, _):
                mine = []
                for _ in range(12):
                    mine.append(_ask(port, 120, 12))
                    time.sleep(0.2)
                time.sleep(1.5)
                ours = app.ask("/api/v1/requests?limit=200")["requests"]
                by_proxy = _match(mine, [row for row in ours if row["via"] == "proxy"])
        return {"hook": _errors(by_hook), "proxy": _errors(by_proxy), "log_errors": log_errors(app.data)}


def _ask(port: int, count: int, pace_ms: int) -> dict:
    """One streamed request, measured by the client: from the first byte sent to the first and the last token."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    body = {"model": "bench", "stream": True, "messages": [{"role": "user", "content": f"{count} {pace_ms} 20"}]}
    started_ms, begun = time.time() * 1000, time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    times = [time.monotonic() for line in connection.getresponse() if b'"content":"' in line]
    connection.close()
    return {
        "model": "bench", "started_ms": started_ms, "ttft_ms": 1000 * (times[0] - begun), "tokens": len(times),
        "tokens_per_second": (len(times) - 1) / (times[-1] - times[0]),
    }  # fmt: skip


def _match(told: list[dict], ours: list[dict]) -> list[tuple[dict, dict]]:
    """Pair what the client measured with what was reported: by the request's id, else by model and start."""
    pairs = []
    for row in told:
        near = [each for each in ours if each["model"] == row["model"] and each["status"] == "ok"]
        if row.get("id"):
            near = [each for each in near if each["id"].endswith(f"-{row['id']}")]
        else:
            near = [each for each in near if abs(each["started_ms"] - row["started_ms"]) < 100]
        if near and row.get("tokens_per_second"):
            pairs.append((row, min(near, key=lambda each: abs(each["started_ms"] - row["started_ms"]))))
    return pairs


def _errors(pairs: list[tuple[dict, dict]]) -> dict:
    ttft = [abs(b["ttft_ms"] - a["ttft_ms"]) for a, b in pairs]
    speed = [100 * abs(b["tokens_per_second"] - a["tokens_per_second"]) / a["tokens_per_second"] for a, b in pairs]
    good = [abs(b["ttft_ms"] - a["ttft_ms"]) <= max(2.0, 0.02 * a["ttft_ms"]) for a, b in pairs]
    return {
        "requests": len(pairs), "ttft_error_ms_p50": percentile(ttft, 50), "ttft_error_ms_max": max(ttft, default=None),
        "ttft_within": sum(good), "speed_error_percent_p50": percentile(speed, 50),
        "speed_error_percent_max": max(speed, default=None),
        "tokens_equal": sum(a["tokens"] == b["output_tokens"] for a, b in pairs),
    }  # fmt: skip


def table(result: dict) -> list[tuple[str, str, str, bool | None]]:
    """Rows: what, promised, measured, whether it holds."""
    rows: list[tuple[str, str, str, bool | None]] = []
    if found := result.get("hook"):
        extra = found["observe"] - found["bare"]
        paced = {name: found[f"paced_{name}"] - found["paced_nothing"] for name in ("token", "logprobs", "hashed")}
        rows += [
            ("hook: a token through observe(), compared with none", "< 5 us", f"{extra / 1000:.2f} us", extra < 5_000),
            ("hook: request.token() at 500/s, compared with an empty call", "< 5 us", f"{paced['token'] / 1000:.2f} us",
             paced["token"] < 5_000),
            ("hook: the same with 20 log-probabilities", "stated", f"{paced['logprobs'] / 1000:.2f} us", None),
            ("hook: the same with hashes of 20 tokens too", "stated", f"{paced['hashed'] / 1000:.2f} us", None),
            ("hook: import", "< 10 ms", f"{found['import_ms']:.1f} ms", found["import_ms"] < 10),
        ]  # fmt: skip
    if found := result.get("proxy"):
        for kind, words in (("one", "1 stream"), ("hundred", "100 streams, 2,000 chunks/s")):
            direct, through = found[f"{kind}_direct"], found[f"{kind}_proxy"]
            added = through["p50_ms"] - direct["p50_ms"]
            promised, holds = ("< 1 ms", added < 1) if kind == "one" else ("stated", None)
            rows.append((f"proxy, {words}: added delay per chunk, p50", promised, f"{added:.2f} ms", holds))
            rows.append((f"proxy, {words}: added delay per chunk, p99", "stated",
                         f"{through['p99_ms'] - direct['p99_ms']:.2f} ms", None))  # fmt: skip
        flood = found["flood_proxy"]
        share = 100 * flood["bytes_per_second"] / found["flood_direct"]["bytes_per_second"]
        speed = flood["chunks"] / flood["seconds"]
        rows.append(("proxy: unpaced throughput of 100 streams, relative to a direct connection", "stated",
                     f"{share:.0f} % ({speed:,.0f} chunks/s)", None))  # fmt: skip
        rows.append(("proxy: RSS of its process", "stated", f"{found['rss'] / 1e6:.0f} MB", None))
    if found := result.get("meter"):
        rows += [
            (f"8 models, {found['tokens_per_second']:,.0f} tokens/s: CPU added, of one core", "stated",
             f"{found['busy_percent'] - found['rest_percent']:.1f} %", None),
            ("8 models: CPU of the 60 Hz ticker added", "stated",
             f"{found['busy_tick_percent'] - found['rest_tick_percent']:.1f} %", None),
            ("8 models: RSS with one client", "<= 90 MB", f"{found['rss'] / 1e6:.1f} MB", found["rss"] <= 90e6),
        ]  # fmt: skip
    for path, name in (("/", "Overview"), ("/models", "Models")):
        found = result.get("page", {}).get(path)
        if found:
            rows += [
                (f"{name}, 4 models at 100 tokens/s: frames a second", ">= 58", f"{found['fps']:.1f}",
                 found["fps"] >= 58),
                (f"{name}: frame interval p95", "<= 16.75 ms", f"{found['frame_p95_ms']:.2f} ms",
                 found["frame_p95_ms"] <= 16.75),
                (f"{name}: main-thread work p95", "<= 9 ms", f"{found['work_p95_ms']:.1f} ms",
                 found["work_p95_ms"] <= 9),
                (f"{name}: sample to end of its draw p99", "<= 50 ms", f"{found['paint_p99_ms']:.0f} ms",
                 found["paint_p99_ms"] <= 50),
                (f"{name}: token to end of its draw p50 / p99", "stated",
                 f"{found['token_paint_p50_ms']:.0f} / {found['token_paint_p99_ms']:.0f} ms", None),
            ]  # fmt: skip
    if result.get("page"):
        rss = result["page"]["rss"]
        rows.append(("4 models, 5 clients: RSS", "<= 90 MB", f"{rss / 1e6:.1f} MB", rss <= 90e6))
    if found := result.get("discovery"):
        total = sum(value or 0 for value in found["collectors"].values())
        rows += [
            ("finding and scraping servers, of one core", "stated", f"{found['cpu_percent']:.2f} %", None),
            ("all collectors, with models, of one core", "<= 2 %", f"{total:.2f} %", total <= 2),
        ]
    for way in ("hook", "proxy"):
        if found := result.get("accuracy", {}).get(way):
            most = found["speed_error_percent_max"]
            rows += [
                (f"{way}: TTFT compared with the client's own, {found['requests']} requests", "<= 2 ms or 2 %",
                 f"p50 {found['ttft_error_ms_p50']:.2f}, max {found['ttft_error_ms_max']:.2f} ms",
                 found["requests"] > 0 and found["ttft_within"] == found["requests"]),
                (f"{way}: tokens/s compared with the client's own", "<= 2 %",
                 f"p50 {found['speed_error_percent_p50']:.2f}, max {most:.2f} %", most is not None and most <= 2),
                (f"{way}: requests with the same token count", "all", f"{found['tokens_equal']} of {found['requests']}",
                 found["tokens_equal"] == found["requests"]),
            ]  # fmt: skip
    return rows


PARTS = ("hook", "proxy", "meter", "page", "discovery", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12, help="span of each measurement")
    parser.add_argument("--quick", action="store_true", help="short spans, for trying the script itself")
    parser.add_argument("--only", default=",".join(PARTS), help="some of the parts; nothing is kept then")
    parser.add_argument("--write", action="store_true", help="put the table into docs/measured.md and the README")
    options, _ = parser.parse_known_args()  # `make bench` gives both benchmarks the same
    seconds, wanted = 4.0 if options.quick else options.seconds, options.only.split(",")
    result: dict = {"machine": machine()}
    result["log_errors"] = []
    steps = {"hook": hook, "proxy": lambda app: proxy(app, seconds), "meter": lambda app: meter(app, seconds),
             "page": lambda app: page(app, seconds)}  # fmt: skip
    for name, step in steps.items():
        if name in wanted:
            with contextlib.closing(App()) as app:  # of its own: what one part has told stays in memory for minutes
                result[name] = step(app)
                result["log_errors"] += log_errors(app.data)
    if "discovery" in wanted:
        result["discovery"] = discovery(seconds)
    if "accuracy" in wanted:
        result["accuracy"] = accuracy(seconds * 3)
    words = {True: "holds", False: "MISSED", None: ""}
    rows = [(what, promised, measured, words[holds]) for what, promised, measured, holds in table(result)]
    print(markdown(rows))
    if set(wanted) == set(PARTS):
        print(f"\nraw numbers: {save('models', result).relative_to(ROOT)}")
        if options.write:
            write(rows, result["machine"], "models", "headless Chromium, no GPU")
    troubles = result["log_errors"] + result.get("page", {}).get("console", [])
    if troubles:
        print("troubles:", troubles)


if __name__ == "__main__":
    main()
