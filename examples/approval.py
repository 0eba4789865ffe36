"""
A refund that waits for a person: asked in one process, decided in a second, done in a third.

    python examples/approval.py ask
    python examples/approval.py decide    # or the command that `ask` prints
    python examples/approval.py resume

Each of them may be run twice, or killed and run again: the money is given back once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.prebuilt import ToolNode

from tallystick import Ledger, Policy
from tallystick_checkpoint import LedgerSaver
from tallystick_langchain import wrap_tools
from tallystick_langgraph import approval_node, invoke_once, resume_approved

URL = "sqlite:///approval.db"
THREAD: Any = {"configurable": {"thread_id": "order-42"}}


def refund(order: str, cents: int) -> str:
    """Give the money for an order back."""
    with Path("refunds.txt").open("a", encoding="utf-8") as book:
        book.write(f"{order}: {cents / 100:.2f}\n")
    return f"{cents / 100:.2f} is on its way"


def model(state: MessagesState) -> dict[str, Any]:
    """Stands in for a language model: asks for a refund, and tells what came of it."""
    last = state["messages"][-1]
    if isinstance(last, ToolMessage):
        return {"messages": [AIMessage(f"About order 42: {last.content}")]}
    call = {"name": "refund", "args": {"order": "42", "cents": 4200}, "id": uuid4().hex}
    return {"messages": [AIMessage("", tool_calls=[call])]}


def graph_on(ledger: Ledger) -> Any:
    """The agent: the same in every process, on one ledger."""
    tools = wrap_tools([refund], ledger, policies={"refund": Policy(approval=True)})
    graph: Any = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("approval", approval_node(ledger))  # goes on to "tools", or to the end
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_edge("model", "approval")
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=LedgerSaver(ledger))


def ask(ledger: Ledger) -> None:
    """Let the agent work until it needs a person."""
    asked = {"messages": [HumanMessage("I want my money back!")]}
    result = invoke_once(graph_on(ledger), asked, THREAD, run_id="mail-1")
    if "__interrupt__" not in result:
        print(result["messages"][-1].content)
    for item in ledger.pending():
        print(f"waiting for a person: {item.effect.tool} {item.effect.args}")
        print(f"tallystick approve {item.effect.key[:12]} --by ann --ledger {URL}")


def decide(ledger: Ledger) -> None:
    """Approve what waits, like `tallystick approve`."""
    for item in ledger.pending():
        effect = ledger.approve(item.effect.key, by="ann", reason="the customer is right")
        print(f"{effect.tool} is {effect.status}")


def resume(ledger: Ledger) -> None:
    """Go on with the threads whose approvals were decided; a service would pass every=…, stop=…."""
    for thread in resume_approved(graph_on(ledger), ledger):
        if thread.error is not None:
            raise thread.error
        print(f"{thread.thread}: {thread.result['messages'][-1].content}")


def main(args: list[str] | None = None) -> int:
    """Ask, decide or resume."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    verbs = {"ask": ask, "decide": decide, "resume": resume}
    parser.add_argument("verb", choices=verbs)
    with Ledger(URL) as ledger:
        verbs[parser.parse_args(args).verb](ledger)
    return 0


if __name__ == "__main__":
    sys.exit(main())
