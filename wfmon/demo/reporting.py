"""The models under the project's own hook: told as any other program tells; no other way leads to the monitor."""

from __future__ import annotations

from typing import Literal

from wfmon.demo.engine import DemoModel, Timing
from wfmon.demo.library import vocabulary_name
from wfmon.demo.sampling import Drawn
from wfmon.demo.tokens import BOS, UNK, Vocabulary
from wfmon.hook.hook import Hook
from wfmon.hook.request import Request

NAME = "built-in n-gram model"
NEVER_DRAWN = (UNK, BOS)


class Seen:
    """Tells the hook of each request. ``server``: where the models answer, host:port."""

    def __init__(self, vocabulary: Vocabulary, server: str) -> None:
        self._hook = Hook(name=NAME, runtime=NAME, server=server)
        self._vocabulary = vocabulary
        self._server = server
        self._vocab = vocabulary_name(vocabulary)
        self._outcomes = len(vocabulary) - len(NEVER_DRAWN)

    def request(self, model: DemoModel, number: str, came_ns: int) -> WatchedRequest:
        """Begin to tell of one request, which came at that time of the monotonic clock."""
        request = Request(
            model.name, server=self._server, vocab=self._vocab, vocab_size=self._outcomes, hook=self._hook
        )
        request._record.id = number  # noqa: SLF001  what the client has as X-Request-Id, so that both can be compared
        request.begin(t_us=came_ns // 1_000)
        return WatchedRequest(request, self._vocabulary.texts, self._outcomes)

    def close(self) -> None:
        """Send what is left, in 0.05 s at most."""
        self._hook.close(0.05)


class WatchedRequest:
    """One request, told as it goes: an engine's Watch."""

    def __init__(self, request: Request, texts: tuple[str, ...], outcomes: int) -> None:
        self._request = request
        self._texts = texts
        self._outcomes = outcomes

    def phase(self, name: Literal["queued", "prompt", "decode"]) -> None:
        self._request.phase(name)

    def prompt(self, tokens: int) -> None:
        self._request.prompt(tokens)

    def token(self, drawn: Drawn) -> None:
        """Tell a token's time, and what its distribution was. Texts become keyed hashes in the hook, and stay here."""
        self._request.token(
            entropy=drawn.entropy, k=self._outcomes, logprobs=[logprob for _, logprob in drawn.top],
            tokens=[self._texts[token] for token, _ in drawn.top],
        )  # fmt: skip

    def end(self, status: Literal["ok", "aborted", "error"], reason: str, timing: Timing) -> None:
        queue, prompt, decode = timing.spans_ms()
        self._request.end(
            status, reason, prompt_tokens=timing.prompt_tokens, output_tokens=timing.output_tokens, queue_ms=queue,
            prompt_ms=prompt, decode_ms=decode,
        )  # fmt: skip
