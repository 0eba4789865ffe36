"""
From what CrewAI says as a model call begins to what can be reserved for it.

Pure. Everything here errs upwards: what is not known to be small is taken to be large.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tallystick.clients._endpoints import provider_of
from tallystick.metering import ModelRequest
from tallystick.prices import PriceBook, input_bound
from tallystick.prices._payload import as_json

#: names of the limit of the output; which of several counts is different for each model and API
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
#: where a model keeps the address of its provider
_ADDRESSES = ("base_url", "api_base", "endpoint")
#: signs of prompts that are written to a cache, which costs more
_CACHED = ("cache_breakpoint", "cache_control", "cachePoint")
#: for what comes from outside, of which nothing is known
_MAPPING: Any = Mapping


def described(
    model: Any,
    messages: Any,
    tools: Any,
    schema: Any,
    book: PriceBook,
    *,
    limit: Any = None,
) -> ModelRequest:
    """The request that is about to be sent, as far as CrewAI tells."""
    name, provider = _name(model), _provider(model)
    said: Any = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    # A strict form of a schema names each field once more, and closes each object.
    schemas = [as_json(each) for each in (tools, schema, getattr(model, "response_format", None))]
    sent = {"messages": [_message(one) for one in said or ()], "schemas": schemas * 2}
    text = json.dumps(sent, sort_keys=True, default=repr)
    most = None
    if not any(_has_files(one) for one in said or ()):
        most = input_bound(sent, model=name)
        if most is None:
            most = input_bound(sent, model=name, max_input=book.max_input(name, provider))
    return ModelRequest(
        model=name,
        provider=provider,
        input_bound=most,
        output_bound=_output(model, limit),
        cached=any(sign in text for sign in _CACHED),
        audio="audio" in name,
        digest=hashlib.sha256(f"{provider}\n{name}\n{text}".encode()).digest(),
        attempts=1 + (_whole(getattr(model, "max_retries", None)) or 0),
    )


def covers(reserved: ModelRequest, asked: ModelRequest) -> bool:
    """Whether what was reserved for the one is enough for the other."""
    return _within(asked.input_bound, reserved.input_bound) and _within(
        asked.output_bound, reserved.output_bound
    )


def _within(wanted: int | None, reserved: int | None) -> bool:
    return reserved is None or (wanted is not None and wanted <= reserved)


def _name(model: Any) -> str:
    return str(getattr(model, "model", None) or type(model).__name__)


def _provider(model: Any) -> str | None:
    """Whose model it is: at another address its name says nothing."""
    found = (getattr(model, name, None) for name in _ADDRESSES)
    address = next((text for text in found if isinstance(text, str) and text), None)
    if address is not None:
        return provider_of(urlsplit(address).hostname or "")
    provider = getattr(model, "provider", None)
    return provider if isinstance(provider, str) and provider else None


def _output(model: Any, limit: Any) -> int | None:
    """The most that all answers may have together: of several limits any one may be the one."""
    more: Any = getattr(model, "additional_params", None) or {}
    given = [limit, *(getattr(model, name, None) for name in _LIMITS), *map(more.get, _LIMITS)]
    each = max((most for most in map(_whole, given) if most), default=None)
    choices = [_whole(getattr(model, "n", None)) or 1, _whole(more.get("n")) or 1]
    return None if each is None else each * max(choices)


def _message(message: Any) -> Any:
    if not isinstance(message, _MAPPING):
        return {"role": "user", "content": as_json(message)}
    return {str(name): as_json(value) for name, value in message.items()}


def _has_files(message: Any) -> bool:
    return isinstance(message, _MAPPING) and bool(message.get("files"))


def _whole(value: Any) -> int | None:
    """A number of tokens, which CrewAI also takes as a float."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None
