"""Schemas, and tools that are classes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import uuid4

from langchain_core.callbacks import CallbackManagerForToolRun
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import (
    BaseTool,
)
from pydantic import BaseModel, Field, PrivateAttr


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

    def keep(self, secret: str) -> None:
        self._secret = secret

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
