"""Observes every ``generate`` of a Hugging Face model: a streamer and a logits processor in one object."""

# ruff: noqa: ANN401 - chunks, scores and streams may have any type
from __future__ import annotations

from _thread import _local as local

from wfmon.hook.logits import Logits
from wfmon.hook.request import Request, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Literal, Self

    from wfmon.hook.hook import Hook


class Watcher:
    """Pass it as ``streamer=`` (requests, counts, times) and in ``logits_processor=[...]`` (exact entropy).

    One object serves any number of ``generate`` calls, also concurrent ones in several threads. ``streamer``: your own,
    which still gets everything and whose errors are not caught. Only as a logits processor, it reports tokens too, but
    not the request's start.
    """

    def __init__(
        self,
        model: str,
        *,
        server: str = "",
        vocab: str = "",
        vocab_size: int | None = None,
        streamer: Any = None,
        hook: Hook | None = None,
    ) -> None:
        self._model = model
        self._server = server
        self._vocab = vocab
        self._vocab_size = vocab_size
        self._streamer = streamer
        self._hook = hook
        self._here = local()
        # Each generate runs in one thread, so each thread has its own request.

    def put(self, value: Any) -> None:
        """Receive the prompt, then the tokens of each step (streamer interface)."""
        try:
            self._put(value)
        except Exception as error:  # noqa: BLE001  the model must not notice
            self._trouble(error)
        if self._streamer is not None:
            self._streamer.put(value)

    def end(self) -> None:
        """End the answer (streamer interface)."""
        try:
            self._finish("ok", "")
        except Exception as error:  # noqa: BLE001
            self._trouble(error)
        if self._streamer is not None:
            self._streamer.end()

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return the scores unchanged (logits processor interface)."""
        try:
            self._scores(input_ids, scores)
        except Exception as error:  # noqa: BLE001
            self._trouble(error)
        return scores

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._finish(*outcome(error))
        except Exception as own:  # noqa: BLE001
            self._trouble(own)

    def _put(self, value: Any) -> None:
        here = self._state()
        tokens = int(value.numel())
        if here.get("streaming"):
            bits, k = here["logits"].step()
            here["request"].token(tokens, entropy=bits, k=k)
            return
        request = self._begin(streaming=True)
        if tokens:
            request.prompt(tokens)

    def _scores(self, input_ids: Any, scores: Any) -> None:
        here = self._state()
        length = int(input_ids.shape[-1])
        if not here or (not here["streaming"] and length != here["length"] + 1):
            self._begin(streaming=False)
        here["length"] = length
        here["logits"](input_ids, scores)

    def _begin(self, *, streaming: bool) -> Request:
        """Begin a request. Without a streamer it began before its first logits, at an unknown time."""
        self._finish("aborted", "forgotten")
        request = Request(
            self._model, server=self._server, vocab=self._vocab, vocab_size=self._vocab_size, hook=self._hook
        )
        request.local()
        request.begin(seen=streaming)
        logits = Logits(request) if streaming else request.steps
        self._state().update(request=request, logits=logits, streaming=streaming, length=0)
        return request

    def _finish(self, status: Literal["ok", "aborted", "error"], reason: str) -> None:
        here = self._state()
        if here:
            request = here["request"]
            here.clear()
            request.end(status, reason)

    def _state(self) -> dict[str, Any]:
        """Return this thread's state: request, logits, whether it is streaming, input length."""
        found: dict[str, Any] | None = getattr(self._here, "state", None)
        if found is None:
            found = self._here.state = {}
        return found

    def _trouble(self, error: BaseException) -> None:
        from wfmon.hook.shared import shared

        (self._hook or shared.get()).trouble(error)
