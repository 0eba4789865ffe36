"""
A support agent: looks an order up, gives money back, writes a mail; killed on the way.

    python examples/support.py                     # stops: so much money needs a person
    python examples/support.py --answer approve --kill
    python examples/support.py                     # goes on, to the end

``--kill`` is a ``kill -9`` when the money has gone out and nobody has written that down.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.prebuilt import ToolNode
from langgraph.types import Command

from tallystick import Guarantee, Ledger, Policy, current_effect
from tallystick_checkpoint import LedgerSaver
from tallystick_langchain import wrap_tools
from tallystick_langgraph import approval_node, invoke_once

THREAD: Any = {"configurable": {"thread_id": "ticket-7"}}
LARGE = 5_000

# ---- the tools, and what each declares about itself ---------------------------------------------


def look_up(order: str) -> str:
    """What is known of an order."""
    return f"order {order}: 120.00, paid, lost in the mail"


def refund(order: str, cents: int) -> str:
    """Give money back; the bank does it once for each key."""
    bank = Path("bank")
    bank.mkdir(exist_ok=True)
    (bank / current_effect().idempotency_key).write_text(f"{order}: {cents / 100:.2f}")
    if "--kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"gave {cents / 100:.2f} back"


def send_email(to: str, text: str) -> str:
    """Send a mail; nobody can tell later whether it went out."""
    with Path("outbox.txt").open("a", encoding="utf-8") as outbox:
        outbox.write(f"to {to}: {text}\n")
    return f"sent to {to}"


POLICIES = {
    "look_up": Policy(guarantee=Guarantee.READ_ONLY),
    "refund": Policy(guarantee=Guarantee.IDEMPOTENT, approval=lambda args: args["cents"] > LARGE),
    "send_email": Policy(),  # at most once: in doubt if it is cut off, and never sent again
}

# ---- the agent ----------------------------------------------------------------------------------

SCRIPT = [
    ("look_up", {"order": "42"}),
    ("refund", {"order": "42", "cents": 12_000}),
    ("send_email", {"to": "bob", "text": "We are sorry. Your money is on its way."}),
]


def model(state: MessagesState) -> dict[str, Any]:
    """Stands in for a language model: asks for one tool call after the other."""
    last = state["messages"][-1]
    if isinstance(last, ToolMessage) and last.status == "error":
        return {"messages": [AIMessage(f"I could not help Bob: {last.content}")]}
    done = sum(isinstance(message, ToolMessage) for message in state["messages"])
    calls = [{"name": n, "args": args, "id": uuid4().hex} for n, args in SCRIPT[done : done + 1]]
    return {"messages": [AIMessage("" if calls else "Bob has his money.", tool_calls=calls)]}


def agent_on(ledger: Ledger) -> Any:
    """Model, approval, tools, and back to the model."""
    tools = wrap_tools([look_up, refund, send_email], ledger, policies=POLICIES)
    graph: Any = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_node("approval", approval_node(ledger))
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_edge("model", "approval")
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=LedgerSaver(ledger))


def main(args: list[str] | None = None) -> int:
    """Work on the ticket, or answer the agent's question first."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--answer", choices=["approve", "reject"])
    parser.add_argument("--kill", action="store_true", help="be killed once money went out")
    options = parser.parse_args(args)
    with Ledger("sqlite:///support.db") as ledger:
        agent = agent_on(ledger)
        for question in agent.get_state(THREAD).interrupts if options.answer else ():
            decision = {"type": options.answer, "by": "ann"}
            agent.invoke(Command(resume={question.id: {"decisions": [decision]}}), THREAD)
        asked = {"messages": [HumanMessage("Where is my order 42?")]}
        result = invoke_once(agent, asked, THREAD, run_id="ticket-7")
        questions = agent.get_state(THREAD).interrupts
        for action in (one for question in questions for one in question.value["action_requests"]):
            print(f"a person must decide: {action['name']} {action['args']}")
        if not questions:
            print(result["messages"][-1].content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
