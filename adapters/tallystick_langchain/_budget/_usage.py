"""
What LangChain says that a call consumed.

Pure. ``None`` is what nobody said: it is never taken for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import Generation, LLMResult

from tallystick._values import Value
from tallystick.prices import Usage

#: where an answer says why it ended
_ENDS = ("finish_reason", "stop_reason", "done_reason", "status")
#: blocks of an answer that say that the provider searched by itself
_SEARCHES = ("web_search_call", "server_tool_use", "server_tool_call")


class Heard(Value):
    """What an answer, or the part of one that arrived, says about itself."""

    usage: Usage | None
    #: the model that answered, where it says so
    model: str | None
    #: UTF-8 bytes of everything that came out
    said: int
    #: of what came out, without the ids that are new each time
    digest: bytes
    #: it says that it came to its end
    whole: bool
    #: LangChain's own cache answered, nobody else
    cached: bool


def heard(result: LLMResult, *, alone: bool = True) -> Heard:
    """
    All generations of *result* together.

    Models that complete text say once for a whole ``batch`` what it consumed; *alone* is whether
    this was the only call in it.
    """
    made = [one for several in result.generations for one in several]
    messages = [message for one in made if (message := _message(one)) is not None]
    answers = [_answer(one) for one in made]
    text = json.dumps(answers, sort_keys=True, default=repr, ensure_ascii=False).encode()
    output: Mapping[str, Any] = result.llm_output or {}
    return Heard(
        usage=_usage(made, messages, output) if messages or alone else None,
        model=_model(messages, output),
        said=sum(map(_bytes, answers)),
        digest=hashlib.sha256(text).digest(),
        whole=bool(made) and all(map(_ended, made)),
        cached=bool(messages) and all(map(_from_cache, messages)),
    )


class Part(Value):
    """What arrived of an answer that broke off."""

    usage: Usage | None = None
    model: str | None = None
    #: something arrived
    begun: bool = False
    #: it was all there, only nobody looked any further
    whole: bool = False


def partial(result: Any, streamed: Any) -> Part:
    """The chunks of *result*, and what the *streamed* ones said of their usage."""
    made = [one for several in (result.generations if result else ()) for one in several]
    chunk = next((m for m in map(_message, made) if isinstance(m, AIMessageChunk)), None)
    if chunk is None:
        return Part(usage=Usage.from_langchain(streamed))
    said: Mapping[str, Any] = chunk.response_metadata
    return Part(
        usage=Usage.from_langchain(chunk.usage_metadata) or Usage.from_langchain(streamed),
        model=_model([chunk], {}),
        begun=True,
        whole=any(map(said.get, _ENDS)),
    )


def _ended(one: Generation) -> bool:
    """A stream that was cut off politely looks like one that ended, but for this."""
    message = _message(one)
    said: list[Mapping[str, Any]] = [one.generation_info or {}]
    if message is not None:
        said.append(message.response_metadata)
    return any(where.get(name) for where in said for name in _ENDS)


def _message(one: Generation) -> AIMessage | None:
    message = getattr(one, "message", None)
    return message if isinstance(message, AIMessage) else None


def _from_cache(message: AIMessage) -> bool:
    """LangChain writes this where its cache answers: the tokens are those of the first time."""
    usage: Any = message.usage_metadata or {}
    return bool(usage.get("total_cost") == 0)


def _usage(
    made: list[Generation], messages: list[AIMessage], output: Mapping[str, Any]
) -> Usage | None:
    given = output.get("token_usage") or output.get("usage")
    whole = _reported(given)
    each = [Usage.from_langchain(message.usage_metadata) for message in messages]
    known = [usage for usage in each if usage is not None]
    if not known or len(known) < len(made):
        # Choices of one answer: one of them may speak for all, and never for less than it says.
        return whole if whole is not None or not known else None
    if len(known) > 1 and whole is not None and all(one == known[0] for one in known):
        known = known[:1]  # each choice repeats what the whole answer consumed
    total = known[0]
    for usage in known[1:]:
        total += usage
    return _searched(total, messages)


def _reported(given: Any) -> Usage | None:
    return Usage.from_openai_chat(given) or Usage.from_openai_responses(given) if given else None


def _searched(usage: Usage, messages: Iterable[AIMessage]) -> Usage:
    searches = sum(_is_search(block) for message in messages for block in _blocks(message))
    return usage + Usage(web_searches=searches, requests=0) if searches else usage


def _blocks(message: BaseMessage) -> list[Any]:
    content: Any = message.content
    extra: Any = message.additional_kwargs.get("tool_outputs")
    return [*(content if isinstance(content, list) else ()), *(extra or ())]


def _is_search(block: Any) -> bool:
    kind: Any = block.get("type") if hasattr(block, "get") else None
    return kind in _SEARCHES and bool(block.get("name", "web_search") == "web_search")


def _model(messages: Iterable[AIMessage], output: Mapping[str, Any]) -> str | None:
    said = [message.response_metadata for message in messages]
    for where in (*said, output):
        for name in ("model_name", "model", "model_id"):
            if isinstance(found := where.get(name), str) and found:
                return found
    return None


def _answer(one: Generation) -> list[Any]:
    message = _message(one)
    if message is None:
        return [one.text]
    calls = [[call["name"], call["args"]] for call in message.tool_calls]
    unread = [[call.get("name"), call.get("args")] for call in message.invalid_tool_calls]
    return [message.content, calls, unread, message.additional_kwargs.get("reasoning_content")]


def _bytes(answer: list[Any]) -> int:
    return sum(
        len(part.encode())
        if isinstance(part, str)
        else len(json.dumps(part, default=repr).encode()) * bool(part)
        for part in answer
    )


def hides(params: Mapping[str, Any], model: str) -> bool:
    """Whether the model may be thinking unseen, so that what arrived bounds nothing."""
    asked = any(
        params.get(name)
        for name in ("reasoning", "reasoning_effort", "thinking", "thinking_budget", "effort")
    )
    return asked or not _plain(model)


#: models that are known to say all that they produce
_PLAIN = ("gpt-3.5", "gpt-4", "chatgpt-4o", "claude-3-", "llama", "mixtral", "command-r")


def _plain(model: str) -> bool:
    return model.rpartition("/")[2].lower().startswith(_PLAIN)
