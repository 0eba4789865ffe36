"""
Nothing is resurrected: whatever is done to a thread, what was decided and done stays so.

The ways back (time travel, a fork, an update, a copy, a restored backup) by what they might bring
back (a result, an approval, a denial, a halt) by what the model says then: the same call, a new id,
or a new id and a new memo, which is volatile.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import RemoveMessage
from langchain_core.tools import tool
from langgraph.types import Command

from tallystick import Policy, Status
from tallystick.errors import BudgetExceeded, Halted
from tallystick_langgraph import LedgerMiddleware
from tests.adapters.langchain_agents import agent_of

from ._world import APPROVE, REJECT, World, in_turn, questions, said, thread

STORES = ("postgres", "foreign")
Agent = Any
IDS = ["same", "minted", "volatile"]


def an_agent(world: World, ids: str, *, asks: bool = False, bare: bool = False) -> Agent:
    """Pays once in a turn, with a memo that says nothing."""

    @tool
    def pay(amount: int, memo: str) -> str:
        """Pay."""
        world.book.append(amount)
        return f"paid {amount} as number {len(world.book)}"

    def script(messages: Any) -> Any:
        memo = uuid.uuid4().hex if ids == "volatile" else "thanks"
        call_id = "c1" if ids == "same" else f"call_{uuid.uuid4().hex[:8]}"
        return in_turn([("pay", {"amount": 1, "memo": memo}, call_id)])(messages)

    policy = Policy(volatile=("memo",), approval=asks)
    middleware = [] if bare else [LedgerMiddleware(world.ledger, policies={"pay": policy})]
    return agent_of([pay], script, checkpointer=world.saver, middleware=middleware)


def at_the_model(agent: Agent, name: str = "order-42") -> Any:
    """Where the model was about to be asked for the first time."""
    return [s for s in agent.get_state_history(thread(name)) if s.next == ("model",)][-1].config


def travel(world: World, agent: Agent) -> Any:
    return agent.invoke(None, at_the_model(agent))


def fork(world: World, agent: Agent) -> Any:
    return agent.invoke(None, agent.update_state(at_the_model(agent), {"messages": []}))


def update(world: World, agent: Agent) -> Any:
    """What was said since the question is taken out of the state, at its head."""
    messages = agent.get_state(thread()).values["messages"]
    gone = [RemoveMessage(id=str(m.id)) for m in messages if m.type != "human"]
    agent.update_state(thread(), {"messages": gone}, as_node="__start__")
    return agent.invoke(None, thread())


def copy(world: World, agent: Agent) -> Any:
    world.saver.copy_thread("order-42", "copy")
    return agent.invoke(None, at_the_model(agent, "copy"))


def restore(world: World, agent: Agent) -> Any:
    world.saver.copy_thread("backup", "order-42")
    return agent.invoke(None, thread())


WAYS: list[Callable[[World, Agent], Any]] = [travel, fork, update, copy, restore]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
ids = pytest.mark.parametrize("ids", IDS)


def begin(world: World, agent: Agent, way: Any) -> Any:
    """A run; for a backup it stops once before the model, and a copy is made there."""
    if world.foreign and way in (copy, restore):
        pytest.skip("LangGraph's own savers copy no threads")
    if way is not restore:
        return agent.invoke(said(), thread())
    agent.invoke(said(), thread(), interrupt_before=["model"])
    world.saver.copy_thread("order-42", "backup")
    return agent.invoke(None, thread())


@ways
@ids
def test_a_result(world: World, way: Any, ids: str) -> None:
    agent = an_agent(world, ids)
    begin(world, agent, way)
    for _ in range(2):
        result = way(world, agent)
        assert result["messages"][-1].content == "done"
        assert result["messages"][-2].content == "paid 1 as number 1"
    assert world.book == [1]


@ways
@ids
def test_an_approval_is_used_once(world: World, way: Any, ids: str) -> None:
    agent = an_agent(world, ids, asks=True)
    [question] = questions(begin(world, agent, way))
    agent.invoke(Command(resume={question.id: APPROVE}), thread())
    for _ in range(2):
        assert not questions(way(world, agent))
    assert world.book == [1]
    [effect] = world.ledger.effects(tool="pay")
    kinds = [event.kind for event in world.ledger.history(effect.key)]
    assert kinds.count("approved") == 1


@ways
@ids
def test_an_approval_that_was_not_used_yet(world: World, way: Any, ids: str) -> None:
    agent = an_agent(world, ids, asks=True)
    begin(world, agent, way)
    [item] = world.ledger.pending()
    world.ledger.approve(item.effect.key, by="ann")
    for _ in range(2):
        assert not questions(way(world, agent))
    assert world.book == [1]


@ways
@ids
def test_a_denial_stands(world: World, way: Any, ids: str) -> None:
    agent = an_agent(world, ids, asks=True)
    [question] = questions(begin(world, agent, way))
    agent.invoke(Command(resume={question.id: REJECT}), thread())
    for _ in range(2):
        assert not questions(way(world, agent))
    assert world.book == []
    assert [effect.status for effect in world.ledger.effects()] == [Status.DENIED]


@ways
@ids
def test_a_halt_stands_and_a_lifted_one_stays_lifted(world: World, way: Any, ids: str) -> None:
    agent = an_agent(world, ids)
    world.ledger.halt(tool="pay", by="ann", reason="stop")
    with pytest.raises(Halted):
        begin(world, agent, way)
    for _ in range(2):
        with pytest.raises(Halted):
            way(world, agent)
    assert world.book == []
    world.ledger.unhalt(tool="pay", by="ann", reason="go")
    for _ in range(2):
        way(world, agent)
    assert world.book == [1]


@ways
@ids
def test_what_was_spent_stays_spent_and_is_not_spent_again(
    world: World, way: Any, ids: str
) -> None:
    """A budget for one: the way back neither fills the purse nor needs another coin."""
    agent = an_agent(world, ids)
    purse = world.ledger.budget("purse", requests=1, amount=1, of="args.amount", tool="pay")
    begin(world, agent, way)
    for _ in range(2):
        result = way(world, agent)
        assert result["messages"][-2].content == "paid 1 as number 1"
        assert [(x.spent, x.reserved, x.remaining) for x in purse.lines()] == [(1, 0, 0)] * 2
    assert world.book == [1]
    assert world.ledger.verify().sound


@ways
@ids
def test_what_a_budget_refused_stays_unpaid_until_it_is_raised(
    world: World, way: Any, ids: str
) -> None:
    """Nothing is charged for what did not begin; after a raise it is paid for once."""
    agent = an_agent(world, ids)
    purse = world.ledger.budget("purse", requests=0, tool="pay")
    with pytest.raises(BudgetExceeded):
        begin(world, agent, way)
    with pytest.raises(BudgetExceeded):
        way(world, agent)
    assert (world.book, purse.spent) == ([], 0)
    purse.raise_limit(by="ann", requests=1)
    for _ in range(2):
        way(world, agent)
    assert (world.book, purse.spent, purse.limit) == ([1], 1, 1)


@ways
def test_without_the_ledger_every_way_pays_again(world: World, way: Any) -> None:
    agent = an_agent(world, "same", bare=True)
    begin(world, agent, way)
    way(world, agent)
    assert world.book == [1, 1]
