from __future__ import annotations

import pytest

from tests.stream_house import House


@pytest.fixture
def house():
    made = House()
    yield made
    made.close()
