"""Every kind of tool that LangChain knows, each made anew for a test."""

# No `from __future__ import annotations`: LangChain reads the hints of local functions.

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from langchain_core.runnables import RunnableLambda
from langchain_core.tools import (
    BaseTool,
    StructuredTool,
    Tool,
    ToolException,
    tool,
)

from tests.adapters import langchain_injected as injected
from tests.adapters.langchain_classes import (
    Aliased,
    Async,
    Both,
    Currency,
    Delegating,
    Line,
    Minted,
    Order,
    Sync,
)


@dataclass
class Kind:
    """A tool, what a model sends it, and where it can run."""

    make: Callable[[], BaseTool]
    args: dict[str, Any] = field(default_factory=lambda: {"x": 3})
    #: runs when called with nothing but its arguments
    bare: bool = True
    is_async: bool = False
    #: names that must never enter a key
    hidden: tuple[str, ...] = ()


def _function() -> BaseTool:
    @tool
    def double(x: int, y: int = 1) -> int:
        """Double a number."""
        return 2 * x * y

    return double


def _documented() -> BaseTool:
    @tool(parse_docstring=True)
    def halve(x: int) -> float:
        """Halve a number.

        Args:
            x: the number
        """
        return x / 2

    return halve


def _coroutine() -> BaseTool:
    @tool
    async def later(x: int) -> str:
        """Answer later."""
        return f"later {x}"

    return later


def _both() -> BaseTool:
    def now(x: int) -> str:
        return f"now {x}"

    async def later(x: int) -> str:
        return f"later {x}"

    return StructuredTool.from_function(now, later, name="both", description="Both.")


def _schema() -> BaseTool:
    def order(lines: list[Line], currency: Currency, due: date | None) -> str:
        return f"{sum(line.price for line in lines)} {currency.name} {due}"

    return StructuredTool.from_function(order, args_schema=Order)


def _artifact() -> BaseTool:
    @tool(response_format="content_and_artifact")
    def search(x: int) -> tuple[str, dict[str, Any]]:
        """Search."""
        return f"{x} hits", {"hits": list(range(x))}

    return search


def _direct() -> BaseTool:
    @tool(return_direct=True)
    def final(x: int) -> str:
        """Say the last word."""
        return f"final {x}"

    return final


def _legacy() -> BaseTool:
    def shout(text: str) -> str:
        return text.upper()

    return Tool(name="shout", func=shout, description="Shout.")


def _handled() -> BaseTool:
    @tool
    def decline(x: int) -> str:
        """Decline."""
        raise ToolException(f"declined {x}")

    decline.handle_tool_error = True
    return decline


def _runnable() -> BaseTool:
    def add(given: dict[str, int]) -> int:
        return given["x"] + 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RunnableLambda(add).as_tool(name="add", description="Add one.", arg_types={"x": int})


def _open() -> BaseTool:
    @tool
    def anything(x: int, **more: Any) -> str:
        """Take anything."""
        return f"{x} {more}"

    return anything


def _aliased() -> BaseTool:
    def send(to: str, note: str) -> str:
        return f"{note} to {to}"

    return StructuredTool.from_function(send, args_schema=Aliased)


def _minted() -> BaseTool:
    def pay(x: int, request_id: str, tags: list[str]) -> str:
        return f"paid {x} {len(request_id)} {tags}"

    return StructuredTool.from_function(pay, args_schema=Minted)


def _nothing() -> BaseTool:
    @tool
    def ping() -> str:
        """Ping."""
        return "pong"

    return ping


_LINES = [{"sku": "a", "price": "1.50", "tags": ["n", "m"]}, {"sku": "b", "price": 2}]

KINDS: dict[str, Kind] = {
    "function": Kind(_function),
    "documented function": Kind(_documented),
    "coroutine": Kind(_coroutine, is_async=True),
    "function and coroutine": Kind(_both),
    "pydantic schema": Kind(_schema, args={"lines": _LINES, "due": "2026-02-01"}),
    "class, sync": Kind(Sync),
    "class, async": Kind(Async, is_async=True),
    "class, both": Kind(Both),
    "class, async by sync": Kind(Delegating),
    "content and artifact": Kind(_artifact),
    "return direct": Kind(_direct),
    "Command": Kind(injected.command, bare=False, hidden=("tool_call_id",)),
    "ToolMessage": Kind(injected.message, bare=False, hidden=("tool_call_id",)),
    "list of both": Kind(injected.several, bare=False, hidden=("tool_call_id",)),
    "InjectedState": Kind(injected.state, bare=False, hidden=("state",)),
    "InjectedStore": Kind(injected.store, bare=False, hidden=("store",)),
    "ToolRuntime": Kind(injected.runtime, bare=False, hidden=("runtime",)),
    "runtime by name": Kind(injected.bare_runtime, hidden=("runtime",)),
    "RunnableConfig": Kind(injected.config, hidden=("config",)),
    "InjectedToolArg": Kind(injected.injected, hidden=("user",)),
    "legacy Tool": Kind(_legacy, args={"__arg1": "hey"}),
    "JSON schema": Kind(injected.json, is_async=True, hidden=("runtime",)),
    "handled error": Kind(_handled),
    "runnable": Kind(_runnable),
    "any keywords": Kind(_open, args={"x": 3, "more": {"y": 1}}),
    "aliases": Kind(_aliased, args={"recipient": "ann"}),
    "default factory": Kind(_minted),
    "no arguments": Kind(_nothing, args={}),
}
