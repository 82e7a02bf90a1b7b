"""What each kind of scraper promises, over each kind and whatever its server answers."""

from __future__ import annotations

import json
import math

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.scrape_harness import DATA, ScrapeHarness, replay
from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.scrape.fingerprint import MAKERS, MAX_PROBES, identify
from wfmon.collect.models.scrape.http import HttpAnswer
from wfmon.collect.models.scrape.kinds import MAX_CHARS, MAX_MODELS, Moment, ScrapeResult
from wfmon.collect.models.scrape.rows import COLUMNS
from wfmon.collect.models.scrape.texts import VISIBILITY, visibility
from wfmon.core.types import Frame

SITUATIONS = {situation for _, situation in VISIBILITY}
PATHS = ("/api/version", "/api/ps", "/props", "/slots", "/metrics", "/v1/models", "/api/v1/models", "/version")
CAPTURES = sorted(path.stem for path in DATA.glob("*.json"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = (
    "models", "data", "id", "name", "size_vram", "version", "state", "loaded_instances", "owned_by", "key", "role",
    "is_processing", "id_task", "next_token", "n_decoded", "model_alias", "model_path", "is_sleeping",
)  # fmt: skip
SHAPED = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)
BODIES = SHAPED.map(lambda value: json.dumps(value).encode())
ANSWERS = st.builds(
    HttpAnswer,
    st.sampled_from(["", "", "", "refused", "silent", "not_http", "too_big", "late"]),
    st.sampled_from([200, 200, 200, 200, 204, 301, 400, 401, 403, 404, 500, 501, 503]),
    BODIES | st.binary(max_size=60),
    st.sampled_from(["", "uvicorn", "llama.cpp"]),
)


@pytest.mark.parametrize("runtime", MAKERS)
@settings(max_examples=25)
@given(answers=st.lists(ANSWERS, min_size=1, max_size=8))
def test_a_scraper_never_raises_and_tells_only_what_may_be_shown(runtime, answers):
    scraper = MAKERS[runtime]()
    assert scraper.runtime == runtime
    for second in range(4):
        asked = iter(answers[second % len(answers) :] + answers)
        result = scraper.scrape(lambda _path, asked=asked: next(asked, answers[0]), Moment(second * 1_000_000_000))
        if result is not None:
            promised(result, runtime)


def promised(result, runtime):
    assert isinstance(result, ScrapeResult)
    assert result.situation in SITUATIONS
    assert all(visibility(runtime, result.situation, "127.0.0.1:1"))
    assert len(result.models or ()) <= MAX_MODELS
    assert len(result.readings) <= MAX_MODELS
    for name in (*(result.models or ()), result.version or "", *(reading.model for reading in result.readings)):
        assert len(name) <= MAX_CHARS
        assert name.isprintable()
    for reading in result.readings:
        for field, value in reading._asdict().items():
            if isinstance(value, float):
                assert math.isfinite(value), field
                assert value >= 0, field


@settings(max_examples=50)
@given(answers=st.lists(ANSWERS, min_size=MAX_PROBES, max_size=MAX_PROBES), hinted=st.sampled_from(["", *MAKERS]))
def test_finding_out_who_answers_takes_four_gets_at_most(answers, hinted):
    asked = []
    verdict = identify(lambda path: (asked.append(path), answers[len(asked) - 1])[1], hinted)
    assert len(asked) <= MAX_PROBES
    assert len(set(asked)) == len(asked)
    assert verdict is None or verdict.runtime in ("", *MAKERS)
    assert verdict is None or not (verdict.sure and verdict.final and verdict.runtime)


def test_the_manual_names_every_kind_and_every_state():
    page = (DATA.parents[3] / "docs/servers.md").read_text("utf-8")
    assert all(f"\n| {each} |" in page for each in (*MAKERS, "ok", "needs_key", "odd", "silent"))


@pytest.mark.parametrize("name", CAPTURES)
def test_every_capture_says_where_it_is_from_and_fills_a_row(name):
    source = orjson.loads((DATA / f"{name}.json").read_bytes())["_source"]
    assert source.startswith(("Captured from", "Written from documentation"))
    with ScrapeHarness() as harness:
        harness.serve(replay(name))
        harness.look()
        row = harness.one()
        assert set(row) == set(COLUMNS)
        assert all(isinstance(row[column], str) for column in COLUMNS if column not in ("pid", "gpu_bytes"))
        assert all(len(row[column]) <= MAX_CHARS for column in ("server", "version", "process", "models"))
        assert isinstance(harness.frame, Frame)
        assert len(harness.frame.layout) == len(harness.frame.values)
        assert all(isinstance(reading, Reading) and reading.server == row["server"] for reading in harness.readings)
