"""The built-in model is what it says: a real distribution at each step, the drawn one told exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wfmon.core.clock import FakeClock
from wfmon.demo.library import ORDERS, corpus, train, vocabulary_name
from wfmon.demo.ngram import NGram
from wfmon.demo.sampling import Knobs, draw, entropy_bits, shaped
from wfmon.demo.tokens import BOS, EOS, UNK, Vocabulary, normal, split


@pytest.fixture(scope="module")
def models():
    return train(FakeClock(), 0.0)


@pytest.fixture(params=sorted(ORDERS))
def model(request, models):
    return models[request.param]


def test_the_text_is_of_the_promised_size_and_all_of_it_survives_the_tokens():
    texts = corpus()
    assert 60_000 <= sum(len(text.encode()) for text in texts) <= 120_000
    vocabulary = Vocabulary(word for text in texts for word in split(text))
    assert 2_000 <= len(vocabulary) <= 9_999
    for text in texts:
        assert vocabulary.write(vocabulary.read(text)) == normal(text)


@given(st.text(max_size=200))
def test_any_text_can_be_read(text):
    vocabulary = Vocabulary([" the", "The", ",", "."])
    assert all(0 <= number < len(vocabulary) for number in vocabulary.read(text))


def test_a_word_is_known_with_or_without_its_space_and_in_capitals_and_others_are_unknown():
    vocabulary = Vocabulary([" the", "."])
    assert vocabulary.read("The") == vocabulary.read(" the") == vocabulary.read("the")
    assert vocabulary.read("xyzzy.") == [UNK, vocabulary.read(".")[0]]


def test_both_models_share_one_vocabulary(models):
    two, four = models.values()
    assert two.vocabulary is four.vocabulary
    assert (two.ngram.order, four.ngram.order) == (2, 4)
    assert vocabulary_name(two.vocabulary) == vocabulary_name(four.vocabulary)
    assert len(vocabulary_name(two.vocabulary)) <= 64


def test_kneser_ney_by_hand():
    # "a b", "a c", "a b" and nothing else: bigrams <s>a 3, ab 2, ac 1, b</s> 2, c</s> 1; seen once 2, seen twice 2,
    # three times 1, so Y = 2 / (2 + 4) = 1/3, D(1) = 1 - 2 Y 2/2 = 1/3, D(2) = 2 - 3 Y 1/2 = 3/2.
    # Words before: a 1, b 1, c 1, </s> 2, of 5 in all; once 3, twice 1, so Y = 3/5, D(1) = 1 - 2 Y 1/3 = 3/5, D(2) = Y.
    vocabulary = Vocabulary([" a", " b", " c"])
    a, b, c = (vocabulary.read(word)[0] for word in ("a", "b", "c"))
    model = NGram([[a, b], [a, c], [a, b]], 2, len(vocabulary))
    rest = (3 / 5) * 4 / 5 / 5  # what the single words give away, over all tokens but <s>
    single = {a: 0.4 / 5 + rest, b: 0.4 / 5 + rest, c: 0.4 / 5 + rest, EOS: 1.4 / 5 + rest, UNK: rest, BOS: 0.0}
    after_a = model.distribution([a])
    given_away = (3 / 2 + 1 / 3) / 3
    expected = {number: given_away * share for number, share in single.items()}
    expected[b] += (2 - 3 / 2) / 3
    expected[c] += (1 - 1 / 3) / 3
    assert after_a == pytest.approx([expected[number] for number in range(len(vocabulary))])
    assert model.distribution([UNK]) == pytest.approx([single[number] for number in range(len(vocabulary))])


@given(seed=st.integers(0, 10_000))
def test_a_distribution_sums_to_one_whatever_came_before(models, seed):
    random = np.random.default_rng(seed)
    for model in models.values():
        before = random.integers(0, len(model.vocabulary), size=random.integers(0, 6)).tolist()
        distribution = model.ngram.distribution(before)
        assert distribution.shape == (len(model.vocabulary),)
        assert distribution.min() >= 0.0
        assert distribution[BOS] == 0.0
        assert distribution.sum() == pytest.approx(1.0, abs=1e-9)


@example(seed=0, temperature=5e-324, top_p=1.0, top_k=0)
@given(
    seed=st.integers(0, 10_000), temperature=st.floats(0.0, 5.0), top_p=st.floats(0.0, 1.0), top_k=st.integers(0, 50)
)
def test_what_is_sampled_is_what_is_told(models, seed, temperature, top_p, top_k):
    random = np.random.default_rng(seed)
    model = models["wfmon-demo-4gram"]
    start = int(random.integers(0, len(model.vocabulary)))
    sampled = shaped(model.ngram.distribution([start]), Knobs(temperature, top_p, top_k))
    assert sampled.sum() == pytest.approx(1.0)
    assert sampled[UNK] == sampled[BOS] == 0.0
    drawn = draw(sampled, random)
    assert drawn.logprob == pytest.approx(math.log(sampled[drawn.token]))
    assert 1 <= len(drawn.top) <= 20
    assert [logprob for _, logprob in drawn.top] == sorted((logprob for _, logprob in drawn.top), reverse=True)
    assert all(logprob == pytest.approx(math.log(sampled[token])) for token, logprob in drawn.top)
    assert drawn.top[0][1] == pytest.approx(math.log(sampled.max()))
    assert drawn.entropy == pytest.approx(-sum(p * math.log2(p) for p in sampled.tolist() if p > 0), abs=1e-9)
    if top_k:
        assert np.count_nonzero(sampled) <= top_k


def test_the_entropy_of_equal_chances_is_their_logarithm():
    assert entropy_bits(np.array([0.25, 0.25, 0.25, 0.25, 0.0])) == pytest.approx(2.0)
    assert entropy_bits(np.array([0.0, 1.0])) == 0.0


def test_top_p_keeps_the_smallest_set_that_reaches_it():
    distribution = np.array([0.0, 0.0, 0.0, 0.5, 0.3, 0.15, 0.05])
    assert shaped(distribution, Knobs(top_p=0.7)) == pytest.approx([0, 0, 0, 0.625, 0.375, 0, 0])
    assert shaped(distribution, Knobs(top_p=0.0)) == pytest.approx([0, 0, 0, 1, 0, 0, 0])
    assert shaped(distribution, Knobs(top_k=1)) == pytest.approx([0, 0, 0, 1, 0, 0, 0])
    assert shaped(distribution, Knobs(temperature=0.0)) == pytest.approx([0, 0, 0, 1, 0, 0, 0])


def test_draws_come_as_often_as_they_are_likely():
    random = np.random.default_rng(7)
    distribution = np.array([0.0, 0.0, 0.2, 0.5, 0.3])
    drawn = [draw(distribution, random).token for _ in range(4_000)]
    assert np.bincount(drawn, minlength=5) / 4_000 == pytest.approx(distribution, abs=0.03)


def test_the_model_that_looks_back_further_is_less_surprised_by_text_it_has_not_read():
    texts = [paragraph for text in corpus() for paragraph in text.split("\n\n")]
    vocabulary = Vocabulary(word for text in texts for word in split(text))
    read = [vocabulary.read(text) for text in texts]
    kept = [text for number, text in enumerate(read) if number % 5]
    held_out = [text for number, text in enumerate(read) if number % 5 == 0]
    perplexity = {order: NGram(kept, order, len(vocabulary)).perplexity(held_out) for order in (1, 2, 3, 4)}
    assert perplexity[4] < perplexity[2] < perplexity[1] < len(vocabulary) / 2, perplexity


def test_an_order_that_cannot_be_counted_is_refused():
    with pytest.raises(ValueError, match="order 0"):
        NGram([[3]], 0, 10)
