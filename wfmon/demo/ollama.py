"""Ollama's API: chat and generate, whole or as JSON lines, and the lists of models. Durations are measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wfmon.core.clock import Clock
from wfmon.demo import fields
from wfmon.demo.engine import MAX_CONTEXT, PLACES, READ_SPEEDUP, DemoModel, Generation, GenerationRequest, Step
from wfmon.demo.openai import chat_logprob

Json = dict[str, Any]
LIMIT = (
    "Built-in n-gram model. At most {rate:g} tokens per second and request, and {reads:g} of a prompt: a deliberate "
    "limit, so that the eye can follow. The tokens, their distributions and the times are real."
)
NO_LIMIT = "Built-in n-gram model, without a speed limit. The tokens, their distributions and the times are real."


class OllamaRequest(NamedTuple):
    """A parsed request."""

    generation: GenerationRequest
    stream: bool
    chat: bool
    load: bool
    """No prompt: the client only checks that the model is loaded."""


def parse(body: Mapping[str, Any], model: DemoModel, *, chat: bool) -> OllamaRequest:
    """Parse a request for /api/chat or /api/generate. Raises fields.BadRequest."""
    options = fields.part(body, "options")
    limit = fields.whole(options, "num_predict", fields.USUAL_TOKENS, -2, fields.MAX_TOKENS)
    if chat:
        load = body.get("messages") in (None, [])
        prompt = "" if load else fields.conversation(body)
    else:
        prompt = fields.text(body, "system") + "\n\n" + fields.text(body, "prompt")
        load = not prompt.strip()
    tokens = limit if limit > 0 else fields.USUAL_TOKENS
    request = fields.generation_request(options, prompt, model.vocabulary, max_tokens=tokens, top=fields.top_of(body))
    return OllamaRequest(request, fields.flag(body, "stream", usual=True), chat, load)


class OllamaWriter:
    """Encodes one answer."""

    def __init__(self, wanted: OllamaRequest, model: DemoModel, clock: Clock) -> None:
        self._wanted = wanted
        self._model = model
        self._clock = clock

    def events(self, steps: Iterator[Step], answer: Generation) -> Iterator[Json]:
        """Yield the lines, each when its token arrives."""
        for step in steps:
            yield {**self._line(step.text), "done": False, **self._logprobs_of([step])}
        yield {**self._line(answer.rest), **self._end(answer)}

    def whole(self, steps: Iterator[Step], answer: Generation) -> Json:
        """Return the complete answer."""
        taken = list(steps)
        text = "".join(step.text for step in taken) + answer.rest
        return {**self._line(text), **self._end(answer), **self._logprobs_of(taken)}

    def loaded(self) -> Json:
        """Return the answer to a request without a prompt: the model is always in memory."""
        return {**self._line(""), "done": True, "done_reason": "load"}

    def _line(self, text: str) -> Json:
        head: Json = {"model": self._model.name, "created_at": stamp(self._clock)}
        return {**head, "message": {"role": "assistant", "content": text}} if self._wanted.chat else {
            **head, "response": text
        }  # fmt: skip

    def _logprobs_of(self, steps: list[Step]) -> Json:
        top = self._wanted.generation.top
        if top is None:
            return {}
        return {"logprobs": [chat_logprob(step, top, self._model.vocabulary) for step in steps]}

    def _end(self, answer: Generation) -> Json:
        timing = answer.timing
        queue, prompt, decode = (round((span or 0.0) * 1e6) for span in timing.spans_ms())
        return {
            "done": True,
            "done_reason": answer.reason,
            "total_duration": queue + prompt + decode,
            "load_duration": 0,
            "prompt_eval_count": timing.prompt_tokens,
            "prompt_eval_duration": prompt,
            "eval_count": timing.output_tokens,
            "eval_duration": decode,
        }


def tags(models: Mapping[str, DemoModel], clock: Clock) -> Json:
    """Return the body of /api/tags."""
    return {"models": [{**_row(model), "modified_at": stamp(clock)} for model in models.values()]}


def running(models: Mapping[str, DemoModel]) -> Json:
    """Return the body of /api/ps: both models are always in memory, and not on a GPU."""
    rows = [
        {**_row(model), "expires_at": "9999-12-31T23:59:59Z", "size_vram": 0, "context_length": MAX_CONTEXT}
        for model in models.values()
    ]
    return {"models": rows}


def show(model: DemoModel, clock: Clock) -> Json:
    """Return the body of /api/show, which describes the model and its rate limit."""
    limit = LIMIT.format(rate=model.rate, reads=model.rate * READ_SPEEDUP) if model.rate else NO_LIMIT
    return {
        "license": "MIT, like the project that it ships with; its text too.",
        "modelfile": f"# {limit}",
        "parameters": f"temperature {fields.USUAL_TEMPERATURE}\nnum_predict {fields.USUAL_TOKENS}",
        "template": "{{ .Prompt }}",
        "details": _row(model)["details"],
        "model_info": {
            "general.architecture": "ngram",
            "general.description": limit,
            "general.parameter_count": model.ngram.parameters,
            "ngram.order": model.ngram.order,
            "ngram.vocab_size": len(model.vocabulary),
            "ngram.context_length": MAX_CONTEXT,
            "wfmon.tokens_per_second_limit": model.rate,
            "wfmon.prompt_tokens_per_second_limit": model.rate * READ_SPEEDUP,
            "wfmon.requests_at_once": PLACES,
        },
        "capabilities": ["completion"],
        "modified_at": stamp(clock),
    }


def stamp(clock: Clock) -> str:
    """Return the current time in Ollama's format."""
    return datetime.fromtimestamp(clock.now_ms() / 1000, UTC).isoformat().replace("+00:00", "Z")


def _row(model: DemoModel) -> Json:
    size = model.ngram.parameters * 32
    return {
        "name": model.name,
        "model": model.name,
        "size": size,
        "digest": "",
        "details": {
            "parent_model": "",
            "format": "numpy",
            "family": "built-in n-gram model",
            "families": ["ngram"],
            "parameter_size": f"{model.ngram.parameters} n-grams",
            "quantization_level": "none",
        },
    }
