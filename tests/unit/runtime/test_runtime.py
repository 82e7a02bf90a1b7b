"""The composition root: what goes in at one end comes out at the other. Beats are called by hand, no thread runs."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import threading

import numpy as np
import pytest

from tests.unit.analyse.test_unusual import Lived
from wfmon.core.clock import FakeClock
from wfmon.core.errors import Refused, Unknown
from wfmon.core.settings import Settings
from wfmon.core.settings_files import load
from wfmon.core.types import Burst, CollectorStatus, Frame, Layout, Series
from wfmon.runtime import Runtime, ticks

CPU = Layout((Series("system.cpu_percent"),))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def settings(tmp_path) -> Settings:
    return load(None, tmp_path)


@pytest.fixture
def runtime(settings, clock):
    made = Runtime(settings, clock, page_token=lambda: "page", pages=tuple)
    made.ticker.tick()  # the first beat begins the first second
    yield made
    made.stop()


def cpu(clock, value, **more):
    return Frame("system", clock.now_ms(), CPU, np.array([value]), **more)


def beat(runtime, clock, *items, seconds=0.1):
    for item in items:
        runtime.ticker.put(item)
    runtime.ticker.tick()
    clock.advance(seconds)


def last(runtime, name):
    return next(row for row in runtime.live.latest()["series"] if row["name"] == name)


def test_a_frame_comes_out_as_the_latest_value_with_its_unit_and_time(runtime, clock):
    begun = clock.now_ms()
    beat(runtime, clock, cpu(clock, 37.5))
    row = last(runtime, "system.cpu_percent")
    assert (row["value"], row["unit"], row["t_ms"]) == (37.5, "%", begun)


def test_a_second_of_frames_comes_out_as_a_window(runtime, clock):
    for value in range(10):
        beat(runtime, clock, cpu(clock, float(value)))
    window = runtime.live.window(series="system.cpu_percent", span_s=10)
    assert (window["count"], window["min"], window["max"], window["mean"], window["p50"]) == (10, 0, 9, 4.5, 4.5)


@pytest.mark.parametrize("span", [1, 10, 300])
def test_windows_of_all_series_are_named_and_leave_out_what_had_no_sample(runtime, clock, span):
    beat(runtime, clock, cpu(clock, 4.0))
    beat(runtime, clock, cpu(clock, 6.0))
    [row] = runtime.live.windows(span_s=span)["series"]
    assert (row["name"], row["unit"], row["count"], row["mean"], row["max"]) == ("system.cpu_percent", "%", 2, 5, 6)
    runtime.registry.id(Series("system.load_1m"))
    assert len(runtime.live.windows(span_s=span)["series"]) == 1


def test_windows_of_all_series_have_three_spans(runtime):
    with pytest.raises(Refused, match="1, 10, 300"):
        runtime.live.windows(span_s=60)


def test_errors_are_counted_by_the_component_that_logged_them(runtime):
    runtime.logged.attach()
    logging.getLogger("wfmon.serve.listener").error("GET / failed")
    logging.getLogger("wfmon").error("a page failed")
    logging.getLogger("wfmon.serve").warning("no error")
    logging.getLogger("elsewhere").error("not ours")
    runtime.logged.detach()
    logging.getLogger("wfmon.serve").error("after the end")
    errors = runtime.status.probes().errors()
    assert (errors["serve"], errors["page"]) == (1, 1)
    assert "elsewhere" not in errors


def test_sources_that_hang_do_not_hold_up_the_stop_one_after_another(runtime):
    asked = []
    for name, loop in runtime.loops.items():
        loop.ask_to_stop = lambda name=name: asked.append(f"ask {name}")
        loop.stop = lambda name=name: asked.append(f"wait {name}")
    runtime.stop()
    assert [word.split()[0] for word in asked] == ["ask"] * len(runtime.loops) + ["wait"] * len(runtime.loops)


def test_a_window_of_a_series_never_seen_is_refused_as_unknown(runtime):
    with pytest.raises(Unknown, match="No such series was seen"):
        runtime.live.window(series="system.cpu_percent", span_s=10)


def test_a_request_that_is_not_in_memory_is_unknown_and_says_how_many_are_kept(runtime):
    with pytest.raises(Unknown) as caught:
        runtime.services.models.request(request_id="none")
    assert (caught.value.what, caught.value.field) == ("request", "id")
    assert "collect.model.requests" in caught.value.fix


def test_a_value_that_is_absent_is_none_and_never_zero(runtime, clock):
    beat(runtime, clock, cpu(clock, math.nan, reasons={"system.cpu_percent": "no /proc/stat"}))
    assert last(runtime, "system.cpu_percent")["value"] is None


def test_a_labelled_series_that_never_had_a_value_is_told_absent_by_its_id_after_its_description(runtime, clock):
    fan = Series.of("gpu.fan_percent", gpu=0)
    client = runtime.hub.open("websocket", threading.Event(), lambda: None, trusted=True)
    client.receive('{"type": "hello", "version": 1}')
    reasons = {str(fan): "this card does not report it"}
    beat(runtime, clock, Frame("gpu", clock.now_ms(), Layout((fan,)), np.array([math.nan]), reasons))
    told = [json.loads(message.text) for part in iter(client.take, []) for message in part]
    number = runtime.registry.find(fan)
    described = next(i for i, m in enumerate(told) if m["type"] == "series" and m["series"][0]["id"] == number)
    absent = next(i for i, m in enumerate(told) if m.get("absent") == [[number, "this card does not report it"]])
    assert described < absent


def test_a_collector_that_is_lost_closes_its_series(runtime, clock):
    runtime._ticks.on_status(CollectorStatus("system", "running"))
    beat(runtime, clock, cpu(clock, 5.0))
    runtime._ticks.on_status(CollectorStatus("system", "lost", "gone"))
    beat(runtime, clock)
    assert last(runtime, "system.cpu_percent")["value"] is None


def test_frames_of_a_page_come_out_as_series(runtime, clock):
    times = clock.now_ms() + np.arange(3, dtype=np.int64)
    burst = Burst("ux", Series.of("ux.frame_time_ms", page="overview"), times, np.array([16.0, 17.0, 18.0]))
    beat(runtime, clock, burst)
    assert last(runtime, "ux.frame_time_ms")["value"] == 18.0
    assert runtime.live.window(series='ux.frame_time_ms{page="overview"}', span_s=10)["count"] == 3


def test_an_hour_back_and_a_day_of_sleep_break_nothing(runtime, clock):
    for step, sleep in ((-3_600, False), (86_400, True)):
        for _ in range(15):
            beat(runtime, clock, cpu(clock, 20.0))
        clock.step(step, sleep=sleep)
        clock.advance(1.0)
        beat(runtime, clock, cpu(clock, 30.0))
        assert last(runtime, "system.cpu_percent")["t_ms"] == clock.now_ms() - 100
    health = runtime.status.health()
    assert health["ticker"]["errors"] == 0
    assert health["uptime_s"] == 5.2  # two times 15 beats, a second and a beat: neither the step nor the sleep


def test_a_switch_is_kept_and_an_unknown_one_refused(runtime, settings):
    runtime.services.settings.switch_collector(name="gpu", enabled=False)
    assert json.loads((settings.data_dir / "settings.json").read_text()) == {"collect.gpu.enabled": False}
    told = next(row for row in runtime.services.settings.table() if row["name"] == "collect.gpu.enabled")
    assert (told["value"], told["origin"]) == (False, "settings.json")
    with pytest.raises(Unknown):
        runtime.services.settings.switch_collector(name="disk", enabled=False)


def test_settings_tell_where_each_value_comes_from(tmp_path, clock):
    (tmp_path / "settings.json").write_text('{"collect.gpu.enabled": false}')
    made = Runtime(load(None, tmp_path, {"server.port": 0}), clock, page_token=str, pages=tuple)
    origin = {row["name"]: (row["value"], row["origin"]) for row in made.services.settings.table()}
    assert origin["collect.gpu.enabled"] == (False, "settings.json")
    assert origin["server.port"] == (0, "command line")
    assert origin["server.tls"] == (False, "default")


def test_a_refusal_is_counted_by_its_cause(runtime):
    runtime.status.count_refusal("host")
    runtime.status.count_refusal("host")
    assert runtime.status.health()["refused"] == {"host": 2}


def test_refusals_that_come_while_they_are_told_disturb_nobody(runtime):
    runtime.status.count_refusal("host")
    for _ in runtime.status.probes().requests_refused().items():
        runtime.status.count_refusal("origin")
    assert runtime.status.refused() == {"host": 1, "origin": 1}


def test_health_tells_the_cost_of_the_process_and_every_queue(runtime, clock):
    runtime.ticker.put(cpu(clock, 1.0))
    health = runtime.status.health()
    assert health["process"]["cpu_seconds"] > 0
    assert health["queues"]["inbox"] == {"depth": 1, "capacity": 512}
    assert set(health["queues"]) == {"inbox", "ux", "model", "store", "mailbox"}


def test_eco_halves_the_rates_on_battery_and_gives_them_back(settings, clock, monkeypatch):
    made = Runtime(dataclasses.replace(settings, power="eco"), clock, page_token=str, pages=tuple)
    for battery, rate in ((True, 5.0), (False, 10.0)):
        monkeypatch.setattr(ticks, "on_battery", lambda battery=battery: battery)
        for _ in range(ticks.POWER_CHECK_S):
            made.ticker._do.each_second()
        assert made.loops["system"].status().rate_hz == rate


def test_every_probe_of_the_monitor_answers(runtime, clock):
    beat(runtime, clock, cpu(clock, 1.0))
    probes = runtime.status.probes()
    answers = {field.name: getattr(probes, field.name)() for field in dataclasses.fields(probes)}
    assert answers["samples_in"] == 1
    assert answers["series"] == 1
    assert answers["queues"]["inbox"] == (0, 512)
    assert answers["clients"] == answers["clients_slowed"] == 0


def test_health_degrades_when_a_collector_is_in_error(runtime, monkeypatch):
    assert runtime.status.health()["status"] == "ok"
    broken = CollectorStatus("gpu", "error", "ZeroDivisionError: x")
    monkeypatch.setattr(runtime.loops["gpu"], "status", lambda: broken)
    assert runtime.status.health()["status"] == "degraded"


def test_what_is_measured_is_in_the_history_and_joins_the_present(runtime, clock):
    runtime.writer.tick()  # opens the file
    begun_ms = clock.now_ms()
    layout = Layout((Series("system.cpu_percent"),))
    for second in range(20):
        runtime.ticker.put(Frame("system", clock.now_ms(), layout, np.array([float(second)])))
        runtime.ticker.tick()
        clock.advance(1)
        runtime.writer.tick()
    told = runtime.services.history.query(
        series=["system.cpu_percent"], from_ms=begun_ms, to_ms=begun_ms + 20_000, points=20, fn="envelope"
    )
    assert (told["tier"], told["step_ms"]) == ("1s", 1_000)
    assert [point[1:] for point in told["series"][0]["points"]] == [[float(n)] * 3 for n in range(20)]
    assert runtime.writer.status()["counts"]["seconds"] == 17  # the last three may still get samples
    assert [row["series"] for row in runtime.services.history.series()] == ["system.cpu_percent"]


def test_a_rise_against_the_same_hour_of_earlier_days_comes_out_at_every_end(tmp_path):
    lived = Lived(tmp_path / "data", 7)
    lived.recorded.writer.finish()
    clock, begun_ms = lived.clock, lived.clock.now_ms()
    runtime = Runtime(load(None, tmp_path / "data"), clock, page_token=lambda: "page", pages=tuple)
    services = runtime.services
    client = runtime.hub.open("websocket", threading.Event(), lambda: None, trusted=True)
    client.receive('{"type": "hello", "version": 1}')
    for _ in range(6 * 60):
        runtime.ticker.put(cpu(clock, 95.0))
        runtime.ticker.tick()
        clock.advance(1)
        runtime.unusual.tick()
        runtime.writer.tick()
    [row] = services.insights.unusual()["now"]
    assert (row["series"], row["value"], row["days"]) == ("system.cpu_percent", 95.0, 7)
    assert services.insights.past_unusual(from_ms=begun_ms, to_ms=clock.now_ms()) == [row]
    assert row["text"] in [
        each["text"] for each in services.history.annotations(from_ms=begun_ms, to_ms=clock.now_ms())
    ]
    told = [json.loads(message.text) for part in iter(client.take, []) for message in part]
    [fact] = next(m["host_facts"]["unusual"] for m in reversed(told) if m.get("host_facts", {}).get("unusual"))
    assert (fact["series"], fact["text"], fact["since_ms"]) == (row["series"], row["text"], row["since_ms"])
    clock.step(300)  # the wall clock is set, and what is unusual now is so no longer
    clock.advance(1)
    for _ in range(90):
        runtime.ticker.put(cpu(clock, 95.0))
        runtime.ticker.tick()
        clock.advance(1)
        runtime.unusual.tick()
    assert services.insights.unusual()["now"] == []
    runtime.stop()


def test_recording_can_be_switched_off_and_what_was_recorded_stays(runtime, clock, settings):
    runtime.writer.tick()
    runtime.services.store.record(enabled=False)
    assert runtime.services.store.status()["state"] == "off"
    assert json.loads((settings.data_dir / "settings.json").read_text()) == {"store.enabled": False}
    row = next(row for row in runtime.services.settings.table() if row["name"] == "store.enabled")
    assert (row["value"], row["origin"], row["restart"]) == (False, "settings.json", False)


def test_a_file_that_cannot_be_written_degrades_the_monitor_and_says_why(runtime, clock, settings):
    (settings.data_dir / "wfmon.db").mkdir()
    runtime.writer.tick()
    health = runtime.status.health()
    assert health["status"] == "degraded"
    assert health["store"]["state"] == "failed"
    assert "history cannot be written" in health["store"]["reason"]


def measured(runtime, clock, seconds, *names):
    layout = Layout(tuple(map(Series, names)))
    for _ in range(seconds):
        runtime.ticker.put(Frame("system", clock.now_ms(), layout, np.full(len(names), 5.0)))
        runtime.ticker.tick()
        clock.advance(1)
        runtime.writer.tick()


def drawn(runtime, name, from_ms, to_ms):
    told = runtime.services.history.query(series=[name], from_ms=from_ms, to_ms=to_ms, points=100, fn="mean")
    return [t_ms for t_ms, mean in told["series"][0]["points"] if mean is not None]


def test_what_is_forgotten_is_not_drawn_out_of_memory_and_what_is_measured_after_is(runtime, clock):
    runtime.writer.tick()  # opens the file
    begun_ms, services = clock.now_ms(), runtime.services
    measured(runtime, clock, 20, "system.cpu_percent", "system.memory_percent")
    services.store.delete(what={"series": "system.cpu_percent"})
    cut_ms = clock.now_ms()
    measured(runtime, clock, 10, "system.memory_percent")
    assert services.store.deletion()["state"] == "done"
    assert [row["series"] for row in services.history.series()] == ["system.memory_percent"]
    assert len(drawn(runtime, "system.memory_percent", begun_ms, clock.now_ms())) >= 30
    measured(runtime, clock, 10, "system.cpu_percent", "system.memory_percent")
    assert [row["series"] for row in services.history.series()] == ["system.cpu_percent", "system.memory_percent"]
    assert drawn(runtime, "system.cpu_percent", begun_ms, clock.now_ms())[0] == cut_ms + 10_000
    services.store.delete(what={"all": True})
    cut_ms = clock.now_ms() + 1_000  # it begins with the next beat
    measured(runtime, clock, 3, "system.cpu_percent")
    assert drawn(runtime, "system.cpu_percent", begun_ms, clock.now_ms()) == [cut_ms, cut_ms + 1_000]
    assert [row["series"] for row in services.history.series()] == ["system.cpu_percent"]


def test_how_long_is_kept_is_changed_without_a_restart(runtime, clock, settings):
    services = runtime.services
    services.store.change_retention(changes={"store.keep_1s_days": 1})
    assert services.store.status()["keep"]["tiers"][0] == 86_400
    row = next(row for row in services.settings.table() if row["name"] == "store.keep_1s_days")
    assert (row["value"], row["origin"], row["restart"]) == (1.0, "settings.json", False)
    assert load(None, settings.data_dir).store.keep_1s_days == 1.0
    services.store.record(enabled=False)
    services.store.change_retention(changes={"store.keep_1s_days": None})
    row = next(row for row in services.settings.table() if row["name"] == "store.keep_1s_days")
    assert (row["value"], row["origin"]) == (0.25, "default")
    assert json.loads((settings.data_dir / "settings.json").read_text()) == {"store.enabled": False}
