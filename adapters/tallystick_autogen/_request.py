"""
From what AutoGen asks a model to what can be reserved for it.

Everything here errs upwards: what is not known to be small is taken to be large.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from autogen_core import CancellationToken, Image
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    FunctionExecutionResultMessage,
    LLMMessage,
    UserMessage,
)
from autogen_core.tools import Tool

from tallystick._values import Value
from tallystick.prices import PriceBook, input_bound

if TYPE_CHECKING:
    from tallystick.metering import ModelRequest

#: names of the limit of the output
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
#: how often the clients of these providers send again what failed, unless they are told
_SDK_RETRIES = 2
_WITH_SDK = {
    "OpenAIChatCompletionClient": "openai",
    "AzureOpenAIChatCompletionClient": "azure",
    "AnthropicChatCompletionClient": "anthropic",
}
#: clients that ask a stream for its usage only if they are told to, and who answers that
_SILENT = ("OpenAIChatCompletionClient", "AzureOpenAIChatCompletionClient")
_TELLING = ("openai", "azure")


class Asked(Value):
    """One question to a model, as the frameworks' clients are asked it."""

    messages: Sequence[LLMMessage]
    tools: Sequence[Any] = ()
    tool_choice: Any = "auto"
    json_output: Any = None
    extra: Mapping[str, Any]

    def payload(self) -> dict[str, Any]:
        """Everything that goes into the prompt."""
        schema = _schema(self.json_output)
        return {
            "messages": [said for message in self.messages for said in _said(message)],
            "tools": [{"type": "function", "function": _tool(tool)} for tool in self.tools],
            # a strict form of a schema names each field once more, and closes each object
            "schemas": [schema, schema],
            "extra": dict(self.extra),
        }

    def options(self, token: CancellationToken | None) -> dict[str, Any]:
        """The options of a client's ``create``."""
        return {
            "tools": self.tools,
            "tool_choice": self.tool_choice,
            "json_output": self.json_output,
            "extra_create_args": self.extra,
            "cancellation_token": token,
        }

    def digest(self, *more: str) -> bytes:
        """A sha256 of all that is asked."""
        choice = self.tool_choice.name if isinstance(self.tool_choice, Tool) else self.tool_choice
        text = json.dumps([more, choice, self.payload()], sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).digest()


class Made(Value):
    """What a client was made with, as far as it tells."""

    model: str
    provider: str | None
    output: int | None
    attempts: int
    #: whether its streams tell what they used only if they are asked to
    silent: bool

    @classmethod
    def of(cls, client: ChatCompletionClient, model: str | None, provider: str | None) -> Made:
        """What is known of *client*, and what the caller says."""
        from tallystick.clients._endpoints import provider_of  # who wraps tools needs none of it

        config = _config(client)
        kind = type(client).__name__
        retries = _whole(config.get("max_retries"))
        if retries is None:
            retries = _SDK_RETRIES if kind in _WITH_SDK else 0
        address = config.get("base_url")
        host = urlsplit(str(address)).hostname or "" if address else ""
        provider = provider or (provider_of(host) if host else _WITH_SDK.get(kind))
        return cls(
            model=model or str(config.get("model") or kind),
            provider=provider,
            output=_most(config),
            attempts=1 + retries,
            silent=kind in _SILENT and provider in _TELLING and not config.get("stream_options"),
        )

    def streamed(self, extra: Mapping[str, Any]) -> Mapping[str, Any]:
        """*extra*, and that a stream is to tell its usage; AutoGen asks for that only if told."""
        if not self.silent or "stream_options" in extra:
            return extra
        return {**extra, "stream_options": {"include_usage": True}}

    def request(self, asked: Asked, book: PriceBook) -> ModelRequest:
        """What is about to be asked, bounded."""
        from tallystick.metering import ModelRequest  # as above

        model = str(asked.extra.get("model") or self.model)
        payload = asked.payload()
        most = input_bound(payload, model=model)
        if most is None:
            most = input_bound(payload, model=model, max_input=book.max_input(model, self.provider))
        answers = _whole(asked.extra.get("n")) or 1
        output = _most(asked.extra)
        output = self.output if output is None else output
        return ModelRequest(
            model=model,
            provider=self.provider,
            input_bound=most,
            output_bound=None if output is None else output * answers,
            digest=asked.digest(model),
            attempts=self.attempts,
        )


def _config(client: ChatCompletionClient) -> Mapping[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the client's module, which is its own affair
            return client.dump_component().config
    except Exception:  # noqa: BLE001 - not every client can be dumped; it then tells nothing
        return {}


def _said(message: LLMMessage) -> list[dict[str, Any]]:
    if isinstance(message, FunctionExecutionResultMessage):
        return [
            {"role": "tool", "content": one.content, "name": one.name, "answers": one.call_id}
            for one in message.content
        ]
    said: dict[str, Any] = {"role": message.type}
    if isinstance(message, UserMessage):
        said |= {"name": message.source, "content": _parts(message.content)}
    elif isinstance(message, AssistantMessage) and not isinstance(message.content, str):
        calls = [[call.id, call.name, call.arguments] for call in message.content]
        said |= {"content": "", "calls": json.dumps(calls), "thought": message.thought}
    elif isinstance(message, AssistantMessage):
        said |= {"content": message.content, "name": message.source, "thought": message.thought}
    else:
        said["content"] = message.content
    return [said]


def _parts(content: str | list[str | Image]) -> Any:
    if isinstance(content, str):
        return content
    return [
        {"type": "text", "text": part} if isinstance(part, str) else part.to_openai_format()
        for part in content
    ]


def _tool(tool: Any) -> Any:
    return tool.schema if isinstance(tool, Tool) else dict(tool)


def _schema(kind: Any) -> Any:
    return kind.model_json_schema() if isinstance(kind, type) else kind  # type: ignore[attr-defined]


def _most(settings: Mapping[str, Any]) -> int | None:
    """Of several limits any one may be the one that counts."""
    given = [_whole(settings.get(name)) for name in _LIMITS]
    return max((limit for limit in given if limit is not None), default=None)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
