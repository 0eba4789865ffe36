"""Real agents with scripted models: no network, no account."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

Asked = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], str | None]
Script = Callable[[Sequence[BaseMessage]], "list[Asked] | str"]


class ScriptedModel(BaseChatModel):
    """Asks for the tool calls that its script names, under new ids like a provider's."""

    script: Script
    asked: list[int] = []

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
    return create_agent(ScriptedModel(script=script, asked=[]), tools, **options)


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
    graph = StateGraph(state)
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
