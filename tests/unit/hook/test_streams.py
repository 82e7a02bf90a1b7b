"""A stream that is observed stays what it was: its items, its exceptions, its end."""

from __future__ import annotations

import asyncio
import gc

import pytest

from wfmon.hook.request import Request
from wfmon.hook.streams import Observed, ObservedAsync, watched


def watch(hook, stream, model="m"):
    return watched(stream, Request(model, hook=hook))


def ends(monitor, count=1):
    return [(x["status"], x.get("reason")) for x in monitor.ended(count) if x["e"] == "end"]


def counts(monitor):
    return sum(n for x in monitor.lines("tokens") for n in x.get("n", [1] * len(x["t"])))


def test_the_items_are_the_very_ones(monitor, hook):
    items = [object(), "b", b"c", 7, {"x": 1}]
    given = list(watch(hook, iter(items)))
    assert all(a is b for a, b in zip(given, items, strict=True))
    assert ends(monitor) == [("ok", None)]
    assert counts(monitor) == 5


def test_nothing_is_asked_for_before_the_caller_asks(monitor, hook):
    asked = []

    def stream():
        for i in range(3):
            asked.append(i)
            yield i

    seen = watch(hook, stream())
    assert asked == []
    assert next(seen) == 0
    assert asked == [0]
    assert list(seen) == [1, 2]
    assert list(seen) == []
    assert ends(monitor) == [("ok", None)]


def test_an_exception_of_the_stream_reaches_the_caller_unchanged(monitor, hook):
    error = LookupError("the words of the stream")

    def stream():
        yield "a"
        raise error

    seen = watch(hook, stream())
    assert next(seen) == "a"
    with pytest.raises(LookupError) as caught:
        next(seen)
    assert caught.value is error
    assert ends(monitor) == [("error", "lookuperror")]
    assert "words" not in "".join(monitor.messages)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_program_aborts_the_request(monitor, hook, error):
    def stream():
        yield "a"
        raise error

    with pytest.raises(error):
        list(watch(hook, stream()))
    assert ends(monitor)[0][0] == "aborted"


def test_a_consumer_that_stops_early_has_aborted_it(monitor, hook):
    closed = []

    def stream():
        try:
            yield from "abc"
        finally:
            closed.append(True)

    for _ in watch(hook, stream()):
        break
    gc.collect()
    assert closed == [True]
    assert ends(monitor) == [("aborted", "forgotten")]


def test_close_closes_what_is_inside(monitor, hook):
    closed = []

    def stream():
        try:
            yield from "abc"
        finally:
            closed.append(True)

    seen = watch(hook, stream())
    next(seen)
    seen.close()
    assert closed == [True]
    assert list(seen) == []
    assert ends(monitor) == [("aborted", "closed")]


def test_send_and_throw_reach_a_generator(monitor, hook):
    def stream():
        got = yield "a"
        try:
            yield got
        except ValueError:
            yield "caught"

    seen = watch(hook, stream())
    assert next(seen) == "a"
    assert seen.send("b") == "b"
    assert seen.throw(ValueError("x")) == "caught"
    assert list(seen) == []
    assert ends(monitor) == [("ok", None)]
    assert counts(monitor) == 3


def test_a_stream_that_is_a_context_manager_stays_one(monitor, hook):
    class Stream:
        response = None
        log = ()

        def __enter__(self):
            self.log += ("in",)
            return self

        def __exit__(self, *exc):
            self.log += ("out",)

        def __iter__(self):
            return iter("ab")

    inner = Stream()
    with watch(hook, inner) as seen:
        assert list(seen) == ["a", "b"]
        assert seen.log == ("in",)
    assert inner.log == ("in", "out")
    assert ends(monitor) == [("ok", None)]


def test_the_clock_starts_before_a_call_that_is_given(monitor, hook):
    order = []

    def call():
        order.append(monitor.wait(lambda lines: any(x["e"] == "start" for x in lines)) is not None)
        return iter("ab")

    assert list(watch(hook, call)) == ["a", "b"]
    assert order == [True]
    assert ends(monitor) == [("ok", None)]


def test_a_call_that_fails_is_an_error(monitor, hook):
    def call():
        raise ConnectionError("refused")

    with pytest.raises(ConnectionError):
        list(watch(hook, call))
    assert ends(monitor) == [("error", "connectionerror")]


def test_what_is_no_stream_fails_as_without_us(monitor, hook):
    with pytest.raises(TypeError):
        list(watch(hook, 5))


def test_empty_strings_and_none_are_no_tokens(monitor, hook):
    assert list(watch(hook, ["", None, b"", "a", "", "b"])) == ["", None, b"", "a", "", "b"]
    monitor.ended()
    assert counts(monitor) == 2


async def letters(text="abc", error=None):
    for letter in text:
        await asyncio.sleep(0)
        yield letter
    if error:
        raise error


def test_async_streams_the_same_way(monitor, hook):
    async def main():
        assert [x async for x in watch(hook, letters())] == ["a", "b", "c"]
        error = LookupError("x")
        with pytest.raises(LookupError) as caught:
            [x async for x in watch(hook, letters(error=error))]
        assert caught.value is error
        seen = watch(hook, letters())
        assert await anext(seen) == "a"
        await seen.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(seen)

    asyncio.run(main())
    assert ends(monitor, 3) == [("ok", None), ("error", "lookuperror"), ("aborted", "closed")]


def test_a_coroutine_or_a_function_that_gives_an_async_stream(monitor, hook):
    async def create():
        return letters("xy")

    async def main():
        assert [x async for x in watch(hook, create())] == ["x", "y"]
        assert [x async for x in watch(hook, create)] == ["x", "y"]
        assert [x async for x in watch(hook, lambda: letters("xy"))] == ["x", "y"]
        async with watch(hook, create()) as seen:
            assert [x async for x in seen] == ["x", "y"]

    asyncio.run(main())
    assert ends(monitor, 4) == [("ok", None)] * 4


def test_a_cancelled_task_has_aborted_it(monitor, hook):
    async def forever():
        yield "a"
        await asyncio.Event().wait()
        yield "b"

    async def main():
        async def read():
            async for _ in watch(hook, forever()):
                pass

        task = asyncio.create_task(read())
        await asyncio.to_thread(monitor.wait, lambda lines: any(x["e"] == "tokens" for x in lines))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ends(monitor) == [("aborted", "cancellederror")]


def test_a_sync_stream_is_no_async_one_and_the_other_way_round(hook):
    """Web frameworks ask which of the two it is."""
    sync, other = watch(hook, iter("a")), watch(hook, letters())
    assert type(sync) is Observed
    assert type(other) is ObservedAsync
    assert not hasattr(sync, "__aiter__")
    assert not hasattr(other, "__iter__")


def test_an_error_of_ours_is_not_the_callers(monitor, hook, caplog):
    class Odd:
        @property
        def choices(self):
            raise RuntimeError("canary text")

    items = [Odd(), Odd()]
    caplog.set_level("DEBUG", "wfmon.hook")
    assert list(watch(hook, items)) == items
    assert ends(monitor) == [("ok", None)]
    assert hook.errors == 2
    assert [r.getMessage() for r in caplog.records] == ["The hook had an internal error and continues: RuntimeError"]
