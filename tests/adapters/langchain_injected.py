"""Tools that get something injected, or that answer their call themselves."""

# No `from __future__ import annotations`: LangChain reads the hints of local functions.

from typing import Annotated, Any

from langchain.tools import InjectedState, InjectedStore, ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    tool,
)
from langgraph.store.base import BaseStore
from langgraph.types import Command


def command() -> BaseTool:
    """A Command that answers the call."""

    @tool
    def remember(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Remember."""
        message = ToolMessage(f"remembered {x}", tool_call_id=tool_call_id)
        return Command(update={"messages": [message]})

    return remember


def message() -> BaseTool:
    """A message that answers the call."""

    @tool
    def speak(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
        """Speak."""
        return ToolMessage(f"spoke {x}", tool_call_id=tool_call_id, artifact={"x": x})

    return speak


def several() -> BaseTool:
    """Several things, one of which answers the call."""

    @tool
    def do_all(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> list[Any]:
        """Do several things."""
        return [Command(update={}), ToolMessage(f"several {x}", tool_call_id=tool_call_id)]

    return do_all


def state() -> BaseTool:
    """It reads the state of the graph."""

    @tool
    def look(x: int, state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Look at the state."""
        return f"{x} {min(state)}"

    return look


def store() -> BaseTool:
    """It reads the store of the graph."""

    @tool
    def fetch(x: int, store: Annotated[BaseStore, InjectedStore()]) -> str:
        """Look into the store."""
        item = store.get(("prices",), "x")
        return f"{x} {item.value if item else None}"

    return fetch


def runtime() -> BaseTool:
    """It reads everything around it."""

    @tool
    def where(x: int, runtime: ToolRuntime[None, dict[str, Any]]) -> str:
        """Say where it runs."""
        return f"{x} {runtime.tool_call_id} {len(runtime.state['messages'])}"

    return where


def bare_runtime() -> BaseTool:
    """It names a parameter that ToolNode injects by its name."""

    @tool
    def whence(x: int, runtime=None) -> str:  # type: ignore[no-untyped-def] # noqa: ANN001
        """Say whence, with a parameter that is injected by its name."""
        return f"{x} {type(runtime).__name__}"  # pyright: ignore[reportUnknownArgumentType]

    return whence


def config() -> BaseTool:
    """It reads the configuration."""

    @tool
    def configured(x: int, config: RunnableConfig) -> str:
        """Read the configuration."""
        return f"{x} {config.get('configurable', {}).get('thread_id')}"

    return configured


def injected() -> BaseTool:
    """It takes what the application injects."""

    @tool
    def private(x: int, user: Annotated[str, InjectedToolArg] = "nobody") -> str:
        """Use what the application injects."""
        return f"{x} for {user}"

    return private


def json() -> BaseTool:
    """What the MCP adapters make of a tool of a server."""

    async def call_tool(
        runtime: Annotated[object | None, InjectedToolArg()] = None, **arguments: Any
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        return [{"type": "text", "text": f"served {arguments}"}], {"runtime": runtime is not None}

    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    return StructuredTool(
        name="served",
        description="Served by a protocol.",
        args_schema=schema,
        coroutine=call_tool,
        response_format="content_and_artifact",
        metadata={"readOnlyHint": None},
    )
