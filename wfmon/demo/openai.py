"""OpenAI's API: chat and text completions, whole or as server-sent events, and the list of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wfmon.demo import fields
from wfmon.demo.engine import DemoModel, Generation, GenerationRequest, Step
from wfmon.demo.fields import BadRequest
from wfmon.demo.sampling import MAX_TOP
from wfmon.demo.tokens import Vocabulary

Json = dict[str, Any]
OWNER = "wfmon: built-in n-gram model"


class OpenAiRequest(NamedTuple):
    """A parsed request."""

    generation: GenerationRequest
    stream: bool
    usage: bool
    chat: bool


def chat(body: Mapping[str, Any], vocabulary: Vocabulary) -> OpenAiRequest:
    """Parse a request for /v1/chat/completions. Raises BadRequest."""
    limit = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    tokens = fields.whole(body, limit, fields.USUAL_TOKENS, 1, fields.MAX_TOKENS)
    prompt, top = fields.conversation(body), fields.top_of(body)
    request = fields.generation_request(body, prompt, vocabulary, max_tokens=tokens, top=top)
    return _wanted(body, request, chat=True)


def completion(body: Mapping[str, Any], vocabulary: Vocabulary) -> OpenAiRequest:
    """Parse a request for /v1/completions. Raises BadRequest."""
    prompt = body.get("prompt", "")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest(400, "prompt must be one string.", "prompt")
    if body.get("echo"):
        raise BadRequest(400, "echo is not supported.", "echo")
    tokens = fields.whole(body, "max_tokens", 16, 1, fields.MAX_TOKENS)
    top = None if body.get("logprobs") is None else fields.whole(body, "logprobs", 0, 0, MAX_TOP)
    return _wanted(body, fields.generation_request(body, prompt, vocabulary, max_tokens=tokens, top=top), chat=False)


def _wanted(body: Mapping[str, Any], request: GenerationRequest, *, chat: bool) -> OpenAiRequest:
    if body.get("n") not in {None, 1}:
        raise BadRequest(400, "n must be 1: one answer per request.", "n")
    options = fields.part(body, "stream_options")
    usage = fields.flag(options, "include_usage", usual=False)
    return OpenAiRequest(request, fields.flag(body, "stream", usual=False), usage, chat)


def error(refused: BadRequest) -> Json:
    """Return the body of an error."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    return {"error": {"message": refused.sentence, "type": kind, "param": refused.field, "code": refused.code}}


def models(names: Mapping[str, DemoModel], created: int) -> Json:
    """Return the body of /v1/models."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": created, "owned_by": OWNER} for name in names],
    }


class OpenAiWriter:
    """Encodes one answer."""

    def __init__(self, wanted: OpenAiRequest, model: DemoModel, number: str, created: int) -> None:
        self._wanted = wanted
        self._model = model
        self._logprobs: list[Json] = []
        self._at = 0
        kind = "chat.completion" if wanted.chat else "text_completion"
        self._head: Json = {
            "id": ("chatcmpl-" if wanted.chat else "cmpl-") + number,
            "object": kind + ".chunk" if wanted.chat and wanted.stream else kind,
            "created": created,
            "model": model.name,
            "system_fingerprint": "wfmon-ngram",
        }

    def events(self, steps: Iterator[Step], answer: Generation) -> Iterator[Json | str]:
        """Yield the data of the server-sent events, each when its token arrives."""
        more: Json = {"usage": None} if self._wanted.usage else {}
        first: Json = {"role": "assistant"}
        for step in steps:
            body = {"delta": {**first, "content": step.text}} if self._wanted.chat else {"text": step.text}
            yield self._chunk({**body, "logprobs": self._logprobs_of(step), "finish_reason": None}, more)
            first = {}
        if answer.rest or first:
            body = {"delta": {**first, "content": answer.rest}} if self._wanted.chat else {"text": answer.rest}
            yield self._chunk({**body, "logprobs": None, "finish_reason": None}, more)
        end: Json = {"delta": {}} if self._wanted.chat else {"text": ""}
        yield self._chunk({**end, "logprobs": None, "finish_reason": answer.reason}, more)
        if self._wanted.usage:
            yield {**self._head, "choices": [], "usage": usage(answer)}
        yield "[DONE]"

    def whole(self, steps: Iterator[Step], answer: Generation) -> Json:
        """Return the complete answer."""
        text, parts = "", []
        for step in steps:
            text += step.text
            parts.append(self._logprobs_of(step))
        text += answer.rest
        logprobs = (
            _joined([each for each in parts if each is not None]) if self._wanted.generation.top is not None else None
        )
        body: Json = (
            {"message": {"role": "assistant", "content": text, "refusal": None}}
            if self._wanted.chat
            else {"text": text}
        )
        choice = {"index": 0, **body, "logprobs": logprobs, "finish_reason": answer.reason}
        return {**self._head, "choices": [choice], "usage": usage(answer)}

    def _chunk(self, choice: Json, more: Json) -> Json:
        return {**self._head, "choices": [{"index": 0, **choice}], **more}

    def _logprobs_of(self, step: Step) -> Json | None:
        """Return a step's log-probabilities in its route's format."""
        if self._wanted.generation.top is None:
            return None
        if self._wanted.chat:
            return {
                "content": [chat_logprob(step, self._wanted.generation.top, self._model.vocabulary)],
                "refusal": None,
            }
        text = self._model.vocabulary.text(step.drawn.token)
        top = {
            self._model.vocabulary.texts[token]: logprob
            for token, logprob in step.drawn.top[: self._wanted.generation.top]
        }
        top.setdefault(text, step.drawn.logprob)
        at, self._at = self._at, self._at + len(text)
        return {"tokens": [text], "token_logprobs": [step.drawn.logprob], "top_logprobs": [top], "text_offset": [at]}


def chat_logprob(step: Step, top: int, vocabulary: Vocabulary) -> Json:
    """Return one token's entry; Ollama uses the same format."""
    rows = [_entry(vocabulary.texts[token], logprob) for token, logprob in step.drawn.top[:top]]
    return {**_entry(vocabulary.texts[step.drawn.token], step.drawn.logprob), "top_logprobs": rows}


def usage(answer: Generation) -> Json:
    """Return the token counts."""
    read, written = answer.timing.prompt_tokens, answer.timing.output_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _entry(text: str, logprob: float) -> Json:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _joined(logprobs: list[Json]) -> Json:
    """Concatenate the lists of all tokens."""
    result: Json = {}
    for each in logprobs:
        for name, rows in each.items():
            result[name] = None if rows is None else [*result.get(name, []), *rows]
    return result
