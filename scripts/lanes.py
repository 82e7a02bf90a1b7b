"""Run all tests in four parallel lanes, then those that need an idle machine; print each lane's output and the time.

`lanes.py [--no-browser] [ARGUMENTS FOR PYTEST]`. Arguments that select tests (a path, -k, -m, --lf) or use the terminal
(-s, --pdb) make it a single ordinary pytest run. Exit code: 0, or that of the first lane that failed. All output of
each lane, with its 40 slowest tests, is in build/tests/.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "tests"
CACHE = ROOT / ".pytest_cache"
NO_TESTS = 5
"""Pytest's exit code if no test was selected."""
ONE_RUN = re.compile(r"-[hkms]|--(co|ff|lf|nf|sw|failed-first|help|last-failed|pdb|stepwise|trace)")


@dataclass(frozen=True)
class Lane:
    """A part of the tests, run by one pytest process."""

    name: str
    arguments: tuple[str, ...]

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def cache(self) -> Path:
        return CACHE / self.name


COMPUTING = Lane("computing", ("tests/unit", "tests/property"))
"""Mostly CPU-bound. The lanes beside it mostly wait: for a process, a socket, Chromium."""
WAITING = Lane("waiting", ("tests/contract", "tests/faults"))
FIRST_PAGES = tuple(
    f"tests/browser/test_{name}.py"
    for name in ("built_in", "collectors", "connection", "door", "energy", "history", "history_statistics")
)
"""About half of the browser's tests."""
PAGES = (
    Lane("pages-1", (*FIRST_PAGES, "--headless", "-m", "not alone")),
    Lane("pages-2", ("tests/browser", *(f"--ignore={each}" for each in FIRST_PAGES), "--headless", "-m", "not alone")),
)
ALONE = Lane("alone", ("tests/browser", "--headless", "-m", "alone"))
"""Frame rates can only be tested on an otherwise idle machine."""


def main(arguments: list[str]) -> int:
    """Run the lanes and return the exit code."""
    browser = "--no-browser" not in arguments
    given = [each for each in arguments if each != "--no-browser"]
    if any(chooses(each) for each in given):
        chosen = ["--headless", "-m", "not runtimes"] if browser else ["-m", "not browser and not runtimes"]
        return subprocess.run(pytest(chosen, given), cwd=ROOT, check=False).returncode
    begun = time.monotonic()
    LOGS.mkdir(parents=True, exist_ok=True)
    rounds = [[COMPUTING, WAITING, *PAGES], [ALONE]] if browser else [[COMPUTING, WAITING]]
    codes = [code for lanes in rounds for code in run(lanes, given)]
    failed = keep_failed([lane for lanes in rounds for lane in lanes])
    failing = [code for code in codes if code not in (0, NO_TESTS)]
    print(f"wfmon: all tests took {time.monotonic() - begun:.0f} s (the slowest: {LOGS.relative_to(ROOT)}/)")
    if failed:
        print(f'wfmon: {failed} failed; to run them again: make test ARGS="--lf", or one: ARGS="-k NAME"')
    return failing[0] if failing else 0


def chooses(argument: str) -> bool:
    """Return whether an argument selects tests or needs the terminal."""
    return bool(ONE_RUN.match(argument)) or (ROOT / argument.partition("::")[0]).exists()


def pytest(*arguments: list[str]) -> list[str]:
    """Return pytest's command line."""
    return [sys.executable, "-m", "pytest", *(each for some in arguments for each in some)]


def run(lanes: list[Lane], given: list[str]) -> list[int]:
    """Run lanes in parallel and print each when it ends. Returns their exit codes."""
    running = {}
    for lane in lanes:
        options = ["-o", f"cache_dir={lane.cache}", "--durations=40", "--durations-min=0.2"]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with lane.log.open("w") as log:
            process = subprocess.Popen(
                pytest(list(lane.arguments), options, given), cwd=ROOT, stdout=log, stderr=log, env=environment
            )
        running[lane] = process
    codes = {}
    try:
        while running:
            for lane, process in list(running.items()):
                if process.poll() is not None:
                    codes[lane] = running.pop(lane).returncode
                    show(lane)
            time.sleep(0.1)
    finally:
        for process in running.values():  # after an interrupt, which they got too: wait for their orderly end
            process.wait(60)
    return [codes[lane] for lane in lanes]


def show(lane: Lane) -> None:
    """Print a lane's output, without its table of the slowest tests."""
    print(f"--- {lane.name}: {' '.join(lane.arguments)}")
    table = False
    for line in lane.log.read_text(errors="replace").splitlines():
        if line.startswith("="):
            table = " slowest " in line
        if not table:
            print(line)
    sys.stdout.flush()


def keep_failed(lanes: list[Lane]) -> int:
    """Merge the lanes' failures into the cache that `pytest --lf` reads. Returns their number."""
    failed: dict[str, bool] = {}
    for lane in lanes:
        source = lane.cache / "v" / "cache" / "lastfailed"
        if source.exists():
            failed |= json.loads(source.read_text())
    target = CACHE / "v" / "cache" / "lastfailed"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(failed))
    return len(failed)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
