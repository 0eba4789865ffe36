"""What a request to a model is made of, as far as it decides how many tokens go in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

#: parts of a message whose tokens are in their text
_TEXT = frozenset({
    *("text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal"),
    *("thinking", "redacted_thinking", "reasoning", "message", "search_result"),
    *("tool_use", "tool_result", "function_call", "function_call_output"),
    *("custom_tool_call", "custom_tool_call_output"),
    *("human", "ai", "system", "tool", "tool_call"),  # LangChain's messages
})  # fmt: skip
_IMAGE = frozenset({"image", "image_url", "input_image", "input_screenshot", "computer_screenshot"})
#: inside an image or a file: what is looked at and not read
_PIXELS = frozenset({"data", "url", "image_url", "base64", "file_id", "file_data"})
#: parts within parts
_INNER = ("content", "output", "summary")
#: lists of messages, by the names that the providers give them
_CONVERSATION = ("messages", "input", "system")
#: what the provider keeps and adds to the request
_KEPT = ("previous_response_id", "conversation", "container", "cached_content")
#: what lets the provider go round by itself: each round reads everything again
_ROUNDS = ("web_search_options", "mcp_servers")
_ORDINARY_TOOLS = frozenset({"function", "custom"})
#: Anthropic's tools that the caller performs; their description is the provider's, some hundreds
#: of tokens long
_CLIENT_TOOLS = ("bash_", "text_editor_", "memory_", "computer_")
_CLIENT_TOOL = 2048


@dataclass(slots=True)
class Content:
    """What was found in a request."""

    #: everything that is read as text
    text: Any = None
    messages: int = 0
    tools: int = 0
    images: int = 0
    #: tokens that the provider adds and documents
    extra: int = 0
    #: something whose size cannot be told is in there, within the model's window
    opaque: bool = False
    #: the provider may read the window several times
    rounds: bool = False


def read(request: Mapping[str, Any]) -> Content:
    """Take *request* apart: chat completions, Responses and Anthropic's messages."""
    found = Content()
    text = dict(request)
    for name in _CONVERSATION:
        if isinstance(text.get(name), list | tuple):
            text[name] = [_part(item, found) for item in text[name]]
            found.messages += len(text[name])
        elif name in text:
            found.messages += 1
    if isinstance(prompt := text.get("prompt"), str):  # of an old completion, not a stored one
        found.messages += 1
    else:
        found.opaque |= bool(prompt)
    found.opaque |= not found.messages or any(text.get(name) for name in _KEPT)
    found.rounds |= any(text.get(name) for name in _ROUNDS)
    for name in ("tools", "functions"):
        tools = text.get(name) or ()
        if isinstance(tools, list | tuple):
            for tool in _all(tools):
                _tool(_mapping(tool), found)
        else:  # to look into an iterator would use it up
            found.rounds = True
    found.text = text
    return found


def plain(found: Content) -> Callable[[Any], Any]:
    """For :func:`json.dumps`: what a client's object stands for, noting what has no such form."""

    def convert(value: Any) -> Any:
        mapping = _mapping(value)
        if mapping is not None:
            return dict(mapping)
        # the clients' word for an option that was not given
        found.opaque |= type(value).__name__ not in {"NotGiven", "Omit"}
        return None

    return convert


def _part(item: Any, found: Content) -> Any:
    """A message, or a part of one, without what is not read as text."""
    mapping = _mapping(item)
    if mapping is None:
        found.opaque |= not isinstance(item, str)
        return item
    kind = str(mapping.get("type", "message"))
    if kind in _IMAGE:
        found.images += 1
        return _without_pixels(mapping)
    if kind not in _TEXT and not _is_text_document(kind, mapping):
        found.opaque = True
        return _without_pixels(mapping)
    found.opaque |= bool(mapping.get("audio"))  # what the model said before, by its id
    parts = dict(mapping)
    for name in _INNER:
        inner: Any = parts.get(name)
        if isinstance(inner, list | tuple):
            parts[name] = [_part(part, found) for part in _all(inner)]
    return parts


def _is_text_document(kind: str, part: Mapping[str, Any]) -> bool:
    """Anthropic's plain text documents; its PDFs are pictures too."""
    source = _mapping(part.get("source"))
    return kind == "document" and source is not None and source.get("type") == "text"


def _without_pixels(part: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in part.items():
        inner = _mapping(value)
        if inner is not None:
            kept[name] = _without_pixels(inner)
        elif name not in _PIXELS:
            kept[name] = value
    return kept


def _tool(tool: Mapping[str, Any] | None, found: Content) -> None:
    found.tools += 1
    kind = str((tool or {}).get("type", "custom"))
    if kind.startswith(_CLIENT_TOOLS):
        found.extra += _CLIENT_TOOL
    elif kind not in _ORDINARY_TOOLS:
        found.rounds = True


def _mapping(value: Any) -> Mapping[str, Any] | None:
    """*value* as a mapping: as it is, or as a client's object dumps itself."""
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    dump: Any = getattr(value, "model_dump", None)
    if isinstance(value, type) or not callable(dump):
        return None
    return cast("Mapping[str, Any]", dump(mode="json", exclude_none=True))


def _all(values: Any) -> list[Any]:
    return list(values)
