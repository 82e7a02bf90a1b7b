"""Process lookups: command line, parents, and the GPU memory of a process tree."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import psutil

GENERATIONS = 3
"""How many ancestors of a worker are searched for its server: a shell or a launcher may be between."""


class Processes:
    """Lookups through psutil. Any thread; stateless."""

    def command(self, pid: int | None) -> tuple[str, ...]:
        """Return a process's arguments, () if this user may not see them."""
        if pid is None:
            return ()
        try:
            return tuple(psutil.Process(pid).cmdline())
        except psutil.Error:
            return ()

    def upstream(self, command: tuple[str, ...]) -> str | None:
        """Return a wfmon proxy's upstream, host:port; "" if its command line has none, None for other programs."""
        if "wfmon" not in command or "proxy" not in command[command.index("wfmon") :]:
            return None
        for word, following in zip(command, (*command[1:], ""), strict=True):
            option, equals, value = word.partition("=")
            if option == "--upstream":
                return (value if equals else following).rpartition("//")[2].partition("/")[0]
        return ""

    def parents(self, pid: int) -> tuple[int, ...]:
        """Return the pids of a process's ancestors, nearest first, at most three, without pid 1."""
        found: list[int] = []
        for _ in range(GENERATIONS):
            above = _parent(found[-1] if found else pid)
            if above <= 1:
                break
            found.append(above)
        return tuple(found)

    def sums(self, held: Mapping[int, int], pids: AbstractSet[int]) -> dict[int, int]:
        """Return the bytes held by each of ``pids`` and its descendants together; no entry for one that holds none."""
        found: dict[int, int] = {}
        for holder, size in held.items():
            for one in (holder, *self.parents(holder)):
                if one in pids:
                    found[one] = found.get(one, 0) + size
                    break
        return found


def _parent(pid: int) -> int:
    """Return the parent's pid, 0 if the process is gone or not visible to this user."""
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return 0
