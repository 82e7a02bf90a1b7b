"""What the hook is told of the built-in models is what numpy says of their distributions."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from wfmon.core.clock import FakeClock
from wfmon.demo.engine import Generation, GenerationRequest, Timing
from wfmon.demo.library import train, vocabulary_name
from wfmon.demo.reporting import DemoReporter
from wfmon.demo.sampling import Knobs, shaped
from wfmon.hook.inbox import END, PHASE, PROMPT, START, TOKENS

KEY = bytes(range(16))


class Stays:
    def gone(self, seconds):
        return False


@pytest.fixture
def told(monkeypatch):
    """Ask both models the same; gives their events, and the steps that they wrote."""
    models = train(FakeClock(), 0.0)
    seen = DemoReporter(models["wfmon-demo-2gram"].vocabulary, "127.0.0.1:11599")
    monkeypatch.setattr(seen._hook.sender, "start", lambda: None)
    seen._hook.sender.key = KEY
    prompt = tuple(models["wfmon-demo-2gram"].vocabulary.read("When the memory is"))
    result = {}
    for name, model in models.items():
        ask = GenerationRequest(prompt, max_tokens=6, seed=3, knobs=Knobs(temperature=0.9))
        steps = list(model.answer(ask, Stays(), seen.request(model, "a-1", 0), Generation(Timing(0))))
        result[name] = (model, prompt, steps, seen._hook.inbox.take())
    return result


def test_each_token_is_told_with_the_exact_entropy_of_what_was_sampled(told):
    for model, prompt, steps, events in told.values():
        tokens = [event for event in events if event[0] == TOKENS]
        read = list(prompt)
        for step, (_, _, _, count, entropy, k, top, *_) in zip(steps, tokens, strict=True):
            sampled = shaped(model.ngram.distribution(read), Knobs(temperature=0.9))
            some = sampled[sampled > 0]
            assert entropy == pytest.approx(-(some * np.log2(some)).sum())
            assert (count, k) == (1, len(model.vocabulary) - 2)
            assert list(top) == pytest.approx(np.log(np.sort(sampled)[::-1][:20]).tolist())
            read.append(step.drawn.token)


def test_hashes_are_of_the_texts_under_the_key_and_the_same_for_both_models(told):
    names = set()
    for model, _, steps, events in told.values():
        record = events[0][1]
        names.add((record.vocab, record.vocab_size))
        hashes = next(event[7] for event in events if event[0] == TOKENS)
        texts = [model.vocabulary.texts[token] for token, _ in steps[0].drawn.top]
        digests = [hashlib.blake2b(text.encode(), key=KEY, digest_size=8).digest() for text in texts]
        assert list(hashes) == [int.from_bytes(digest, "big") >> 11 for digest in digests]
    assert names == {(vocabulary_name(model.vocabulary), len(model.vocabulary) - 2)}


def test_a_request_is_told_from_its_coming_to_its_end(told):
    _, prompt, _, events = told["wfmon-demo-4gram"]
    assert [event[0] for event in events] == [START, PHASE, PHASE, PROMPT, PHASE, *[TOKENS] * 6, END]
    assert [event[3] for event in events if event[0] == PHASE] == ["queued", "prompt", "decode"]
    record, end = events[0][1], events[-1]
    assert (record.id, record.model, record.server) == ("a-1", "wfmon-demo-4gram", "127.0.0.1:11599")
    assert end[3:5] == ("ok", "length")
    assert (end[5]["prompt_tokens"], end[5]["output_tokens"]) == (len(prompt), 6)
    assert end[5]["queue_ms"] == end[5]["prompt_ms"] == end[5]["decode_ms"] == 0.0
