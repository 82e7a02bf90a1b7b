from __future__ import annotations

import json
import random
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from tests.kit.proxied import eventually
from tests.kit.recorded_store import START_S, RecordedStore
from wfmon.analyse.__main__ import main, share_within
from wfmon.analyse.child import KEEP_S, Analyst
from wfmon.analyse.insights import MOST_MODELS, Past, insights
from wfmon.core.errors import Cancelled, Failed, Refused
from wfmon.core.types import Cause, Request
from wfmon.store.buckets import NONE

DAY, HOUR = 86_400, 3_600


def past(folder, *, days=14, turn=9, rise=1.38, disk_gb_a_day=0.0, requests_an_hour=4, slow_hour=None):
    """Two weeks of hourly samples and requests; from day ``turn`` on, first tokens and swap are up."""
    recorded = RecordedStore(folder, "system.cpu_percent", "system.swap_used_bytes", "system.disk_free_bytes")
    dice = random.Random(7)
    for hour in range(days * 24):
        late = hour >= turn * 24
        recorded.sample("system.cpu_percent", 20 + dice.random())
        recorded.sample("system.swap_used_bytes", (5e8 if late and rise > 1 else 1e8) * dice.uniform(1, 1.1))
        recorded.sample("system.disk_free_bytes", 50e9 - hour / 24 * disk_gb_a_day * 1e9)
        for number in range(requests_an_hour):
            ttft = 210 * dice.gauss(1, 0.1) * (rise if late else 1) * (6 if hour % 24 == slow_hour else 1)
            slow = ttft > 1_000
            recorded.writer.request(Request(
                id=f"{hour}-{number}", model="llama3", server="127.0.0.1:11434", via="proxy", status="ok",
                started_ms=recorded.now_s * 1000 + number * 60_000, output_tokens=50, ttft_ms=ttft, slow=slow,
                tokens_per_second=40 * dice.gauss(1, 0.05), causes=(Cause("load", "", 800.0),) if slow else (),
            ))  # fmt: skip
        recorded.clock.advance(HOUR)
        recorded.writer.tick()
    return recorded


def told(recorded, capsys, days=7, offset=0, zone=""):
    assert main([str(recorded.writer.path), "--now", str(recorded.clock.now_ms()), "--days", str(days),
                 "--offset", str(offset), "--zone", zone]) == 0  # fmt: skip
    return json.loads(capsys.readouterr().out)


def test_a_regression_is_told_with_its_figures_its_day_and_its_companion(tmp_path, capsys):
    found = told(past(tmp_path), capsys)["findings"]
    [one] = [each for each in found if "Time to first token" in each["text"]]
    assert "Time to first token of llama3 rose 3" in one["text"]
    assert "since Thursday, 23 November, together with swap use: 2" in one["text"]
    assert "medians of 672 and 672 requests" in one["text"]
    assert one["worse"]
    assert one["confidence"] > 0.99
    assert "bootstrap" in one["method"]
    assert one["series"] == ['model.ttft_ms{model="llama3",server="127.0.0.1:11434"}']
    assert one["to_ms"] - one["from_ms"] == 7 * DAY * 1000


def test_where_nothing_changed_nothing_is_told(tmp_path, capsys):
    found = told(past(tmp_path, rise=1.0), capsys)
    assert found["findings"] == []
    assert found["requests"] == 672


def test_of_too_few_requests_nothing_is_told(tmp_path, capsys):
    assert told(past(tmp_path, days=2, turn=1), capsys)["findings"] == []


def test_a_disk_that_fills_is_told_and_when_it_is_full(tmp_path, capsys):
    [one] = told(past(tmp_path, rise=1.0, disk_gb_a_day=2.5), capsys)["findings"]
    assert "Free disk space falls by 2.5 GB a day: at that pace the disk is full in 6 days." in one["text"]


def test_an_hour_that_stands_out_is_told_in_the_users_zone(tmp_path, capsys):
    found = told(past(tmp_path, rise=1.0, slow_hour=14), capsys, offset=2 * HOUR)
    [one] = [each for each in found["findings"] if "longest" in each["text"]]
    assert "from 16:00 to 17:00: 5.9 times" in one["text"]
    assert found["causes"] == [{"code": "load", "requests": 28, "share": 1.0, "cost_ms": 800.0}]


def test_the_week_is_counted_by_hour_and_day(tmp_path, capsys):
    week = told(past(tmp_path, days=3, turn=9), capsys)["week"]
    assert len(week["days_ms"]) == len(week["requests"]) == 7
    assert [sum(row) for row in week["requests"]] == [0, 0, 0, 96, 96, 96, 0]
    assert week["days_ms"][3] == START_S * 1000
    assert week["cpu_percent"][3][5] == pytest.approx(20.5, abs=0.6)
    assert week["cpu_percent"][0][5] is None


@pytest.fixture(scope="module")
def autumn():
    """Ten days with the end of Berlin's summer time (25 October, 01:00 UTC) in the middle: a request each half hour.

    First tokens are slow from nine to ten on Berlin's clock.
    """
    begin, zone = datetime(2026, 10, 20, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    at = [begin + timedelta(minutes=30 * number) for number in range(10 * 48)]
    slow = np.array([each.astimezone(zone).hour == 9 for each in at])
    requests = pd.DataFrame({
        "started_ms": [int(each.timestamp()) * 1_000 for each in at], "model": "m", "server": "s", "status": "ok",
        "ttft_ms": np.where(slow, 900.0, 200.0) + np.arange(len(at)) % 7, "tokens_per_second": np.nan,
        "entropy_bits": np.nan, "queue_ms": np.nan, "slow": 0, "causes": [[] for _ in at],
    })  # fmt: skip
    now_ms = int((begin + timedelta(days=10)).timestamp()) * 1_000 - 1
    return insights(Past(requests, lambda _: None, lambda *_: None, ()), now_ms, 7, zone)


def test_the_week_has_a_day_of_25_hours_where_summer_time_ends(autumn):
    sunday = autumn["week"]["requests"][1]
    assert sunday == [2, 2, 4, *[2] * 21]
    begins = [datetime.fromtimestamp(ms / 1_000, ZoneInfo("Europe/Berlin")) for ms in autumn["week"]["days_ms"]]
    assert [each.strftime("%d %H:%M") for each in begins] == [f"{day} 00:00" for day in range(24, 31)]


def test_an_hour_of_the_day_is_the_same_one_before_and_after_summer_time_ends(autumn):
    [one] = [each["text"] for each in autumn["findings"] if "longest" in each["text"]]
    assert "from 9:00 to 10:00: 4.4 times" in one
    assert one.endswith("14 requests.")


def test_the_zone_of_whoever_asks_goes_to_the_process_that_works(tmp_path, capsys):
    found = told(past(tmp_path, rise=1.0, slow_hour=14), capsys, zone="Asia/Kathmandu", offset=0)
    [one] = [each for each in found["findings"] if "longest" in each["text"]]
    assert "from 19:00 to 20:00" in one["text"] or "from 20:00 to 21:00" in one["text"]


def test_health_is_made_of_parts_that_were_measured(tmp_path, capsys):
    found = told(past(tmp_path, rise=1.0), capsys)
    assert found["health"]["score"] == 100
    assert [each["name"] for each in found["health"]["parts"]] == [
        "Requests that ended well", "Requests that were not slow", "First tokens in time"
    ]  # fmt: skip
    [budget] = found["budgets"]
    assert (budget["name"], budget["share"], budget["of"]) == ("First tokens of llama3", 1.0, 672)
    empty = RecordedStore(tmp_path / "other")
    assert told(empty, capsys)["health"] == {"score": None, "parts": []}


def test_of_very_many_models_the_budgets_of_the_most_asked_are_told(tmp_path, capsys):
    recorded = past(tmp_path, days=1)
    for at in range(500):
        recorded.writer.request(Request(
            id=f"n{at}", model=f"neighbour-{at}", server="127.0.0.1:1", via="hook", status="ok", ttft_ms=100.0,
            started_ms=recorded.now_s * 1000 - HOUR * 1000,
        ))  # fmt: skip
    recorded.writer.tick()
    names = [each["name"] for each in told(recorded, capsys)["budgets"]]
    assert len(names) == MOST_MODELS
    assert "First tokens of llama3" in names


def test_the_analyst_runs_a_process_that_ends_and_keeps_its_answer(tmp_path):
    recorded = past(tmp_path, days=1)
    analyst = Analyst(recorded.writer.path, recorded.clock)
    first = analyst.insights(7, UTC)
    assert first["requests"] == 96
    recorded.writer.path.rename(tmp_path / "gone")
    assert analyst.insights(7, UTC) is first
    recorded.clock.advance(KEEP_S + 1)
    with pytest.raises(Failed, match="no history yet"):
        analyst.insights(7, UTC)


def test_once_something_is_forgotten_no_answer_from_before_is_given_again(tmp_path):
    recorded = past(tmp_path, days=1)
    analyst = Analyst(recorded.writer.path, recorded.clock)
    assert analyst.insights(7, UTC)["requests"] == 96
    recorded.writer.on_deleted.append(analyst.on_deleted)
    recorded.writer.deletion.request({"all": True})
    recorded.writer.tick()
    assert analyst.insights(7, UTC)["requests"] == 0


SLOW = "import sys, time; sys.stdout.write('{}'); sys.stdout.flush(); time.sleep(60)"


class Told:
    """A lock that tells who comes to it."""

    def __init__(self):
        self._lock, self.came = threading.Lock(), []

    def __enter__(self):
        self.came.append(threading.current_thread())
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()


def waits_for(analyst, answers):
    """Ask in a thread of its own; what came, or was raised, stands in ``answers``."""

    def ask():
        try:
            answers.append(analyst.insights(7, UTC))
        except Failed as error:
            answers.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_a_cancel_ends_the_child_and_all_who_wait_for_it(tmp_path):
    recorded = RecordedStore(tmp_path)
    analyst, answers = Analyst(recorded.writer.path, recorded.clock, (sys.executable, "-c", SLOW)), []
    analyst._lock = Told()
    threads = [waits_for(analyst, answers)]
    assert eventually(lambda: analyst._child)
    child = analyst._child
    threads.append(waits_for(analyst, answers))
    assert eventually(lambda: threads[1] in analyst._lock.came)
    analyst.cancel()
    for thread in threads:
        thread.join(20)
    assert [type(answer) for answer in answers] == [Cancelled, Cancelled]
    assert child.returncode == -signal.SIGKILL
    assert analyst._child is None


def test_after_a_cancel_the_next_question_is_answered(tmp_path):
    recorded = past(tmp_path, days=1)
    analyst = Analyst(recorded.writer.path, recorded.clock)
    analyst.cancel()
    assert analyst.insights(7, UTC)["requests"] == 96
    analyst.cancel()  # nothing works: nothing happens
    assert analyst.insights(7, UTC)["requests"] == 96


def test_a_program_that_cannot_be_started_is_a_sentence(tmp_path):
    recorded = RecordedStore(tmp_path)
    with pytest.raises(Failed, match="could not be started"):
        Analyst(recorded.writer.path, recorded.clock, (str(tmp_path / "no-such-program"),)).insights(7, UTC)


@pytest.mark.parametrize("days", [0, 91, -1])
def test_days_have_bounds(tmp_path, days):
    with pytest.raises(Refused, match="was asked for"):
        Analyst(tmp_path / "wfmon.db", RecordedStore(tmp_path).clock).insights(days, UTC)


def test_a_file_that_is_none_is_a_sentence(tmp_path):
    (tmp_path / "wfmon.db").write_text("no database")
    with pytest.raises(Failed, match=r"The analysis failed: .*not a database"):
        Analyst(tmp_path / "wfmon.db", RecordedStore(tmp_path / "x").clock).insights(7, UTC)


def test_the_share_of_samples_within_a_limit_comes_from_the_sketches(tmp_path):
    recorded = RecordedStore(tmp_path, "ux.frame_time_ms")
    recorded.run(120, **{"ux.frame_time_ms": lambda t: 33.0 if t % 10 == 0 else 16.0})
    share, of = share_within(recorded.buckets("ux.frame_time_ms", START_S, recorded.now_s, 3), 17.5)
    assert (share, of) == (pytest.approx(0.9, abs=0.01), 117)
    assert share_within(NONE, 17.5) is None
