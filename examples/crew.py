"""
A crew that pays an invoice: a person approves the payment, and it is killed on the way.

    python examples/crew.py            # stops: the payment needs a person
    tallystick approve KEY --by ann --ledger crew.db
    python examples/crew.py --kill     # kill -9 when the money is out and nobody wrote that down
    python examples/crew.py            # goes on, to the end: the bank has one payment

CrewAI warns of unpaired events where a run is stopped, and of nothing else.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

# CrewAI reads these as it is imported
os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_STORAGE_DIR": str(Path("crewai").absolute()),
    "CREWAI_TESTING": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
}
warnings.simplefilter("ignore", DeprecationWarning)
logging.getLogger("crewai").setLevel(logging.CRITICAL)  # it logs a stop as a failure

from crewai import Agent, Crew, Task  # noqa: E402
from crewai.llms.base_llm import BaseLLM, llm_call_context  # noqa: E402

from tallystick import ApprovalRequired, Guarantee, Ledger, Policy, current_effect  # noqa: E402
from tallystick_crewai import wrap_tools  # noqa: E402

# ---- the tools, and what each declares about itself ---------------------------------------------


def pay(invoice: str, cents: int) -> str:
    """Pay an invoice; the bank does it once for each key."""
    bank = Path("bank")
    bank.mkdir(exist_ok=True)
    (bank / current_effect().idempotency_key).write_text(f"{invoice}: {cents / 100:.2f}")
    if "--kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"paid {cents / 100:.2f} for {invoice}"


def post(to: str, text: str) -> str:
    """Send a letter; nobody can tell later whether it went out."""
    with Path("letters.txt").open("a", encoding="utf-8") as letters:
        letters.write(f"to {to}: {text}\n")
    return f"sent to {to}"


POLICIES = {
    "pay": Policy(guarantee=Guarantee.IDEMPOTENT, approval=True),
    "post": Policy(),  # at most once: in doubt if it is cut off, and never sent again
}

# ---- the model ----------------------------------------------------------------------------------


class Scripted(BaseLLM):
    """Stands in for a language model: makes the call that it was made for, and is content."""

    llm_type: str = "scripted"
    tool: str
    arguments: dict[str, Any]

    def supports_function_calling(self) -> bool:
        """Natively."""
        return True

    def call(self, messages: Any, *args: Any, **options: Any) -> Any:
        """Its call, until it has heard of a result."""
        with llm_call_context():
            if "tool" in {message["role"] for message in messages}:
                return "done"
            function = {"name": self.tool, "arguments": json.dumps(self.arguments)}
            return [{"id": "call_1", "type": "function", "function": function}]


def member(role: str, ledger: Ledger, tool: str, **arguments: Any) -> Task:
    """A task, and the agent that does it."""
    agent = Agent(
        role=role,
        goal="bills are paid",
        backstory="a small office",
        llm=Scripted(model="scripted", tool=tool, arguments=arguments),
        tools=wrap_tools([pay, post], ledger, policies=POLICIES),
    )
    return Task(description=f"Use {tool}.", expected_output="a receipt", agent=agent)


def main() -> int:
    """Run the crew, or say what it waits for."""
    with Ledger("sqlite:///crew.db") as ledger, ledger.workflow("invoice-7"):
        paying = member("accountant", ledger, "pay", invoice="7", cents=12_000)
        telling = member("secretary", ledger, "post", to="ann", text="invoice 7 is paid")
        crew = Crew(agents=[t.agent for t in (paying, telling) if t.agent], tasks=[paying, telling])
        try:
            crew.kickoff()  # pyright: ignore[reportUnknownMemberType]
        except ApprovalRequired as question:
            print("paying invoice 7 has to be approved; do so, and run this again:")
            print(f"tallystick approve {question.key[:12]} --by ann --ledger crew.db")
            return 0
        for effect in reversed(ledger.effects(workflow="invoice-7")):
            print(f"{effect.tool}: {effect.result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
