"""Entropy, certainty and disagreement of next-token distributions, in bits. Pure.

From the top k of a distribution over V tokens, with r the probability outside them, the entropy of the whole lies in

    H_top - r log2 r  <=  H  <=  H_top - r log2 r + r log2(V - k),     H_top = -sum_{i<=k} p_i log2 p_i

by the chain rule of entropy (Cover and Thomas, Elements of Information Theory, 2nd ed., 2.2 and theorem 2.6.4): the
rest is one outcome of probability r, which adds r times the entropy within the rest, which is between 0 and
log2(V - k). Certainty is 1 minus the normalised entropy (Pielou's evenness) of the renormalised top k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import mul
from typing import NamedTuple

_LN2 = math.log(2.0)
_NAN = float("nan")
TINY = 1e-9
"""A rest below this is rounding."""


class Entropy(NamedTuple):
    """The entropy of one distribution; NaN: unknown. ``bits``: the middle of the band, else its lower bound."""

    bits: float
    low: float
    high: float
    k: float
    certainty: float


def exact(bits: float, k: int | None) -> Entropy:
    """Return the entropy of a complete distribution of ``k`` outcomes: the band has no width."""
    bits = max(0.0, bits)
    if k is None:
        return Entropy(bits, bits, bits, _NAN, _NAN)
    return Entropy(bits, bits, bits, float(k), _certainty(bits, k))


def band(bits: float | None, low: float | None, high: float | None, k: int | None) -> Entropy | None:
    """Return a band computed by the sender. Its certainty is unknown: that needs the top k themselves."""
    if bits is None:
        if low is None:
            return None
        bits = low if high is None else (low + high) / 2
    return Entropy(
        max(0.0, bits), _NAN if low is None else max(0.0, low), _NAN if high is None else max(0.0, high),
        _NAN if k is None else float(k), _NAN,
    )  # fmt: skip


def of_top(top: Sequence[float], vocab_size: int | None) -> Entropy:
    """Return the band of the top k's natural log-probabilities; no upper bound without the vocabulary's size."""
    ps = [math.exp(each) for each in top]
    mass = sum(ps)
    nats = -sum(map(mul, ps, top))  # at ln p = -1e5, p is 0 and adds nothing
    k = len(ps)
    rest = 1.0 - mass
    if rest < TINY or (vocab_size is not None and vocab_size <= k):  # nothing is outside
        rest = 0.0
    low = max(0.0, (nats - (rest * math.log(rest) if rest else 0.0)) / _LN2)
    if not rest:
        high = low
    elif vocab_size is None:
        high = _NAN
    else:
        high = low + rest * math.log2(vocab_size - k)
    certainty = _certainty((nats / mass + math.log(mass)) / _LN2, k) if mass > 0 else _NAN
    return Entropy(low if high != high else (low + high) / 2, low, high, float(k), certainty)  # noqa: PLR0124  NaN


def _certainty(bits: float, k: int) -> float:
    """Return 1 - H / log2(k), in 0..1; NaN for a single outcome."""
    return min(1.0, max(0.0, 1.0 - bits / math.log2(k))) if k > 1 else _NAN


def divergence(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """Return the Jensen-Shannon divergence in bits, 0 to 1 (Lin 1991), of two top k: probability by token hash.

    The mass outside a top k is one more outcome, the same for both: so tokens that only one of them names, and the
    order within the rest, count for no more than their mass.
    """
    one_named, other_named = sum(one.values()), sum(other.values())
    one_rest, other_rest = max(0.0, 1.0 - one_named), max(0.0, 1.0 - other_named)
    one_scale, other_scale = 1.0 / (one_named + one_rest), 1.0 / (other_named + other_rest)
    total, both = _parted(one_rest * one_scale, other_rest * other_scale), 0.0
    for token, mass in one.items():
        another = other.get(token)
        if another is None:
            total += mass * one_scale  # p log2(p / (p / 2)) = p
        else:
            both += another
            total += _parted(mass * one_scale, another * other_scale)
    total += (other_named - both) * other_scale
    return min(1.0, max(0.0, total / 2))


def _parted(p: float, q: float) -> float:
    """Return one outcome's part of twice the divergence."""
    middle = (p + q) / 2
    return (p * math.log2(p / middle) if p > 0.0 else 0.0) + (q * math.log2(q / middle) if q > 0.0 else 0.0)
