"""What tools return: kept by the ledger, and fit for the call that gets it again."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator
from typing import Any, cast

from langchain_core import messages as _messages
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage

from tallystick._codec import register
from tallystick.errors import ResultTypeUnknown

_NAMES = [name for name in _messages.__all__ if name.endswith(("Message", "MessageChunk"))]
_MODELS: dict[str, Any] = {
    name: getattr(_messages, name) for name in _NAMES if name != "AnyMessage"
}
_MODELS["Document"] = Document
_LANGGRAPH = {"Command", "Send", "Overwrite"}


class _Models:
    """Messages and documents of langchain_core, field by field, wherever they are defined."""

    kind = "langchain"

    def matches(self, value: object, /) -> bool:
        """Whether *value* is exactly one of them: a subclass may know more."""
        return _MODELS.get(type(value).__name__) is type(value)

    def encode(self, value: Any, /) -> object:
        """The fields, what was given beyond them, and which were left unset."""
        fields: list[str] = list(cast("Any", type(value)).model_fields)
        data: dict[str, Any] = {
            "class": type(value).__name__,
            "fields": {name: getattr(value, name) for name in fields},
            "unset": [name for name in fields if name not in value.model_fields_set],
        }
        if value.model_extra:
            data["extra"] = dict(value.model_extra)
        return data

    def decode(self, data: Any, /) -> object:
        """The same, without validating: a message that was valid once is what was returned."""
        kind = _MODELS.get(data["class"])
        if kind is None:
            raise _unknown(f"langchain_core's {data['class']}", "langchain-core")
        fields, extra = data["fields"], data.get("extra", {})
        given = (fields.keys() | extra.keys()) - set(data["unset"])
        return kind.model_construct(_fields_set=given, **fields, **extra)


class _LangGraph:
    """What a tool may tell the graph."""

    kind = "langgraph"

    def matches(self, value: object, /) -> bool:
        """Whether *value* is a Command, or something that goes into one."""
        return _is_langgraph(value, _LANGGRAPH)

    def encode(self, value: Any, /) -> object:
        """The arguments that make it again."""
        return {"class": type(value).__name__, "fields": _slots(value)}

    def decode(self, data: Any, /) -> object:
        """It, made again by its constructor."""
        name, fields = data["class"], data["fields"]
        try:
            return getattr(importlib.import_module("langgraph.types"), name)(**fields)
        except (ImportError, AttributeError, TypeError) as error:
            raise _unknown(f"langgraph's {name}", "langgraph") from error


def _slots(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    names: tuple[str, ...] = cast("Any", type(value)).__slots__
    found: dict[str, Any] = {name: getattr(value, name) for name in names}
    if found.get("timeout") is None:  # of a Send; newer than the others
        found.pop("timeout", None)
    return found


def _unknown(what: str, package: str) -> ResultTypeUnknown:
    return ResultTypeUnknown(
        f"the result holds {what}, which is not here: install the {package} that recorded it"
    )


register(_Models())
register(_LangGraph())


def readdressed(result: Any, call_id: str | None) -> Any:
    """
    A recorded *result* as the answer to the call with *call_id*.

    A message that answers a tool call names it, and the recorded one names the call of then. The
    messages of other calls that a Command may carry (a handoff with the whole history) stay.
    """
    ids = [message.tool_call_id for message in _answers(result)]
    if call_id is None or not ids or call_id in ids:
        return result
    return _replaced(result, ids[-1], call_id)


def _answers(result: Any) -> Iterator[ToolMessage]:
    """The messages of *result* that answer tool calls, the one that answers its own last."""
    if isinstance(result, ToolMessage):
        yield result
    elif _is_command(result):
        yield from _within(result.update)
    elif isinstance(result, list):
        for item in sorted(cast("Any", result), key=lambda item: isinstance(item, ToolMessage)):
            if isinstance(item, ToolMessage) or _is_command(item):
                yield from _answers(item)


def _within(update: Any) -> Iterator[ToolMessage]:
    if isinstance(update, ToolMessage):
        yield update
    elif isinstance(update, dict):
        yield from _within(list(cast("Any", update).values()))
    elif isinstance(update, list | tuple):
        for item in cast("Any", update):
            yield from _within(item)


def _replaced(value: Any, old: str, new: str) -> Any:
    if isinstance(value, ToolMessage):
        if value.tool_call_id != old:
            return value
        # The message's own id, too, is the one of then: under it the graph would replace that.
        return value.model_copy(update={"tool_call_id": new, "id": None})
    if type(value) in {list, tuple}:
        return type(value)(_replaced(item, old, new) for item in value)
    if type(value) is dict:
        return {key: _replaced(item, old, new) for key, item in cast("Any", value).items()}
    if _is_command(value):
        return dataclasses.replace(value, update=_replaced(value.update, old, new))
    return value


def _is_command(value: Any) -> bool:
    return _is_langgraph(value, {"Command"})


def _is_langgraph(value: Any, names: set[str]) -> bool:
    kind = cast("Any", type(value))
    return kind.__module__ == "langgraph.types" and kind.__name__ in names
