"""/api/v1 and /metrics."""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import timedelta, timezone
from zoneinfo import ZoneInfo

import orjson
import pytest

from tests.kit.recorded_store import RecordedStore
from wfmon.core.catalogue import METRICS
from wfmon.core.errors import NotSaved, Unreadable
from wfmon.core.services import StatisticsQuery
from wfmon.serve.problem import CONTENT_TYPE
from wfmon.serve.routes import openmetrics
from wfmon.serve.routes.answers import PART


def get(guarded, target):
    answer = guarded.ask(target)
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    return json.loads(answer.data)


def problem(answer, status):
    assert answer.status_code == status
    assert answer.content_type == CONTENT_TYPE
    found = json.loads(answer.data)
    assert {"type", "title", "status", "detail", "fix"} <= set(found)
    assert found["status"] == status
    return found


def switch(guarded, name="system", body='{"enabled": false}', kind="application/json"):
    return guarded.ask(f"/api/v1/collectors/{name}", "POST", data=body, CONTENT_TYPE=kind)


def test_health_series_latest_and_settings_are_what_the_monitor_says(guarded):
    assert get(guarded, "/api/v1/health") == {"status": "ok", "stream": {"late_ms": None}}, "NaN is no JSON"
    assert get(guarded, "/api/v1/series") == {"series": guarded.services.live.series()}
    assert get(guarded, "/api/v1/latest") == guarded.services.live.latest()
    assert get(guarded, "/api/v1/settings") == {"settings": guarded.services.settings.table()}
    assert get(guarded, "/api/v1/collectors")["collectors"][0]["name"] == "system"


@pytest.mark.parametrize(("text", "span"), [("1", 1), ("10", 10), ("300", 300), ("0.5", 0.5), ("1e2", 100)])
def test_a_window_is_of_any_seconds_that_the_cache_holds(guarded, text, span):
    answer = get(guarded, f"/api/v1/window?series=system.cpu_percent&window={text}")
    assert (answer["span_s"], answer["mean"]) == (span, 12.5)


@pytest.mark.parametrize("text", ["", "0", "-1", "300.1", "301", "nan", "inf", "-inf", "ten", "1s", "9" * 5000, "1_0x"])
def test_a_window_that_the_cache_cannot_hold_is_refused_by_field(guarded, text):
    found = problem(guarded.ask(f"/api/v1/window?series=system.cpu_percent&window={text}"), 400)
    assert found["field"] == "window"
    assert "The cache holds 300 seconds" in found["detail"]
    assert len(found["detail"]) < 200


@pytest.mark.parametrize("text", ["", "60", "nan", "ten", "-1"])
def test_windows_of_all_series_have_three_spans(guarded, text):
    assert problem(guarded.ask(f"/api/v1/windows?window={text}"), 400)["field"] == "window"
    assert get(guarded, "/api/v1/windows?window=300") == {"now_ms": 7, "series": []}


def test_the_longest_window_follows_the_setting(guarded):
    guarded.services.settings.cache_seconds = 600
    assert get(guarded, "/api/v1/window?series=system.cpu_percent&window=600")["span_s"] == 600


@pytest.mark.parametrize("series", ["", "system.cpu%7B", "x%7Bcore=0%7D"])
def test_a_series_that_is_none_is_refused_by_field(guarded, series):
    assert problem(guarded.ask(f"/api/v1/window?series={series}&window=1"), 400)["field"] == "series"


def test_a_series_never_seen_is_not_found(guarded):
    assert problem(guarded.ask("/api/v1/window?series=system.nope&window=1"), 404)["field"] == "series"


def test_a_collector_is_switched_and_its_state_told(guarded):
    answer = switch(guarded)
    assert answer.status_code == 200
    assert json.loads(answer.data)["state"] == "off"
    assert guarded.services.live.switched == {"system": False}
    assert json.loads(switch(guarded, body='{"enabled": true}').data)["state"] == "running"


@pytest.mark.parametrize(
    "body",
    ["[]", "{}", '{"enabled": 1}', '{"enabled": "yes"}', '{"enabled": null}', '{"enabled": true, "x": 1}', "true"],
)
def test_a_switch_that_says_something_else_changes_nothing(guarded, body):
    assert problem(switch(guarded, body=body), 400)["field"] == "enabled"
    assert guarded.services.live.switched == {}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [("{", "application/json", 400), ("", "application/json", 400), ('{"enabled": true}', "text/plain", 415),
     ("[" * 100_000, "application/json", 400), ("\xff", "application/json", 400)],
)  # fmt: skip
def test_a_malformed_switch_is_a_problem_of_the_client(guarded, body, kind, status):
    problem(switch(guarded, body=body, kind=kind), status)
    assert guarded.services.live.switched == {}


def test_an_unknown_collector_is_not_found(guarded):
    assert problem(switch(guarded, "nope"), 404)["field"] == "name"


def test_a_switch_that_cannot_be_kept_says_why(guarded):
    def fail(**_asked):
        raise NotSaved(OSError(28, "No space left on device"))

    guarded.services.settings.switch_collector = fail
    assert "No space left on device" in problem(switch(guarded), 507)["detail"]


def test_models_requests_servers_and_the_proxy_are_what_the_monitor_says(guarded):
    model = guarded.services.models.models()[0]
    assert get(guarded, "/api/v1/models") == {"models": [{**model, "ttft_ms": None}]}
    assert get(guarded, "/api/v1/servers") == {"servers": guarded.services.models.servers()}
    assert get(guarded, "/api/v1/proxy") == guarded.services.models.proxy()


def test_the_last_50_requests_are_listed_unless_asked_otherwise(guarded):
    for query, count in (("", 50), ("?limit=1", 1), ("?limit=2000", 60)):
        assert len(get(guarded, f"/api/v1/requests{query}")["requests"]) == count


@pytest.mark.parametrize("text", ["0", "-1", "2001", "ten", "", "1.5", "1e2", "%D9%A3", "9" * 5000, "+1", "%20%201"])
def test_a_limit_that_is_none_is_refused_by_field(guarded, text):
    found = problem(guarded.ask(f"/api/v1/requests?limit={text}"), 400)
    assert found["field"] == "limit"
    assert found["fix"] == "Give a whole number from 1 to 2000."
    assert len(found["detail"]) < 100


def test_one_request_is_given_with_its_ticks_and_one_that_is_not_kept_is_not_found(guarded):
    assert get(guarded, "/api/v1/requests/a:1.b-c_d") == guarded.services.models.request(request_id="a:1.b-c_d")
    found = problem(guarded.ask("/api/v1/requests/none"), 404)
    assert found["field"] == "id"
    assert found["fix"] == "GET /api/v1/requests lists those that are."


def demo(guarded, body, kind="application/json"):
    return guarded.ask("/api/v1/demo", "POST", data=body, CONTENT_TYPE=kind)


def test_the_built_in_model_is_started_and_stopped(guarded):
    assert get(guarded, "/api/v1/demo")["state"] == "off"
    assert json.loads(demo(guarded, '{"running": true}').data)["state"] == "running"
    assert json.loads(demo(guarded, '{"running": false}').data)["state"] == "off"
    assert guarded.services.said == ["", "start", "stop"]


@pytest.mark.parametrize("body", ["[]", "{}", '{"running": 1}', '{"running": null}', '{"running": true, "x": 1}', "1"])
def test_what_does_not_say_whether_it_shall_run_changes_nothing(guarded, body):
    assert problem(demo(guarded, body), 400)["field"] == "running"
    assert guarded.services.said == []


@pytest.mark.parametrize(("body", "kind", "status"), [("{", "application/json", 400), ("{}", "text/plain", 415)])
def test_a_body_that_is_no_json_starts_nothing(guarded, body, kind, status):
    problem(demo(guarded, body, kind), status)
    assert guarded.services.said == []


@pytest.mark.parametrize("target", ["/api/v1", "/api/v1/nope", "/api/v2/health", "/api/v1/health/"])
def test_an_unknown_route_of_the_api_is_a_problem_and_no_page(guarded, target):
    problem(guarded.ask(target), 404)


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [("POST", "/api/v1/health", "GET"), ("GET", "/api/v1/launch", "POST"), ("GET", "/api/v1/collectors/system", "POST"),
     ("POST", "/metrics", "GET"), ("POST", "/sse", "GET"), ("POST", "/api/v1/models", "GET"),
     ("POST", "/api/v1/requests/x", "GET")],
)  # fmt: skip
def test_a_wrong_method_is_told_the_right_one(guarded, method, target, allow):
    answer = guarded.ask(target, method)
    assert allow in answer.headers["Allow"]
    problem(answer, 405)


def test_an_error_of_ours_is_a_problem_without_a_stack_trace_and_is_logged_without_the_query(guarded, caplog):
    caplog.set_level(logging.ERROR)
    found = problem(guarded.ask("/broken?code=secret"), 500)
    assert "Zero" not in json.dumps(found)
    (record,) = caplog.records
    assert record.getMessage() == "GET /broken failed"
    assert record.exc_info[0] is ZeroDivisionError


def test_metrics_are_openmetrics(guarded):
    answer = guarded.ask("/metrics")
    assert answer.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text == (
        "# TYPE wfmon_system_cpu_percent gauge\n"
        "# UNIT wfmon_system_cpu_percent percent\n"
        "# HELP wfmon_system_cpu_percent CPU time in use, all cores together.\n"
        "wfmon_system_cpu_percent 12.5\n"
        "# EOF\n"
    )


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
ESCAPED = r'(?:[^"\\\n]|\\["\\n])*'
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:{NAME}="{ESCAPED}",?)+)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?)$')


def parse(text):
    """Read OpenMetrics text as strictly as its specification; gives {(name, labels): value}."""
    lines = text.split("\n")
    assert lines[-2:] == ["# EOF", ""]
    samples, families, family, kind, heads = {}, set(), None, None, []
    for line in lines[:-2]:
        if line.startswith("# "):
            word, name, rest = re.fullmatch(rf"# (TYPE|UNIT|HELP) ({NAME}) (.*)", line).groups()
            if name != family:
                assert name not in families, "a family stands in one piece"
                families.add(name)
                family, heads = name, []
            assert word not in heads
            heads.append(word)
            if word == "TYPE":
                kind = rest
                assert kind in ("gauge", "counter")
            elif word == "UNIT":
                assert name.endswith("_" + rest)
            else:
                assert re.fullmatch(r'(?:[^\\"]|\\[\\n"])*', rest)
        else:
            name, labels, value = SAMPLE.match(line).groups()
            assert name == family + ("_total" if kind == "counter" else "")
            assert heads[0] == "TYPE"
            pairs = tuple(re.findall(rf'({NAME})="({ESCAPED})"', labels or ""))
            assert (name, pairs) not in samples, "a sample stands once"
            samples[name, pairs] = float(value)
    return samples


def row(name, value, **labels):
    return {"name": name, "labels": labels, "value": value}


def test_every_metric_of_the_catalogue_survives_a_strict_reader():
    rows = [row(name, 1.5, **dict.fromkeys(metric.labels, "0")) for name, metric in METRICS.items()]
    assert set(parse(openmetrics.render(rows)).values()) == {1.5}
    assert len(parse(openmetrics.render(rows))) == len(METRICS)


def test_series_of_one_metric_stand_together_whatever_their_order():
    rows = [
        row("system.cpu_core_percent", 1, core="0"),
        row("system.load_1m", 2),
        row("system.cpu_core_percent", 3, core="1"),
    ]
    assert parse(openmetrics.render(rows)) == {
        ("wfmon_system_cpu_core_percent", (("core", "0"),)): 1,
        ("wfmon_system_cpu_core_percent", (("core", "1"),)): 3,
        ("wfmon_system_load_1m", ()): 2,
    }


def test_untrusted_labels_cannot_break_out_of_their_line():
    text = 'a"b\\c\nwfmon_evil 1'
    parsed = parse(openmetrics.render([row("system.temperature_celsius", 1, sensor=text)]))
    assert parsed == {("wfmon_system_temperature_celsius", (("sensor", 'a\\"b\\\\c\\nwfmon_evil 1'),)): 1}


def test_absent_values_are_left_out_and_numbers_keep_their_digits():
    values = [None, math.nan, math.inf, 0.1 + 0.2, 1e300, 123456789012.0, -0.0]
    rows = [row("system.temperature_celsius", value, sensor=str(i)) for i, value in enumerate(values)]
    assert [line.rpartition(" ")[2] for line in openmetrics.render(rows).splitlines() if line[0] != "#"] == [
        "0.30000000000000004", "1e+300", "123456789012", "0"
    ]  # fmt: skip


def test_nothing_measured_is_still_a_whole_answer():
    assert openmetrics.render([]) == "# EOF\n"


def test_a_query_is_handed_on_whole_and_what_is_not_known_is_null(guarded):
    told = get(guarded, "/api/v1/query?series=a.b&series=c.d%7Be=%22*%22%7D&from=1000&to=2000&points=7&fn=p95")
    assert guarded.services.said == [(["a.b", 'c.d{e="*"}'], 1000, 2000, 7, "p95")]
    assert told["series"][0]["points"] == [[1000, None, 1.5, 2.0]]
    get(guarded, "/api/v1/query?series=a.b&from=0&to=1")
    assert guarded.services.said[-1] == (["a.b"], 0, 1, 1_000, "envelope")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("series=a&to=2", "from"), ("series=a&from=-1&to=2", "from"), ("series=a&from=1e3&to=2", "from"),
        ("series=a&from=1&to=", "to"), ("series=a&from=1&to=99999999999999999", "to"), ("from=1&to=2", "series"),
    ],
)  # fmt: skip
def test_a_query_that_is_none_says_which_field_and_the_fix(guarded, query, field):
    assert problem(guarded.ask(f"/api/v1/query?{query}"), 400)["field"] == field


def test_statistics_are_asked_of_a_span_and_against_another_if_one_is_named(guarded):
    get(guarded, "/api/v1/statistics?series=a.b&from=1000&to=2000")
    assert guarded.services.said == [StatisticsQuery("a.b", (1000, 2000))]
    told = get(guarded, "/api/v1/statistics?series=a&from=5&to=9&against_from=1&against_to=4&with=c.d&offset=-18000")
    assert guarded.services.said[-1] == StatisticsQuery("a", (5, 9), (1, 4), "c.d", timezone(timedelta(hours=-5)))
    get(guarded, "/api/v1/statistics?series=a&from=5&to=9&zone=Europe/Berlin&offset=7200")
    assert guarded.services.said[-1].zone == ZoneInfo("Europe/Berlin")
    get(guarded, "/api/v1/statistics?series=a&from=5&to=9&zone=Moon/Tycho&offset=7200")
    assert guarded.services.said[-1].zone == timezone(timedelta(hours=2))
    assert told["span"] == {"mean": 1.5, "p95": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("series=a&to=2", "from"), ("series=a&from=1", "to"), ("from=1&to=2", "series"),
        ("series=a&from=1&to=2&against_from=5", "against_to"), ("series=a&from=1&to=2&against_to=5", "against_from"),
        ("series=a&from=1&to=2&offset=1h", "offset"), ("series=a&from=1&to=2&offset=999999999", "offset"),
        ("series=a&from=1&to=2&zone=Moon/Tycho", "zone"), ("series=a&from=1&to=2&zone=../passwd", "zone"),
        ("series=a&from=1&to=2&zone=Europe", "zone"), ("series=a&from=1&to=2&offset=90000", "offset"),
    ],
)  # fmt: skip
def test_statistics_of_what_is_no_span_say_which_field_and_the_fix(guarded, query, field):
    assert problem(guarded.ask(f"/api/v1/statistics?{query}"), 400)["field"] == field


def test_the_past_has_its_series_its_requests_and_what_happened(guarded):
    assert get(guarded, "/api/v1/history")["series"][0]["name"] == "system.cpu_percent"
    assert get(guarded, "/api/v1/annotations?from=5&to=6")["annotations"][0]["t_ms"] == 5
    assert get(guarded, "/api/v1/history/requests?from=5&to=6&model=m&limit=9") == {"requests": [{"id": "a"}]}
    assert guarded.services.said == [(5, 6, 9, "m")]
    assert problem(guarded.ask("/api/v1/annotations?from=5"), 400)["field"] == "to"
    assert problem(guarded.ask("/api/v1/history/requests?to=5"), 400)["field"] == "from"


def past(guarded, count, error=None):
    """Have the history hold so many requests, and fail then; gives what was read of it, and None when it is let go."""
    taken = []

    def rows(**_asked):
        try:
            for number in range(count):
                taken.append(number)
                yield {"id": str(number), "ttft_ms": math.nan, "causes": []}
            if error is not None:
                raise error
        finally:
            taken.append(None)

    guarded.services.history.requests = rows
    return taken


@pytest.mark.parametrize("count", [0, 1, PART, PART + 1, 3 * PART])
def test_requests_of_the_past_are_the_same_in_parts(guarded, count):
    past(guarded, count)
    answer = guarded.ask("/api/v1/history/requests?from=5&to=6")
    rows = [{"id": str(number), "ttft_ms": None, "causes": []} for number in range(count)]
    assert answer.data == orjson.dumps({"requests": rows})
    assert (answer.status_code, answer.content_type) == (200, "application/json")


def test_requests_of_the_past_are_all_read_before_any_is_sent(guarded):
    taken = past(guarded, 2 * PART + 1)
    guarded.ask("/api/v1/history/requests?from=5&to=6")
    assert taken[-1] is None
    head = guarded.ask("/api/v1/history/requests?from=5&to=6", "HEAD")
    assert (head.status_code, head.content_type, head.data) == (200, "application/json", b"")


def test_requests_of_the_past_that_cannot_be_read_are_a_problem(guarded):
    error = Unreadable("The history could not be read (database is locked).", "Try again in a moment.")
    for count in (0, PART - 1, PART + 1):
        taken = past(guarded, count, error)
        problem(guarded.ask("/api/v1/history/requests?from=5&to=6"), 503)
        assert taken[-1] is None


@pytest.mark.parametrize("limit", ["0", "50001", "-1", "x"])
def test_so_many_requests_are_not_told_at_once(guarded, limit):
    assert problem(guarded.ask(f"/api/v1/history/requests?from=1&to=2&limit={limit}"), 400)["field"] == "limit"


def test_recording_is_switched_off_and_on(guarded):
    def said(body):
        return guarded.ask("/api/v1/store", "POST", data=body, CONTENT_TYPE="application/json")

    assert get(guarded, "/api/v1/store") == {"state": "recording"}
    assert json.loads(said('{"recording": false}').data) == {"state": "off"}
    assert json.loads(said('{"recording": true}').data) == {"state": "recording"}
    for body in ("[]", "{}", '{"recording": 1}', '{"recording": true, "x": 1}'):
        assert problem(said(body), 400)["field"] == "recording"
    guarded.services.store.disk_full = True
    problem(said('{"recording": false}'), 507)
    assert get(guarded, "/api/v1/store") == {"state": "recording"}


def test_what_is_unusual_comes_alone_or_with_what_was_in_a_span(guarded):
    assert get(guarded, "/api/v1/anomalies") == {
        "state": "judging", "now": [{"series": "system.cpu_percent", "z": 6.5}]
    }  # fmt: skip
    assert get(guarded, "/api/v1/anomalies?from=5&to=6")["past"] == [
        {"series": "system.cpu_percent", "since_ms": 5, "until_ms": 6}
    ]
    told = problem(guarded.ask("/api/v1/anomalies?from=5"), 400)
    assert (told["field"], "UTC milliseconds" in told["fix"]) == ("to", True)
    assert problem(guarded.ask("/api/v1/anomalies?from=-1&to=6"), 400)["field"] == "from"


def told(guarded, path, body):
    return guarded.ask(path, "POST", data=json.dumps(body), CONTENT_TYPE="application/json")


def test_forgetting_is_only_looked_at_unless_it_is_said_that_it_is_no_preview(guarded):
    path = "/api/v1/store/forget"
    assert get(guarded, path) == {"state": "none"}
    for body in ({"all": True}, {"all": True, "preview": True}):
        assert json.loads(told(guarded, path, body).data) == {"parts": 5}
    assert guarded.services.said == []
    answer = told(guarded, path, {"all": True, "preview": False})
    assert (answer.status_code, json.loads(answer.data)) == (202, {"state": "waiting"})
    assert guarded.services.said == [{"all": True}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "before_ms"),
        ({}, "before_ms"),
        ({"series": "a"}, "before_ms"),
        ({"all": True, "preview": 0}, "preview"),
        ({"all": True, "yes": True}, "yes"),
        ({"all": True, "cancel": True}, "cancel"),
        ({"cancel": False}, "cancel"),
    ],
)
def test_what_is_not_said_rightly_forgets_nothing_and_names_the_field(guarded, body, field):
    found = problem(told(guarded, "/api/v1/store/forget", body), 400)
    assert found["field"] == field
    assert found["fix"]
    assert guarded.services.said == []


def test_forgetting_is_called_off_while_it_can_be(guarded):
    path = "/api/v1/store/forget"
    assert "No deletion is running" in problem(told(guarded, path, {"cancel": True}), 409)["detail"]
    guarded.services.store.deletion_state = "deleting"
    assert told(guarded, path, {"cancel": True}).status_code == 202
    assert "at the moment" in problem(told(guarded, path, {"all": True, "preview": False}), 409)["detail"]


def test_a_history_that_cannot_be_read_is_told_as_such(guarded):
    guarded.services.store.disk_full = True
    problem(told(guarded, "/api/v1/store/forget", {"all": True, "preview": False}), 503)


def test_how_long_is_kept_is_changed_once_it_was_looked_at(guarded):
    path, values = "/api/v1/store/retention", {"store.keep_1s_days": 1}
    assert get(guarded, path) == {"retention": [{"name": "store.keep_1s_days", "value": 0.25}]}
    assert json.loads(told(guarded, path, {"values": values}).data) == {"shorter": ["store.keep_1s_days"]}
    assert guarded.services.said == []
    assert json.loads(told(guarded, path, {"values": values, "preview": False}).data) == get(guarded, path)
    assert guarded.services.said == [values]
    for body in ([], {}, {"values": 5}, {"values": values, "x": 1}):
        assert problem(told(guarded, path, body), 400)["field"] in ("values", "x")
    assert problem(told(guarded, path, {"values": values, "preview": None}), 400)["field"] == "preview"
    assert problem(told(guarded, path, {"values": {"store.max_bytes": 1}}), 400)["field"] == "store.max_bytes"
    guarded.services.store.disk_full = True
    problem(told(guarded, path, {"values": values, "preview": False}), 507)


def test_insights_are_of_so_many_days_in_a_zone(guarded):
    assert get(guarded, "/api/v1/insights")["said"] == [7, "UTC"]
    assert get(guarded, "/api/v1/insights?days=30&offset=-18000")["said"] == [30, "UTC-05:00"]
    assert get(guarded, "/api/v1/insights?zone=Asia/Kathmandu")["said"] == [7, "Asia/Kathmandu"]
    assert problem(guarded.ask("/api/v1/insights?zone=Moon/Tycho"), 400)["field"] == "zone"
    assert problem(guarded.ask("/api/v1/insights?days=x"), 400)["field"] == "days"
    assert "analysis failed" in problem(guarded.ask("/api/v1/insights?days=89"), 503)["detail"]


def test_the_histories_real_answer_can_be_told(tmp_path, guarded):
    store = RecordedStore(tmp_path / "real", "a.b", "c_ms")
    store.run(700, tick_s=10, **{"a.b": 1.0, "c_ms": 2.0})
    guarded.services.store.status = lambda: {"usage": store.reader.usage(), "state": "recording"}
    usage = get(guarded, "/api/v1/store")["usage"]
    assert usage["series"]["c_ms"] > usage["series"]["a.b"] > 0
