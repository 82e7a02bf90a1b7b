"""One request, reported by its own code: ``with observe(model="name") as request: ... request.token()``."""

from __future__ import annotations

from time import monotonic_ns

from wfmon.hook.inbox import END, PHASE, PROMPT, TOKENS
from wfmon.hook.shared import shared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Iterable, Sequence
    from hashlib import blake2b
    from types import TracebackType
    from typing import Any, Literal, Self, TypeVar

    from wfmon.hook.hook import Hook
    from wfmon.hook.logits import Logits
    from wfmon.hook.streams import Observed, ObservedAsync

    Item = TypeVar("Item")


class Request:
    """A request from start to end. One thread at a time, any thread. Never raises, never waits.

    It begins with the ``with`` block or the first report. It ends with the block, with ``end``, or as aborted when it
    is garbage-collected.
    """

    def __init__(
        self,
        model: str = "",
        *,
        server: str = "",
        vocab: str = "",
        vocab_size: int | None = None,
        hook: Hook | None = None,
    ) -> None:
        self._hook = hook or shared.get()
        self._inbox = self._hook.inbox
        self._record = self._hook.record(str(model or ""), str(server or ""))
        self._record.vocab = str(vocab or "")
        self._record.vocab_size = vocab_size
        self._begun = False
        self._logits: Logits | None = None
        self._steps: Logits | None = None

    def begin(self, *, t_us: int | None = None, seen: bool = True) -> None:
        """Begin the request now or at ``t_us``. ``seen`` False: it began earlier, at an unknown time. Idempotent."""
        if self._begun:
            return
        self._begun = True
        try:
            self._record.t_us = monotonic_ns() // 1000 if t_us is None else t_us
            self._record.lost = not seen
            if self._record.model:  # else the first chunk has the name
                self._hook.begin(self._record)
        except Exception as error:  # noqa: BLE001  the model's process must not notice
            self._hook.trouble(error)

    def named(self, model: str, server: str = "") -> None:
        """Set the model's name and server, if they were unknown."""
        record = self._record
        if server and not record.server:
            record.server = server
        if model and not record.model:
            record.model = str(model)
            if self._begun:
                self._hook.begin(record)

    def prompt(self, tokens: int, cached: int | None = None) -> None:
        """Report the number of prompt tokens, and how many of them came from a cache."""
        self.begin()
        self._record.prompt_tokens, self._record.cached_tokens = tokens, cached
        self._put((PROMPT, self._record, monotonic_ns() // 1000))

    def phase(self, name: Literal["queued", "loading", "prompt", "decode"]) -> None:
        """Report the start of a phase."""
        self.begin()
        self._put((PHASE, self._record, monotonic_ns() // 1000, name))

    def token(
        self,
        n: int = 1,
        *,
        entropy: float | None = None,
        k: int | None = None,
        logprobs: Sequence[float] | dict[str, float] | None = None,
        tokens: Sequence[str] | None = None,
    ) -> None:
        """Report one step of the answer: ``n`` tokens. The other arguments describe the last of them.

        ``entropy``: in bits, of the full distribution over ``k`` outcomes. ``logprobs``: natural logarithms, of the
        likeliest tokens; ``tokens``: their texts, hashed at once with the monitor's key and never kept, and only if
        the request has a ``vocab``.
        """
        t_us = monotonic_ns() // 1000
        if not self._begun:
            self.begin()
        record = self._record
        try:
            if self._logits is not None and self._logits.called and entropy is None:
                # The number of model steps is the number of tokens, however the runtime splits its chunks.
                n, entropy, k = self._logits.steps()
                if n == 0:
                    return
            record.tokens += n
            if logprobs is None:
                self._inbox.put((TOKENS, record, t_us, n, entropy, k or record.vocab_size, None, None, b""))
                return
            if isinstance(logprobs, dict):
                tokens, logprobs = list(logprobs), list(logprobs.values())
            keyed = self._hook.sender.keyed if tokens is not None and record.vocab else None
            key, hashes = (keyed[0], _hashes(tokens, keyed[1])) if keyed is not None and tokens else (b"", None)
            top = tuple(logprobs)
            self._inbox.put((TOKENS, record, t_us, n, entropy, k or record.vocab_size, top, hashes, key))
        except Exception as error:  # noqa: BLE001
            self._hook.trouble(error)

    @property
    def hashes(self) -> bool:
        """Whether token texts are hashed; if not, readers need not extract them."""
        return bool(self._record.vocab and self._hook.sender.keyed)

    @property
    def logits(self) -> Logits:
        """A logits processor for transformers and llama-cpp-python that computes each token's exact entropy."""
        from wfmon.hook.logits import Logits

        if self._logits is None:
            self._logits = Logits(self)
        return self._logits

    @property
    def steps(self) -> Logits:
        """A logits processor that reports the tokens too, for a runtime that does not stream."""
        from wfmon.hook.logits import Logits

        if self._steps is None:
            self._steps = Logits(self, reports_tokens=True)
        return self._steps

    def follow(self, stream: Iterable[Item]) -> Observed[Item]:
        """Return the same stream, with its chunks reported as this request's."""
        from wfmon.hook.streams import Observed

        return Observed(stream, self)

    def afollow(self, stream: AsyncIterable[Item] | Awaitable[AsyncIterable[Item]]) -> ObservedAsync[Item]:
        """Like ``follow``, for an async stream or an awaitable that returns one."""
        from wfmon.hook.streams import ObservedAsync

        return ObservedAsync(stream, self)

    def end(
        self,
        status: Literal["ok", "aborted", "error"] = "ok",
        reason: str = "",
        *,
        prompt_tokens: int | None = None,
        cached_tokens: int | None = None,
        output_tokens: int | None = None,
        queue_ms: float | None = None,
        load_ms: float | None = None,
        prompt_ms: float | None = None,
        decode_ms: float | None = None,
    ) -> None:
        """End the request, with the runtime's own counts and durations if it has them. Idempotent."""
        figures = {
            "prompt_tokens": prompt_tokens, "cached_tokens": cached_tokens, "output_tokens": output_tokens,
            "queue_ms": queue_ms, "load_ms": load_ms, "prompt_ms": prompt_ms, "decode_ms": decode_ms,
        }  # fmt: skip
        self._end(status, reason, figures)

    def close(self, status: str, reason: str, figures: dict[str, Any]) -> None:
        """End the request with the figures read from a stream's chunks; like ``end``."""
        self._end(status, reason, figures)

    def local(self) -> None:
        """Note that the model runs in this process, not in a server."""
        self._hook.local = True

    def trouble(self, error: BaseException) -> None:
        """Count an internal error."""
        self._hook.trouble(error)

    def _end(self, status: str, reason: str, figures: dict[str, Any]) -> None:
        record = self._record
        if record.ended is not None or not self._begun:
            return
        if self._steps is not None and status == "ok":
            self._steps.report()
        record.ended = (END, record, monotonic_ns() // 1000, status, reason, figures)
        self._put(record.ended)

    def _put(self, event: tuple[Any, ...]) -> None:
        try:
            self._inbox.put(event)
        except Exception as error:  # noqa: BLE001
            self._hook.trouble(error)

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(*outcome(error), {})

    def __del__(self) -> None:
        # Takes no contended lock: it may run anywhere, even in an exiting interpreter.
        try:
            if self._begun and self._record.ended is None:
                self._end("aborted", "forgotten", {})
        except Exception:  # noqa: BLE001
            return


def outcome(error: BaseException | None) -> tuple[Literal["ok", "aborted", "error"], str]:
    """Return the status and reason of a request that ended with this exception, or with none."""
    if error is None:
        return "ok", ""
    if isinstance(error, Exception):
        return "error", type(error).__name__
    return "aborted", "closed" if isinstance(error, GeneratorExit) else type(error).__name__


def _hashes(texts: Sequence[str], keyed: blake2b) -> tuple[int, ...]:
    """Return 53 bits of each text's keyed BLAKE2b hash: equal for equal tokens, useless without the key."""
    found = []
    for text in texts:
        made = keyed.copy()
        made.update(text.encode("utf-8", "surrogatepass"))
        found.append(int.from_bytes(made.digest(), "big") >> 11)
    return tuple(found)
