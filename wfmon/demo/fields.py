"""Parses JSON fields for both APIs, by type and bounds. Errors name the field, never its content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfmon.demo.engine import MAX_CONTEXT, GenerationRequest
from wfmon.demo.sampling import MAX_TOP, Knobs
from wfmon.demo.tokens import Vocabulary

MAX_TOKENS = 4_096
USUAL_TOKENS = 256
USUAL_TEMPERATURE = 0.7
"""Below 1, as in most servers: a model trained on so little text wanders otherwise."""


class BadRequest(Exception):
    """A refused request: HTTP status, a sentence without any of its text, the field, an error code."""

    def __init__(self, status: int, sentence: str, field: str | None = None, code: str | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.field = field
        self.code = code


def number(body: Mapping[str, Any], name: str, usual: float, low: float, high: float) -> float:
    """Return a number within bounds; null counts as absent."""
    found = body.get(name)
    if found is None:
        return usual
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not low <= found <= high:
        raise BadRequest(400, f"{name} must be a number from {low:g} to {high:g}.", name)
    return float(found)


def whole(body: Mapping[str, Any], name: str, usual: int, low: int, high: int) -> int:
    """Return a whole number within bounds."""
    found = number(body, name, usual, low, high)
    if found != int(found):
        raise BadRequest(400, f"{name} must be a whole number.", name)
    return int(found)


def flag(body: Mapping[str, Any], name: str, *, usual: bool) -> bool:
    """Return a boolean."""
    found = body.get(name)
    if found is None:
        return usual
    if not isinstance(found, bool):
        raise BadRequest(400, f"{name} must be true or false.", name)
    return found


def text(body: Mapping[str, Any], name: str) -> str:
    """Return a string; "" if absent."""
    found = body.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise BadRequest(400, f"{name} must be text.", name)
    return found


def part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object; empty if absent."""
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadRequest(400, f"{name} must be an object.", name)
    return found


def conversation(body: Mapping[str, Any]) -> str:
    """Return the text of a conversation: its messages in order, one paragraph each."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest(400, "messages must be a list with at least one message.", "messages")
    return "\n\n".join(_content(message) for message in messages)


def _content(message: Any) -> str:  # noqa: ANN401  any JSON
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        parts = [each.get("text") for each in content if isinstance(each, dict)]
        texts = [each for each in parts if isinstance(each, str)]
        content = " ".join(texts) if len(texts) == len(content) else None
    if not isinstance(content, str):
        raise BadRequest(400, "Each message needs a content that is text.", "messages")
    return content


def stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the strings that end an answer."""
    found = body.get("stop")
    listed = [] if found is None else [found] if isinstance(found, str) else found
    if not isinstance(listed, list) or len(listed) > 16 or not all(isinstance(each, str) for each in listed):
        raise BadRequest(400, "stop must be a text, or a list of up to 16.", "stop")
    return tuple(each for each in listed if each)


def generation_request(
    body: Mapping[str, Any], prompt: str, vocabulary: Vocabulary, *, max_tokens: int, top: int | None
) -> GenerationRequest:
    """Build a request; ``body`` has the sampling fields, which have the same names in both APIs."""
    read = vocabulary.read(prompt)
    if len(read) > MAX_CONTEXT:
        raise BadRequest(
            400, f"The prompt has {len(read)} tokens; this model accepts {MAX_CONTEXT}.", "messages",
            "context_length_exceeded",
        )  # fmt: skip
    knobs = Knobs(
        temperature=number(body, "temperature", USUAL_TEMPERATURE, 0.0, 10.0),
        top_p=number(body, "top_p", 1.0, 0.0, 1.0), top_k=whole(body, "top_k", 0, 0, 1_000_000),
    )  # fmt: skip
    seed = None if body.get("seed") is None else whole(body, "seed", 0, -(2**63), 2**63 - 1) & (2**63 - 1)
    return GenerationRequest(tuple(read), max_tokens, knobs, seed, stops(body), top)


def top_of(body: Mapping[str, Any], name: str = "top_logprobs") -> int | None:
    """Return how many of the likeliest tokens to list beside the drawn one; None without log-probabilities."""
    wanted = flag(body, "logprobs", usual=False)
    count = whole(body, name, 0, 0, MAX_TOP)
    return count if wanted else None
