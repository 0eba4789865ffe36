"""OpenAI's chat completions, completions, embeddings and responses, as they look on the wire."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.providers._answers import Answer, Fault

CREATED = 1_790_000_000
_ids = itertools.count(1)

#: the name of an SSE event, if it has one, and its data
Event = tuple[str | None, dict[str, Any]]


def _fresh(prefix: str) -> str:
    return f"{prefix}_{next(_ids):06d}"


def _limited(answer: Answer, limit: int | None) -> tuple[int, str]:
    if limit is not None and limit < answer.output:
        return limit, "length"
    return answer.output, "tool_calls" if answer.calls else "stop"


def _chat_usage(answer: Answer, output: int) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.input,
        "completion_tokens": output,
        "total_tokens": answer.input + output,
        "prompt_tokens_details": {"cached_tokens": answer.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": min(answer.reasoning, output),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _chat_limit(wanted: dict[str, Any]) -> int | None:
    limit = wanted.get("max_completion_tokens") or wanted.get("max_tokens")
    return None if limit is None else int(limit)


def _head(wanted: dict[str, Any], kind: str, answer: Answer) -> dict[str, Any]:
    return {
        "id": _fresh("chatcmpl"),
        "object": kind,
        "created": CREATED,
        "model": wanted["model"],
        "service_tier": answer.tier or "default",
        "system_fingerprint": "fp_loopback",
    }


def _tool_calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {
            "id": _fresh("call"),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in answer.calls
    ]


def chat(wanted: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """A whole chat completion."""
    count = wanted.get("n") or 1
    output, reason = _limited(answer, _chat_limit(wanted))
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.calls:
        message |= {"content": None, "tool_calls": _tool_calls(answer)}
    choices = [
        {"index": at, "message": message, "finish_reason": reason, "logprobs": None}
        for at in range(count)
    ]
    whole = _head(wanted, "chat.completion", answer) | {"choices": choices}
    return whole if answer.fault is Fault.NO_USAGE else whole | _used(answer, output * count)


def _used(answer: Answer, output: int) -> dict[str, Any]:
    return {"usage": _chat_usage(answer, output)}


def chat_events(wanted: dict[str, Any], answer: Answer) -> Iterator[Event]:
    """The same, streamed; the last chunk tells the usage only to whoever asked."""
    count = wanted.get("n") or 1
    output, reason = _limited(answer, _chat_limit(wanted))
    options: dict[str, Any] = wanted.get("stream_options") or {}
    asked = bool(options.get("include_usage"))
    head = _head(wanted, "chat.completion.chunk", answer) | ({"usage": None} if asked else {})

    def chunk(at: int, delta: dict[str, Any], reason: str | None = None) -> Event:
        choice = {"index": at, "delta": delta, "finish_reason": reason, "logprobs": None}
        return None, head | {"choices": [choice]}

    for at in range(count):
        yield chunk(at, {"role": "assistant", "content": ""})
        for delta in _chat_deltas(answer):
            yield chunk(at, delta)
        yield chunk(at, {}, reason)
    if asked and answer.fault is not Fault.NO_USAGE:
        yield None, head | {"choices": []} | _used(answer, output * count)


def _chat_deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    if not answer.calls:
        yield from ({"content": piece} for piece in answer.pieces)
    for at, call in enumerate(_tool_calls(answer)):
        started = call | {"function": {"name": call["function"]["name"], "arguments": ""}}
        yield {"tool_calls": [{"index": at, **started}]}
        said = {"arguments": call["function"]["arguments"]}
        yield {"tool_calls": [{"index": at, "function": said}]}


def completion(wanted: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """The old completions."""
    output, reason = _limited(answer, wanted.get("max_tokens", 16))
    choice = {"index": 0, "text": answer.text, "finish_reason": reason, "logprobs": None}
    whole = _head(wanted, "text_completion", answer) | {"choices": [choice]}
    return whole | {"usage": _chat_usage(answer, output)}


def embeddings(wanted: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """One vector for each text."""
    given: Any = wanted["input"]
    texts: list[Any] = [given] if isinstance(given, str) else given
    vectors = [
        {"object": "embedding", "index": at, "embedding": [0.5, -0.5]} for at in range(len(texts))
    ]
    usage = {"prompt_tokens": answer.input, "total_tokens": answer.input}
    return {"object": "list", "data": vectors, "model": wanted["model"], "usage": usage}


def _items(answer: Answer) -> list[dict[str, Any]]:
    said: dict[str, Any] = {
        "type": "output_text",
        "text": answer.text,
        "annotations": [],
        "logprobs": [],
    }
    message: dict[str, Any] = {
        "id": _fresh("msg"),
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [said],
    }
    calls = [
        {
            "id": _fresh("fc"),
            "type": "function_call",
            "status": "completed",
            "call_id": _fresh("call"),
            "name": call.name,
            "arguments": call.arguments,
        }
        for call in answer.calls
    ]
    return calls or [message]


def response(wanted: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """A whole response."""
    output, reason = _limited(answer, wanted.get("max_output_tokens"))
    cut = reason == "length"
    usage = {
        "input_tokens": answer.input,
        "input_tokens_details": {
            "cached_tokens": answer.cache_read,
            "cache_write_tokens": answer.cache_write,
        },
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": min(answer.reasoning, output)},
        "total_tokens": answer.input + output,
    }
    return _opened(wanted) | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": _items(answer),
        "service_tier": answer.tier or "default",
        "usage": None if answer.fault is Fault.NO_USAGE else usage,
    }


def _opened(wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _fresh("resp"),
        "object": "response",
        "created_at": CREATED,
        "model": wanted["model"],
        "status": "in_progress",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": wanted.get("tools", []),
        "usage": None,
    }


def response_events(wanted: dict[str, Any], answer: Answer) -> Iterator[Event]:
    """The same, streamed: the usage is in the last event."""
    whole = response(wanted, answer)
    numbers = itertools.count()

    def event(kind: str, **data: Any) -> Event:
        return kind, {"type": kind, "sequence_number": next(numbers), **data}

    opened: dict[str, Any] = whole | {"status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=opened)
    for at, item in enumerate(whole["output"]):
        where = {"output_index": at, "item_id": item["id"]}
        spoken = item["type"] == "message"
        bare: dict[str, Any] = {"content": []} if spoken else {"arguments": ""}
        begun = item | {"status": "in_progress"} | bare
        yield event("response.output_item.added", output_index=at, item=begun)
        if item["type"] == "function_call":
            said = {"delta": item["arguments"]}
            yield event("response.function_call_arguments.delta", **where, **said)
        else:
            part = item["content"][0] | {"text": ""}
            yield event("response.content_part.added", **where, content_index=0, part=part)
            for piece in answer.pieces:
                text: dict[str, Any] = {"content_index": 0, "delta": piece, "logprobs": []}
                yield event("response.output_text.delta", **where, **text)
        yield event("response.output_item.done", output_index=at, item=item)
    yield event(f"response.{whole['status']}", response=whole)


def error(status: int) -> dict[str, Any]:
    """The body of an error."""
    told = {"message": json.dumps(f"status {status}"), "type": "loopback", "code": None}
    return {"error": told | {"param": None}}
