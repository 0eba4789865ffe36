"""Models for the notebooks: each calls its tools and then says its last word, without a network."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from autogen_core import FunctionCall
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    LLMMessage,
    ModelInfo,
    RequestUsage,
)
from crewai.llms.base_llm import BaseLLM, llm_call_context
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from pydantic import PrivateAttr


class ForLangChain(GenericFakeChatModel):
    """A chat model of LangChain and LangGraph."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        """Whatever they are."""
        return self


def for_langchain(tool: str, args: dict[str, Any], last: str) -> ForLangChain:
    """Calls *tool*, then says *last*."""
    return turns_for_langchain((tool, args), last)


def turns_for_langchain(*turns: tuple[str, dict[str, Any]] | str) -> ForLangChain:
    """Says these, in turn: a tool and its arguments call it."""
    return ForLangChain(messages=iter([_message(turn) for turn in turns]))


def _message(turn: tuple[str, dict[str, Any]] | str) -> AIMessage:
    if isinstance(turn, str):
        return AIMessage(turn)
    tool, args = turn
    call: Any = {"name": tool, "args": args, "id": f"call-{tool}"}
    return AIMessage("", tool_calls=[call])


class ForCrewAI(BaseLLM):
    """A model of CrewAI."""

    llm_type: str = "scripted"
    _script: list[Any] = PrivateAttr(default_factory=list[Any])

    def following(self, *turns: Any) -> ForCrewAI:
        """This model, with what it says."""
        self._script = list(turns)
        return self

    def supports_function_calling(self) -> bool:
        """Natively."""
        return True

    def call(self, messages: Any, *args: Any, **options: Any) -> Any:
        """The next turn, the last one for ever."""
        with llm_call_context():
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]


def for_crewai(tool: str, args: dict[str, Any], last: str) -> ForCrewAI:
    """Calls *tool*, then says *last*."""
    function = {"name": tool, "arguments": json.dumps(args)}
    call = {"id": "call_1", "type": "function", "function": function}
    return ForCrewAI(model="scripted").following([call], last)


class ForAutoGen(ChatCompletionClient):
    """A model of AutoGen."""

    def __init__(self, turns: list[Any]) -> None:
        self._turns = turns

    async def create(self, messages: Sequence[LLMMessage], **options: Any) -> CreateResult:
        """The next turn, the last one for ever."""
        turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
        return CreateResult(
            finish_reason="stop" if isinstance(turn, str) else "function_calls",
            content=turn,
            usage=self.total_usage(),
            cached=False,
        )

    async def create_stream(
        self, messages: Sequence[LLMMessage], **options: Any
    ) -> AsyncGenerator[str | CreateResult, None]:
        """The same, at once."""
        yield await self.create(messages, **options)

    async def close(self) -> None:
        """Nothing is open."""

    def actual_usage(self) -> RequestUsage:
        """Always the same."""
        return RequestUsage(prompt_tokens=10, completion_tokens=5)

    def total_usage(self) -> RequestUsage:
        """Always the same."""
        return self.actual_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], **options: Any) -> int:
        """Nobody counts."""
        return 10

    def remaining_tokens(self, messages: Sequence[LLMMessage], **options: Any) -> int:
        """Nobody counts."""
        return 1000

    @property
    def capabilities(self) -> Any:
        """Those of the model."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        """It calls functions."""
        return ModelInfo(
            vision=False,
            function_calling=True,
            json_output=True,
            family="unknown",
            structured_output=True,
        )


def for_autogen(tool: str, args: dict[str, Any], last: str) -> ForAutoGen:
    """Calls *tool*, then says *last*."""
    return ForAutoGen([[FunctionCall(id="call_1", name=tool, arguments=json.dumps(args))], last])
