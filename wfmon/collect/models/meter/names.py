"""How many different models were reported: counted exactly up to a limit, in eight bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left

MAX_NAMES = 20_000


class Names:
    """Sorted hashes of what was seen. A set of 20,000 would take 1.5 MB, this takes 160 kB. One thread."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def __len__(self) -> int:
        return len(self._hashes)

    @property
    def full(self) -> bool:
        """True once there may be more than are counted."""
        return len(self._hashes) >= MAX_NAMES

    def add(self, name: tuple[str, str]) -> None:
        """Count a name, unless it was counted or the limit is reached."""
        found, hashes = hash(name), self._hashes
        at = bisect_left(hashes, found)
        if not self.full and (at == len(hashes) or hashes[at] != found):
            hashes.insert(at, found)
