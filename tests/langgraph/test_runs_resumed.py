"""A run that was resumed without its name is still the run that was sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.prebuilt import ToolNode

from tallystick import Policy
from tallystick.errors import ThreadError
from tallystick_langgraph import ainvoke_once, approval_node, invoke_once, resume_approved
from tests.adapters.langchain_agents import ScriptedModel

from ._world import END, START, Graph, MessagesState, World, in_turn, said, thread

PAY = ("pay", {"amount": 1})
FLAKY = ("flaky", {"a": 1})


def failed_run(world: World, *, failures: int = 1) -> Any:
    """An agent whose run *r* paid, and was left unfinished."""
    world.failures = failures
    agent = world.agent(in_turn([PAY], [FLAKY], [PAY]))
    with pytest.raises(ConnectionError):
        invoke_once(agent, said(), thread(), run_id="r")
    return agent


def test_a_run_that_was_finished_by_a_resume_has_a_result(world: World) -> None:
    agent = failed_run(world)
    result = agent.invoke(None, thread())
    assert invoke_once(agent, said(), thread(), run_id="r") == result
    assert world.book == [1, 1]


def test_a_run_that_a_resume_left_unfinished_goes_on(world: World) -> None:
    agent = failed_run(world)
    agent.update_state(thread(), {"messages": []})  # as a resume: it does not name the run
    result = invoke_once(agent, said(), thread(), run_id="r")
    assert [message.type for message in result["messages"]].count("human") == 1
    assert world.book == [1, 1]


async def test_a_run_is_resumed_and_sent_again_awaited(world: World) -> None:
    agent = failed_run(world)
    agent.update_state(thread(), {"messages": []})
    result = await ainvoke_once(agent, said(), thread(), run_id="r")
    agent.update_state(thread(), {"messages": []})
    again = await ainvoke_once(agent, said(), thread(), run_id="r")
    assert again == result
    assert world.book == [1, 1]


def test_a_run_that_another_one_overtook_is_told_apart(world: World) -> None:
    agent = failed_run(world)
    agent.invoke(said("something else"), thread())
    with pytest.raises(ThreadError, match="left unfinished"):
        invoke_once(agent, said(), thread(), run_id="r")


def test_a_run_that_was_overtaken_and_resumed_is_told_apart(world: World) -> None:
    agent = failed_run(world)
    world.failures = 1
    with pytest.raises(ConnectionError):
        agent.invoke(said("something else"), thread())
    agent.invoke(None, thread())
    with pytest.raises(ThreadError, match="left unfinished"):
        invoke_once(agent, said(), thread(), run_id="r")


def cut_off(world: World, agent: Any, step: int, run: Callable[[], Any]) -> None:
    """*run* ends when a step was done and its checkpoint not yet kept, as by a kill."""
    saver: Any = world.saver
    put = saver.put

    def broken(config: Any, checkpoint: Any, metadata: Any, versions: Any) -> Any:
        if metadata["step"] == step:
            raise ConnectionError("killed")
        return put(config, checkpoint, metadata, versions)

    saver.put = broken
    with pytest.raises(ConnectionError, match="killed"):
        run()
    saver.put = put
    assert agent.get_state(thread()).next == ()  # LangGraph: every task of the step is done


def first(agent: Any) -> Any:
    return invoke_once(agent, said(), thread(), run_id="r", durability="sync")


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_run_that_was_cut_off_between_two_steps_is_not_finished(world: World, step: int) -> None:
    agent = world.agent(in_turn([PAY], [PAY]))
    cut_off(world, agent, step, lambda: first(agent))
    result = invoke_once(agent, said(), thread(), run_id="r")
    assert result["messages"][-1].content == "done"
    assert world.book == [1, 1]


async def test_a_run_that_was_cut_off_goes_on_awaited(world: World) -> None:
    agent = world.agent(in_turn([PAY], [PAY]))
    cut_off(world, agent, 2, lambda: first(agent))
    result = await ainvoke_once(agent, said(), thread(), run_id="r")
    assert result["messages"][-1].content == "done"
    assert world.book == [1, 1]


def test_a_run_that_was_cut_off_after_its_approval_goes_on(world: World) -> None:
    tools = world.tools({"pay": Policy(approval=True)})
    model = ScriptedModel(script=in_turn([PAY]))

    def ask(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph: Any = Graph(MessagesState).add_node("model", ask)
    graph.add_node("approve", approval_node(world.ledger), destinations=("tools", END))
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model").add_edge("model", "approve").add_edge("tools", "model")
    graph = graph.compile(checkpointer=world.saver)
    graph.invoke(said(), thread())
    [item] = world.ledger.pending()
    world.ledger.approve(item.effect.key, by="ann")
    cut_off(world, graph, 2, lambda: graph.invoke(None, thread(), durability="sync"))
    [resumed] = resume_approved(graph, world.ledger)
    assert resumed.result["messages"][-1].content == "done"
    assert world.book == [1]
