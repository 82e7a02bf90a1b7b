"""docs/openapi.yaml says what the server does: no route more, none less, and its answers have the described form."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = Path(__file__).resolve().parents[2]
SPEC = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text("utf-8"))
VERBS = {"get", "post"}

# In a process of its own: Dash keeps its pages and callbacks for as long as a process lives.
ASK = """
import json, pathlib, sys
import app
from wfmon.core import settings_files
folder = pathlib.Path(sys.argv[1])
server = app.create_app(settings_files.load(None, folder)).server
rules = [(rule.rule, sorted(rule.methods or {"GET"})) for rule in server.url_map.iter_rules()]
client = server.test_client()
headers = {"Host": "127.0.0.1:9445", "Authorization": "Bearer " + (folder / "token").read_text().strip()}
answers = []
for method, target, body in json.loads(sys.argv[2]):
    what = {"data": body, "content_type": "application/x-ndjson"} if isinstance(body, str) else {"json": body}
    answer = client.open(target, method=method, headers=headers, **what)
    answers.append([method, target, answer.status_code, answer.content_type, answer.text])
    answer.close()
print(json.dumps({"rules": rules, "answers": answers}))
"""
HOOK = """{"e":"source","v":1,"id":"contract-1","via":"hook","name":"a test","pid":1}
{"e":"beat","t":1,"lost":0}
{"e":"start","r":"r1","t":2,"model":"tiny"}
{"e":"end","r":"r1","t":3,"status":"ok"}"""
ASKED = [
    ["GET", "/api/v1/health", None],
    ["GET", "/api/v1/series", None],
    ["GET", "/api/v1/latest", None],
    ["GET", "/api/v1/window?window=1", None],
    ["GET", "/api/v1/window?series=system.cpu_percent&window=0", None],
    ["GET", "/api/v1/window?series=system.cpu_percent&window=1", None],
    ["GET", "/api/v1/windows?window=300", None],
    ["GET", "/api/v1/windows?window=60", None],
    ["GET", "/api/v1/collectors", None],
    ["POST", "/api/v1/collectors/ux", {"enabled": False}],
    ["POST", "/api/v1/collectors/ux", {"enabled": 1}],
    ["POST", "/api/v1/collectors/nope", {"enabled": True}],
    ["POST", "/api/v1/collectors/ux", None],
    ["GET", "/api/v1/settings", None],
    ["GET", "/api/v1/models", None],
    ["GET", "/api/v1/requests", None],
    ["GET", "/api/v1/requests?limit=0", None],
    ["GET", "/api/v1/requests/none", None],
    ["GET", "/api/v1/history", None],
    ["GET", "/api/v1/query?series=system.cpu_percent&from=1&to=2", None],
    ["GET", "/api/v1/query?series=system.cpu_percent&from=1", None],
    ["GET", "/api/v1/statistics?series=system.cpu_percent&from=1&to=2", None],
    ["GET", "/api/v1/statistics?series=system.cpu_percent&from=1&to=2&against_from=3", None],
    ["GET", "/api/v1/annotations?from=1&to=2", None],
    ["GET", "/api/v1/annotations?from=x&to=2", None],
    ["GET", "/api/v1/anomalies", None],
    ["GET", "/api/v1/anomalies?from=1&to=2", None],
    ["GET", "/api/v1/anomalies?from=1", None],
    ["GET", "/api/v1/history/requests?from=1&to=2", None],
    ["GET", "/api/v1/history/requests?from=1&to=2&limit=0", None],
    ["GET", "/api/v1/insights", None],
    ["GET", "/api/v1/insights?days=0", None],
    ["GET", "/api/v1/store", None],
    ["POST", "/api/v1/store", {"recording": False}],
    ["POST", "/api/v1/store", {"recording": 1}],
    ["POST", "/api/v1/store", None],
    ["GET", "/api/v1/store/forget", None],
    ["POST", "/api/v1/store/forget", {"all": True}],
    ["POST", "/api/v1/store/forget", {"series": "a.b"}],
    ["POST", "/api/v1/store/forget", {"cancel": True}],
    ["POST", "/api/v1/store/forget", {"all": True, "preview": False}],
    ["POST", "/api/v1/store/forget", {"all": True, "preview": False}],
    ["POST", "/api/v1/store/forget", {"before_ms": -1}],
    ["POST", "/api/v1/store/forget", None],
    ["GET", "/api/v1/store/forget", None],
    ["GET", "/api/v1/store/retention", None],
    ["POST", "/api/v1/store/retention", {"values": {"store.keep_1s_days": 0.1}}],
    ["POST", "/api/v1/store/retention", {"values": {"store.keep_1s_days": 0.1}, "preview": False}],
    ["POST", "/api/v1/store/retention", {"values": {"store.keep_1s_days": 0}}],
    ["POST", "/api/v1/store/retention", None],
    ["GET", "/api/v1/servers", None],
    ["GET", "/api/v1/demo", None],
    ["POST", "/api/v1/demo", {"running": False}],
    ["POST", "/api/v1/demo", {"running": 1}],
    ["POST", "/api/v1/demo", None],
    ["GET", "/api/v1/proxy", None],
    ["GET", "/api/v1/hook", None],
    ["POST", "/api/v1/hook", None],
    ["POST", "/api/v1/hook", ""],
    ["POST", "/api/v1/hook", HOOK],
    ["POST", "/api/v1/launch", None],
    ["GET", "/launch?code=wrong", None],
    ["POST", "/launch", None],
    ["GET", "/metrics", None],
    ["GET", "/ws", None],
    ["POST", "/sse/nobody", {"type": "ping"}],
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Ask the real server, which is put together and not started."""
    folder = tmp_path_factory.mktemp("data")
    done = subprocess.run(
        [sys.executable, "-c", ASK, folder, json.dumps(ASKED)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_description_is_valid_openapi_3_1():
    OpenAPIV31SpecValidator(SPEC).validate()


def test_every_route_is_described_and_every_description_is_a_route(server):
    described = {(path, verb.upper()) for path, item in SPEC["paths"].items() for verb in VERBS & set(item)}
    real = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule), method)
        for rule, methods in server["rules"]
        for method in set(methods) & {"GET", "POST"}
        # Dash's own routes, its pages, and the one that answers for what is not there
        if not re.match(r"/(_|assets/|$|<path:path>$)|/api/<path:", rule)
    }
    assert described == real


def operation(method, target):
    path = target.partition("?")[0]
    for template, item in SPEC["paths"].items():
        if re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path):
            return item[method.lower()]
    raise LookupError(path)


def test_every_answer_has_the_described_status_type_and_form(server):
    assert len(server["answers"]) == len(ASKED)
    for method, target, status, kind, text in server["answers"]:
        responses = operation(method, target)["responses"]
        assert str(status) in responses, f"{method} {target} answered {status}, which is not described: {text[:300]}"
        response = responses[str(status)]
        if "$ref" in response:
            response = SPEC["components"]["responses"][response["$ref"].rpartition("/")[2]]
        assert kind in response["content"], f"{method} {target}"
        if "json" in kind:
            form = {**response["content"][kind]["schema"], "components": SPEC["components"]}
            Draft202012Validator(form).validate(json.loads(text))


def test_every_described_json_answer_is_asked_for(server):
    """So that no form goes unchecked, but a window's and the stream's, which need a monitor that runs."""
    asked = {
        (operation(method, target)["operationId"], str(status)) for method, target, status, _, _ in server["answers"]
    }
    left = {
        (item[verb]["operationId"], status)
        for item in SPEC["paths"].values()
        for verb in VERBS & set(item)
        for status in item[verb]["responses"]
        if status != "default"
    } - asked
    assert left == {
        ("window", "200"), ("switch", "507"), ("newLaunch", "507"), ("openLaunch", "200"), ("openLaunch", "429"),
        ("typeLaunch", "200"), ("typeLaunch", "429"), ("stream", "101"), ("events", "200"), ("events", "503"),
        ("say", "204"), ("say", "413"), ("say", "429"), ("oneRequest", "200"), ("hook", "101"), ("hook", "503"),
        ("hookLines", "413"), ("hookLines", "503"), ("query", "200"), ("statistics", "200"),
        ("record", "507"), ("forget", "503"), ("retain", "503"), ("retain", "507"), ("insights", "200"),
    }  # fmt: skip


def test_what_is_unusual_has_the_described_form():
    from wfmon.analyse import marks
    from wfmon.analyse.anomaly import Run, Usual
    from wfmon.analyse.unusual import DetectionState
    from wfmon.core import units
    from wfmon.core.types import Series

    run = Run(1, 60, 240, 91.0, 9.0, Usual(20.0, 2.0, 12.0, 26.0, 14), 88.0, confirmed=True)
    rows = [marks.row_of(Series("system.cpu_percent"), run, units.text, over=over) for over in (False, True)]
    notes = [{"t_ms": 1, "kind": marks.KIND, "text": marks.note(row, units.text, 5)} for row in rows]
    form("Anomalies").validate({
        **DetectionState(now=())._asdict(), "now": rows, "past": marks.past(notes, rows[:1], 0, 10**9, units.text),
        "needs_days": 5, "most_days": 14,
    })  # fmt: skip


def test_a_window_has_the_described_form():
    from dataclasses import asdict

    from wfmon.core.types import Window

    form = {**SPEC["components"]["schemas"]["Window"], "components": SPEC["components"]}
    Draft202012Validator(form).validate({"series": "a", "unit": "%", **asdict(Window(1.0, 0))})


def form(name):
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": SPEC["components"]})


def test_a_request_has_the_described_form():
    from wfmon.core.types import Cause, Request

    request = Request("r1", "tiny", "127.0.0.1:11434", "hook", 1, stalls=((1.0, 500.0),), causes=(Cause("load", "x"),))
    given = {name: getattr(request, name) for name in Request.__dataclass_fields__}
    given |= {"stalls": [[1.0, 500.0]], "causes": [{"code": "load", "text": "x", "cost_ms": None}]}
    assert set(SPEC["components"]["schemas"]["Request"]["properties"]) == set(given)
    form("Request").validate(given)


def test_what_a_program_tells_comes_back_in_the_described_form():
    import orjson

    from wfmon.collect.models.ingest.inbox import Ingest
    from wfmon.collect.models.meter.meters import Meters
    from wfmon.core.clock import FakeClock
    from wfmon.core.settings import EnergySettings
    from wfmon.core.types import Cause, Judgement
    from wfmon.process.energy import EnergyMeter

    clock = FakeClock()
    clock.advance(100)
    meters = Meters(
        clock, energy=lambda: EnergyMeter(EnergySettings()), server_of=lambda _, claimed: claimed,
        power_watts=lambda: None, judge=lambda _: Judgement(True, (Cause("load", "cold load 1.8 s", 1_800.0),)),
    )  # fmt: skip
    connection = Ingest(clock, meters.put, boot="boot").open(post=True)
    lines = f"""{HOOK.splitlines()[0]}
{{"e":"beat","t":100000000,"lost":0}}
{{"e":"start","r":"r1","t":97000000,"model":"tiny","prompt_tokens":9,"vocab":"v","vocab_size":100}}
{{"e":"phase","r":"r1","t":97000000,"name":"loading"}}
{{"e":"phase","r":"r1","t":98800000,"name":"prompt"}}
{{"e":"tokens","r":"r1","t":[99000000,99050000,99600000],"entropy":[1.5,null,2.5],"k":[100,null,100]}}"""
    assert connection.take(lines.encode()).refused == []
    meters.drain()
    answers = [("Model", model) for model in meters.models()] + [("Request", each) for each in meters.requests(9)]
    connection.take(b'{"e":"end","r":"r1","t":99700000,"status":"ok","reason":"stop"}')
    meters.drain()
    meters.each_second()
    ended = meters.requests(9)
    assert [each["status"] for each in ended] == ["ok"]
    answers += [("Model", each) for each in meters.models()] + [("Request", each) for each in ended]
    answers += [("TimedRequest", meters.request(ended[0]["id"]))]
    assert [name for name, _ in answers] == ["Model", "Request", "Model", "Request", "TimedRequest"]
    for name, answer in answers:
        form(name).validate(json.loads(orjson.dumps(answer)))


def test_a_server_has_the_described_columns():
    from wfmon.collect.models.scrape.rows import COLUMNS, ServerRecord

    described = SPEC["components"]["schemas"]["Server"]
    assert set(described["properties"]) == set(described["required"]) == set(COLUMNS)
    cells = ServerRecord(None, server="127.0.0.1:8000").cells()
    form("Server").validate(dict(zip(COLUMNS, cells, strict=True)))


def test_the_manual_names_every_route():
    page = (ROOT / "docs/api.md").read_text("utf-8")
    assert {path for path in SPEC["paths"] if f"`{path}`" not in page} == set()


def test_a_query_and_the_series_of_the_history_have_the_described_form(tmp_path):
    import numpy as np

    from wfmon.core.clock import FakeClock
    from wfmon.core.settings_files import load
    from wfmon.core.types import Frame, Layout, Series
    from wfmon.runtime import Runtime

    clock = FakeClock()
    monitor = Runtime(load(None, tmp_path), clock, page_token=str, pages=tuple)
    monitor.ticker.put(Frame("system", clock.now_ms(), Layout((Series("system.cpu_percent"),)), np.array([5.0])))
    monitor.ticker.tick()
    history = monitor.services.history
    for fn in ("envelope", "mean"):
        lines = history.query(
            series=["system.cpu_percent"], from_ms=clock.now_ms() - 5_000, to_ms=clock.now_ms() + 1, points=5, fn=fn
        )
        form("Lines").validate(json.loads(json.dumps(lines)))
    form("KeptSeries").validate(history.series()[0])


def test_statistics_have_the_described_form_with_values_and_without(tmp_path):
    import numpy as np

    from wfmon.core.clock import FakeClock
    from wfmon.core.services import StatisticsQuery
    from wfmon.core.settings_files import load
    from wfmon.core.types import Frame, Layout, Series
    from wfmon.runtime import Runtime

    clock = FakeClock()
    monitor = Runtime(load(None, tmp_path), clock, page_token=str, pages=tuple)
    names = ("system.cpu_percent", "system.memory_percent", 'ux.frame_time_ms{page="p"}')
    layout = Layout(tuple(map(Series.parse, names)))
    random = np.random.default_rng(1)
    for _ in range(240):
        monitor.ticker.put(Frame("system", clock.now_ms(), layout, random.uniform(5, 50, 3)))
        monitor.ticker.tick()
        clock.advance(1)
    now, statistics = clock.now_ms(), monitor.services.history.statistics
    full = [statistics(query=StatisticsQuery(name, (now - 120_000, now), None, names[1])) for name in names]
    assert [each["changes"][0]["absent"] for each in full] == [""] * 3
    empty = statistics(query=StatisticsQuery(names[0], (now + 1_000, now + 2_000), (1, 2), names[1]))
    assert empty["span"]["absent"]
    for told in (*full, empty):
        form("Statistics").validate(json.loads(json.dumps(told)))


def test_what_would_go_and_what_went_have_the_described_form(tmp_path):
    from tests.kit.recorded_store import RecordedStore
    from wfmon.core.settings_files import load
    from wfmon.runtime.settings import ChangedSettings
    from wfmon.store.retention_settings import RetentionSettings

    recorded = RecordedStore(tmp_path, "a", "b_ms")
    recorded.run(700, tick_s=10, a=1.0, b_ms=2.0)
    made = recorded.writer.deletion
    for asked in ({"series": "a"}, {"before_ms": recorded.clock.now_ms()}, {"all": True}):
        form("Gone").validate(made.preview(asked))
        form("Forgetting").validate(made.request(asked))
        recorded.run(1, b_ms=1.0)
        assert made.status()["state"] == "done"
        form("Forgetting").validate(made.status())
    keeping = RetentionSettings(ChangedSettings(load(None, tmp_path)), recorded.writer.path, recorded.clock.now_ms)
    form("RetentionPreview").validate(keeping.preview({"store.keep_1s_days": 0.02}))
    form("Retention").validate({"retention": keeping.change({"store.keep_1s_days": 0.02})})
    form("Store").validate(
        {**recorded.writer.status(), "path": "", "from_ms": None, "usage": recorded.reader.usage(), "keep": {}}
    )
    recorded.writer.finish()
