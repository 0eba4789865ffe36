"""The same few calls, for the cassettes, the replays and the comparison of plain and streamed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.providers._answers import Answer, Call

GPT = "gpt-5-mini"
CLAUDE = "claude-sonnet-5"

ASK: Any = [{"role": "user", "content": "What do two and two make?"}]

#: what every recorded answer used: 400 fresh input, 600 from the cache, 15 said, 25 thought
FIGURES: dict[str, Any] = {"input": 1000, "cache_read": 600, "output": 40, "reasoning": 25}
#: Anthropic tells no reasoning apart, and counts what was written to the cache
CLAUDE_FIGURES: dict[str, Any] = {"input": 1000, "cache_read": 600, "cache_write": 300}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One call of one client's method, and what the provider answers."""

    client: str
    method: str
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    answer: Answer

    @property
    def streamed(self) -> bool:
        """Whether the answer comes in pieces."""
        return bool(self.options.get("stream"))


def _said(**figures: Any) -> Answer:
    return Answer(text="They make four, as far as I know.", **figures)


_CHAT: dict[str, Any] = {"model": GPT, "messages": ASK, "max_completion_tokens": 200}
_RESPONSES: dict[str, Any] = {
    "model": GPT,
    "input": "What do two and two make?",
    "max_output_tokens": 200,
}
_MESSAGES: dict[str, Any] = {"model": CLAUDE, "messages": ASK, "max_tokens": 200}
_USAGE: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
_TOOL = (Call(name="add", arguments='{"a": 2, "b": 2}'),)

STORIES = {
    "chat": Story(
        client="openai",
        method="chat.completions.create",
        options=_CHAT,
        answer=_said(**FIGURES),
    ),
    "chat-stream": Story(
        client="openai",
        method="chat.completions.create",
        options=_CHAT | _USAGE,
        answer=_said(**FIGURES),
    ),
    "chat-tools-stream": Story(
        client="openai",
        method="chat.completions.create",
        options=_CHAT | _USAGE,
        answer=Answer(calls=_TOOL, **FIGURES),
    ),
    "responses": Story(
        client="openai",
        method="responses.create",
        options=_RESPONSES,
        answer=_said(**FIGURES),
    ),
    "responses-stream": Story(
        client="openai",
        method="responses.create",
        options=_RESPONSES | {"stream": True},
        answer=_said(**FIGURES),
    ),
    "messages": Story(
        client="anthropic",
        method="messages.create",
        options=_MESSAGES,
        answer=_said(**CLAUDE_FIGURES),
    ),
    "messages-stream": Story(
        client="anthropic",
        method="messages.create",
        options=_MESSAGES | {"stream": True},
        answer=_said(**CLAUDE_FIGURES),
    ),
}
