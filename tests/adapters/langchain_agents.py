"""Real agents with scripted models: no network, no account."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

from langchain import agents
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import (  # pyright: ignore[reportMissingTypeStubs]
    END,
    START,
    MessagesState,
    StateGraph,
)
from langgraph.prebuilt import ToolNode
from pydantic import Field

Asked = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], str | None]
Script = Callable[[Sequence[BaseMessage]], "list[Asked] | str"]


class ScriptedModel(BaseChatModel):
    """Asks for the tool calls that its script names, under new ids like a provider's."""

    script: Script
    #: how many messages it saw, each time
    asked: list[int] = Field(default_factory=list[int])

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.asked.append(len(messages))
        answer = self.script(messages)
        message = AIMessage(answer) if isinstance(answer, str) else asking(*answer)
        return ChatResult(generations=[ChatGeneration(message=message)])


def asking(*calls: Asked) -> AIMessage:
    """A message that asks for these calls, each a name, arguments and perhaps an id."""
    made: list[dict[str, Any]] = []
    for name, args, *given in calls:
        call_id = given[0] if given else f"call_{uuid.uuid4().hex[:12]}"
        made.append({"name": name, "args": args, "id": call_id, "type": "tool_call"})
    return AIMessage("", tool_calls=made)


def once(*calls: Asked, final: str = "") -> Script:
    """Ask for *calls*, and finish with what the tools answered."""

    def script(messages: Sequence[BaseMessage]) -> list[Asked] | str:
        last = messages[-1]
        return final or str(last.content) if isinstance(last, ToolMessage) else list(calls)

    return script


def agent_of(tools: Sequence[Any], script: Script, **options: Any) -> Any:
    """A ``create_agent`` agent with its own checkpointer."""
    options.setdefault("checkpointer", InMemorySaver())
    return agent_on(ScriptedModel(script=script), tools, **options)


def agent_on(model: BaseChatModel, tools: Sequence[Any], **options: Any) -> Any:
    """The same on a model of any kind."""
    create: Any = cast("Any", agents).create_agent  # its type is unknown in part
    return create(model, tools, **options)


def graph_of(
    tools: Sequence[BaseTool],
    *,
    store: Any = None,
    checkpointer: Any = None,
    state: Any = MessagesState,
    node: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """A graph whose only node is a classic ToolNode."""
    graph: Any = StateGraph(state)
    graph.add_node("tools", ToolNode(tools, **options), **(node or {}))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile(store=store, checkpointer=checkpointer)


def thread(name: object = "order-42") -> RunnableConfig:
    """The configuration of a run on a thread."""
    return {"configurable": {"thread_id": name}}


def said(text: str = "go") -> dict[str, Any]:
    """What a person says to an agent."""
    return {"messages": [HumanMessage(text)]}


def answers(result: dict[str, Any]) -> list[ToolMessage]:
    """What the tools answered, in order."""
    return [message for message in result["messages"] if isinstance(message, ToolMessage)]


def call(tool: BaseTool, args: dict[str, Any], call_id: str | None, config: Any = None) -> Any:
    """What ToolNode does."""
    asked = {"name": tool.name, "args": args, "id": call_id, "type": "tool_call"}
    return tool.invoke(asked, config)


class Bank:
    """Charges, and remembers each time that it did."""

    def __init__(self) -> None:
        self.book: list[str] = []

    def tool(self) -> BaseTool:
        """A tool that charges."""

        def charge(order: str, cents: int = 100) -> str:
            """Charge an order."""
            self.book.append(order)
            return f"charged {cents} for {order} as number {len(self.book)}"

        return StructuredTool.from_function(charge)


class Acts:
    """A tool that fails as it is told, and counts how often it ran."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.runs = 0

    def act(self, x: int) -> str:
        """Act."""
        self.runs += 1
        if self.errors:
            raise self.errors.pop(0)
        return f"acted on {x}"

    def tool(self, **options: Any) -> BaseTool:
        """The tool, blocking."""
        made: BaseTool = tool(self.act)
        return made.model_copy(update=options)

    def atool(self) -> BaseTool:
        """The tool, awaiting."""

        @tool
        async def act(x: int) -> str:
            """Act."""
            await asyncio.sleep(0)
            return self.act(x)

        return act


#: what a model asks of such a tool
ASK = once(("act", {"x": 1}, "c1"))


def acted(tool: BaseTool, call_id: str | None = "c1") -> Any:
    """What the tool answers a model."""
    return call(tool, {"x": 1}, call_id, thread())
