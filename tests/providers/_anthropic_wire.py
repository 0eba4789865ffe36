"""Anthropic's messages, as they look on the wire."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

from tests.providers._answers import Answer, Fault
from tests.providers._openai_wire import Event

_ids = itertools.count(1)


def _input(answer: Answer) -> dict[str, Any]:
    """Anthropic counts cached tokens beside the others, not among them."""
    return {
        "input_tokens": answer.input - answer.cache_read - answer.cache_write,
        "cache_creation_input_tokens": answer.cache_write,
        "cache_read_input_tokens": answer.cache_read,
        "service_tier": answer.tier or "standard",
    }


def _blocks(answer: Answer) -> list[dict[str, Any]]:
    calls = [
        {
            "type": "tool_use",
            "id": f"toolu_{next(_ids):06d}",
            "name": call.name,
            "input": json.loads(call.arguments),
        }
        for call in answer.calls
    ]
    return calls or [{"type": "text", "text": answer.text}]


def _limited(wanted: dict[str, Any], answer: Answer) -> tuple[int, str]:
    if wanted["max_tokens"] < answer.output:
        return wanted["max_tokens"], "max_tokens"
    return answer.output, "tool_use" if answer.calls else "end_turn"


def message(wanted: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """A whole message."""
    output, reason = _limited(wanted, answer)
    whole = {
        "id": f"msg_{next(_ids):06d}",
        "type": "message",
        "role": "assistant",
        "model": wanted["model"],
        "content": _blocks(answer),
        "stop_reason": reason,
        "stop_sequence": None,
    }
    if answer.fault is Fault.NO_USAGE:
        return whole
    return whole | {"usage": _input(answer) | {"output_tokens": output}}


def message_events(wanted: dict[str, Any], answer: Answer) -> Iterator[Event]:
    """The same, streamed: the input's usage comes first, the output's at the end."""
    output, reason = _limited(wanted, answer)
    whole = message(wanted, answer)

    def event(kind: str, **data: Any) -> Event:
        return kind, {"type": kind, **data}

    opened: dict[str, Any] = whole | {"content": [], "stop_reason": None}
    if "usage" in whole:
        opened["usage"] = _input(answer) | {"output_tokens": 1}
    yield event("message_start", message=opened)
    yield event("ping")
    for at, block in enumerate(whole["content"]):
        tool = block["type"] == "tool_use"
        bare: dict[str, Any] = {"input": {}} if tool else {"text": ""}
        begun = block | bare
        yield event("content_block_start", index=at, content_block=begun)
        for delta in _deltas(answer, block):
            yield event("content_block_delta", index=at, delta=delta)
        yield event("content_block_stop", index=at)
    ended = {"stop_reason": reason, "stop_sequence": None}
    usage = {"usage": {"output_tokens": output}} if "usage" in whole else {}
    yield event("message_delta", delta=ended, **usage)
    yield event("message_stop")


def _deltas(answer: Answer, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if block["type"] == "tool_use":
        yield {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    else:
        yield from ({"type": "text_delta", "text": piece} for piece in answer.pieces)


def error(status: int) -> dict[str, Any]:
    """The body of an error."""
    told = {"type": "loopback_error", "message": f"status {status}"}
    return {"type": "error", "error": told, "request_id": "req_loopback"}
