"""Who else may be at a thread: another process that resumes it, and a tool nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tallystick import Ledger, Policy
from tallystick.errors import ApprovalRequired, EffectInDoubt
from tallystick_checkpoint import LedgerSaver
from tallystick_langchain import wrap_tools
from tests.adapters.langchain_agents import agent_of
from tests.conftest import Place

from ._world import World, in_turn, said, thread

PAY = ("pay", {"amount": 1})


class Bank:
    """A slow one; several may come at once."""

    def __init__(self) -> None:
        self.book: list[int] = []
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def pay(self, amount: int) -> str:
        """Pay."""
        self.book.append(amount)
        self.begun.set()
        assert self.may_end.wait(30)
        return f"paid {amount} as number {len(self.book)}"


def agent_on(ledger: Ledger, bank: Bank, **options: Any) -> Any:
    tools = wrap_tools([bank.pay], ledger, **options)
    return agent_of(tools, in_turn([PAY]), checkpointer=LedgerSaver(ledger))


@contextmanager
def meanwhile(*deeds: Any) -> Generator[None]:
    """Several deeds at once; all of them end."""
    threads = [threading.Thread(target=deed) for deed in deeds]
    for one in threads:
        one.start()
    yield
    for one in threads:
        one.join(60)
        assert not one.is_alive()


@pytest.mark.parametrize("asked", ["model", "tools"])
def test_two_processes_resume_one_thread_at_once(place: Place, asked: str) -> None:
    """From the tools the calls have one id; from the model each process gets its own."""
    bank, done = Bank(), list[Any]()
    agents = [agent_on(place.open(), bank) for _ in range(2)]
    agents[0].invoke(said(), thread(), interrupt_before=[asked])
    meet = threading.Barrier(2)

    def resume(agent: Any) -> None:
        meet.wait(10)
        done.append(agent.invoke(None, thread())["messages"][-2].content)

    with meanwhile(*(lambda a=a: resume(a) for a in agents)):
        assert bank.begun.wait(20)
        bank.may_end.set()
    assert bank.book == [1]
    assert done == ["paid 1 as number 1"] * 2


def test_two_processes_find_one_question(place: Place) -> None:
    bank = Bank()
    bank.may_end.set()
    asks = {"policies": {"pay": Policy(approval=True)}}
    agents = [agent_on(place.open(), bank, **asks) for _ in range(2)]
    agents[0].invoke(said(), thread(), interrupt_before=["tools"])
    stopped: list[Exception] = []

    def resume(agent: Any) -> None:
        with pytest.raises(ApprovalRequired) as caught:
            agent.invoke(None, thread())
        stopped.append(caught.value)

    with meanwhile(*(lambda a=a: resume(a) for a in agents)):
        pass
    ledger = place.open()
    [item] = ledger.pending()
    assert len(stopped) == 2
    ledger.approve(item.effect.key, by="ann")
    agents[1].invoke(None, thread())
    assert bank.book == [1]


async def test_a_tool_nobody_waits_for_any_more_is_waited_for_by_the_next(world: World) -> None:
    """A cancelled run leaves a sync tool at work in its thread; a resume gets its outcome."""
    begun, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert may_end.wait(30)

    world.before = hold
    agent = world.agent(in_turn([PAY]))
    run = asyncio.create_task(agent.ainvoke(said(), thread()))
    assert await asyncio.to_thread(begun.wait, 10)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    resumed = asyncio.create_task(agent.ainvoke(None, thread()))
    may_end.set()
    result = await asyncio.wait_for(resumed, 30)
    assert result["messages"][-2].content == "paid 1 as number 1"
    assert world.book == [1]


async def test_an_async_tool_that_is_cancelled_is_in_doubt(world: World) -> None:
    begun = asyncio.Event()
    book: list[int] = []

    async def pay(amount: int) -> str:
        """Pay."""
        book.append(amount)
        begun.set()
        await asyncio.Event().wait()
        return "never"

    tools = wrap_tools([pay], world.ledger)
    agent = agent_of(tools, in_turn([PAY]), checkpointer=world.saver)
    run = asyncio.create_task(agent.ainvoke(said(), thread()))
    await asyncio.wait_for(begun.wait(), 10)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    with pytest.raises(EffectInDoubt) as caught:
        await agent.ainvoke(None, thread())
    await world.ledger.aresolve(caught.value.key, succeeded="paid", by="ann")
    result = await agent.ainvoke(None, thread())
    assert result["messages"][-2].content == "paid"
    assert book == [1]
