"""
An agent that charges orders: each one once, however often the agent is killed.

``tallystick demo`` runs this file in processes of their own, and kills them with ``kill -9`` in the
worst moment. By hand it brings a bank along. Run it twice, kill it in between, run it again: the
bank's book has each order once.

    python examples/payments.py
"""
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# create_agent's own types leave its context open.

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from tallystick import Approval, Guarantee, Ledger, Policy, ProbeAnswer, current_effect
from tallystick.cli.demo.bank import open_bank
from tallystick.errors import EffectStopped
from tallystick_langchain import wrap_tools

# ---- the tools: ordinary functions that change the world ----------------------------------------


def bank(path: str, reference: str, body: Any = None, **headers: str) -> Any:
    """Tell the bank to do something under a reference; without a body, ask what it did."""
    url = f"{os.environ['BANK']}/{path}"
    if body is None:
        request = Request(f"{url}?reference={reference}")  # noqa: S310
    else:
        headers["Idempotency-Key"] = reference
        request = Request(url, json.dumps(body).encode(), headers)  # noqa: S310
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def reference() -> str:
    """The same for every attempt at an effect; without a ledger, nobody knows of any attempts."""
    try:
        return current_effect().idempotency_key
    except LookupError:
        return uuid4().hex


def charge_card(order: str, cents: int) -> str:
    """Charge the card of an order; the bank can be asked about it later."""
    return f"charge {bank('charges', reference(), {'order': order, 'cents': cents})['id']}"


def charge_wallet(order: str, cents: int) -> str:
    """Charge the wallet of an order; wallets know a charge that they have seen before."""
    body = {"order": order, "cents": cents}
    return f"charge {bank('charges', reference(), body, Deduplicate='yes')['id']}"


def charge_transfer(order: str, cents: int) -> str:
    """Draw the money for an order from an account; nobody but the statement can tell later."""
    return f"charge {bank('charges', uuid4().hex, {'order': order, 'cents': cents})['id']}"


def refund(order: str, cents: int) -> str:
    """Give the money for an order back."""
    return f"refund {bank('refunds', reference(), {'order': order, 'cents': cents})['id']}"


# ---- what each tool declares about itself, and so what holds after a crash ----------------------


def was_it_charged(effect: Any) -> ProbeAnswer:
    """Ask the bank about an attempt that was cut off."""
    found = bank("charges", effect.idempotency_key)
    return ProbeAnswer.happened(f"charge {found[0]['id']}") if found else ProbeAnswer.not_happened()


ONCE = Policy(identity=("order",))  # an order is one charge, whatever id a model gives its call
POLICIES = {
    "charge_card": ONCE.but(guarantee=Guarantee.RECONCILE, probe=was_it_charged, quiet=1),
    "charge_wallet": ONCE.but(guarantee=Guarantee.IDEMPOTENT),
    "charge_transfer": ONCE,  # at most once: in doubt after a crash, until a person says what was
    "refund": ONCE.but(approval=Approval(wait=60)),
}

# ---- the agent ----------------------------------------------------------------------------------


class Script(BaseChatModel):
    """Stands in for a language model: asks for one tool call after the other."""

    calls: list[dict[str, Any]]

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        """Be told about the tools, as models are."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        done = sum(isinstance(message, ToolMessage) for message in messages)
        calls = [{**call, "id": f"call_{uuid4().hex}"} for call in self.calls[done : done + 1]]
        answer = AIMessage("" if calls else "All done.", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])


def run(calls: list[dict[str, Any]], workflow: str, ledger: Ledger | None) -> None:
    """Let an agent work. After a crash: again, for the same workflow."""
    tools: list[Any] = [charge_card, charge_wallet, charge_transfer, refund]
    if ledger is not None:
        tools = wrap_tools(tools, ledger, workflow=workflow, policies=POLICIES)
    agent = create_agent(Script(calls=calls), tools)
    agent.invoke({"messages": [HumanMessage("Please see to these orders.")]})


# ---- from the command line ----------------------------------------------------------------------


def main(args: list[str] | None = None) -> int:
    """Charge a batch of the orders, or give an order's money back."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--orders", type=Path, default=Path(__file__).with_name("orders.csv"))
    parser.add_argument("--batch", default="1", help="which orders to charge")
    parser.add_argument("--refund", metavar="ORDER", help="give this one's money back instead")
    parser.add_argument("--workflow", help="default: the batch")
    parser.add_argument("--ledger", metavar="URL", default="sqlite:///payments.db")
    parser.add_argument("--no-ledger", action="store_true", help="see what happens without")
    options = parser.parse_args(args)
    column, wanted = ("order", options.refund) if options.refund else ("batch", options.batch)
    with options.orders.open(encoding="utf-8") as file:
        calls = [
            {
                "name": "refund" if options.refund else f"charge_{order['method']}",
                "args": {"order": order["order"], "cents": int(order["cents"])},
            }
            for order in csv.DictReader(file)
            if order[column] == wanted
        ]
    with ExitStack() as stack:
        if "BANK" not in os.environ:
            os.environ["BANK"] = stack.enter_context(open_bank(Path("payments-bank.db"))) + "/shop"
        ledger = None if options.no_ledger else stack.enter_context(Ledger(options.ledger))
        try:
            run(calls, options.workflow or f"batch-{options.batch}", ledger)
        except EffectStopped as stopped:
            print(stopped, file=sys.stderr)
            return 3
        for line in bank("charges", ""):
            print(f"{line['order']}: charge {line['id']}, {line['cents'] / 100:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
