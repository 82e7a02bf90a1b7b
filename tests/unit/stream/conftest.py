from __future__ import annotations

import pytest

from tests.kit.stream_server import StreamServer


@pytest.fixture
def streaming():
    made = StreamServer()
    yield made
    made.close()
