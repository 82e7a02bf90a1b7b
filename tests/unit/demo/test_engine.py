"""A request's way through a model, on a clock that only moves when somebody waits."""

from __future__ import annotations

import threading

import pytest

from wfmon.core.clock import FakeClock
from wfmon.demo.engine import PLACES, ClientLeft, Cutter, Generation, GenerationRequest, Places, Timing
from wfmon.demo.library import train
from wfmon.demo.sampling import Knobs

S = 1_000_000_000


class Seen(list):
    """Who is told."""

    def __init__(self, clock):
        self.clock = clock

    def say(self, *what):
        self.append((self.clock.mono_ns(), *what))

    def phase(self, name):
        self.say(name)

    def prompt(self, tokens):
        self.say("read", tokens)

    def token(self, drawn):
        self.say("token", drawn.token)

    def end(self, status, reason, timing):
        self.say("end", status, reason)


class Patient:
    """A client that leaves at some time, or never."""

    def __init__(self, clock, leaves_ns=None):
        self.clock = clock
        self.leaves_ns = leaves_ns

    def gone(self, seconds):
        self.clock.advance(seconds)
        return self.leaves_ns is not None and self.clock.mono_ns() >= self.leaves_ns


@pytest.fixture(scope="module")
def trained():
    return train(FakeClock(), 40.0)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def model(trained, clock):
    model = trained["wfmon-demo-4gram"]
    model.clock = clock
    model.rate = 40.0
    return model


def run(model, clock, ask, client=None):
    seen, answer = Seen(clock), Generation(Timing(clock.mono_ns()))
    steps = model.answer(ask, client or Patient(clock), seen, answer)
    return steps, seen, answer


def test_prompt_and_tokens_keep_the_pace_and_each_token_is_told_at_its_time(model, clock):
    prompt = tuple(model.vocabulary.read("The model reads the prompt and then " * 10))
    assert len(prompt) == 70
    steps, seen, answer = run(model, clock, GenerationRequest(prompt, max_tokens=5, seed=1))
    taken = list(steps)
    read_ns = pytest.approx(70 / (40 * 16) * S, rel=1e-6)
    assert [row[1:] for row in seen[:4]] == [("queued",), ("prompt",), ("read", 70), ("decode",)]
    assert seen[3][0] == read_ns
    times = [at - seen[3][0] for at, what, *_ in seen if what == "token"]
    assert times == pytest.approx([25e6, 50e6, 75e6, 100e6, 125e6])
    assert seen[-1][1:] == ("end", "ok", "length")
    assert (len(taken), answer.timing.output_tokens, answer.timing.prompt_tokens) == (5, 5, 70)
    assert answer.timing.spans_ms() == pytest.approx((0.0, 70 / 0.64, 125.0))


def test_without_a_limit_nothing_waits(model, clock):
    model.rate = 0.0
    list(run(model, clock, GenerationRequest((5, 6, 7), max_tokens=50))[0])
    assert clock.mono_ns() == 0


def test_the_same_seed_writes_the_same_and_another_does_not(model, clock):
    def tokens(seed):
        return [step.drawn.token for step in run(model, clock, GenerationRequest((5, 6), max_tokens=40, seed=seed))[0]]

    assert tokens(3) == tokens(3)
    assert tokens(3) != tokens(4)


def test_at_temperature_zero_it_is_certain(model, clock):
    steps = list(run(model, clock, GenerationRequest((5, 6), max_tokens=5, knobs=Knobs(temperature=0.0)))[0])
    assert {step.drawn.entropy for step in steps} == {0.0}
    assert {step.drawn.logprob for step in steps} == {0.0}


def test_a_prompt_matters_to_the_first_token_as_far_as_the_model_looks_back(trained):
    two, four = trained.values()
    read = two.vocabulary.read
    near, far = read("A token is"), read("A cloud is")
    assert (two.ngram.distribution(near) == two.ngram.distribution(far)).all()
    assert (four.ngram.distribution(near) != four.ngram.distribution(far)).any()


def test_a_client_that_leaves_ends_its_request_as_aborted(model, clock):
    steps, seen, answer = run(model, clock, GenerationRequest((5, 6), max_tokens=50), Patient(clock, leaves_ns=S // 5))
    with pytest.raises(ClientLeft):
        list(steps)
    assert seen[-1][1:] == ("end", "aborted", "client_gone")
    assert 0 < answer.timing.output_tokens < 10
    list(run(model, clock, GenerationRequest((5,), max_tokens=1))[0])  # its place is free again


def test_an_answer_that_nobody_reads_to_its_end_is_aborted_when_it_is_closed(model, clock):
    steps, seen, _ = run(model, clock, GenerationRequest((5, 6), max_tokens=50))
    next(steps)
    steps.close()
    assert seen[-1][1:] == ("end", "aborted", "client_gone")


def test_the_first_to_wait_is_the_first_to_be_served():
    places = Places(1)
    places.acquire(lambda: None)
    order, waiting = [], []

    def work(number):
        came = threading.Event()
        waiting.append(came)

        def check_client():
            came.set()
            threading.Event().wait(0.001)

        places.acquire(check_client)
        order.append(number)
        places.release()

    threads = []
    for number in range(4):
        thread = threading.Thread(target=work, args=(number,))
        threads.append(thread)
        thread.start()
        while len(waiting) <= number or not waiting[number].wait(10):
            pass
    places.release()
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3]


def test_one_that_leaves_the_queue_takes_no_place_with_it():
    places = Places(1)
    places.acquire(lambda: None)

    def leaves():
        raise ClientLeft

    with pytest.raises(ClientLeft):
        places.acquire(leaves)
    places.release()
    places.acquire(leaves)  # there is a place, so it is not asked whether it stays


def test_a_request_that_waits_tells_how_long(model, clock):
    model.places = Places(PLACES)
    for _ in range(PLACES):
        model.places.acquire(lambda: None)

    class Waits(Patient):
        def gone(self, seconds):
            if self.clock.mono_ns() < S // 2 <= self.clock.mono_ns() + seconds * S:
                model.places.release()
            return super().gone(seconds)

    steps, seen, answer = run(model, clock, GenerationRequest((5,), max_tokens=2), Waits(clock))
    list(steps)
    assert answer.timing.spans_ms()[0] == pytest.approx(500.0, abs=60)
    assert [row[1] for row in seen] == ["queued", "prompt", "read", "decode", "token", "token", "end"]


@pytest.mark.parametrize(
    ("stops", "parts", "out", "done"),
    [
        ((), ["one", " two"], "one two", False),
        ((" two",), ["one", " two", " three"], "one", True),
        (("end.",), ["the", " en", "d", " of"], "the end of", False),
        (("end.", "x"), ["the", " en", "d", "."], "the ", True),
        (("ab",), ["a", "a", "a"], "aaa", False),
    ],
)
def test_a_stop_string_never_comes_out_and_nothing_else_is_lost(stops, parts, out, done):
    cut = Cutter(stops)
    text = ""
    for part in parts:
        text += cut.feed(part)
        if cut.done:
            break
    assert (text + cut.rest(), cut.done) == (out, done)
