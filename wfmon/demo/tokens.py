"""The tokenizer: words with the space before them, digits, punctuation, paragraph breaks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

UNK, BOS, EOS = 0, 1, 2
SPECIAL = ("<unk>", "<s>", "</s>")
"""An unknown word; the start and the end of a text. They have no text."""
BREAK = "\n\n"
_TOKEN = re.compile(r"\n\n| ?[^\W\d_]+(?:'[^\W\d_]+)*| ?\d{1,3}| ?[^\w\s]| ?_")
_SPACES = re.compile(r"[^\S\n]*\n[^\S\n]*(?:\n\s*)?|[^\S\n]+")


def normal(text: str) -> str:
    """Normalize to single spaces, with an empty line between paragraphs."""
    straight = text.replace("\u2019", "'").strip()
    return _SPACES.sub(lambda found: BREAK if found[0].count("\n") > 1 else " ", straight)


def split(text: str) -> list[str]:
    """Return the tokens of a text; joined, they are ``normal(text)``."""
    return _TOKEN.findall(normal(text))


class Vocabulary:
    """Maps tokens to numbers and back. Immutable."""

    def __init__(self, words: Iterable[str]) -> None:
        self.texts = (*SPECIAL, *sorted(set(words)))
        self._numbers = {text: number for number, text in enumerate(self.texts)}

    def __len__(self) -> int:
        return len(self.texts)

    def read(self, text: str) -> list[int]:
        """Return the token numbers of a text; UNK for unknown words."""
        return [self._number(word) for word in split(text)]

    def text(self, number: int) -> str:
        """Return a token's text; "" for the special tokens."""
        return "" if number < len(SPECIAL) else self.texts[number]

    def write(self, numbers: Sequence[int]) -> str:
        """Return the text of these tokens."""
        return "".join(self.text(number) for number in numbers)

    def _number(self, word: str) -> int:
        """Look up the word as it is, then with or without its leading space, then the same in lower case."""
        for way in (word, word.lower()):
            for written in (way, way[1:] if way.startswith(" ") else " " + way):
                if written in self._numbers:
                    return self._numbers[written]
        return UNK
