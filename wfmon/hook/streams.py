"""A stream that is looked at while it passes: the same items, the same exceptions, the same end.

It is what it wraps, sync or async: an iterator, a generator, a client's stream, or something that gives one of these
when it is called or awaited, so that the request's clock starts before the call.
"""

# ruff: noqa: ANN401 - chunks, scores and streams are of any make
from __future__ import annotations

from wfmon.hook.chunks import Reader, get, reader_for
from wfmon.hook.place import server_label
from wfmon.hook.request import Request, verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType
    from typing import Any, Generic, Self, TypeVar

    Item = TypeVar("Item")
else:
    Item = object

    class Generic:
        """A stand-in: the import of typing would take a third of the time that our own may."""

        def __class_getitem__(cls, _item: object) -> type[Generic]:
            return cls


class Observed(Generic[Item]):
    """Wraps a stream for one request. Whatever else the stream has (``response``, ``send``) is found here too."""

    def __init__(self, stream: Any, request: Request) -> None:
        self._stream = stream
        self._request = request
        self._reader: Reader | None = None
        self._source: Any = None
        """What items come from, once the first was asked for."""

    # Sync

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        source = self._source
        if source is None:
            source = self._open()
        try:
            item = next(source)
        except BaseException as error:
            self._over(error)
            raise
        self._look(item)
        return item  # type: ignore[no-any-return]

    def send(self, value: Any) -> Item:
        """As a generator's."""
        return self._passed("send", value)

    def throw(self, *error: Any) -> Item:
        """As a generator's."""
        return self._passed("throw", *error)

    def close(self) -> Any:
        """Close the stream. A request that has not ended was aborted."""
        self._over(GeneratorExit())
        inner = self._source if hasattr(self._source, "close") else self._stream
        close = getattr(inner, "close", None)
        return close() if close is not None else None  # an async client's gives what must be awaited

    def __enter__(self) -> Self:
        self._request.begin(seen=self._lazy())
        enter = getattr(self._stream, "__enter__", None)
        if enter is not None:
            enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._over(error if error is not None else GeneratorExit())
        leave = getattr(self._stream, "__exit__", None)
        if leave is not None:
            return leave(kind, error, trace)  # type: ignore[no-any-return]
        if error is None or kind is GeneratorExit:
            self.close()
        return None

    # Async

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        source = self._source
        try:
            if source is None:
                source = await self._aopen()
            item = await anext(source)
        except BaseException as error:
            self._over(error)
            raise
        self._look(item)
        return item  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        """Close the async stream. A request that has not ended was aborted."""
        self._over(GeneratorExit())
        for inner in (self._source, self._stream):
            for name in ("aclose", "close"):
                if (close := getattr(inner, name, None)) is not None:
                    done = close()
                    if hasattr(done, "__await__"):
                        await done
                    return

    async def __aenter__(self) -> Self:
        self._request.begin(seen=self._lazy())
        if hasattr(self._stream, "__await__"):
            self._stream = await self._stream
        enter = getattr(self._stream, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._over(error if error is not None else GeneratorExit())
        leave = getattr(self._stream, "__aexit__", None)
        if leave is not None:
            return await leave(kind, error, trace)  # type: ignore[no-any-return]
        await self.aclose()
        return None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._stream, name)

    # Ours

    def _open(self) -> Iterator[Any]:
        """The first item is asked for: the request begins."""
        self._request.begin(seen=self._lazy())
        try:
            if callable(self._stream) and not hasattr(self._stream, "__iter__"):
                self._stream = self._stream()
            self._source = iter(self._stream)
        except BaseException as error:
            self._over(error)
            raise
        self._name_server()
        return self._source  # type: ignore[no-any-return]

    async def _aopen(self) -> AsyncIterator[Any]:
        self._request.begin(seen=self._lazy())
        if callable(self._stream) and not hasattr(self._stream, "__aiter__"):
            self._stream = self._stream()
        if hasattr(self._stream, "__await__") and not hasattr(self._stream, "__aiter__"):
            self._stream = await self._stream
        self._source = aiter(self._stream)
        self._name_server()
        return self._source  # type: ignore[no-any-return]

    def _lazy(self) -> bool:
        """Whether the work begins with the first item. A stream that has its response was asked for earlier."""
        return get(self._stream, "response") is None if not callable(self._stream) else True

    def _name_server(self) -> None:
        try:
            self._request.named("", server_of(self._stream))
        except Exception as error:  # noqa: BLE001
            self._request.trouble(error)

    def _look(self, item: Any) -> None:
        try:
            reader = self._reader
            if reader is None:
                reader = self._reader = reader_for(item, self._request)
            reader.read(item)
        except Exception as error:  # noqa: BLE001  a chunk of a shape that we do not know
            self._request.trouble(error)

    def _over(self, error: BaseException) -> None:
        """The stream ended with this exception. The first end counts."""
        try:
            reader = self._reader
            if isinstance(error, StopIteration | StopAsyncIteration):
                status, reason = (reader.status, reader.reason) if reader else ("ok", "")
            else:
                status, reason = verdict(error)
            self._request.close(status, reason, reader.figures if reader else {})
        except Exception as own:  # noqa: BLE001
            self._request.trouble(own)

    def _passed(self, name: str, *values: Any) -> Item:
        source = self._source if self._source is not None else self._open()
        try:
            item = getattr(source, name)(*values)
        except BaseException as error:
            self._over(error)
            raise
        self._look(item)
        return item  # type: ignore[no-any-return]


def server_of(stream: Any) -> str:
    """Give host:port of the server that a client's stream comes from, where that is this machine; else ""."""
    url = get(get(stream, "response"), "url")
    if url is None:
        # Ollama's client gives a bare generator; its frame knows the client.
        frame = getattr(stream, "gi_frame", None) or getattr(stream, "ag_frame", None)
        owner = frame.f_locals.get("self") if frame is not None and frame.f_code.co_name == "inner" else None
        url = get(get(owner, "_client"), "base_url")
    host, port = get(url, "host"), get(url, "port")
    return server_label(host, port) if isinstance(host, str) and isinstance(port, int) else ""
