"""The layers of LangChain and LangGraph that catch what a tool raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents.middleware import ToolErrorMiddleware, ToolRetryMiddleware
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import RetryPolicy

from tests.adapters.langchain_agents import (
    ASK,
    agent_of,
    asking,
    graph_of,
    said,
)

Layers = Callable[[BaseTool], Any]


def catching(tool: BaseTool) -> Any:
    """A ToolNode that tells the model every error."""
    return graph_of([tool], handle_tool_errors=True, checkpointer=InMemorySaver())


def retried_node(tool: BaseTool) -> Any:
    """A node that is run again after every error."""
    policy = RetryPolicy(retry_on=Exception, max_attempts=3, initial_interval=0.001)
    return graph_of([tool], node={"retry_policy": policy}, checkpointer=InMemorySaver())


def retrying(tool: BaseTool) -> Any:
    """An agent that calls its tools again, and then tells the model."""
    return agent_of(
        [tool], ASK, middleware=[ToolRetryMiddleware(max_retries=2, initial_delay=0.001)]
    )


def telling(tool: BaseTool) -> Any:
    """An agent that asks the model to try again."""
    middleware = ToolErrorMiddleware(lambda error, request: f"try again: {error}")
    return agent_of([tool], ASK, middleware=[middleware])


LAYERS: dict[str, Layers] = {
    "agent": lambda tool: agent_of([tool], ASK),
    "ToolNode(handle_tool_errors=True)": catching,
    "RetryPolicy": retried_node,
    "ToolRetryMiddleware": retrying,
    "ToolErrorMiddleware": telling,
}
layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS.keys())


def start(layer: Layers) -> Any:
    """What a run begins with: a ToolNode alone has no model to ask."""
    given = said()
    if layer in {catching, retried_node}:
        given["messages"].append(asking(("act", {"x": 1}, "c1")))
    return given
