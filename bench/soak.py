"""Eleven minutes with five clients: does memory stay, does anything leak, does the log stay clean?

    .venv-test/bin/python bench/soak.py [--minutes 11]

The hot cache is full after five minutes, so from minute 6 on nothing may grow. One client is a real Chromium. Prints
a line a minute and the verdict; exit code 1 when a promise is missed. Raw numbers: bench/results/soak-<date>.json.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from common import ROOT, App, WireClients, chromium, log_errors, machine, save

MAX_GROWTH = 3_000_000
FULL_AT_MIN = 6
CLIENTS = 5


def base(app: App) -> dict:
    """Threads and file descriptors now."""
    return {"threads": app.ps.num_threads(), "fds": app.ps.num_fds()}


def settle(app: App, wanted: dict, seconds: float = 15) -> dict:
    """Wait until threads and descriptors are back at what they were, at most so long; give what they are."""
    deadline = time.monotonic() + seconds
    while (now := base(app)) != wanted and time.monotonic() < deadline:
        time.sleep(0.5)
    return now


def watch(app: App, minutes: int) -> list[dict]:
    """A row a minute."""
    rows, begun = [], time.monotonic()
    for minute in range(1, minutes + 1):
        time.sleep(max(0.0, begun + 60 * minute - time.monotonic()))
        health = app.ask("/api/v1/health")
        row = {"minute": minute, **app.memory(), **base(app), "cache_bytes": health["cache"]["bytes"],
               "cpu_s": app.cpu_s(), "clients": len(health["stream"]["clients"])}  # fmt: skip
        rows.append(row)
        print(
            f"minute {minute:2}: RSS {row['rss'] / 1e6:.2f} MB, PSS {(row['pss'] or 0) / 1e6:.2f} MB, cache "
            f"{row['cache_bytes'] / 1e6:.2f} MB, {row['threads']} threads, {row['fds']} descriptors",
            flush=True,
        )
    return rows


def main() -> int:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=11)
    minutes = parser.parse_args().minutes
    with contextlib.closing(App()) as app:
        time.sleep(3)
        before = settle(app, base(app), 1)
        driver = chromium()
        try:
            driver.get(app.launch_url())
            clients = WireClients(app, CLIENTS - 1)
            try:
                rows = watch(app, minutes)
                console = [row["message"] for row in driver.get_log("browser")]
            finally:
                clients.close()
        finally:
            driver.quit()
        after = settle(app, before)
        errors = log_errors(app.data)
    start = rows[min(FULL_AT_MIN, len(rows)) - 1]["rss"]
    growth = max(row["rss"] for row in rows[FULL_AT_MIN - 1 :] or rows) - start
    checks = {
        f"RSS grew {growth / 1e6:+.2f} MB from minute {FULL_AT_MIN} (< 3 MB)": growth < MAX_GROWTH,
        f"no error in the log ({len(errors)})": not errors,
        f"no word on the console ({len(console)})": not console,
        f"threads {before['threads']} -> {after['threads']}": after["threads"] <= before["threads"],
        f"file descriptors {before['fds']} -> {after['fds']}": after["fds"] <= before["fds"],
    }
    for what, holds in checks.items():
        print(f"{'holds ' if holds else 'MISSED'}  {what}")
    for line in errors + console:
        print("  ", line)
    path = save("soak", {"machine": machine(), "rows": rows, "before": before, "after": after, "errors": errors,
                         "console": console, "checks": checks})  # fmt: skip
    print(f"raw numbers: {path.relative_to(ROOT)}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
