"""What every test stands on: none touches the user's own folders, and property tests try the same cases each time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.kit import closing

if TYPE_CHECKING:
    from collections.abc import Iterator

# Monitors are started a hundred times, without docstrings: compiled each time, each would take two seconds longer.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# One outcome a commit: the same examples each run, no deadline. --hypothesis-profile=explore looks further.
SLOW = [hypothesis.HealthCheck.too_slow]  # it judges the machine's load, not the test
hypothesis.settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=SLOW
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session", autouse=True)
def _folders_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lead the data folder, the home and the XDG folders away from the user's, for this process and its children."""
    folder = tmp_path_factory.mktemp("folder")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WFMON_")]:
            patch.delenv(name)
        patch.setenv("WFMON_DATA", str(folder / "data"))
        patch.setenv("HOME", str(folder))
        for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_stays_open_after_the_session() -> Iterator[None]:
    with closing.everything():
        yield


@pytest.fixture(scope="module", autouse=True)
def _nothing_stays_open_after_a_module() -> Iterator[None]:
    with closing.everything():
        yield


@pytest.fixture(autouse=True)
def _nothing_stays_open_after_a_test() -> Iterator[None]:
    with closing.everything():
        yield
