"""The process's one hook: created at the first request, not at import; recreated after a fork; closed at exit."""

from __future__ import annotations

import os
from _thread import RLock

from wfmon.hook.hook import Hook

OFF = frozenset({"off", "0", "no", "false"})
"""Values of WFMON_HOOK that switch the hook off."""


class Shared:
    """Owner of the hook. Any thread."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._hook: Hook | None = None
        self._watching = False

    def get(self) -> Hook:
        """Return the hook, creating it on first use."""
        hook = self._hook
        if hook is not None:
            return hook
        with self._lock:
            return self._hook or self._make()

    def close(self) -> None:
        """Close the hook after a short flush. The next request creates a new one."""
        with self._lock:
            hook, self._hook = self._hook, None
        if hook is not None:
            hook.close()

    def forget(self) -> None:
        """Drop the hook in the child after a fork: it is the parent's."""
        self._lock = RLock()
        hook, self._hook = self._hook, None
        if hook is not None:
            hook.sender.abandon()

    def _make(self) -> Hook:
        made = Hook(on=os.environ.get("WFMON_HOOK", "").strip().lower() not in OFF)
        # Checked again: a signal handler on this stack may have created one meanwhile.
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
"""The package's only global state: all threads of a process share one connection."""
