"""Inputs that are sent twice, and threads that go on because of a decision made elsewhere."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tallystick.errors import InvalidCall, ThreadError
from tallystick_langgraph import (
    ainvoke_once,
    aresume_approved,
    invoke_once,
    resume_approved,
)

from ._world import ASKS, World, classic, contents, in_turn, questions, said, thread, watched

STORES = ("postgres", "foreign")
PAY, FLAKY = ("pay", {"amount": 1}), ("flaky", {"a": 1})
both = pytest.mark.parametrize("build", [classic, watched])


def test_an_input_that_is_sent_twice_runs_once(world: World) -> None:
    agent = world.agent(in_turn([PAY]))
    first = invoke_once(agent, said(), thread(), run_id="delivery-1")
    again = invoke_once(agent, said(), thread(), run_id="delivery-1")
    assert contents(first) == contents(again) == ["paid 1 as number 1"]
    other = invoke_once(agent, said(), thread(), run_id="delivery-2")
    late = invoke_once(agent, said(), thread(), run_id="delivery-1")
    assert (len(contents(other)), len(contents(late))) == (2, 1)
    assert world.book == [1, 1]


async def test_awaited_it_does_the_same(world: World) -> None:
    agent = world.agent(in_turn([PAY]))
    await ainvoke_once(agent, said(), thread(), run_id="delivery-1")
    await ainvoke_once(agent, said(), thread(), run_id="delivery-1")
    await ainvoke_once(agent, said(), thread(), run_id="delivery-2")
    await ainvoke_once(agent, said(), thread(), run_id="delivery-1")
    assert world.book == [1, 1]


def test_an_unfinished_run_is_resumed(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY], [FLAKY]))
    with pytest.raises(ConnectionError):
        invoke_once(agent, said(), thread(), run_id="delivery-1")
    result = invoke_once(agent, said(), thread(), run_id="delivery-1")
    assert contents(result) == ["paid 1 as number 1", "ok"]
    assert world.book == [1]


def test_two_deliveries_at_once_pay_once(world: World) -> None:
    """Both begin the thread; the model is asked twice, under other ids."""
    meet = threading.Barrier(2)

    def deliver(agent: Any, found: list[Any]) -> None:
        meet.wait(10)
        found.append(invoke_once(agent, said(), thread(), run_id="delivery-1"))

    agent, found = world.agent(in_turn([PAY])), list[Any]()
    threads = [threading.Thread(target=deliver, args=(agent, found)) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert len(found) == 2
    assert world.book == [1]


def test_a_run_that_others_overtook_is_not_run_again(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY], [FLAKY]))
    with pytest.raises(ConnectionError):
        invoke_once(agent, said(), thread(), run_id="delivery-1")
    invoke_once(agent, said(), thread(), run_id="delivery-2")
    with pytest.raises(ThreadError, match="left unfinished") as caught:
        invoke_once(agent, said(), thread(), run_id="delivery-1")
    assert caught.value.thread == "order-42"


def test_what_it_needs_is_said(world: World) -> None:
    agent = world.agent(in_turn([PAY]))
    nowhere: Any = {"configurable": {}}
    with pytest.raises(InvalidCall, match="thread"):
        invoke_once(agent, said(), nowhere, run_id="r")
    with pytest.raises(InvalidCall, match="checkpointer"):
        invoke_once(world.agent(in_turn([PAY]), checkpointer=None), said(), thread(), run_id="r")
    other: Any = {**thread(), "metadata": {"run_id": "s"}}
    with pytest.raises(InvalidCall, match="names the run"):
        invoke_once(agent, said(), other, run_id="r")
    with pytest.raises(InvalidCall, match="checkpointer"):
        resume_approved(world.agent(in_turn([PAY]), checkpointer=None), world.ledger)
    with pytest.raises(InvalidCall, match="stop"):
        resume_approved(agent, world.ledger, every=1.0)


@both
def test_a_thread_goes_on_once_it_is_decided_elsewhere(world: World, build: Any) -> None:
    graph = build(world, in_turn([PAY]), ASKS)
    for name in ("a", "b", "c"):
        assert questions(graph.invoke(said(), thread(name)))
    assert resume_approved(graph, world.ledger) == []
    first, second, _ = world.ledger.pending()
    world.ledger.approve(first.effect.key, by="ann")
    world.ledger.deny(second.effect.key, by="ann", reason="no")
    resumed = resume_approved(graph, world.ledger)
    assert sorted(one.thread for one in resumed) == ["a", "b"]
    assert all(one.error is None for one in resumed)
    assert world.book == [1]
    assert resume_approved(graph, world.ledger) == []


async def test_awaited_it_watches_until_it_is_stopped(world: World) -> None:
    import asyncio

    graph = watched(world, in_turn([PAY]), ASKS)
    assert questions(await graph.ainvoke(said(), thread()))
    stop, paid = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    world.before = lambda: loop.call_soon_threadsafe(paid.set)
    watch = asyncio.create_task(aresume_approved(graph, world.ledger, every=0.02, stop=stop))
    [item] = await world.ledger.apending()
    await world.ledger.aapprove(item.effect.key, by="ann")
    await asyncio.wait_for(paid.wait(), 10)
    stop.set()
    await asyncio.wait_for(watch, 10)
    assert world.book == [1]


def test_a_thread_that_raises_keeps_no_other_waiting(world: World) -> None:
    graph = watched(world, in_turn([PAY], [FLAKY]), ASKS)
    for name in ("a", "b"):
        graph.invoke(said(), thread(name))
    for item in world.ledger.pending():
        world.ledger.approve(item.effect.key, by="ann")
    world.failures = 1
    resumed = resume_approved(graph, world.ledger)
    assert sorted(type(one.error).__name__ for one in resumed) == ["EffectInDoubt", "NoneType"]
    assert world.book == [1, 1]
