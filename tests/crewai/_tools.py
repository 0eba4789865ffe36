"""A tool as CrewAI's documentation writes it."""

from __future__ import annotations

from typing import Any

from crewai.tools import BaseTool, EnvVar
from crewai.tools.tool_failure import ToolFailurePolicy
from pydantic import BaseModel, Field


class Receipt(BaseModel):
    amount: int
    number: int = 0


class Order(BaseModel):
    amount: int = Field(ge=1, description="how much")
    note: str = "none"


class Desk(BaseTool):
    """A tool as CrewAI's documentation writes it."""

    name: str = "Order desk"
    description: str = "Orders things."
    args_schema: type[BaseModel] = Order
    env_vars: list[EnvVar] = Field(
        default_factory=lambda: [EnvVar(name="DESK", description="which")]
    )
    result_as_answer: bool = True
    max_usage_count: int | None = 3
    tool_failure_policy: ToolFailurePolicy | None = ToolFailurePolicy.IGNORE
    orders: list[int] = Field(default_factory=list[int])

    def _run(self, amount: int, note: str = "none") -> Receipt:
        self.orders.append(amount)
        return Receipt(amount=amount, number=len(self.orders))

    def format_output_for_agent(self, raw_result: Any) -> str:
        return f"receipt {raw_result.number} for {raw_result.amount}"
