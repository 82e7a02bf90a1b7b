"""Reports the models' requests through the project's own hook, like any other program."""

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


class DemoReporter:
    """Reports each request to the hook. ``server``: the models' host:port."""

    def __init__(self, vocabulary: Vocabulary, server: str) -> None:
        self._hook = Hook(name=NAME, runtime=NAME, server=server)
        self._vocabulary = vocabulary
        self._server = server
        self._vocab = vocabulary_name(vocabulary)
        self._outcomes = len(vocabulary) - len(NEVER_DRAWN)

    def request(self, model: DemoModel, number: str, came_ns: int) -> ReportedRequest:
        """Begin to report a request that arrived at ``came_ns`` of the monotonic clock."""
        request = Request(
            model.name, server=self._server, vocab=self._vocab, vocab_size=self._outcomes, hook=self._hook
        )
        request._record.id = number  # noqa: SLF001  the client's X-Request-Id, so that both can be compared
        request.begin(t_us=came_ns // 1_000)
        return ReportedRequest(request, self._vocabulary.texts, self._outcomes)

    def close(self) -> None:
        """Send queued events, for at most 0.05 s."""
        self._hook.close(0.05)


class ReportedRequest:
    """Reports one request's progress; an engine's Watch."""

    def __init__(self, request: Request, texts: tuple[str, ...], outcomes: int) -> None:
        self._request = request
        self._texts = texts
        self._outcomes = outcomes

    def phase(self, name: Literal["queued", "prompt", "decode"]) -> None:
        self._request.phase(name)

    def prompt(self, tokens: int) -> None:
        self._request.prompt(tokens)

    def token(self, drawn: Drawn) -> None:
        """Report a token's time and distribution. The hook hashes the texts; they do not leave the process."""
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
