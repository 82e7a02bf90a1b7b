"""What is asked of processes: their command, their parents, the graphics memory of their children."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import psutil

GENERATIONS = 3
"""How far up a worker's server is looked for: a shell or a launcher may stand between."""


class Processes:
    """Answers from psutil. Any thread; it keeps nothing."""

    def command(self, pid: int | None) -> tuple[str, ...]:
        """A process' arguments, () where this user may not see them."""
        if pid is None:
            return ()
        try:
            return tuple(psutil.Process(pid).cmdline())
        except psutil.Error:
            return ()

    def upstream(self, command: tuple[str, ...]) -> str | None:
        """Return the upstream of a wfmon proxy, host:port; "" if its command line does not name it, None for others."""
        if "wfmon" not in command or "proxy" not in command[command.index("wfmon") :]:
            return None
        for word, following in zip(command, (*command[1:], ""), strict=True):
            option, equals, value = word.partition("=")
            if option == "--upstream":
                return (value if equals else following).rpartition("//")[2].partition("/")[0]
        return ""

    def parents(self, pid: int) -> tuple[int, ...]:
        """The pids above a process, the nearest first, three at most, without the first process of the machine."""
        found: list[int] = []
        for _ in range(GENERATIONS):
            above = _parent(found[-1] if found else pid)
            if above <= 1:
                break
            found.append(above)
        return tuple(found)

    def sums(self, held: Mapping[int, int], pids: AbstractSet[int]) -> dict[int, int]:
        """Return what each of these processes and those below it hold together; none for one that holds nothing."""
        found: dict[int, int] = {}
        for holder, size in held.items():
            for one in (holder, *self.parents(holder)):
                if one in pids:
                    found[one] = found.get(one, 0) + size
                    break
        return found


def _parent(pid: int) -> int:
    """0 for a process that is gone, or that this user may not ask about."""
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 0
