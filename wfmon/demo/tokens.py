"""Text to tokens and back: words with the space before them, digits, marks, and the break between paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

UNK, BOS, EOS = 0, 1, 2
SPECIAL = ("<unk>", "<s>", "</s>")
"""A word that was never read; the start and the end of a text. They have no text of their own."""
BREAK = "\n\n"
_TOKEN = re.compile(r"\n\n| ?[^\W\d_]+(?:'[^\W\d_]+)*| ?\d{1,3}| ?[^\w\s]| ?_")
_SPACES = re.compile(r"[^\S\n]*\n[^\S\n]*(?:\n\s*)?|[^\S\n]+")


def normal(text: str) -> str:
    """Give the text with single spaces, and an empty line between paragraphs."""
    straight = text.replace("\u2019", "'").strip()
    return _SPACES.sub(lambda found: BREAK if found[0].count("\n") > 1 else " ", straight)


def split(text: str) -> list[str]:
    """Give the tokens of a text; joined, they are ``normal(text)``."""
    return _TOKEN.findall(normal(text))


class Vocabulary:
    """Tokens by number and numbers by token. Never changes."""

    def __init__(self, words: Iterable[str]) -> None:
        self.texts = (*SPECIAL, *sorted(set(words)))
        self._numbers = {text: number for number, text in enumerate(self.texts)}

    def __len__(self) -> int:
        return len(self.texts)

    def read(self, text: str) -> list[int]:
        """Give the tokens' numbers; UNK for what was never read."""
        return [self._number(word) for word in split(text)]

    def text(self, number: int) -> str:
        """Give what the token adds to an answer; "" for the special ones."""
        return "" if number < len(SPECIAL) else self.texts[number]

    def write(self, numbers: Sequence[int]) -> str:
        """Give the text of these tokens."""
        return "".join(self.text(number) for number in numbers)

    def _number(self, word: str) -> int:
        """Look the word up as it stands, else with or without the space before it, else without capitals."""
        for way in (word, word.lower()):
            for written in (way, way[1:] if way.startswith(" ") else " " + way):
                if written in self._numbers:
                    return self._numbers[written]
        return UNK
