"""
From what LangChain says as a model call begins to what can be reserved for it.

Pure. Everything here errs upwards: what is not known to be small is taken to be large.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from langchain_core.messages import BaseMessage

from tallystick.clients._endpoints import provider_of
from tallystick.metering import ModelRequest
from tallystick.prices import PriceBook, input_bound
from tallystick.prices._payload import as_json

#: how often the clients of these providers send again what failed, unless they are told
_SDK_RETRIES = 2
_WITH_SDK = ("ChatOpenAI", "AzureChatOpenAI", "OpenAI", "AzureOpenAI", "ChatAnthropic")
#: names of the limit of the output; which of several counts is different for each model and API
_LIMITS = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"),
    *("max_tokens_to_sample", "maxOutputTokens", "num_predict"),
)
_CHOICES = ("n", "best_of", "candidate_count")
#: where a client's address is kept
_ADDRESSES = ("openai_api_base", "anthropic_api_url", "base_url", "azure_endpoint")
#: what names a model
_NAMES = ("model", "model_name", "model_id", "deployment_name")
#: what is no part of the prompt
_NOT_READ = frozenset({"_type", "stop", *_LIMITS, *_CHOICES, *_NAMES})
#: for what comes from outside, of which nothing is known
_LIST: Any = list
_MAPPING: Any = Mapping
#: LangChain's own kinds of blocks that are sent as text
_TEXT = frozenset(
    {"tool_call", "invalid_tool_call", "server_tool_call", "server_tool_result", "text-plain"}
)


def described(
    serialized: Mapping[str, Any] | None,
    said: Sequence[BaseMessage] | str,
    metadata: Mapping[str, Any],
    params: Mapping[str, Any],
    options: Mapping[str, Any],
    book: PriceBook,
) -> ModelRequest:
    """The request that is about to be sent, as far as LangChain tells."""
    made: Mapping[str, Any] = (serialized or {}).get("kwargs") or {}
    model = _model(metadata, params, made, serialized)
    provider = _provider(metadata, made)
    payload = payload_of(said, params, options)
    text = json.dumps(payload, sort_keys=True, default=repr)
    most = input_bound(payload, model=model)
    if most is None:
        most = input_bound(payload, model=model, max_input=book.max_input(model, provider))
    return ModelRequest(
        model=model,
        provider=provider,
        input_bound=most,
        output_bound=_output(params),
        cached='"cache_control"' in text or '"cachePoint"' in text,
        audio="audio" in text or "audio" in model,
        digest=hashlib.sha256(f"{provider}\n{model}\n{text}".encode()).digest(),
        attempts=_attempts(serialized, made),
        context=_text(params.get("service_tier")),
    )


def choices(params: Mapping[str, Any]) -> int:
    """How many answers are asked for at once."""
    return max(1, *(_whole(params.get(name)) or 1 for name in _CHOICES))


def _model(
    metadata: Mapping[str, Any],
    params: Mapping[str, Any],
    made: Mapping[str, Any],
    serialized: Mapping[str, Any] | None,
) -> str:
    found = [metadata.get("ls_model_name"), *(kw.get(n) for kw in (params, made) for n in _NAMES)]
    kind = (serialized or {}).get("name") or "an unnamed model"
    return next((name for name in map(_text, found) if name), str(kind))


def limits(params: Mapping[str, Any]) -> list[str]:
    """Under which names the request limits its output."""
    return [name for name in _LIMITS if _whole(params.get(name)) is not None]


def _provider(metadata: Mapping[str, Any], made: Mapping[str, Any]) -> str | None:
    """Whose model it is: at another address the client's name says nothing."""
    address = next((text for name in _ADDRESSES if (text := _text(made.get(name)))), None)
    if address is None:
        return _text(metadata.get("ls_provider"))
    return provider_of(urlsplit(str(address)).hostname or "")


def _output(params: Mapping[str, Any]) -> int | None:
    """The most that all answers may have together: of several limits any one may be the one."""
    extra: Mapping[str, Any] = params.get("extra_body") or {}
    given = [_whole(where.get(name)) for where in (params, extra) for name in _LIMITS]
    each = max((limit for limit in given if limit is not None), default=None)
    return None if each is None else each * choices({**params, **extra})


def _attempts(serialized: Mapping[str, Any] | None, made: Mapping[str, Any]) -> int:
    said = _whole(made.get("max_retries"))
    if said is None:
        ids = (serialized or {}).get("id") or [""]
        said = _SDK_RETRIES if ids[-1] in _WITH_SDK else 0
    return 1 + said


# -- what is read ---------------------------------------------------------------------------------


def payload_of(
    said: Sequence[BaseMessage] | str, params: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that goes into the prompt: what is said, tools, schemas, and other settings."""
    sent = {name: as_json(value) for name, value in params.items() if name not in _NOT_READ}
    structured: Mapping[str, Any] = options.get("ls_structured_output_format") or {}
    # A strict form of a schema names each field once more, and closes each object.
    sent["schemas"] = [sent.get("response_format"), structured.get("schema")] * 2
    if isinstance(said, str):
        return {**sent, "messages": [{"content": said}]}
    return {**sent, "messages": [_message(message) for message in said]}


def _message(message: BaseMessage) -> dict[str, Any]:
    said: Any = message.content
    blocks: list[Any] | None = said if isinstance(said, _LIST) else None
    return {
        "role": message.type,
        "name": message.name,
        "content": said if blocks is None else [_block(one) for one in blocks],
        # Integrations send arguments as JSON within JSON.
        "calls": json.dumps(getattr(message, "tool_calls", ()), default=repr),
        "unread": json.dumps(getattr(message, "invalid_tool_calls", ()), default=repr),
        "answers": getattr(message, "tool_call_id", None),
        "more": as_json(message.additional_kwargs),
    }


def _block(block: Any) -> Any:
    kind: Any = block.get("type") if hasattr(block, "get") else None
    return {"type": "text", "text": json.dumps(block, default=repr)} if kind in _TEXT else block


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
