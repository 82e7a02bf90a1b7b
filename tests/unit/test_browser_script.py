"""scripts/browser.sh: whether Chromium and its driver start, not whether they are there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKS = "#!/bin/sh\necho 'Chromium 1.2'\n"
STUB = "#!/bin/sh\necho 'needs the chromium snap to be installed' >&2\nexit 1\n"


@pytest.fixture
def run(tmp_path):
    """Run it where these programs are installed; neither apt-get nor sudo is at hand."""

    def run(**programs):
        for name in ("bash", "env", "id", "timeout"):
            (tmp_path / name).symlink_to(shutil.which(name))
        for name, text in programs.items():
            program = tmp_path / name.replace("_", "-")
            program.write_text(text)
            program.chmod(0o700)
        return subprocess.run(
            [ROOT / "scripts/browser.sh"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.parametrize("name", ["chromium", "chromium_browser", "google_chrome"])
def test_programs_that_start_are_enough(run, name):
    done = run(chromedriver=WORKS, **{name: WORKS})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_browser_that_starts_is_enough_beside_a_stub(run):
    assert run(chromedriver=WORKS, chromium_browser=STUB, google_chrome=WORKS).returncode == 0


@pytest.mark.parametrize("programs", [{"chromedriver": STUB, "chromium_browser": WORKS},
                                      {"chromedriver": WORKS, "chromium_browser": STUB}])  # fmt: skip
def test_a_stub_of_a_snap_that_does_not_start_is_named_with_what_to_do(run, programs):
    done = run(**programs)
    [stub] = [name.replace("_", "-") for name, text in programs.items() if text == STUB]
    assert done.returncode == 2
    assert done.stderr.startswith(f"wfmon: {stub} is installed but does not start")
    assert "make test BROWSER=no" in done.stderr
    assert done.stderr.count("\n") == 1


def test_where_nothing_is_installed_the_packages_are_named(run):
    done = run()
    assert done.returncode == 2
    assert "sudo apt-get install chromium" in done.stderr
    assert "make test BROWSER=no" in done.stderr
