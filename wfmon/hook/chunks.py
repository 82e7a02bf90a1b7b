"""Interprets the chunks of a client's stream by their shape: OpenAI (objects and dicts), Ollama, or plain tokens.

Imports no client library. A reader reports each chunk to the request and keeps counts and durations, never text.
"""

# ruff: noqa: ANN401 - chunks, scores and streams may have any type
from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wfmon.hook.request import Request

NS_A_MS = 1_000_000
RESPONSES_DELTAS = frozenset({
    "response.output_text.delta", "response.refusal.delta", "response.reasoning_text.delta",
    "response.reasoning_summary_text.delta", "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
})  # fmt: skip
RESPONSES_ENDS = {"response.completed": "ok", "response.incomplete": "ok", "response.failed": "error"}


class ChunkReader:
    """Reads the chunks of one stream. ``status``, ``reason`` and ``figures`` are complete at its end."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self.status = "ok"
        self.reason = ""
        self.figures: dict[str, Any] = {}
        self._held = 0
        """Tokens without text yet: part of a multi-token character, or the start of a stop word."""
        self._seen = 0
        """Output tokens already counted from the chunks' usage."""

    def read(self, chunk: Any) -> None:
        """Report a chunk to the request. Raises various errors for an unknown shape."""
        raise NotImplementedError

    def _named(self, chunk: Any) -> None:
        model = get(chunk, "model")
        if isinstance(model, str) and model:
            # llama-cpp-python's model name is a file path.
            self._request.named(model.replace("\\", "/").rpartition("/")[2] if model.endswith(".gguf") else model)

    def _chunk(self, entries: Any, visible: bool, count: int = 0) -> None:  # noqa: FBT001
        """Report one step. ``entries``: log-probabilities, one per token, if any; ``count``: its tokens, if known."""
        count = count or (len(entries) if entries else 0)
        if not visible:
            self._held += count
            return
        count = max(1, count + self._held)
        self._held = 0
        if not entries:
            self._request.token(count)
            return
        values, texts = _top(entries[-1], texts=self._request.hashes)
        self._request.token(count, logprobs=values, tokens=texts)


class Plain(ChunkReader):
    """Each item is a token, except empty strings and None."""

    def read(self, chunk: Any) -> None:
        if chunk is None or (type(chunk) in {str, bytes} and not chunk):
            return
        self._request.token()


class OpenAI(ChunkReader):
    """Chunks of chat and text completions; llama-cpp-python's dicts have the same shape."""

    def read(self, chunk: Any) -> None:
        self._named(chunk)
        usage, count = get(chunk, "usage"), 0
        if usage:
            self._usage(usage)
            count = max(0, (self.figures.get("output_tokens") or 0) - self._seen)
        for choice in get(chunk, "choices") or ():
            delta = get(choice, "delta")
            visible = _has_content(delta) if delta is not None else bool(get(choice, "text"))
            entries = _entries(get(choice, "logprobs"))
            if visible or entries:
                self._chunk(entries, visible, count)
                self._seen += count
                count = 0
            if reason := get(choice, "finish_reason"):
                self.reason = str(reason)
        if timings := get(chunk, "timings"):
            self._timings(timings)

    def _usage(self, usage: Any) -> None:
        self._keep("prompt_tokens", get(usage, "prompt_tokens"))
        self._keep("output_tokens", get(usage, "completion_tokens"))
        self._keep("cached_tokens", get(get(usage, "prompt_tokens_details"), "cached_tokens"))

    def _timings(self, timings: Any) -> None:
        """Keep llama.cpp's own timings: exact, sent with the last chunk."""
        self._keep("prompt_ms", get(timings, "prompt_ms"))
        self._keep("decode_ms", get(timings, "predicted_ms"))
        self.figures.setdefault("output_tokens", get(timings, "predicted_n"))
        cached, read = get(timings, "cache_n"), get(timings, "prompt_n")
        if cached is not None and read is not None:
            self.figures.setdefault("prompt_tokens", cached + read)
            self.figures.setdefault("cached_tokens", cached)

    def _keep(self, name: str, value: Any) -> None:
        if value is not None:
            self.figures[name] = value


class Responses(ChunkReader):
    """Events of OpenAI's Responses API."""

    def read(self, chunk: Any) -> None:
        kind = get(chunk, "type")
        if kind in RESPONSES_DELTAS:
            self._chunk(get(chunk, "logprobs"), bool(get(chunk, "delta")))
            return
        response = get(chunk, "response")
        if response is None:
            return
        self._named(response)
        if kind in RESPONSES_ENDS:
            self.status = RESPONSES_ENDS[kind]
            usage = get(response, "usage")
            self.figures = {
                "prompt_tokens": get(usage, "input_tokens"), "output_tokens": get(usage, "output_tokens"),
                "cached_tokens": get(get(usage, "input_tokens_details"), "cached_tokens"),
            }  # fmt: skip
            self.reason = str(get(get(response, "incomplete_details"), "reason") or kind.rpartition(".")[2])


class OllamaChunks(ChunkReader):
    """Chunks of chat and generate. The last one has counts, and durations in ns except queueing."""

    def read(self, chunk: Any) -> None:
        self._named(chunk)
        message = get(chunk, "message")
        if message is None:
            message = chunk
        visible = any(get(message, name) for name in ("content", "response", "thinking", "tool_calls"))
        entries = get(chunk, "logprobs")
        if visible or entries:
            self._chunk(entries, visible)
        if get(chunk, "done"):
            self.reason = str(get(chunk, "done_reason") or "")
            self.figures = {
                "prompt_tokens": get(chunk, "prompt_eval_count"), "output_tokens": get(chunk, "eval_count"),
                "load_ms": _ms(get(chunk, "load_duration")), "prompt_ms": _ms(get(chunk, "prompt_eval_duration")),
                "decode_ms": _ms(get(chunk, "eval_duration")),
            }  # fmt: skip


def reader_for(chunk: Any, request: Request) -> ChunkReader:
    """Return the reader for a stream with this first chunk."""
    if isinstance(chunk, str | bytes | int | float):
        return Plain(request)
    if get(chunk, "choices") is not None:
        return OpenAI(request)
    if get(chunk, "done") is not None and any(get(chunk, name) is not None for name in ("message", "response")):
        return OllamaChunks(request)
    kind = get(chunk, "type")
    if isinstance(kind, str) and kind.startswith("response."):
        return Responses(request)
    return Plain(request)


def get(thing: Any, name: str) -> Any:
    """Return a field of a dict or an object, None if missing."""
    if thing is None:
        return None
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


def _has_content(delta: Any) -> bool:
    """Return whether a delta has content in any channel; one with only the role has not."""
    if get(delta, "content") or get(delta, "reasoning_content") or get(delta, "reasoning") or get(delta, "refusal"):
        return True
    calls = [get(call, "function") for call in get(delta, "tool_calls") or ()] + [get(delta, "function_call")]
    return any(get(call, "name") or get(call, "arguments") for call in calls)


def _entries(logprobs: Any) -> list[Any]:
    """Return one entry per token, from the chat form or the older form with parallel lists."""
    if logprobs is None:
        return []
    if content := (get(logprobs, "content") or get(logprobs, "refusal")):
        return list(content)
    tops = get(logprobs, "top_logprobs")
    if isinstance(tops, list | tuple):
        return [top or {} for top in tops]
    return [{} for _ in get(logprobs, "tokens") or ()]


def _top(entry: Any, *, texts: bool) -> tuple[list[float] | None, list[str] | None]:
    """Return the log-probabilities of the likeliest tokens, and their texts if requested."""
    tops = get(entry, "top_logprobs")
    if not tops and isinstance(entry, dict) and "logprob" not in entry:
        # The older form: {text: log-probability}. Equal texts have collapsed already.
        return (list(entry.values()) or None), (list(entry) if texts else None)
    values = [get(top, "logprob") for top in tops or ()]
    return (values or None), ([str(get(top, "token")) for top in tops or ()] if texts else None)


def _ms(ns: Any) -> float | None:
    return ns / NS_A_MS if isinstance(ns, int | float) else None
