"""Sampling: temperature, top k and top p applied to a model's distribution, and the draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wfmon.demo.ngram import Floats
from wfmon.demo.tokens import BOS, UNK

MAX_TOP = 20


class Knobs(NamedTuple):
    """Sampling parameters. ``temperature`` 0 takes the likeliest token; ``top_k`` 0 keeps all."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


UNCHANGED = Knobs()


class Drawn(NamedTuple):
    """A drawn token, and its distribution: exact entropy in bits, natural log-probabilities."""

    token: int
    logprob: float
    entropy: float
    top: tuple[tuple[int, float], ...]
    """The likeliest tokens with a probability above 0, descending; at most MAX_TOP."""


def shaped(distribution: Floats, knobs: Knobs) -> Floats:
    """Return the distribution to sample from, sum 1. UNK and BOS get probability 0."""
    result = distribution.copy()
    result[[UNK, BOS]] = 0.0
    if knobs.temperature <= 0.0:
        best = int(result.argmax())
        result[:] = 0.0
        result[best] = 1.0
        return result
    if knobs.temperature != 1.0:
        # The likeliest is set to 0 before the division: near a temperature of 0 the others alone go to minus infinity.
        with np.errstate(divide="ignore", over="ignore"):
            logs = np.log(result)
            result = np.exp((logs - logs.max()) / knobs.temperature)
    if 0 < knobs.top_k < np.count_nonzero(result):
        order = result.argsort(kind="stable")[::-1]
        result[order[knobs.top_k :]] = 0.0
    result /= result.sum()
    if knobs.top_p < 1.0:
        order = result.argsort(kind="stable")[::-1]
        # The smallest set of the likeliest tokens whose sum reaches top_p; at least one.
        kept = int(np.searchsorted(result[order].cumsum(), knobs.top_p)) + 1
        result[order[kept:]] = 0.0
        result /= result.sum()
    return result


def entropy_bits(distribution: Floats) -> float:
    """Return the Shannon entropy, -sum p log2 p."""
    some = distribution[distribution > 0.0]
    return max(0.0, float(-(some * np.log2(some)).sum()))


def draw(distribution: Floats, random: np.random.Generator, top: int = MAX_TOP) -> Drawn:
    """Draw a token from a shaped distribution."""
    sums = distribution.cumsum()
    token = int(np.searchsorted(sums, random.random() * sums[-1], side="right"))
    token = min(token, int(np.flatnonzero(distribution)[-1]))
    count = min(top, len(distribution) - 1)
    likely = distribution.argpartition(-count)[-count:]
    likely = likely[distribution[likely].argsort(kind="stable")[::-1]]
    listed = tuple((int(each), float(np.log(distribution[each]))) for each in likely if distribution[each] > 0.0)
    return Drawn(token, float(np.log(distribution[token])), entropy_bits(distribution), listed)
