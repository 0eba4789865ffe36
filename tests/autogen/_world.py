"""Models that follow a script, and what agents and teams are made of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import ToolCallExecutionEvent
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    LLMMessage,
    ModelInfo,
    RequestUsage,
)
from autogen_core.tools import BaseTool, Tool, ToolSchema, Workbench

#: what a model says: words, calls (name and arguments), or an exception
Turn = str | list[tuple[str, dict[str, Any]]] | BaseException
Script = Sequence[Turn] | Callable[[Sequence[LLMMessage]], Turn]

INFO = ModelInfo(
    vision=False, function_calling=True, json_output=True, family="unknown", structured_output=True
)


class Scripted(ChatCompletionClient):
    """A model that says one turn after the other, the last one again and again."""

    component_type = "model"

    def __init__(self, script: Script, *, ids: str = "call_{0}_{1}") -> None:
        self.script = script
        self.ids = ids
        self.asked: list[list[LLMMessage]] = []
        self.tools: list[Sequence[Tool | ToolSchema]] = []
        self.extra: list[Mapping[str, Any]] = []
        #: when set, the model thinks until somebody says so
        self.thinking: asyncio.Event | None = None

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Any = "auto",
        json_output: Any = None,
        extra_create_args: Mapping[str, Any] = {},
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        n = len(self.asked)
        self.asked.append(list(messages))
        self.tools.append(tools)
        self.extra.append(extra_create_args)
        if self.thinking is not None:
            waiting = asyncio.ensure_future(self.thinking.wait())
            if cancellation_token is not None:
                _ = cancellation_token.link_future(waiting)
            await waiting
        turn = (
            self.script(messages)
            if callable(self.script)
            else self.script[min(n, len(self.script) - 1)]
        )
        if isinstance(turn, BaseException):
            raise turn
        usage = RequestUsage(prompt_tokens=11, completion_tokens=7)
        if isinstance(turn, str):
            return CreateResult(finish_reason="stop", content=turn, usage=usage, cached=False)
        calls = [
            FunctionCall(id=self.ids.format(n, i), name=name, arguments=json.dumps(args))
            for i, (name, args) in enumerate(turn)
        ]
        return CreateResult(
            finish_reason="function_calls", content=calls, usage=usage, cached=False
        )

    async def create_stream(
        self, messages: Sequence[LLMMessage], **options: Any
    ) -> AsyncGenerator[str | CreateResult, None]:
        result = await self.create(messages, **options)
        if isinstance(result.content, str):
            for word in result.content.split():
                yield f"{word} "
        yield result

    async def close(self) -> None: ...

    def actual_usage(self) -> RequestUsage:
        return RequestUsage(prompt_tokens=11 * len(self.asked), completion_tokens=7)

    def total_usage(self) -> RequestUsage:
        return self.actual_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], **options: Any) -> int:
        return 1

    def remaining_tokens(self, messages: Sequence[LLMMessage], **options: Any) -> int:
        return 1000

    @property
    def capabilities(self) -> Any:
        return INFO

    @property
    def model_info(self) -> ModelInfo:
        return INFO


def agent(
    model: ChatCompletionClient,
    tools: Sequence[BaseTool[Any, Any]] = (),
    *,
    name: str = "payer",
    rounds: int = 5,
    workbench: Workbench | None = None,
    **options: Any,
) -> AssistantAgent:
    """An agent that may call its tools in several rounds."""
    where: Any = {"workbench": workbench} if workbench is not None else {"tools": list(tools)}
    return AssistantAgent(name, model, **where, max_tool_iterations=rounds, **options)


def results(result: TaskResult, source: str = "payer") -> list[str]:
    """What the tools told the model of an agent, in order."""
    return [
        told.content
        for message in result.messages
        if isinstance(message, ToolCallExecutionEvent) and message.source == source
        for told in message.content
    ]


async def soon(awaited: Any) -> Any:
    """It ends within seconds, or the test fails."""
    return await asyncio.wait_for(awaited, 10)
