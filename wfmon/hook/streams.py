"""Wraps a stream and observes it without changing it: same items, same exceptions, same end.

The wrapped object may be an iterator, a generator or a client's stream, sync or async; or a callable or awaitable that
returns one, so that the request's clock starts before the call.
"""

# ruff: noqa: ANN401 - streams may have any type
from __future__ import annotations

from time import monotonic_ns, perf_counter

from wfmon.hook.chunks import ChunkReader, get, reader_for
from wfmon.hook.place import server_label
from wfmon.hook.request import Request, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType
    from typing import Any, Generic, Self, TypeVar

    Item = TypeVar("Item")
else:
    Item = object

    class Generic:
        """A stand-in: importing typing would take a third of this package's import budget."""

        def __class_getitem__(cls, _item: object) -> type[Generic]:
            return cls


class _Watched(Generic[Item]):
    """A stream and its request. Other attributes, such as ``response``, are the stream's own."""

    def __init__(self, stream: Any, request: Request) -> None:
        self._stream = stream
        self._request = request
        self._reader: ChunkReader | None = None
        self._source: Any = None
        """The iterator, once the first item was requested."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._stream, name)

    def _begin(self) -> None:
        """Begin the request at its first item; a stream with a ``response`` began when the client sent the request."""
        try:
            if callable(self._stream) or get(self._stream, "response") is None:
                self._request.begin()
            else:
                began_us = request_sent_us(self._stream)
                self._request.begin(t_us=began_us, seen=began_us is not None)
        except Exception as error:  # noqa: BLE001  the model's process must not notice
            self._request.trouble(error)

    def _opened(self) -> None:
        try:
            self._request.named("", server_of(self._stream))
        except Exception as error:  # noqa: BLE001
            self._request.trouble(error)

    def _observe(self, item: Any) -> None:
        try:
            reader = self._reader
            if reader is None:
                reader = self._reader = reader_for(item, self._request)
            reader.read(item)
        except Exception as error:  # noqa: BLE001  a chunk of unknown shape
            self._request.trouble(error)

    def _end(self, error: BaseException) -> None:
        """End the request with the exception that ended the stream. Only the first end counts."""
        try:
            reader = self._reader
            if isinstance(error, StopIteration | StopAsyncIteration):
                status, reason = (reader.status, reader.reason) if reader else ("ok", "")
            else:
                status, reason = outcome(error)
            self._request.close(status, reason, reader.figures if reader else {})
        except Exception as own:  # noqa: BLE001
            self._request.trouble(own)


class Observed(_Watched[Item]):
    """Wraps an iterator."""

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        source = self._source
        if source is None:
            source = self._open()
        try:
            item = next(source)
        except BaseException as error:
            self._end(error)
            raise
        self._observe(item)
        return item  # type: ignore[no-any-return]

    def send(self, value: Any) -> Item:
        """Forward to the generator's ``send``."""
        return self._forward("send", value)

    def throw(self, *error: Any) -> Item:
        """Forward to the generator's ``throw``."""
        return self._forward("throw", *error)

    def close(self) -> None:
        """Close the stream. A request that has not ended counts as aborted."""
        self._end(GeneratorExit())
        inner = self._source if hasattr(self._source, "close") else self._stream
        close = getattr(inner, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        self._begin()
        enter = getattr(self._stream, "__enter__", None)
        if enter is not None:
            enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._end(error if error is not None else GeneratorExit())
        leave = getattr(self._stream, "__exit__", None)
        if leave is not None:
            return leave(kind, error, trace)  # type: ignore[no-any-return]
        self.close()
        return None

    def _open(self) -> Any:
        self._begin()
        try:
            if callable(self._stream) and not hasattr(self._stream, "__iter__"):
                self._stream = self._stream()
            self._source = iter(self._stream)
        except BaseException as error:
            self._end(error)
            raise
        self._opened()
        return self._source

    def _forward(self, name: str, *values: Any) -> Item:
        source = self._source if self._source is not None else self._open()
        try:
            item = getattr(source, name)(*values)
        except BaseException as error:
            self._end(error)
            raise
        self._observe(item)
        return item  # type: ignore[no-any-return]


class ObservedAsync(_Watched[Item]):
    """Wraps an async iterator, or an awaitable that returns one."""

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        source = self._source
        try:
            if source is None:
                source = await self._aopen()
            item = await anext(source)
        except BaseException as error:
            self._end(error)
            raise
        self._observe(item)
        return item  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        """Close the async stream. A request that has not ended counts as aborted."""
        self._end(GeneratorExit())
        for inner in (self._source, self._stream):
            for name in ("aclose", "close"):
                close = getattr(inner, name, None)
                if close is not None:
                    done = close()
                    if hasattr(done, "__await__"):
                        await done
                    return

    async def __aenter__(self) -> Self:
        self._begin()
        await self._resolve()
        enter = getattr(self._stream, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._end(error if error is not None else GeneratorExit())
        leave = getattr(self._stream, "__aexit__", None)
        if leave is not None:
            return await leave(kind, error, trace)  # type: ignore[no-any-return]
        await self.aclose()
        return None

    async def _aopen(self) -> Any:
        self._begin()
        await self._resolve()
        self._source = aiter(self._stream)
        self._opened()
        return self._source

    async def _resolve(self) -> None:
        """Call or await the wrapped object until it is a stream."""
        if callable(self._stream) and not hasattr(self._stream, "__aiter__"):
            self._stream = self._stream()
        if hasattr(self._stream, "__await__") and not hasattr(self._stream, "__aiter__"):
            self._stream = await self._stream


class ObservedCall(Observed[Item], ObservedAsync[Item]):
    """Wraps a function, whose result may be iterated with or without ``async``."""


def watched(stream: Any, request: Request) -> Any:
    """Wrap a stream in the class that matches it."""
    if hasattr(stream, "__iter__") or hasattr(stream, "__next__"):
        return Observed(stream, request)
    if hasattr(stream, "__aiter__") or hasattr(stream, "__await__"):
        return ObservedAsync(stream, request)
    return ObservedCall(stream, request)


def request_sent_us(stream: Any) -> int | None:
    """Return when the client sent a stream's request, on the clock of ``monotonic_ns``; None if unknown.

    httpx keeps this time to compute the response's elapsed time.
    """
    sent_s = getattr(get(get(stream, "response"), "stream"), "_start", None)
    if not isinstance(sent_s, float):
        return None
    ago_s = perf_counter() - sent_s
    return monotonic_ns() // 1000 - int(ago_s * 1e6) if 0 <= ago_s < 3_600 else None


def server_of(stream: Any) -> str:
    """Return host:port of the server behind a client's stream, "" if it is not on this machine."""
    url = get(get(stream, "response"), "url")
    if url is None:
        # Ollama's client returns a bare generator; its frame refers to the client.
        frame = getattr(stream, "gi_frame", None) or getattr(stream, "ag_frame", None)
        owner = frame.f_locals.get("self") if frame is not None and frame.f_code.co_name == "inner" else None
        url = get(get(owner, "_client"), "base_url")
    host, port = get(url, "host"), get(url, "port")
    return server_label(host, port) if isinstance(host, str) and isinstance(port, int) else ""
