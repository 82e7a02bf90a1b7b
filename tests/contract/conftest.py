"""The manual's commands run as they stand, on a machine without curl too."""

from __future__ import annotations

import os

import pytest

from tests.kit import curl


@pytest.fixture(scope="session", autouse=True)
def _curl(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.environ.get("PATH", os.defpath))
        curl.stand_in(tmp_path_factory.mktemp("curl"))
        yield
