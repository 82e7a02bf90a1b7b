"""The training text that ships with the project, and the two models trained on it."""

from __future__ import annotations

import hashlib
from importlib import resources

from wfmon.core.clock import Clock
from wfmon.demo.engine import DemoModel
from wfmon.demo.ngram import NGram
from wfmon.demo.tokens import Vocabulary, split

ORDERS = {"wfmon-demo-2gram": 2, "wfmon-demo-4gram": 4}
"""The models' names and n-gram orders."""
RULE = "\n----\n"
"""The separator between texts."""


def corpus() -> tuple[str, ...]:
    """Return the training texts."""
    whole = resources.files("wfmon.demo").joinpath("corpus.txt").read_text("utf-8")
    return tuple(text.strip() for text in whole.split(RULE))


def train(clock: Clock, rate: float) -> dict[str, DemoModel]:
    """Train the models, which share one vocabulary. Returns them by name."""
    texts = corpus()
    vocabulary = Vocabulary(word for text in texts for word in split(text))
    read = [vocabulary.read(text) for text in texts]
    return {
        name: DemoModel(name, NGram(read, order, len(vocabulary)), vocabulary, clock, rate)
        for name, order in ORDERS.items()
    }


def vocabulary_name(vocabulary: Vocabulary) -> str:
    """Return a name derived from the contents: models with the same vocabulary name can be compared token by token."""
    digest = hashlib.blake2b("\n".join(vocabulary.texts).encode(), digest_size=8).hexdigest()
    return f"wfmon-demo-{len(vocabulary)}-{digest}"
