"""Report a model to wfmon from its own process: ``from wfmon.hook import observe``. docs/hook.md has every way.

Standard library only. Nothing here blocks or raises into the caller, and no text of a prompt or an answer is kept or
sent. ``WFMON_HOOK=off`` switches it off.
"""

# ruff: noqa: ANN401 - streams may have any type
from __future__ import annotations

from wfmon.hook.request import Request
from wfmon.hook.shared import shared
from wfmon.hook.streams import Observed, ObservedAsync, ObservedCall, watched
from wfmon.hook.watcher import Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
    from typing import Any, Protocol, TypeVar, overload

    Item = TypeVar("Item")

    class _Observe(Protocol):
        @overload
        def __call__(
            self,
            stream: None = None,
            model: str = "",
            *,
            server: str = "",
            vocab: str = "",
            vocab_size: int | None = None,
        ) -> Request: ...
        @overload
        def __call__(
            self,
            stream: Iterable[Item],
            model: str = "",
            *,
            server: str = "",
            vocab: str = "",
            vocab_size: int | None = None,
        ) -> Observed[Item]: ...
        @overload
        def __call__(
            self,
            stream: AsyncIterable[Item] | Awaitable[AsyncIterable[Item]],
            model: str = "",
            *,
            server: str = "",
            vocab: str = "",
            vocab_size: int | None = None,
        ) -> ObservedAsync[Item]: ...
        @overload
        def __call__(
            self,
            stream: Callable[[], Iterable[Item] | AsyncIterable[Item] | Awaitable[AsyncIterable[Item]]],
            model: str = "",
            *,
            server: str = "",
            vocab: str = "",
            vocab_size: int | None = None,
        ) -> ObservedCall[Item]: ...


__all__ = ["Observed", "ObservedAsync", "ObservedCall", "Request", "Watcher", "flush", "observe"]


def _observe(
    stream: Any = None, model: str = "", *, server: str = "", vocab: str = "", vocab_size: int | None = None
) -> Any:
    """Return the same stream, observed by wfmon; without a stream, a request for a ``with`` block.

    ``stream``: any iterator of tokens or chunks, sync or async; a client's stream; or a function or coroutine that
    returns one, so that its start is observed too. ``model``: the name shown; optional if the chunks contain it.
    ``server``: host:port of the model server, if there is one that the stream does not name. ``vocab``: a name for the
    vocabulary; two models that generate at the same time with the same name can be compared.
    """
    request = Request(model, server=server, vocab=vocab, vocab_size=vocab_size)
    return request if stream is None else watched(stream, request)


observe: _Observe = _observe


def flush(seconds: float = 1.0) -> bool:
    """Wait until all events so far were sent, or dropped without a monitor. False on timeout. Rarely needed."""
    return shared.get().flush(seconds)
