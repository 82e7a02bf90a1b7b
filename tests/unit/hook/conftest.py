from __future__ import annotations

import pytest

from tests.kit.hook_receiver import Receiver
from wfmon.hook.hook import Hook
from wfmon.hook.place import find


@pytest.fixture
def monitor(tmp_path):
    made = Receiver(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def hook(monitor):
    made = Hook(find=lambda: find(str(monitor.folder)), name="test")
    yield made
    made.close(5)
