"""
An agent that stops at 2 dollars, asks, is topped up from the command line, and goes on.

    python examples/budget.py      # works until its money is spent, and says what to do
    tallystick approve KEY --by ann --ledger sqlite:///budget.db
    python examples/budget.py      # goes on where it stopped
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent  # pyright: ignore[reportUnknownVariableType]
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from tallystick import Guarantee, Ledger, Policy
from tallystick.prices import Overrides
from tallystick_checkpoint import LedgerSaver
from tallystick_langchain import wrap_tools
from tallystick_langgraph import BudgetMiddleware, resume_approved

THREAD: Any = {"configurable": {"thread_id": "report-7"}}
CHAPTERS = 5

# ---- a model that costs 45 cents a call, as no real one does ------------------------------------

PRICES = Overrides({"scripted": {"input": "50", "output": "400", "max_output": 1_000}})
USAGE: Any = {"input_tokens": 1_000, "output_tokens": 1_000, "total_tokens": 2_000}


class Scripted(BaseChatModel):
    """Stands in for a language model: asks for one chapter after the other."""

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        """Whatever they are."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        done = sum(isinstance(message, ToolMessage) for message in messages)
        calls = [{"name": "write", "args": {"chapter": done + 1}, "id": f"call-{done}"}]
        message = AIMessage(
            "" if done < CHAPTERS else "The report is written.",
            tool_calls=calls if done < CHAPTERS else [],
            usage_metadata=USAGE,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _get_ls_params(self, stop: list[str] | None = None, **options: Any) -> LangSmithParams:
        return LangSmithParams(ls_model_name="scripted")

    @property
    def _llm_type(self) -> str:
        return "scripted"


@tool
def write(chapter: int) -> str:
    """Write a chapter of the report."""
    print(f"writing chapter {chapter}")
    return f"chapter {chapter} is done"


# ---- the agent ----------------------------------------------------------------------------------


def main() -> int:
    """Work on the report, as far as the money goes."""
    with Ledger("sqlite:///budget.db") as ledger:
        budget = ledger.budget("report-7", usd="2.00", on_exceed="ask")
        agent: Any = create_agent(
            Scripted(),
            wrap_tools([write], ledger, policies={"write": Policy(guarantee=Guarantee.IDEMPOTENT)}),
            middleware=[BudgetMiddleware(ledger, "report-7", prices=PRICES, least=None)],
            checkpointer=LedgerSaver(ledger),
        )
        if agent.get_state(THREAD).values:
            resume_approved(agent, ledger)
        else:
            agent.invoke({"messages": [("user", "Write the report.")]}, THREAD)
        state = agent.get_state(THREAD)
        print(f"{budget.spent} of {budget.limit} dollars are spent")
        for question in state.interrupts:
            (action,) = question.value["action_requests"]
            print(f"more is asked for: {action['args']['raise']} dollars")
        for item in ledger.pending():
            print(
                f"tallystick approve {item.effect.key[:12]} --by ann --ledger sqlite:///budget.db"
            )
        if not state.interrupts:
            print(state.values["messages"][-1].content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
