"""OpenAI's form: chat and text completions, whole or as server-sent events, and the list of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from wfmon.demo import asked
from wfmon.demo.asked import BadRequest
from wfmon.demo.engine import Ask, DemoModel, Generation, Step
from wfmon.demo.sampling import MAX_TOP
from wfmon.demo.tokens import Vocabulary

Json = dict[str, Any]
OWNER = "wfmon: built-in n-gram model"


class OpenAiRequest(NamedTuple):
    """What is asked, and in what form."""

    ask: Ask
    stream: bool
    usage: bool
    chat: bool


def chat(body: Mapping[str, Any], vocabulary: Vocabulary) -> OpenAiRequest:
    """Read a request for /v1/chat/completions. Raises BadRequest."""
    limit = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    tokens = asked.whole(body, limit, asked.USUAL_TOKENS, 1, asked.MAX_TOKENS)
    ask = asked.ask(body, asked.said(body), vocabulary, max_tokens=tokens, top=asked.top_of(body))
    return _wanted(body, ask, chat=True)


def completion(body: Mapping[str, Any], vocabulary: Vocabulary) -> OpenAiRequest:
    """Read a request for /v1/completions. Raises BadRequest."""
    prompt = body.get("prompt", "")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise BadRequest(400, "prompt must be one text.", "prompt")
    if body.get("echo"):
        raise BadRequest(400, "echo is not offered.", "echo")
    tokens = asked.whole(body, "max_tokens", 16, 1, asked.MAX_TOKENS)
    top = None if body.get("logprobs") is None else asked.whole(body, "logprobs", 0, 0, MAX_TOP)
    return _wanted(body, asked.ask(body, prompt, vocabulary, max_tokens=tokens, top=top), chat=False)


def _wanted(body: Mapping[str, Any], ask: Ask, *, chat: bool) -> OpenAiRequest:
    if body.get("n") not in {None, 1}:
        raise BadRequest(400, "n must be 1: one answer a request.", "n")
    options = asked.part(body, "stream_options")
    usage = asked.flag(options, "include_usage", usual=False)
    return OpenAiRequest(ask, asked.flag(body, "stream", usual=False), usage, chat)


def error(refused: BadRequest) -> Json:
    """Give the body of an error."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    return {"error": {"message": refused.sentence, "type": kind, "param": refused.field, "code": refused.code}}


def models(names: Mapping[str, DemoModel], created: int) -> Json:
    """Give the body of /v1/models."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": created, "owned_by": OWNER} for name in names],
    }


class OpenAiWriter:
    """Writes one answer."""

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
        """Give the data of each server-sent event, each when its token comes."""
        more: Json = {"usage": None} if self._wanted.usage else {}
        first: Json = {"role": "assistant"}
        for step in steps:
            body = {"delta": {**first, "content": step.text}} if self._wanted.chat else {"text": step.text}
            yield self._chunk({**body, "logprobs": self._told(step), "finish_reason": None}, more)
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
        """Give the whole answer."""
        text, told = "", []
        for step in steps:
            text += step.text
            told.append(self._told(step))
        text += answer.rest
        logprobs = _joined([each for each in told if each is not None]) if self._wanted.ask.top is not None else None
        body: Json = (
            {"message": {"role": "assistant", "content": text, "refusal": None}}
            if self._wanted.chat
            else {"text": text}
        )
        choice = {"index": 0, **body, "logprobs": logprobs, "finish_reason": answer.reason}
        return {**self._head, "choices": [choice], "usage": usage(answer)}

    def _chunk(self, choice: Json, more: Json) -> Json:
        return {**self._head, "choices": [{"index": 0, **choice}], **more}

    def _told(self, step: Step) -> Json | None:
        """Give a step's log-probabilities in the form of its route."""
        if self._wanted.ask.top is None:
            return None
        if self._wanted.chat:
            return {"content": [chat_logprob(step, self._wanted.ask.top, self._model.vocabulary)], "refusal": None}
        text = self._model.vocabulary.text(step.drawn.token)
        top = {
            self._model.vocabulary.texts[token]: logprob for token, logprob in step.drawn.top[: self._wanted.ask.top]
        }
        top.setdefault(text, step.drawn.logprob)
        at, self._at = self._at, self._at + len(text)
        return {"tokens": [text], "token_logprobs": [step.drawn.logprob], "top_logprobs": [top], "text_offset": [at]}


def chat_logprob(step: Step, top: int, vocabulary: Vocabulary) -> Json:
    """Give one token's entry; Ollama has the same form."""
    rows = [_entry(vocabulary.texts[token], logprob) for token, logprob in step.drawn.top[:top]]
    return {**_entry(vocabulary.texts[step.drawn.token], step.drawn.logprob), "top_logprobs": rows}


def usage(answer: Generation) -> Json:
    """Give the counts."""
    read, written = answer.timing.prompt_tokens, answer.timing.output_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _entry(text: str, logprob: float) -> Json:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _joined(told: list[Json]) -> Json:
    """Put the lists of each token one behind the other."""
    result: Json = {}
    for each in told:
        for name, rows in each.items():
            result[name] = None if rows is None else [*result.get(name, []), *rows]
    return result
