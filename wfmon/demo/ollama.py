"""Ollama's form: chat and generate, whole or as lines of JSON, and what the server has. Durations are measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from wfmon.core.clock import Clock
from wfmon.demo import asked
from wfmon.demo.engine import MAX_CONTEXT, PLACES, READS_FASTER, Ask, DemoModel, Generation, Step
from wfmon.demo.openai import chat_logprob

Json = dict[str, Any]
LIMIT = (
    "Built-in n-gram model. At most {rate:g} tokens a second and request, and {reads:g} of a prompt: a deliberate "
    "limit, so that the eye can follow. The tokens, their distributions and the times are real."
)
NO_LIMIT = "Built-in n-gram model, without a speed limit. The tokens, their distributions and the times are real."


class OllamaRequest(NamedTuple):
    """What is asked, and in what form."""

    ask: Ask
    stream: bool
    chat: bool
    load: bool
    """Only a look whether the model is there: no prompt was given."""


def wanted(body: Mapping[str, Any], model: DemoModel, *, chat: bool) -> OllamaRequest:
    """Read a request for /api/chat or /api/generate. Raises asked.BadRequest."""
    options = asked.part(body, "options")
    limit = asked.whole(options, "num_predict", asked.USUAL_TOKENS, -2, asked.MAX_TOKENS)
    if chat:
        load = body.get("messages") in (None, [])
        prompt = "" if load else asked.said(body)
    else:
        prompt = asked.text(body, "system") + "\n\n" + asked.text(body, "prompt")
        load = not prompt.strip()
    tokens = limit if limit > 0 else asked.USUAL_TOKENS
    ask = asked.ask(options, prompt, model.vocabulary, max_tokens=tokens, top=asked.top_of(body))
    return OllamaRequest(ask, asked.flag(body, "stream", usual=True), chat, load)


class OllamaWriter:
    """Writes one answer."""

    def __init__(self, wanted: OllamaRequest, model: DemoModel, clock: Clock) -> None:
        self._wanted = wanted
        self._model = model
        self._clock = clock

    def events(self, steps: Iterator[Step], answer: Generation) -> Iterator[Json]:
        """Give the lines, each when its token comes."""
        for step in steps:
            yield {**self._line(step.text), "done": False, **self._told([step])}
        yield {**self._line(answer.rest), **self._end(answer)}

    def whole(self, steps: Iterator[Step], answer: Generation) -> Json:
        """Give the whole answer."""
        taken = list(steps)
        text = "".join(step.text for step in taken) + answer.rest
        return {**self._line(text), **self._end(answer), **self._told(taken)}

    def loaded(self) -> Json:
        """Answer one that asks for no tokens: the model is in memory from the start."""
        return {**self._line(""), "done": True, "done_reason": "load"}

    def _line(self, text: str) -> Json:
        head: Json = {"model": self._model.name, "created_at": stamp(self._clock)}
        return {**head, "message": {"role": "assistant", "content": text}} if self._wanted.chat else {
            **head, "response": text
        }  # fmt: skip

    def _told(self, steps: list[Step]) -> Json:
        top = self._wanted.ask.top
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
    """Give the body of /api/tags."""
    return {"models": [{**_row(model), "modified_at": stamp(clock)} for model in models.values()]}


def running(models: Mapping[str, DemoModel]) -> Json:
    """Give the body of /api/ps: both are in memory until the end, and none is on a graphics card."""
    rows = [
        {**_row(model), "expires_at": "9999-12-31T23:59:59Z", "size_vram": 0, "context_length": MAX_CONTEXT}
        for model in models.values()
    ]
    return {"models": rows}


def show(model: DemoModel, clock: Clock) -> Json:
    """Give the body of /api/show, which says plainly what this is and how it is limited."""
    limit = LIMIT.format(rate=model.rate, reads=model.rate * READS_FASTER) if model.rate else NO_LIMIT
    return {
        "license": "MIT, as the project that it ships with; its text too.",
        "modelfile": f"# {limit}",
        "parameters": f"temperature {asked.USUAL_TEMPERATURE}\nnum_predict {asked.USUAL_TOKENS}",
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
            "wfmon.prompt_tokens_per_second_limit": model.rate * READS_FASTER,
            "wfmon.requests_at_once": PLACES,
        },
        "capabilities": ["completion"],
        "modified_at": stamp(clock),
    }


def stamp(clock: Clock) -> str:
    """Give the time of day as Ollama writes it."""
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
