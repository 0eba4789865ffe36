"""
Each way in which LangGraph runs a step again, with the real thing: one effect per intent.

a: a node is retried, b: interrupted and resumed, c: a crash, d: time travel, e: an update of the
state, f: subgraphs, g: a fan-out, h: the functional API, i: parallel calls. On our own checkpointer
in every store, and on LangGraph's in-memory one, whose threads are walked by parents.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, RetryPolicy, Send, interrupt

from tallystick import Policy
from tallystick.errors import ApprovalRequired
from tests.adapters.langchain_agents import asking

from ._world import START, Graph, MessagesState, World, entrypoint, in_turn, said, task, thread

PAY = ("pay", {"amount": 1})
FLAKY = ("flaky", {"a": 1})
AGAIN = RetryPolicy(initial_interval=0.01, jitter=False)


def history(agent: Any) -> list[Any]:
    return list(agent.get_state_history(thread()))


def before(agent: Any, node: str, nth: int = -1) -> Any:
    """The checkpoint at which *node* is next; by default the first time."""
    return [h for h in history(agent) if h.next and h.next[0] == node][nth]


def test_a_node_is_retried(world: World) -> None:
    graph: Any = Graph(MessagesState)
    graph.add_node("tools", ToolNode(world.tools()), retry_policy=AGAIN)
    graph.add_edge(START, "tools")
    graph = graph.compile(checkpointer=world.saver)
    world.failures = 2
    graph.invoke({"messages": [asking(PAY, FLAKY)]}, thread())
    assert world.book == [1]


def test_a1_after_an_exception_the_thread_goes_on(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY, FLAKY]))
    with pytest.raises(ConnectionError):
        agent.invoke(said(), thread())
    agent.invoke(None, thread())
    assert world.book == [1]


def test_a2_the_same_input_sent_again_is_a_new_turn(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY], [FLAKY]))
    with pytest.raises(ConnectionError):
        agent.invoke(said(), thread())
    agent.invoke(said(), thread())
    assert world.book == [1, 1]


def test_a3_the_same_input_under_one_run_id_is_the_same_turn(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY], [FLAKY]))
    config = {**thread(), "metadata": {"run_id": "r-1"}}
    with pytest.raises(ConnectionError):
        agent.invoke(said(), config)
    agent.invoke(said(), config)
    assert world.book == [1]


def test_b_a_node_that_was_interrupted_runs_again(world: World) -> None:
    pay, _ = world.tools()

    def node(state: MessagesState) -> Any:
        pay.invoke({"type": "tool_call", "id": "c1", "name": "pay", "args": {"amount": 1}})
        first = interrupt("first?")
        second = interrupt("second?")
        return {"messages": [AIMessage(f"{first} {second}")]}

    graph: Any = Graph(MessagesState).add_node("n", node).add_edge(START, "n")
    graph = graph.compile(checkpointer=world.saver)
    graph.invoke(said(), thread())
    asked = before(graph, "n", 0).config
    graph.invoke(Command(resume=1), thread())
    graph.invoke(Command(resume=2), thread())
    assert graph.get_state(thread()).values["messages"][-1].content == "1 2"
    graph.invoke(Command(resume=3), asked)  # the same interrupt, resumed from where it was
    assert world.book == [1]


def test_c_a_crash_that_lost_the_message_is_adopted(world: World) -> None:
    """The model is asked again, and calls the tools under new ids."""
    if world.foreign:
        pytest.skip("a checkpointer that loses what it said it kept")
    agent = world.agent(in_turn([PAY] * 3), checkpointer=Losing(world))
    agent.invoke(said(), thread())
    assert world.book == [1, 1, 1]
    agent = world.agent(in_turn([PAY] * 3))
    assert agent.get_state(thread()).next == ("__start__",)
    agent.invoke(None, thread())
    assert world.book == [1, 1, 1]


def Losing(world: World) -> Any:  # noqa: N802 - it stands for a class
    """A saver of which only the input survives, as if the process had died then."""
    from tallystick_checkpoint import LedgerSaver

    class Loses(LedgerSaver):
        def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
            if metadata["source"] == "input":
                return super().put(config, checkpoint, metadata, new_versions)
            place = self._place(config)
            known = self._memory.known((place.key, "", place.id or ""))
            assert known is not None
            self._memory.remember((place.key, place.ns, checkpoint["id"]), known)
            return place.config(checkpoint["id"])

        def put_writes(self, *args: Any, **more: Any) -> None:
            return None

    return Loses(world.ledger)


def test_d_time_travel_to_the_tools_with_the_same_ids(world: World) -> None:
    agent = world.agent(in_turn([PAY], [PAY], [FLAKY]))
    agent.invoke(said(), thread())
    assert world.book == [1, 1]  # the second is an intent of its own
    agent.invoke(None, before(agent, "tools").config)
    assert world.book == [1, 1]


def test_d_time_travel_to_the_model_with_new_ids(world: World) -> None:
    agent = world.agent(in_turn([PAY], [PAY], [FLAKY]))
    agent.invoke(said(), thread())
    agent.invoke(None, before(agent, "model").config)
    agent.invoke(None, before(agent, "model", 0).config)
    assert world.book == [1, 1]


def test_d1_an_unfinished_head_is_resumed_by_its_id(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY, FLAKY]))
    with pytest.raises(ConnectionError):
        agent.invoke(said(), thread())
    agent.invoke(None, agent.get_state(thread()).config)
    assert world.book == [1]


def test_e_the_state_is_updated_in_the_middle(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY, FLAKY], [PAY]))
    with pytest.raises(ConnectionError):
        agent.invoke(said(), thread())
    agent.update_state(thread(), {"messages": []})
    agent.invoke(None, thread())
    assert world.book == [1, 1]


def test_e_an_update_brings_the_same_calls_under_new_ids(world: World) -> None:
    agent = world.agent(in_turn([PAY]))
    agent.invoke(said(), thread())
    there = before(agent, "tools")
    asked = there.values["messages"][-1]
    renamed = [{**call, "id": f"new-{call['id']}"} for call in asked.tool_calls]
    message = AIMessage("", id=asked.id, tool_calls=renamed)
    config = agent.update_state(there.config, {"messages": [message]}, as_node="model")
    agent.invoke(None, config)
    assert world.book == [1]


def subgraph(world: World, script: Any, **options: Any) -> Any:
    return world.agent(script, checkpointer=options.pop("checkpointer", None), **options)


def test_f_a_subgraph_is_resumed(world: World) -> None:
    world.failures = 1
    graph: Any = Graph(MessagesState)
    graph.add_node("agent", subgraph(world, in_turn([PAY], [FLAKY], [PAY])))
    graph = graph.add_edge(START, "agent").compile(checkpointer=world.saver)
    with pytest.raises(ConnectionError):
        graph.invoke(said(), thread())
    graph.invoke(None, thread())
    assert world.book == [1, 1]


@pytest.mark.parametrize("within", ["node", "function"])
def test_f1_the_node_around_an_agent_is_retried(world: World, within: str) -> None:
    """LangGraph starts the agent anew: the model is asked again, all ids are new."""
    world.failures = 1
    inner = subgraph(world, in_turn([PAY], [PAY], [FLAKY]))

    def calls(state: MessagesState) -> Any:
        return inner.invoke(state)

    node: Any = inner if within == "node" else calls
    graph: Any = Graph(MessagesState).add_node("agent", node, retry_policy=AGAIN)
    graph = graph.add_edge(START, "agent").compile(checkpointer=world.saver)
    graph.invoke(said(), thread())
    assert world.book == [1, 1]


def test_f2_a_subgraph_is_called_twice_in_one_node(world: World) -> None:
    inner = subgraph(world, in_turn([PAY]))

    def node(state: MessagesState) -> Any:
        inner.invoke(state)
        return inner.invoke(state)

    graph: Any = Graph(MessagesState).add_node("n", node).add_edge(START, "n")
    graph = graph.compile(checkpointer=world.saver)
    if not world.foreign:
        graph.invoke(said(), thread())
        assert world.book == [1, 1]
        return
    # another checkpointer does not tell in which attempt a graph runs: a person has to
    with pytest.raises(ApprovalRequired):
        graph.invoke(said(), thread())
    [item] = world.ledger.pending()
    assert item.kind == "suspect"
    world.ledger.approve(item.effect.key, by="ann")
    graph.invoke(None, thread())
    assert world.book == [1, 1]


def test_f3_a_node_fails_after_its_subgraph_ended(world: World) -> None:
    inner = subgraph(world, in_turn([PAY]))
    failing = [ConnectionError("after")]

    def node(state: MessagesState) -> Any:
        result = inner.invoke(state)
        if failing:
            raise failing.pop()
        return result

    graph: Any = Graph(MessagesState).add_node("n", node, retry_policy=AGAIN)
    graph = graph.add_edge(START, "n").compile(checkpointer=world.saver)
    if world.foreign:
        with pytest.raises(ApprovalRequired):
            graph.invoke(said(), thread())
        assert world.book == [1]
        return
    graph.invoke(said(), thread())
    assert world.book == [1]


@pytest.mark.parametrize("checkpointer", [None, False, True])
def test_f_a_subgraph_with_every_kind_of_checkpointer(world: World, checkpointer: Any) -> None:
    inner = subgraph(world, in_turn([PAY], [PAY]), checkpointer=checkpointer)
    graph: Any = Graph(MessagesState).add_node("agent", inner).add_edge(START, "agent")
    graph = graph.compile(checkpointer=world.saver)
    graph.invoke(said(), thread())
    assert world.book == [1, 1]


class Fan(TypedDict):
    out: Annotated[list[str], operator.add]


def test_g_a_fan_out_of_equal_payloads(world: World) -> None:
    pay, _ = world.tools()
    once: list[int] = [2]

    def work(state: Any) -> Fan:
        said = pay.invoke({"amount": state["amount"]})
        if once and state["n"] == once[0]:
            once.pop()
            raise ConnectionError("after")
        return {"out": [said]}

    graph: Any = Graph(Fan).add_node("work", work)
    sends = [Send("work", {"amount": 1, "n": n}) for n in range(3)]

    def fan(_: Any) -> list[Send]:
        return sends

    graph.add_conditional_edges(START, fan, ["work"])
    graph = graph.compile(checkpointer=world.saver)
    with pytest.raises(ConnectionError):
        graph.invoke({"out": []}, thread())
    graph.invoke(None, thread())
    assert world.book == [1, 1, 1]


def test_h_the_functional_api(world: World) -> None:
    pay, flaky = world.tools()

    @task  # type: ignore[untyped-decorator]
    def charge(amount: int) -> str:
        return str(pay.invoke({"amount": amount}))

    @entrypoint(checkpointer=world.saver)  # type: ignore[untyped-decorator]
    def flow(amount: int) -> list[str]:
        first = pay.invoke({"amount": amount})
        both = [charge(amount), charge(amount)]
        said = [one.result() for one in both]
        flaky.invoke({"a": 1})
        return [str(first), *said]

    world.failures = 1
    with pytest.raises(ConnectionError):
        flow.invoke(1, thread())
    flow.invoke(None, thread())
    assert world.book == [1, 1, 1]


@pytest.mark.parametrize("classic", [True, False])
def test_i_parallel_identical_calls_stay_three(world: World, *, classic: bool) -> None:
    world.failures = 1
    calls = [PAY, PAY, PAY, FLAKY]
    if classic:
        graph: Any = Graph(MessagesState).add_node("tools", ToolNode(world.tools()))
        graph = graph.add_edge(START, "tools").compile(checkpointer=world.saver)
        given: Any = {"messages": [asking(*calls)]}
    else:
        graph, given = world.agent(in_turn(calls)), said()
    with pytest.raises(ConnectionError):
        graph.invoke(given, thread())
    graph.invoke(None, thread())
    assert world.book == [1, 1, 1]


def test_ids_that_come_again_in_later_turns(world: World) -> None:
    agent = world.agent(in_turn([("pay", {"amount": 1}, "call_0")]))
    for _ in range(3):
        agent.invoke(said(), thread())
    assert world.book == [1, 1, 1]


def test_ids_that_come_again_in_each_answer_of_one_turn(world: World) -> None:
    world.failures = 1
    one = ("pay", {"amount": 1}, "call_0")
    agent = world.agent(in_turn([one], [one], [("flaky", {"a": 1}, "call_0")], [one]))
    with pytest.raises(ConnectionError):
        agent.invoke(said(), thread())
    agent.invoke(None, thread())
    assert world.book == [1, 1, 1]


def test_ids_that_are_left_empty(world: World) -> None:
    world.failures = 1
    one = ("pay", {"amount": 1}, "")
    agent = world.agent(in_turn([one], [one], [FLAKY]))
    with pytest.raises(ConnectionError):
        agent.invoke(said(), thread())
    agent.invoke(None, thread())
    assert world.book == [1, 1]


def test_two_delegates_pay_once_each_and_time_travel_pays_nothing(world: World) -> None:
    from langchain_core.tools import tool

    inner = subgraph(world, in_turn([PAY]))

    @tool
    def delegate(q: str) -> str:
        """Delegate."""
        return str(inner.invoke({"messages": [("user", q)]})["messages"][-1].content)

    from tests.adapters.langchain_agents import agent_of

    asked = ("delegate", {"q": "a"})
    agent = agent_of([delegate], in_turn([asked, asked]), checkpointer=world.saver)
    agent.invoke(said(), thread())
    assert world.book == [1, 1]
    agent.invoke(None, before(agent, "model").config)
    assert world.book == [1, 1]


async def test_sync_tools_under_an_async_graph(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY], [PAY, FLAKY]))
    with pytest.raises(ConnectionError):
        await agent.ainvoke(said(), thread())
    await agent.ainvoke(None, thread())
    assert world.book == [1, 1]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_every_durability(world: World, durability: str) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY, PAY], [PAY], [FLAKY]))
    with pytest.raises(ConnectionError):
        agent.invoke(said(), thread(), durability=durability)
    resumes = agent.get_state(thread()).next
    agent.invoke(None if resumes else said(), thread(), durability=durability)
    assert world.book == [1, 1, 1]
    agent.invoke(said(), thread(), durability=durability)
    assert world.book == [1] * 6


def test_without_a_checkpointer_a_workflow_has_to_be_named(world: World) -> None:
    from tallystick.errors import NoWorkflow

    agent = world.agent(in_turn([PAY]), checkpointer=None)
    with pytest.raises(NoWorkflow, match="checkpointer"):
        agent.invoke(said(), thread())
    assert world.book == []


def test_without_a_checkpointer_a_workflow_is_run_again(world: World) -> None:
    world.failures = 1
    agent = world.agent(in_turn([PAY, PAY], [PAY], [FLAKY]), checkpointer=None)
    with world.ledger.workflow("order-42"):
        with pytest.raises(ConnectionError):
            agent.invoke(said())
        agent.invoke(said())
    assert world.book == [1, 1, 1]


def test_max_concurrency_of_one(world: World) -> None:
    agent = world.agent(in_turn([PAY, PAY], [PAY]))
    agent.invoke(said(), {**thread(), "max_concurrency": 1})
    assert world.book == [1, 1, 1]


@pytest.mark.parametrize("fork", ["replay", "run", "ask"])
def test_a_fork_means_what_the_policy_says(world: World, fork: str) -> None:
    agent = world.agent(in_turn([PAY]), on_fork=fork)
    agent.invoke(said(), thread())
    there = before(agent, "model").config
    if fork == "ask":
        with pytest.raises(ApprovalRequired):
            agent.invoke(None, there)
        assert world.book == [1]
        [item] = world.ledger.pending()
        assert item.kind == "suspect"
        world.ledger.approve(item.effect.key, by="ann")
        agent.invoke(None, thread())
    else:
        agent.invoke(None, there)
    assert world.book == ([1] if fork == "replay" else [1, 1])


def test_arguments_that_drift_are_asked_about(world: World) -> None:
    if world.foreign:
        pytest.skip("a checkpointer that loses what it said it kept")
    careful = {"pay": Policy(on_suspect="ask")}
    agent = world.agent(in_turn([("pay", {"amount": 1})]), careful, checkpointer=Losing(world))
    agent.invoke(said(), thread())
    agent = world.agent(in_turn([("pay", {"amount": 2})]), careful)
    with pytest.raises(ApprovalRequired):
        agent.invoke(None, thread())
    [item] = world.ledger.pending()
    assert "other arguments" in item.note
    assert world.book == [1]
