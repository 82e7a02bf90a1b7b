"""The past as points: exact numbers over every tier, peaks kept, and no seam between the file and the cache."""

from __future__ import annotations

import contextlib
import sqlite3

import numpy as np
import pytest

from tests.kit import closing
from wfmon.analyse.query import HOLD_S, MAX_POINTS, MAX_SERIES, HistoryQueries, Hot, rounded
from wfmon.core.catalogue import METRICS
from wfmon.core.clock import FakeClock
from wfmon.core.errors import Refused
from wfmon.core.types import Series
from wfmon.store.intake import Pulled, SampleSource
from wfmon.store.read import Reader
from wfmon.store.retention import Keep
from wfmon.store.series_ids import Described
from wfmon.store.tiers import DAY_S, TIERS
from wfmon.store.writer import Writer

START_S = 1_700_000_000 // DAY_S * DAY_S  # midnight, UTC
KEEP = Keep.of([tier.keep_days for tier in TIERS], {"request": 30, "annotation": 30, "alert": 30}, 10**12)
CPU, TTFT = "system.cpu_percent", 'model.ttft_ms{model="m",server="s"}'


class Past:
    """A store in accelerated time and the cache beside it, which holds the last ``hot_s`` seconds."""

    def __init__(self, folder, *texts, hot_s=300):
        self.clock, self.hot_s = FakeClock(START_S * 1_000), hot_s
        self.series = [Series.parse(text) for text in texts]
        self._t_ms = [np.zeros(0, np.int64) for _ in texts]
        self._values = [np.zeros(0, np.float32) for _ in texts]
        self.writer = Writer(folder, self.clock, SampleSource(self._pull, self._described), lambda: KEEP)
        closing.later(self.writer.close)
        self.writer.tick()
        self.reader = Reader(self.writer.path)
        self.hot = Hot(self._since_ms, self._hot_samples, self._known)
        self.history = HistoryQueries(self.reader, self.hot, self.clock.now_ms, lambda: KEEP)

    def put(self, text, t_ms, values):
        """Samples that will have been measured."""
        at = self.series.index(Series.parse(text))
        self._t_ms[at] = np.append(self._t_ms[at], np.asarray(t_ms, np.int64))
        self._values[at] = np.append(self._values[at], np.asarray(values, np.float32))

    def every(self, text, seconds, upto_s, value=1.0):
        t_s = np.arange(self.now_s, upto_s, seconds)
        self.put(text, t_s * 1_000, value(t_s) if callable(value) else np.full(len(t_s), value))

    @property
    def now_s(self):
        return self.clock.now_ms() // 1_000

    def go(self, to_s):
        self.clock.advance(to_s - self.now_s)
        self.writer.tick()
        self.writer.tidy_all()

    def points(self, text, from_s, to_s, points=1_000, fn="envelope"):
        return self.history.query([text], from_s * 1_000, to_s * 1_000, points, fn)["series"][0]["points"]

    def _described(self, since):
        rows = [(series, METRICS[series.name]) for series in self.series[since:]]
        return [Described(str(one), one.name, row.unit, row.kind, row.is_distribution) for one, row in rows]

    def _pull(self, from_ms, to_ms):
        inside = [(t >= from_ms) & (t < to_ms) for t in self._t_ms]
        ids = [np.full(int(which.sum()), at, np.uint16) for at, which in enumerate(inside)]
        t_ms = [t[which] for t, which in zip(self._t_ms, inside, strict=True)]
        values = [value[which] for value, which in zip(self._values, inside, strict=True)]
        return Pulled(np.concatenate(ids), np.concatenate(t_ms), np.concatenate(values))

    def _since_ms(self):
        return self.clock.now_ms() - self.hot_s * 1_000

    def _hot_samples(self, text, from_ms, to_ms):
        at = self.series.index(Series.parse(text))
        t_ms = self._t_ms[at]
        inside = (t_ms >= max(from_ms, self._since_ms())) & (t_ms < min(to_ms, self.clock.now_ms() + 1))
        return t_ms[inside], self._values[at][inside]

    def _known(self):
        return [(one, METRICS[one.name].unit, METRICS[one.name].kind) for one in self.series]


def expected(t_s, values, point_ms, step_ms):
    """Least, mean and largest of the samples in a step; None without any."""
    inside = values[(t_s * 1_000 >= point_ms) & (t_s * 1_000 < point_ms + step_ms)].astype(np.float64)
    return [inside.min(), inside.mean(), inside.max()] if len(inside) else [None] * 3


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three_days(tmp_path_factory):
    """A request every 29 s for three days, now."""
    past = Past(tmp_path_factory.mktemp("past"), TTFT)
    t_s = np.arange(START_S, START_S + 3 * DAY_S, 29)
    values = np.random.default_rng(1).lognormal(5, 1, len(t_s)).astype(np.float32)
    past.put(TTFT, t_s * 1_000, values)
    for quarter in range(1, 3 * 4 + 1):
        past.go(START_S + quarter * 6 * 3_600)
    past.go(START_S + 3 * DAY_S + 5)
    return past, t_s, values


@pytest.mark.parametrize(
    ("ago_s", "span_s", "points", "tier", "step_s"),
    [
        (600, 600, 600, "1s", 1),
        (3_600, 3_600, 1_000, "1s", 4),
        (5 * 3_600, 900, 450, "1s", 2),
        (DAY_S, 3_600, 360, "10s", 10),
        (DAY_S, DAY_S, 1_000, "1min", 120),
        (2.5 * DAY_S, 3_600, 60, "1min", 60),
        (3 * DAY_S, 3 * DAY_S, 800, "5min", 600),
        (3 * DAY_S, 3 * DAY_S, 72, "1h", 3_600),
        (3 * DAY_S, 3 * DAY_S, 10, "1h", 28_800),
    ],
)
def test_every_point_has_the_least_mean_and_largest_of_its_step(three_days, ago_s, span_s, points, tier, step_s):
    past, t_s, values = three_days
    from_ms = past.clock.now_ms() - int(ago_s * 1_000)
    told = past.history.query([TTFT], from_ms, from_ms + span_s * 1_000, points)
    assert (told["tier"], told["step_ms"]) == (tier, step_s * 1_000)
    found = told["series"][0]["points"]
    assert found[0][0] == from_ms // (step_s * 1_000) * step_s * 1_000
    assert [row[0] for row in found] == [found[0][0] + at * step_s * 1_000 for at in range(len(found))]
    assert points - 1 <= len(found) <= points + 1 or step_s * len(found) >= span_s
    for row in found[:-1]:  # the last step may go on past the span
        wanted = expected(t_s, values, row[0], step_s * 1_000)
        assert row[1:] == (wanted if wanted[0] is None else pytest.approx(wanted, rel=1e-6))


def test_the_functions_tell_what_they_are_called(tmp_path):
    past = Past(tmp_path, CPU)
    past.put(CPU, (START_S + np.arange(4)) * 1_000, [1, 7, 2, 4])
    past.go(START_S + 20)
    told = {fn: past.points(CPU, START_S, START_S + 4, 1, fn)[0][1] for fn in ("mean", "min", "max", "last", "count")}
    assert told == {"mean": 3.5, "min": 1, "max": 7, "last": 4, "count": 4}


def test_a_second_of_peak_is_as_high_after_a_month_as_it_was(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 5, START_S + 7_200)
    past.put(CPU, [(START_S + 1_234) * 1_000 + 1], [999])
    past.go(START_S + 7_200)
    for day in (1, 3, 16, 29, 40):
        past.go(START_S + day * DAY_S)
        found = past.points(CPU, START_S, past.now_s, 500)
        step_ms = found[1][0] - found[0][0]
        at_ms = next(row[0] for row in found if row[3] == 999)
        assert at_ms <= (START_S + 1_234) * 1_000 < at_ms + step_ms


def test_seven_digits_are_told(tmp_path):
    past = Past(tmp_path, CPU)
    past.put(CPU, [START_S * 1_000], [1 / 3])
    past.go(START_S + 10)
    assert past.points(CPU, START_S, START_S + 1, 1, "last") == [[START_S * 1_000, 0.3333333]]


@pytest.mark.parametrize("quantile", [("p50", 50), ("p95", 95), ("p99", 99)])
@pytest.mark.parametrize(
    ("ago_s", "span_s", "points"), [(3_600, 3_600, 12), (DAY_S, DAY_S, 24), (3 * DAY_S, 3 * DAY_S, 6)]
)
def test_a_quantile_is_within_two_percent_of_the_exact_one(three_days, quantile, ago_s, span_s, points):
    past, t_s, values = three_days
    fn, q = quantile
    from_s = past.now_s - ago_s
    found = past.points(TTFT, from_s, from_s + span_s, points, fn)
    step_ms = found[1][0] - found[0][0]
    for at_ms, told in found[1:-1]:
        inside = values[(t_s * 1_000 >= at_ms) & (t_s * 1_000 < at_ms + step_ms)]
        assert told == pytest.approx(np.percentile(inside, q), rel=0.0202)


def test_three_quantiles_come_at_once(three_days):
    past, _, _ = three_days
    for _, p50, p95, p99 in past.points(TTFT, past.now_s - 3_600, past.now_s, 6, "quantiles")[:-1]:
        assert p50 < p95 < p99


# --- gaps -------------------------------------------------------------------------------------------------------------


def test_where_nothing_was_measured_there_is_null(tmp_path):
    past = Past(tmp_path, TTFT)
    past.put(TTFT, [START_S * 1_000, (START_S + 9) * 1_000], [5, 6])
    past.go(START_S + 20)
    found = past.points(TTFT, START_S, START_S + 12, 12, "mean")
    assert [value for _, value in found] == [5, None, None, None, None, None, None, None, None, 6, None, None]


@pytest.mark.parametrize(("gap_s", "held"), [(HOLD_S, True), (HOLD_S + 1, True), (HOLD_S + 2, False), (60, False)])
def test_a_gauge_holds_until_its_next_sample_for_fifteen_seconds_at_most(tmp_path, gap_s, held):
    past = Past(tmp_path, CPU)
    past.put(CPU, [START_S * 1_000, (START_S + gap_s) * 1_000], [5, 6])
    past.go(START_S + 100)
    found = [value for _, value in past.points(CPU, START_S, START_S + gap_s + 1, gap_s + 1, "mean")]
    assert found == [5, *[5 if held else None] * (gap_s - 1), 6]


def test_what_is_held_is_the_last_value_and_not_the_mean(tmp_path):
    past = Past(tmp_path, CPU)
    past.put(CPU, [START_S * 1_000, START_S * 1_000 + 500, (START_S + 3) * 1_000], [10, 30, 5])
    past.go(START_S + 10)
    assert past.points(CPU, START_S, START_S + 4, 4) == [
        [START_S * 1_000, 10, 20, 30],
        [START_S * 1_000 + 1_000, 30, 30, 30],
        [START_S * 1_000 + 2_000, 30, 30, 30],
        [START_S * 1_000 + 3_000, 5, 5, 5],
    ]


def test_after_a_gap_mark_nothing_is_held(tmp_path):
    past = Past(tmp_path, CPU)
    past.put(CPU, [START_S * 1_000, START_S * 1_000 + 500, (START_S + 3) * 1_000], [10, np.nan, 5])
    past.go(START_S + 10)
    assert [value for _, value in past.points(CPU, START_S, START_S + 4, 4, "mean")] == [10, None, None, 5]


def test_a_step_longer_than_the_hold_is_not_filled(tmp_path):
    """An hour in which the machine was off is not the hour before it."""
    past = Past(tmp_path, CPU)
    past.every(CPU, 5, START_S + 3_600, 7)
    past.go(START_S + 2 * 3_600)
    past.every(CPU, 5, START_S + 3 * 3_600, 9)
    past.go(START_S + 3 * 3_600)
    found = past.points(CPU, START_S, START_S + 3 * 3_600, 3, "mean")
    assert [value for _, value in found] == [7, None, 9]


def test_a_count_is_not_held(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 5, START_S + 10)
    past.go(START_S + 20)
    found = past.points(CPU, START_S, START_S + 10, 10, "count")
    assert [value for _, value in found] == [1, None, None, None, None, 1, None, None, None, None]


# --- all that is kept -------------------------------------------------------------------------------------------------


def test_an_end_that_lies_ahead_makes_what_is_held_no_coarser(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 1, START_S + 600)
    past.go(START_S + 600)
    begin_ms, now_ms = (START_S + 300) * 1_000, past.now_s * 1_000
    held = [past.history.held(CPU, begin_ms, end_ms, 22_000) for end_ms in (now_ms, now_ms + 10**11)]
    assert [(each.tier.name, each.from_s, each.to_s, len(each.buckets)) for each in held] == [
        ("1s", START_S + 300, START_S + 600, 300)
    ] * 2
    ahead = past.history.held(CPU, now_ms, now_ms + 10**11, 22_000)
    assert (ahead.tier.name, len(ahead.buckets), ahead.to_s) == ("1h", 0, ahead.from_s)


# --- the seam ---------------------------------------------------------------------------------------------------------


SEAMS = {*range(296, 312), *range(598, 612), *range(100, 650, 45)}


@pytest.mark.parametrize("hot_s", [5, 60, 300])
def test_no_second_comes_twice_and_none_is_missing_where_the_file_meets_the_cache(tmp_path, hot_s):
    past = Past(tmp_path, CPU, hot_s=hot_s)
    past.put(CPU, np.arange(START_S * 1_000, (START_S + 660) * 1_000, 250), np.arange(660 * 4) // 4)
    for second in range(1, 650):
        past.clock.advance(1)
        past.writer.tick()  # seals begin and end among these
        if second in SEAMS:
            found = past.points(CPU, START_S, past.now_s, 1_000)
            wanted = [[(START_S + at) * 1_000, at, at, at] for at in range(second)]
            assert found == wanted
            if second % 5 == 0:
                counts = past.points(CPU, START_S, past.now_s, 1_000, "count")
                assert [count for _, count in counts] == [4] * second


@pytest.mark.parametrize(("points", "step_s"), [(60, 10), (10, 60)])
def test_the_seam_does_not_show_in_longer_steps(tmp_path, points, step_s):
    past = Past(tmp_path, CPU, hot_s=77)
    past.every(CPU, 1, START_S + 600, lambda t_s: t_s % 50)
    past.go(START_S + 600)
    counts = past.points(CPU, START_S, START_S + 600, points, "count")
    assert [count for _, count in counts] == [step_s] * points


def test_what_the_cache_drops_while_it_is_asked_comes_from_the_file(tmp_path):
    past = Past(tmp_path, CPU, hot_s=60)
    past.every(CPU, 1, START_S + 200)
    past.go(START_S + 200)
    asked = []

    def samples(text, from_ms, to_ms):
        found = past.hot.samples(text, from_ms, to_ms)
        past.hot_s -= 3
        asked.append(text)
        return found

    def since_ms():
        past.hot_s -= 3
        return past.hot.since_ms()

    history = HistoryQueries(past.reader, Hot(since_ms, samples, past.hot.known), past.clock.now_ms, lambda: KEEP)
    told = history.query([CPU], START_S * 1_000, past.clock.now_ms(), 200, "count")
    assert asked == [CPU]
    assert [count for _, count in told["series"][0]["points"]] == [1] * 200


def test_what_was_never_written_comes_from_the_cache(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 1, START_S + 50, 4)
    past.clock.advance(50)
    told = past.history.query([CPU], START_S * 1_000, past.clock.now_ms(), 50, "mean")
    assert [value for _, value in told["series"][0]["points"]] == [4] * 50


def test_without_a_file_and_with_an_empty_cache_all_is_null(tmp_path):
    past = Past(tmp_path, CPU)
    past.clock.advance(10)
    history = HistoryQueries(Reader(tmp_path / "absent.db"), past.hot, past.clock.now_ms, lambda: KEEP)
    told = history.query([CPU], START_S * 1_000, past.clock.now_ms(), 10, "mean")
    assert [value for _, value in told["series"][0]["points"]] == [None] * 10


def test_the_running_step_has_what_is_known_of_it(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 1, START_S + 90)
    past.go(START_S + 90)
    assert past.points(CPU, START_S, START_S + 120, 2, "count") == [
        [START_S * 1_000, 60],
        [START_S * 1_000 + 60_000, 30],
    ]


# --- which tier -------------------------------------------------------------------------------------------------------


def test_a_span_that_begins_before_a_tier_does_comes_from_the_coarser_one(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 1, START_S + 10)
    past.go(START_S + 20 * DAY_S)
    ago = {"1s": 0.2, "10s": 1.9, "1min": 13.9, "5min": 19.9}
    for tier, days in ago.items():
        from_ms = past.clock.now_ms() - int(days * DAY_S * 1_000)
        assert past.history.query([CPU], from_ms, from_ms + 60_000, 60)["tier"] == tier


def test_a_tier_that_was_cut_short_for_want_of_room_is_left_for_the_coarser_one(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 1, START_S + 4 * 3_600, 6)
    past.go(START_S + 4 * 3_600 + 10)
    with contextlib.closing(sqlite3.connect(past.writer.path)) as connection, connection:
        connection.execute("DELETE FROM chunk WHERE tier = 0 AND start_s < ?", (START_S + 3 * 3_600,))
    old = past.history.query([CPU], START_S * 1_000, (START_S + 600) * 1_000, 600, "mean")
    assert old["tier"] == "10s"
    assert [value for _, value in old["series"][0]["points"]] == [6] * 60
    new = past.history.query([CPU], (START_S + 3 * 3_600 + 60) * 1_000, (START_S + 3 * 3_600 + 660) * 1_000, 600)
    assert new["tier"] == "1s"


def test_a_young_history_is_told_in_its_finest_tier(tmp_path):
    past = Past(tmp_path, CPU)
    past.clock.advance(5 * 3_600)  # begun at five
    past.writer.tick()
    past.every(CPU, 1, past.now_s + 3 * 3_600)
    past.go(past.now_s + 3 * 3_600 + 10)
    assert {1, 2} & past.reader.first_of().keys()  # their chunks begin before the first second
    assert past.history.query([CPU], (past.now_s - 4 * 3_600) * 1_000, past.clock.now_ms(), 5_000)["tier"] == "1s"


# --- spans ------------------------------------------------------------------------------------------------------------


def test_a_span_in_the_future_has_no_points(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 1, START_S + 10)
    past.go(START_S + 10)
    assert past.points(CPU, START_S + 100, START_S + 200, 100) == []


def test_a_span_that_reaches_into_the_future_ends_now(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 1, START_S + 10)
    past.go(START_S + 10)
    found = past.points(CPU, START_S, START_S + 100, 100, "count")
    assert [count for _, count in found] == [1] * 10


def test_a_span_of_no_time_before_anything_was_measured_is_null(tmp_path):
    past = Past(tmp_path, CPU)
    past.go(START_S + 10)
    assert past.points(CPU, START_S - 100, START_S - 90, 10, "mean") == [
        [(START_S - 100 + at) * 1_000, None] for at in range(10)
    ]


def test_all_of_time_is_one_answer(tmp_path):
    past = Past(tmp_path, CPU)
    past.every(CPU, 1, START_S + 10, 3)
    past.go(START_S + 10)
    told = past.history.query([CPU], 0, 10**15, 1_000, "max")
    assert max(value for _, value in told["series"][0]["points"] if value is not None) == 3
    assert len(told["series"][0]["points"]) <= 1_000


# --- which series -----------------------------------------------------------------------------------------------------

ALIKE = (
    'model.tokens_per_second{model="a",server="x"}',
    'model.tokens_per_second{model="a[1]",server="x"}',
    'model.tokens_per_second{model="a1",server="y"}',
    'model.tokens_per_second{model="b?",server="y"}',
)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    past = Past(tmp_path_factory.mktemp("four"), *ALIKE, CPU)
    for text in ALIKE:
        past.every(text, 1, START_S + 10)
    past.go(START_S + 10)
    return past


@pytest.mark.parametrize(
    ("selector", "which"),
    [
        ("model.tokens_per_second", [0, 1, 2, 3]),
        ('model.tokens_per_second{model="*"}', [0, 1, 2, 3]),
        ('model.tokens_per_second{server="y"}', [2, 3]),
        ('model.tokens_per_second{model="a*"}', [0, 1, 2]),
        ('model.tokens_per_second{model="*1*"}', [1, 2]),
        ('model.tokens_per_second{model="a[1]"}', [1]),
        ('model.tokens_per_second{model="a[1]*"}', [1]),
        (r'model.tokens_per_second{model="*\?"}', [3]),
        ('model.tokens_per_second{model="?"}', [0]),
        ("model.tok*", [0, 1, 2, 3]),
        ('model.tokens_per_second{model="a",server="x"}', [0]),
        ('model.tokens_per_second{model="*",server="x"}', [0, 1]),
    ],
)
def test_a_selector_is_every_series_that_fits(four, selector, which):
    told = four.history.query([selector], START_S * 1_000, (START_S + 5) * 1_000, 5)
    assert [each["series"] for each in told["series"]] == [ALIKE[at] for at in which]
    assert {each["step_ms"] for each in told["series"]} == {1_000}


def test_a_series_that_is_named_twice_comes_once(four):
    told = four.history.query([ALIKE[0], 'model.tokens_per_second{model="a"}'], START_S * 1_000, (START_S + 5) * 1_000)
    assert [each["series"] for each in told["series"]] == [ALIKE[0]]
    assert told["series"][0]["labels"] == {"model": "a", "server": "x"}
    assert (told["series"][0]["unit"], told["series"][0]["kind"]) == ("/s", "gauge")


def test_what_is_only_in_the_cache_is_listed_without_a_first_second(tmp_path):
    past = Past(tmp_path, TTFT)
    rows = HistoryQueries(Reader(tmp_path / "absent.db"), past.hot, past.clock.now_ms, lambda: KEEP).series()
    assert rows == [
        {
            "series": TTFT, "name": "model.ttft_ms", "labels": {"model": "m", "server": "s"}, "unit": "ms",
            "kind": "event", "first_ms": None, "distribution": True,
        }
    ]  # fmt: skip
    past.every(TTFT, 1, START_S + 10)
    past.go(START_S + 10)
    assert [row["first_ms"] for row in past.history.series()] == [START_S * 1_000]


# --- refused ----------------------------------------------------------------------------------------------------------

GOOD = {"series": [CPU], "from_ms": START_S * 1_000, "to_ms": START_S * 1_000 + 5_000, "points": 5, "fn": "envelope"}


@pytest.mark.parametrize(
    ("wrong", "field", "detail", "fix"),
    [
        ({"from_ms": GOOD["to_ms"]}, "from", "The span is empty.", "from before to"),
        ({"from_ms": -1}, "from", "The span is empty.", "in milliseconds"),
        ({"points": 0}, "points", "points= is 0.", f"1 to {MAX_POINTS}"),
        ({"points": MAX_POINTS + 1}, "points", "points= is 5001.", f"1 to {MAX_POINTS}"),
        ({"fn": "avg"}, "fn", "There is no function 'avg'.", "Use one of envelope, mean"),
        ({"fn": "p95"}, "fn", f"{CPU} has no distribution.", "Ask for envelope, mean"),
        ({"fn": "quantiles"}, "fn", f"{CPU} has no distribution.", "Ask for envelope, mean"),
        ({"series": []}, "series", "No series was named.", "once or several times"),
        ({"series": ["no.such"]}, "series", "No series 'no.such' was ever seen.", "GET /api/v1/history"),
        ({"series": [CPU + '{core="*"}']}, "series", "was ever seen.", "GET /api/v1/history"),
        ({"series": [CPU, "a{b}"]}, "series", 'labels must read key="value"', 'name{label="value"}'),
    ],
)
def test_a_question_that_cannot_be_answered_says_which_field_and_what_to_do(four, wrong, field, detail, fix):
    with pytest.raises(Refused) as refused:
        four.history.query(**{**GOOD, **wrong})
    assert refused.value.field == field
    assert detail in str(refused.value)
    assert fix in refused.value.fix


def test_more_series_than_can_be_shown_are_refused(tmp_path):
    past = Past(tmp_path, *(str(Series.of("system.cpu_core_percent", core=core)) for core in range(MAX_SERIES + 1)))
    with pytest.raises(Refused, match="51 series match") as refused:
        past.history.query(["system.cpu_core_percent"], START_S * 1_000, START_S * 1_000 + 1_000)
    assert refused.value.fix == "Ask for at most 50 at once."


def test_numbers_are_told_with_seven_digits_as_python_writes_them():
    rng = np.random.default_rng(1)
    values = np.concatenate(
        [rng.lognormal(0, 12, 5_000), -rng.lognormal(0, 3, 100), [0.0, 2**24 / 8 + 0.5, 1e22, 1e30]]
    )
    values = values[(np.abs(values) >= 1e-15) | (values == 0)]  # what is smaller keeps all its digits
    wanted = [float(f"{value:.7g}") for value in values.tolist()]
    assert [told for told, value in zip(rounded(values).tolist(), wanted, strict=True) if told != value] == []
