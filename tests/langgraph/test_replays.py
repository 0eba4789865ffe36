"""The same graph is told again from its record: equal answers, and no tool runs."""

from __future__ import annotations

import asyncio
import json
import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, RetryPolicy, Send

from tallystick import Ledger, Policy
from tallystick.errors import Divergence, InvalidCall
from tallystick_checkpoint import LedgerSaver
from tallystick_langchain import recorded, wrap_tools
from tallystick_langgraph import ledgered_node
from tests.adapters.langchain_agents import (
    Asked,
    Script,
    ScriptedModel,
    agent_of,
    agent_on,
    answers,
)
from tests.replays._elsewhere import cut_off, moved

from ._world import (
    APPROVE,
    ASKS,
    END,
    START,
    Graph,
    World,
    classic,
    contents,
    in_turn,
    said,
    thread,
    watched,
)

STORES = ("sqlite", "foreign")
#: several calls in one message, and one of them again in the next
TWICE = in_turn(
    [("pay", {"amount": 5}), ("pay", {"amount": 6}), ("flaky", {"a": 1})], [("pay", {"amount": 5})]
)


class State(TypedDict):
    """What several tasks write into."""

    got: Annotated[list[int], operator.add]


def nothing(state: State) -> Any:
    """A node between others."""
    return {"got": []}


def told(result: Any) -> list[tuple[str, str]]:
    """All that is in a thread, but for the ids that are made up each time."""
    return [(message.type, str(message.content)) for message in result["messages"]]


@pytest.mark.parametrize("awaiting", [False, True], ids=["blocking", "awaiting"])
@pytest.mark.parametrize("saver", ["same", "fresh"])
def test_an_agent_replays_word_for_word(world: World, saver: str, awaiting: bool) -> None:
    """With the agent's own checkpointer, or a fresh one; the ids of the calls are new ones."""

    def run(agent: Any, name: str) -> list[Any]:
        if not awaiting:
            return [told(agent.invoke(said(text), thread(name))) for text in ("go", "again")]

        async def main() -> list[Any]:
            return [told(await agent.ainvoke(said(text), thread(name))) for text in ("go", "again")]

        return asyncio.run(main())

    first = run(world.agent(TWICE), "order-42")
    paid, everything = list(world.book), rows(world)
    assert len(paid) == 6
    if saver == "fresh" or world.foreign:
        world.saver = InMemorySaver()
    again = world.agent(TWICE)
    with world.ledger.replay("order-42") as replay:
        assert run(again, "order-42") == first
    assert (world.book, replay.served, replay.divergences) == (paid, 8, ())
    with world.ledger.replay("order-42"):
        assert run(world.agent(TWICE, checkpointer=InMemorySaver()), "another-thread") == first
    assert world.book == paid
    assert rows(world) == everything


def test_an_agent_replays_from_an_export_on_another_store(world: World) -> None:
    """With the network cut, and with nothing of the thread but the record."""
    first = told(world.agent(TWICE).invoke(said(), thread("order-42")))
    with Ledger("memory://") as there:
        other = World(moved(world.ledger, there), foreign=True)
        with cut_off(), there.replay("order-42") as replay:
            assert told(other.agent(TWICE).invoke(said(), thread("order-42"))) == first
        assert (other.book, replay.divergences, replay.missing) == ([], (), ())
    assert len(world.book) == 3


def test_neither_tools_nor_model_are_asked_on_the_other_kind_of_store(
    journey: tuple[Ledger, Ledger],
) -> None:
    """Every message comes out again byte by byte, but for the ids that LangGraph makes up."""

    def run(world: World) -> tuple[bytes, int]:
        model = ScriptedModel(script=TWICE)
        agent = agent_on(recorded(model, world.ledger), world.tools(), checkpointer=world.saver)
        result = agent.invoke(said(), thread("order-42"))
        dumped = [message.model_dump(exclude={"id"}) for message in result["messages"]]
        return json.dumps(dumped).encode(), len(model.asked)

    worlds = [World(ledger) for ledger in journey]
    first, asked = run(worlds[0])
    assert (asked, len(worlds[0].book)) == (3, 3)
    there = moved(*journey)
    with cut_off(), there.replay("order-42") as replay:
        assert run(worlds[1]) == (first, 0)
    assert (worlds[1].book, replay.divergences, replay.missing) == ([], (), ())
    assert there.verify().sound


def forget(world: World) -> None:
    """Another checkpointer than the ledger's has to be a fresh one."""
    if world.foreign:
        world.saver = InMemorySaver()


def rows(world: World) -> list[Any]:
    """The recorded effects, and the thread of the original run."""
    effects = [e for e in world.ledger.effects() if not e.workflow.startswith("replay:")]
    kept = [] if world.foreign else list(LedgerSaver(world.ledger).list(thread("order-42")))
    return [effects, [(c.config, c.checkpoint, c.pending_writes) for c in kept]]


def test_an_agent_without_a_checkpointer_replays_too(world: World) -> None:
    with world.ledger.workflow("order-42"):
        first = told(world.agent(TWICE, checkpointer=None).invoke(said()))
    with world.ledger.replay("order-42"):
        assert told(world.agent(TWICE, checkpointer=None).invoke(said())) == first
    assert len(world.book) == 3


def test_equal_calls_of_one_message_are_told_apart_by_their_ids(world: World) -> None:
    """As long as the model says the same ids again; in the replay they come in another order."""
    script = in_turn([("pay", {"amount": 5}, f"c{n}") for n in range(8)])
    first = told(world.agent(script).invoke(said(), thread()))
    for _ in range(5):
        forget(world)
        with world.ledger.replay("order-42"):
            assert told(world.agent(script).invoke(said(), thread())) == first
    assert len(world.book) == 8


def test_what_an_agent_asks_otherwise_stops_it(world: World) -> None:
    """The Divergence passes all layers; no message for the model is made of it."""
    world.agent(in_turn([("pay", {"amount": 5})])).invoke(said(), thread())
    forget(world)
    other = world.agent(in_turn([("pay", {"amount": 500})]))
    replay = world.ledger.replay("order-42")
    with pytest.raises(Divergence, match='"amount": 500') as caught, replay:
        other.invoke(said(), thread())
    assert (caught.value.kind, world.book) == ("arguments", [5])
    with world.ledger.replay("order-42", mode="lenient") as loose:
        result = other.invoke(said(), thread("anew"))
    assert [m.content for m in answers(result)] == ["paid 5 as number 1"]
    assert [d.kind for d in loose.divergences] == ["arguments"]


def test_nodes_in_a_loop_and_beside_each_other_get_each_their_own(world: World) -> None:
    """No call id tells them apart: the place does, in the replay as in the run."""
    count = iter(range(100))

    @ledgered_node(world.ledger, args=lambda s: {"same": 1})
    def step(state: State) -> Any:
        return {"got": [next(count)]}

    def fan(state: State) -> Any:
        return [Send("step", {"got": []})] * 2 if len(state["got"]) < 4 else END

    graph = Graph(State)
    graph.add_node("step", step)
    graph.add_node("again", nothing)
    graph.add_conditional_edges(START, fan)
    graph.add_edge("step", "again")
    graph.add_conditional_edges("again", fan)

    def run(saver: Any) -> Any:
        return graph.compile(checkpointer=saver).invoke({"got": []}, thread())

    first = run(world.saver)
    assert sorted(first["got"]) == [0, 1, 2, 3]
    with world.ledger.replay("order-42"):
        assert sorted(run(InMemorySaver())["got"]) == [0, 1, 2, 3]
    assert next(count) == 4


def test_a_node_that_is_retried_in_a_replay_is_answered_once(world: World) -> None:
    """A framework's own retry is a repetition, and no extra call."""
    broken = iter([True, True, False] * 2)

    @ledgered_node(world.ledger, args=lambda s: {"amount": 1})
    def charge(state: Any) -> Any:
        world.book.append(1)
        return {}

    def both(state: Any) -> Any:
        charge(state)
        if next(broken):
            raise ConnectionError
        return {}

    graph = Graph(dict)
    graph.add_node("both", both, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    graph.add_edge(START, "both")
    graph.compile(checkpointer=world.saver).invoke({}, thread())
    with world.ledger.replay("order-42") as replay:
        graph.compile(checkpointer=InMemorySaver()).invoke({}, thread())
    assert (world.book, replay.served) == ([1], 3)


@pytest.mark.parametrize("shape", ["classic", "middleware"])
def test_what_a_person_approved_is_not_asked_again(world: World, shape: str) -> None:
    """Neither by the node, nor by the middleware: the run goes through in one go."""
    script = in_turn([("pay", {"amount": 5})])

    def graph() -> Any:
        return classic(world, script, ASKS) if shape == "classic" else watched(world, script)

    first = graph()
    first.invoke(said(), thread())
    result = first.invoke(Command(resume=APPROVE), thread())
    paid = list(world.book)
    world.saver = InMemorySaver()
    with world.ledger.replay("order-42"):
        again = graph().invoke(said(), thread())
    assert contents(again) == contents(result)
    assert (world.book, world.ledger.pending()) == (paid, [])


def test_a_failure_is_told_to_the_model_in_the_same_words(world: World) -> None:
    """ToolException, as text or by the tool's handler."""

    @tool
    def fail(n: int) -> str:
        """Fail."""
        world.book.append(n)
        raise ToolException(f"no {n}")

    fail.handle_tool_error = lambda e: f"sorry: {e}"
    tools = wrap_tools([fail], world.ledger)
    script: Script = in_turn([("fail", {"n": 1})], [("fail", {"n": 2})])

    def run() -> Any:
        return told(agent_of(tools, script, checkpointer=InMemorySaver()).invoke(said(), thread()))

    first = run()
    assert ("tool", "sorry: no 1") in first
    with world.ledger.replay("order-42"):
        assert run() == first
    assert world.book == [1, 2]


def test_an_agent_inside_a_tool_is_not_run_and_not_missed(world: World) -> None:
    inner = world.agent(in_turn([("pay", {"amount": 7})]), checkpointer=None)

    @tool
    def delegate(task: str) -> str:
        """Let another agent do it."""
        with world.ledger.workflow("order-42"):
            return str(inner.invoke(said(task))["messages"][-2].content)

    tools = wrap_tools([delegate], world.ledger)
    script: list[Asked] = [("delegate", {"task": "pay"})]

    def run(saver: Any) -> Any:
        return told(agent_of(tools, in_turn(script), checkpointer=saver).invoke(said(), thread()))

    first = run(world.saver)
    assert ("tool", "paid 7 as number 1") in first
    with world.ledger.replay("order-42") as replay:
        assert run(InMemorySaver()) == first
    assert (world.book, replay.served) == ([7], 1)


def test_threads_of_the_ledger_are_out_of_reach_in_a_replay(world: World) -> None:
    world.agent(in_turn([("pay", {"amount": 5})])).invoke(said(), thread())
    saver = LedgerSaver(world.ledger)
    before = saver.get_tuple(thread())
    with world.ledger.replay("order-42", mode="lenient"):
        assert saver.get_tuple(thread()) is None
        with pytest.raises(InvalidCall, match="out of reach"):
            saver.delete_thread("order-42")
    assert saver.get_tuple(thread()) == before


def test_another_ledger_is_not_replayed(world: World) -> None:
    """Only calls that go to the replayed ledger are answered from it."""
    world.ledger.call("send", lambda: 1, workflow="order-42")
    with Ledger("memory://") as other, world.ledger.replay("order-42", mode="lenient"):
        assert other.call("send", lambda: 2, workflow="order-42", policy=Policy()) == 2
