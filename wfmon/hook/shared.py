"""The one hook of this process: made at the first request, not at import; anew after a fork; ended with the process."""

from __future__ import annotations

import os
from _thread import RLock

from wfmon.hook.hook import Hook

OFF = frozenset({"off", "0", "no", "false"})
"""What WFMON_HOOK says to switch the hook off."""


class Shared:
    """Holds the hook. Any thread."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._hook: Hook | None = None
        self._watching = False

    def get(self) -> Hook:
        """Give the hook, making it on first use."""
        hook = self._hook
        if hook is not None:
            return hook
        with self._lock:
            return self._hook or self._make()

    def close(self) -> None:
        """End the hook with a short flush. The next request makes a new one."""
        with self._lock:
            hook, self._hook = self._hook, None
        if hook is not None:
            hook.close()

    def forget(self) -> None:
        """In a child after a fork: the hook is the parent's."""
        self._lock = RLock()
        hook, self._hook = self._hook, None
        if hook is not None:
            hook.sender.abandon()

    def _make(self) -> Hook:
        made = Hook(on=os.environ.get("WFMON_HOOK", "").strip().lower() not in OFF)
        # Looked at again: a signal's handler may have come between, on this very stack.
        hook = self._hook = self._hook or made
        self._watch()
        return hook

    def _watch(self) -> None:
        if self._watching:
            return
        import atexit

        self._watching = True
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forget)


shared = Shared()
"""The only state of this package that a process has one of: a model's threads must all speak through one connection."""
