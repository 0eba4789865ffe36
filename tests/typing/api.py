"""Read by mypy and pyright, never run: the types are an interface too."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

from anthropic import AsyncAnthropic
from openai import OpenAI
from openai.types.chat import ChatCompletion

from tallystick import Budget, Effect, Event, Ledger, Policy, current_effect
from tallystick._model import Halt, InboxItem, Verification
from tallystick.budgets import BudgetLine, CostLine, Reservation
from tallystick.clients import session_of, watch


def charge(order: str, cents: int) -> dict[str, int]:
    """A sync tool."""
    return {order: cents}


async def send(to: str) -> bytes:
    """An async tool."""
    return to.encode()


def blocking(ledger: Ledger) -> None:
    """What the blocking face returns."""
    assert_type(ledger.call("charge", charge, {"order": "a", "cents": 1}), dict[str, int])
    assert_type(ledger.get("a"), Effect)
    assert_type(ledger.effects(status="pending"), list[Effect])
    assert_type(ledger.history("a"), list[Event])
    assert_type(ledger.pending(), list[InboxItem])
    assert_type(ledger.approve("a", by="ann"), Effect)
    assert_type(ledger.resolve("a", by="ann", succeeded=1), Effect)
    assert_type(ledger.halts(), list[Halt])
    assert_type(ledger.verify(), Verification)
    assert_type(current_effect().idempotency_key, str)
    with ledger.claim("charge", {"order": "a"}, policy=Policy()) as claim:
        assert_type(claim.fresh, bool)


async def awaiting(ledger: Ledger) -> None:
    """What the awaiting face returns, for async and for sync tools."""
    assert_type(await ledger.acall("send", send, {"to": "ann"}), bytes)
    assert_type(await ledger.acall("charge", charge, {}), dict[str, int])
    async with ledger.workflow("w"), ledger:
        assert_type(await ledger.apending(), list[InboxItem])


def decorated(ledger: Ledger) -> None:
    """A decorated function keeps its signature."""
    tool = ledger.tool(policy=Policy())(charge)
    assert_type(tool("a", 1), dict[str, int])
    tool("a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def watched(ledger: Ledger, openai: OpenAI, anthropic: AsyncAnthropic) -> None:
    """A watched client is of the class of the one it was made of."""
    assert_type(watch(openai, ledger, budget="b"), OpenAI)
    assert_type(watch(anthropic, ledger, budget=("a", "b"), session="s"), AsyncAnthropic)
    client = watch(openai, ledger)
    assert_type(client.chat.completions.create(model="m", messages=[]), ChatCompletion)
    assert_type(session_of(client).tokens, int)


def paid(ledger: Ledger) -> None:
    """Budgets, and what is left of them."""
    budget = ledger.budget("b", usd="2.00", window="month", per=("user",), on_exceed="ask")
    assert_type(budget, Budget)
    assert_type(budget.remaining, Decimal | int)
    assert_type(budget.lines(), list[BudgetLine])
    with budget.reserve(usd=0.05) as held:
        assert_type(held, Reservation)
    assert_type(ledger.costs(by="day"), list[CostLine])
    ledger.budget("b", on_exceed="panic")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def apaid(ledger: Ledger) -> None:
    """The same, awaited."""
    budget = await ledger.abudget("b", tokens=1000)
    async with await budget.areserve(tokens=5) as held:
        assert_type(held, Reservation)
