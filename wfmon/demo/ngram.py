"""An n-gram language model with modified interpolated Kneser-Ney smoothing and the full distribution at each step.

    p_n(w | h) = (c(h w) - D(c(h w))) / c(h .)  +  g(h) p_(n-1)(w | h')

c is the n-gram's count in the text at the highest order, and at lower orders the number of distinct words before it; h'
is h without its first word; g(h) is the mass removed by the discounts, so that the sum is 1. With n_i the number of
n-grams counted i times and Y = n_1 / (n_1 + 2 n_2), D(i) = i - (i + 1) Y n_(i+1) / n_i for i = 1, 2 and 3, and D(3) for
larger counts. The order below one word is the uniform distribution; for an unseen h, p_n is p_(n-1).
S. F. Chen and J. Goodman, An Empirical Study of Smoothing Techniques for Language Modeling, 1998, section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfmon.demo.tokens import BOS, EOS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class NgramLevel(NamedTuple):
    """The n-grams of one order, sorted by context. Context i has the rows ``starts[i]`` to ``starts[i + 1]``."""

    contexts: Ints
    starts: Ints
    words: Ints
    shares: Floats
    """(c - D(c)) / c(h .) of each n-gram."""
    rests: Floats
    """g(h) of each context: the weight of the lower order."""


class NGram:
    """A model of one order over ``size`` tokens. Immutable; any thread."""

    def __init__(self, texts: Sequence[Sequence[int]], order: int, size: int) -> None:
        if not 1 <= order <= 5 or size**order >= 2**63:
            raise ValueError(f"order {order} with {size} tokens does not fit; use an order from 1 to 4")
        self.order = order
        self.size = size
        grams, counts = np.unique(_windows(texts, order), axis=0, return_counts=True)
        self.parameters = 0
        levels = []
        for _ in range(order):
            levels.append(_level(grams, counts.astype(np.float64), size))
            self.parameters += len(grams)
            grams, counts = np.unique(grams[:, 1:], axis=0, return_counts=True)
        self._levels = tuple(reversed(levels[:-1]))
        single = levels[-1]
        self._base = np.full(size, single.rests[0] / (size - 1))
        self._base[BOS] = 0.0
        self._base[single.words] += single.shares

    def distribution(self, before: Sequence[int]) -> Floats:
        """Return the probability of each next token, shape (size,), sum 1. [] is the start of a text."""
        wanted = [BOS] * (self.order - 1) + list(before[-self.order :])
        result = self._base.copy()
        key, scale = 0, 1
        for level, word in zip(self._levels, reversed(wanted), strict=False):
            key += word * scale
            scale *= self.size
            at = int(np.searchsorted(level.contexts, key))
            if at == len(level.contexts) or level.contexts[at] != key:
                break
            span = slice(level.starts[at], level.starts[at + 1])
            result *= level.rests[at]
            result[level.words[span]] += level.shares[span]
        return result

    def score(self, tokens: Sequence[int], before: Sequence[int] = ()) -> Floats:
        """Return the natural log-probability of each token, given those before it."""
        read = list(before)
        result = np.empty(len(tokens))
        for at, token in enumerate(tokens):
            result[at] = np.log(max(self.distribution(read[-self.order :])[token], np.finfo(np.float64).tiny))
            read.append(token)
        return result

    def perplexity(self, texts: Sequence[Sequence[int]]) -> float:
        """Return the perplexity, 2 to the mean bits per token, over texts including their ends."""
        scores = np.concatenate([self.score([*text, EOS]) for text in texts])
        return float(np.exp(-scores.mean()))


def _windows(texts: Sequence[Sequence[int]], order: int) -> Ints:
    """Return all n-grams, shape (n, order); each text is padded with order - 1 BOS and one EOS."""
    padded = [np.array([BOS] * (order - 1) + [*text, EOS], dtype=np.int64) for text in texts]
    return np.concatenate([np.lib.stride_tricks.sliding_window_view(text, order) for text in padded])


def _level(grams: Ints, counts: Floats, size: int) -> NgramLevel:
    """Build one order. ``grams`` must be sorted by its columns, and so by context."""
    keys = np.zeros(len(grams), dtype=np.int64)
    for column in range(grams.shape[1] - 1):
        keys = keys * size + grams[:, column]
    contexts, starts = np.unique(keys, return_index=True)
    totals = np.add.reduceat(counts, starts)
    starts = np.append(starts, len(grams))
    followers = np.diff(starts)
    shares = (counts - _discounts(counts)[np.minimum(counts, 3).astype(np.int64)]) / np.repeat(totals, followers)
    rests = 1.0 - np.add.reduceat(shares, starts[:-1])
    return NgramLevel(contexts, starts, grams[:, -1].copy(), shares, rests)


def _discounts(counts: Floats) -> Floats:
    """Return D by count, shape (4,); Y where the text is too small to estimate it."""
    met = [int(np.count_nonzero(counts == times)) for times in range(5)]
    y = met[1] / (met[1] + 2 * met[2]) if met[1] else 0.5
    result = np.zeros(4)
    for times in (1, 2, 3):
        discount = times - (times + 1) * y * met[times + 1] / met[times] if met[times] and met[times + 1] else y
        result[times] = min(max(discount, 0.0), times)
    return result
