"""Every kind of tool that LangChain knows, each made anew for a test."""

# No `from __future__ import annotations`: LangChain reads the hints of local functions.

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import uuid4

from langchain.tools import InjectedState, InjectedStore, ToolRuntime
from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    Tool,
    ToolException,
    tool,
)
from langgraph.store.base import BaseStore
from langgraph.types import Command
from pydantic import BaseModel, Field, PrivateAttr


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


class Currency(Enum):
    EUR = "eur"
    USD = "usd"


class Line(BaseModel):
    sku: str
    price: Decimal
    tags: set[str] = set()


class Order(BaseModel):
    """Place an order."""

    lines: list[Line]
    currency: Currency = Currency.EUR
    due: date | None = None


class Aliased(BaseModel):
    """Send."""

    to: str = Field(alias="recipient", description="who")
    note: str = "-"


class Minted(BaseModel):
    """Pay."""

    x: int
    request_id: str = Field(default_factory=lambda: uuid4().hex)
    tags: list[str] = Field(default_factory=list)


class Sync(BaseTool):
    name: str = "sync_class"
    description: str = "A class with _run."
    factor: int = 2
    _secret: str = PrivateAttr(default="kept")

    def _run(self, x: int, run_manager: CallbackManagerForToolRun | None = None) -> str:
        return f"{self._secret} {x * self.factor} {run_manager is not None}"


class Async(BaseTool):
    name: str = "async_class"
    description: str = "A class with _arun only."

    def _run(self, x: int) -> str:
        raise NotImplementedError("async_class does not support sync")

    async def _arun(self, x: int, config: RunnableConfig) -> str:
        return f"async {x} {'configurable' in config}"


class Both(BaseTool):
    name: str = "both_class"
    description: str = "A class with _run and _arun."
    handle_tool_error: Any = True

    def _run(self, x: int) -> str:
        return f"sync {x}"

    async def _arun(self, x: int) -> str:
        return f"async {x}"


class Delegating(BaseTool):
    name: str = "delegating"
    description: str = "A class whose _arun calls its _run."

    def _run(self, x: int) -> str:
        return f"ran {x}"

    async def _arun(self, x: int) -> str:
        return self._run(x)


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


def _command() -> BaseTool:
    @tool
    def remember(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Remember."""
        message = ToolMessage(f"remembered {x}", tool_call_id=tool_call_id)
        return Command(update={"messages": [message]})

    return remember


def _message() -> BaseTool:
    @tool
    def speak(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> ToolMessage:
        """Speak."""
        return ToolMessage(f"spoke {x}", tool_call_id=tool_call_id, artifact={"x": x})

    return speak


def _list() -> BaseTool:
    @tool
    def several(x: int, tool_call_id: Annotated[str, InjectedToolCallId]) -> list[Any]:
        """Do several things."""
        return [Command(update={}), ToolMessage(f"several {x}", tool_call_id=tool_call_id)]

    return several


def _state() -> BaseTool:
    @tool
    def look(x: int, state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Look at the state."""
        return f"{x} {sorted(state)[0]}"

    return look


def _store() -> BaseTool:
    @tool
    def fetch(x: int, store: Annotated[BaseStore, InjectedStore()]) -> str:
        """Look into the store."""
        item = store.get(("prices",), "x")
        return f"{x} {item.value if item else None}"

    return fetch


def _runtime() -> BaseTool:
    @tool
    def where(x: int, runtime: ToolRuntime) -> str:
        """Say where it runs."""
        return f"{x} {runtime.tool_call_id} {len(runtime.state['messages'])}"

    return where


def _bare_runtime() -> BaseTool:
    @tool
    def whence(x: int, runtime=None) -> str:  # type: ignore[no-untyped-def] # noqa: ANN001
        """Say whence, with a parameter that is injected by its name."""
        return f"{x} {type(runtime).__name__}"  # pyright: ignore[reportUnknownArgumentType]

    return whence


def _config() -> BaseTool:
    @tool
    def configured(x: int, config: RunnableConfig) -> str:
        """Read the configuration."""
        return f"{x} {config.get('configurable', {}).get('thread_id')}"

    return configured


def _injected() -> BaseTool:
    @tool
    def private(x: int, user: Annotated[str, InjectedToolArg] = "nobody") -> str:
        """Use what the application injects."""
        return f"{x} for {user}"

    return private


def _legacy() -> BaseTool:
    def shout(text: str) -> str:
        return text.upper()

    return Tool(name="shout", func=shout, description="Shout.")


def _json() -> BaseTool:
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
        return RunnableLambda(add).as_tool(
            name="add", description="Add one.", arg_types={"x": int}
        )


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
    "Command": Kind(_command, bare=False, hidden=("tool_call_id",)),
    "ToolMessage": Kind(_message, bare=False, hidden=("tool_call_id",)),
    "list of both": Kind(_list, bare=False, hidden=("tool_call_id",)),
    "InjectedState": Kind(_state, bare=False, hidden=("state",)),
    "InjectedStore": Kind(_store, bare=False, hidden=("store",)),
    "ToolRuntime": Kind(_runtime, bare=False, hidden=("runtime",)),
    "runtime by name": Kind(_bare_runtime, hidden=("runtime",)),
    "RunnableConfig": Kind(_config, hidden=("config",)),
    "InjectedToolArg": Kind(_injected, hidden=("user",)),
    "legacy Tool": Kind(_legacy, args={"__arg1": "hey"}),
    "JSON schema": Kind(_json, is_async=True, hidden=("runtime",)),
    "handled error": Kind(_handled),
    "runnable": Kind(_runnable),
    "any keywords": Kind(_open, args={"x": 3, "more": {"y": 1}}),
    "aliases": Kind(_aliased, args={"recipient": "ann"}),
    "default factory": Kind(_minted),
    "no arguments": Kind(_nothing, args={}),
}
