"""Which checkpoints may go: the rule by itself, and what is left of real threads."""

from __future__ import annotations

import itertools
import json
import operator
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, TypedDict, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.channels.delta import DeltaChannel  # pyright: ignore[reportMissingTypeStubs]
from langgraph.graph import START, StateGraph  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import Command, interrupt

from tallystick import Ledger
from tallystick._checkpoints import DropCheckpoints, ReadThreads, Saved
from tallystick.errors import InvalidCall
from tallystick.testing import turn_clock
from tallystick_checkpoint import LedgerSaver
from tallystick_checkpoint import _pruning as pruning
from tallystick_checkpoint._pruning import Pruned, Retained, Rule, disposable
from tests.checkpoints._acts import Thread, store_of
from tests.checkpoints._stock import extend
from tests.checkpoints.test_saver import A, chat, config, put, rows, said

T = Thread("a")
HOUR = timedelta(hours=1)


def row(id_: str, parent: str | None = None, *, ns: str = "", hours: int = 0, **meta: Any) -> Saved:
    """A checkpoint that was kept *hours* after the beginning; *vals*: the channels it stores."""
    vals: Sequence[str] = meta.pop("vals", ("c",))
    at = hours * 3_600_000_000
    stored = json.dumps({name: {"v": 1} for name in vals})
    return T.saved(id_, parent, ns=ns, at=at, metadata=json.dumps(meta), vals=stored)


def kept(found: Sequence[Saved], rule: Rule, hours: int = 0) -> list[str]:
    """What stays of rows that are given oldest first: ids, or ``ns/id``."""
    newest_first = sorted(found, key=lambda r: r.id, reverse=True)
    gone = disposable(newest_first, rule, hours * 3_600_000_000)
    assert gone == [r for r in newest_first if r in gone], "in the order they were given"
    left = [r for r in newest_first if r not in gone]
    return [f"{r.ns}/{r.id}" if r.ns else r.id for r in reversed(left)]


# -- the rule --------------------------------------------------------------------------------------

FIVE = [row(str(n), str(n - 1) if n > 1 else None, hours=n) for n in range(1, 6)]


def test_the_newest_stay_by_count() -> None:
    assert kept(FIVE, Rule(keep=2)) == ["4", "5"]
    assert kept(FIVE, Rule(keep=9)) == ["1", "2", "3", "4", "5"]


def test_the_young_stay_by_age() -> None:
    assert kept(FIVE, Rule(age=2 * HOUR), hours=5) == ["3", "4", "5"]
    assert kept(FIVE, Rule(age=HOUR), hours=500) == ["5"]


def test_with_both_only_what_is_old_and_beyond_the_count_goes() -> None:
    assert kept(FIVE, Rule(keep=4, age=2 * HOUR), hours=5) == ["2", "3", "4", "5"]
    assert kept(FIVE, Rule(keep=1, age=2 * HOUR), hours=5) == ["3", "4", "5"]


def test_a_thread_of_nothing_has_nothing_to_lose() -> None:
    assert disposable([], Rule(keep=1)) == []


def test_a_chosen_checkpoint_keeps_the_subgraphs_that_were_called_there() -> None:
    found = [
        row("1"),
        row("2", ns="sub:x", parents={"": "1"}),
        row("3"),
        row("4", ns="sub:y", parents={"": "3"}),
        row("5", ns="sub:y", parents={"": "3"}),
        row("6", ns="sub:y|deep:z", parents={"": "3", "sub:y": "5"}),
        row("7"),
    ]
    assert kept(found, Rule(keep=1)) == ["7"]
    assert kept(found, Rule(keep=2)) == ["3", "sub:y/5", "sub:y|deep:z/6", "7"]


def test_a_subgraph_whose_root_is_on_its_way_stays() -> None:
    """A run saves in the background: a call may be there before the checkpoint it belongs to."""
    found = [row("1"), row("3", ns="sub:x", parents={"": "2"})]
    assert kept(found, Rule(keep=1)) == ["1", "sub:x/3"]


def test_a_subgraph_without_a_root_stays() -> None:
    found = [row("1", ns="sub:x", parents={"": "0"}), row("2", ns="sub:x", parents={"": "0"})]
    assert kept(found, Rule(keep=1)) == ["sub:x/2"]


def test_a_subgraph_with_a_memory_of_its_own_keeps_it() -> None:
    """Its namespace is no call's; each chosen checkpoint keeps what it goes on with."""
    found = [
        row("1"),
        row("2", ns="sub", parents={"": "1"}),
        row("3", ns="sub", parents={"": "1"}),
        row("4"),
        row("5", ns="sub", parents={"": "4"}),
        row("6", ns="sub", parents={"": "4"}),
        row("7"),
        row("8"),
    ]
    assert kept(found, Rule(keep=1)) == ["sub/6", "8"]
    assert kept(found, Rule(keep=3)) == ["sub/3", "4", "sub/6", "7", "8"]


def test_the_young_keep_the_chain_that_they_are_made_from() -> None:
    counters = {"log": [1, 1]}
    found = [
        row("1", vals=["log"]),
        row("2", "1", vals=["log"]),
        row("3", "2", counters_since_delta_snapshot=counters),
        row("4", "3", counters_since_delta_snapshot=counters, hours=9),
        row("5", "4", vals=["log"], hours=9),
    ]
    assert kept(found, Rule(keep=1)) == ["5"]
    assert kept(found, Rule(age=HOUR), hours=9) == ["2", "3", "4", "5"]


@given(
    parents=st.lists(st.integers(0, 11), min_size=1, max_size=12),
    hours=st.lists(st.integers(0, 9), min_size=12, max_size=12),
    whole=st.lists(st.booleans(), min_size=12, max_size=12),
    keep=st.none() | st.integers(1, 13),
    age=st.none() | st.integers(1, 10),
)
def test_whatever_a_thread_looks_like(
    parents: list[int], hours: list[int], whole: list[bool], keep: int | None, age: int | None
) -> None:
    """The newest stays, the young stay, chains stay whole, and doing it again changes nothing."""
    if keep is None and age is None:
        keep = 1
    found = [
        row(
            f"{n:02}",
            f"{parent:02}" if parent < n else None,
            hours=hours[n],
            vals=["log"] if whole[n] else [],
            counters_since_delta_snapshot={"log": [1, 1]},
        )
        for n, parent in enumerate(parents)
    ]
    rule = Rule(keep, None if age is None else age * HOUR)
    left = kept(found, rule, hours=10)
    by = {r.id: r for r in found}
    assert set(left) >= {r.id for r in found[-(keep or 1) :]}
    if age is not None:
        assert set(left) >= {r.id for r in found if hours[int(r.id)] >= 10 - age}
    for one in (by[id_] for id_ in left):
        if one.vals == "{}" and one.parent is not None:
            assert one.parent in left
    assert kept([by[id_] for id_ in left], rule, hours=10) == left


@pytest.mark.parametrize(
    ("keep", "age", "why"),
    [
        (None, None, "give keep=N .--keep N., older_than"),
        (0, None, "at least 1"),
        (None, timedelta(0), "a time that has passed"),
        (5, -HOUR, "a time that has passed"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(
    keep: int | None, age: timedelta | None, why: str
) -> None:
    with pytest.raises(InvalidCall, match=why):
        Rule(keep, age)


# -- threads ---------------------------------------------------------------------------------------


def test_threads_are_kept_small_by_count(saver: LedgerSaver) -> None:
    """All of the tenant's, or those that are named; and what it said is what happened."""
    for thread in ("a", "b", 7):
        where = config(thread)
        for n in range(1, 6):
            where = put(saver, where, n, {"x": [str(n) * 300, {"n": n}]})
            saver.put_writes(where, [("x", n)], "task")
    assert saver.retain(keep=2, threads=cast("Any", [7, "nowhere"])) == Retained(2, 3, 2)
    assert [r.id for r in rows(saver, "7")] == ["00000005", "00000004"]
    assert len(rows(saver)) == 5
    assert saver.retain(keep=2) == Retained(3, 6, 6)
    assert saver.retain(keep=2) == Retained(3, 0, 6)
    fresh = LedgerSaver(saver.ledger)
    for n in (4, 5):
        found = cast("Any", fresh.get_tuple(config("b", id_=f"{n:08}")))
        assert found.checkpoint["channel_values"] == {"x": [str(n) * 300, {"n": n}]}
        assert found.pending_writes == [("task", "x", n)]


async def test_the_awaited_twin_does_the_same(saver: LedgerSaver) -> None:
    graph = chat(saver)
    await graph.ainvoke(said("one"), A)
    assert await saver.aretain(keep=1) == Retained(1, 2, 1)
    assert len((await graph.ainvoke(said("two"), A))["messages"]) == 4


def test_the_age_is_that_of_the_databases_clock(saver: LedgerSaver) -> None:
    graph = chat(saver)
    graph.invoke(said("one"), A)
    turn_clock(saver.ledger, 3 * 3600)
    graph.invoke(said("two"), A)
    assert saver.retain(older_than=4 * HOUR).dropped == 0
    assert saver.retain(older_than=2 * HOUR, keep=6).dropped == 0
    assert saver.retain(older_than=2 * HOUR) == Retained(1, 3, 3)
    assert [s.metadata["source"] for s in graph.get_state_history(A)] == ["loop", "loop", "input"]
    assert len(graph.invoke(said("three"), A)["messages"]) == 6


def test_effects_and_other_tenants_stay(url: str) -> None:
    with Ledger(url, create=True, tenant="x") as x, Ledger(url, tenant="y") as y:
        x.call("pay", lambda: "paid", workflow="w")
        for ledger in (x, y):
            chat(LedgerSaver(ledger)).invoke(said("one"), A)
        assert LedgerSaver(x).retain(keep=1) == Retained(1, 2, 1)
        assert len(rows(LedgerSaver(y))) == 3
        assert x.call("pay", lambda: "paid again", workflow="w") == "paid"
        assert x.verify().sound


def test_many_checkpoints_go_some_at_a_time(
    saver: LedgerSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And many threads are found page by page."""
    monkeypatch.setattr(pruning, "BATCH", 3)
    monkeypatch.setattr(pruning, "_PAGE", 2)
    for thread in "abcde":
        where = config(thread)
        for n in range(1, 9):
            where = put(saver, where, n, {"x": n})
    told: list[Pruned] = []
    assert saver.retain(keep=1) == Retained(5, 35, 5)
    store, tenant = store_of(saver.ledger), saver.ledger.tenant
    listed = store.read(ReadThreads(tenant=tenant))
    assert sorted(name for _, name in listed) == ["a", "b", "c", "d", "e"]
    assert [key for key, _ in listed] == sorted(key for key, _ in listed)
    assert told == []


def test_a_crash_between_two_batches_leaves_whole_checkpoints(
    saver: LedgerSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer ones go first: nothing is there without the chain that it is made from."""
    monkeypatch.setattr(pruning, "BATCH", 2)
    counters = {"log": [1, 1]}
    where = put(saver, config(), 1, {"log": ["whole"]})
    for n in range(2, 8):
        saver.put_writes(where, [("log", n)], f"t{n}")
        where = put(saver, where, n, {"x": n}, counters_since_delta_snapshot=counters)
    put(saver, where, 8, {"log": ["all"], "x": 8})

    def history(id_: str) -> Any:
        return saver.get_delta_channel_history(config=config(id_=id_), channels=["log"])

    before = {r.id: history(r.id) for r in rows(saver)[1:]}
    calls = itertools.count()

    def dying(**fields: Any) -> Any:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return DropCheckpoints(**fields)

    monkeypatch.setattr(pruning, "DropCheckpoints", dying)
    with pytest.raises(KeyboardInterrupt):
        saver.retain(keep=1)
    left = [r.id for r in rows(saver)]
    assert left == ["00000008", "00000003", "00000002", "00000001"]
    assert {id_: history(id_) for id_ in left[1:]} == {id_: before[id_] for id_ in left[1:]}


# -- real graphs -----------------------------------------------------------------------------------


class Log(TypedDict):
    """A state that grows."""

    log: Annotated[list[str], operator.add]


class Trail(TypedDict):
    """A state that stores only what was added to it."""

    trail: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=4)]


def nested(saver: LedgerSaver, *, lasting: bool) -> Any:
    """A graph whose subgraph asks, and may have a memory of its own."""

    def work(state: Log) -> dict[str, Any]:
        return {"log": [f"work {len(state['log'])}"]}

    def ask(state: Log) -> dict[str, Any]:
        return {"log": [f"told {interrupt('well?')}"]}

    inner: Any = StateGraph(Log)
    inner.add_node("work", work)
    inner.add_node("ask", ask)
    inner.add_edge(START, "work")
    inner.add_edge("work", "ask")
    sub = inner.compile(checkpointer=True if lasting else None)

    def call(state: Log) -> dict[str, Any]:
        return {"log": [f"sub has {len(sub.invoke({'log': ['in']})['log'])}"]}

    outer: Any = StateGraph(Log)
    outer.add_node("sub", call)
    outer.add_edge(START, "sub")
    return outer.compile(checkpointer=saver)


@pytest.mark.parametrize("lasting", [False, True], ids=["a call", "a memory"])
@pytest.mark.parametrize("keep", [1, 2])
def test_a_pruned_thread_goes_on_as_one_that_was_not(
    saver: LedgerSaver, *, lasting: bool, keep: int
) -> None:
    """Through interrupts in a subgraph, turn after turn."""

    def story(thread: str, *, prune: bool) -> list[Any]:
        graph, seen = nested(saver, lasting=lasting), list[Any]()
        for turn in range(3):
            graph.invoke({"log": [f"turn {turn}"]}, config(thread))
            if prune:
                saver.retain(keep=keep, threads=[thread])
            seen.append(graph.invoke(Command(resume=f"yes {turn}"), config(thread)))
            if prune:
                saver.retain(keep=keep, threads=[thread])
        return seen

    assert story("pruned", prune=True) == story("whole", prune=False)
    assert len(rows(saver, "pruned")) < len(rows(saver, "whole")) / 2


@pytest.mark.parametrize("lasting", [False, True], ids=["a call", "a memory"])
def test_one_can_go_back_to_all_that_was_kept(saver: LedgerSaver, *, lasting: bool) -> None:
    """The same happens from there as before the others went."""
    graph = nested(saver, lasting=lasting)
    for turn in range(3):
        graph.invoke({"log": [f"turn {turn}"]}, A)
        graph.invoke(Command(resume=f"yes {turn}"), A)
    graph.invoke({"log": ["turn 3"]}, A)
    saver.copy_thread("a", "b")
    saver.retain(keep=5, threads=["b"])
    ids = [r.id for r in rows(saver, "b") if not r.ns]
    assert len(ids) == 5

    def states(thread: str, id_: str) -> Any:
        state = graph.get_state(config(thread, id_=id_), subgraphs=True)
        tasks = [(t.name, t.interrupts, t.state and t.state.values) for t in state.tasks]
        return state.values, state.next, tasks

    def again(thread: str, id_: str) -> Any:
        return graph.invoke(None, config(thread, id_=id_))["log"]

    for id_ in ids:
        assert states("b", id_) == states("a", id_)
    for id_ in ids:
        assert again("b", id_) == again("a", id_)


@pytest.mark.parametrize("keep", [1, 3])
def test_what_stores_only_what_was_added_is_whole_after_pruning(
    saver: LedgerSaver, keep: int
) -> None:
    """Turn after turn, and wherever one goes back to."""

    def walk(state: Trail) -> dict[str, Any]:
        return {"trail": [f"step {len(state['trail'])}"]}

    graph: Any = StateGraph(Trail)
    graph.add_node("walk", walk)
    graph.add_edge(START, "walk")
    made = graph.compile(checkpointer=saver)
    for turn in range(9):
        for thread in ("pruned", "whole"):
            made.invoke({"trail": [f"turn {turn}"]}, config(thread))
        saver.retain(keep=keep, threads=["pruned"])
        left = list(made.get_state_history(config("pruned")))[:keep]
        there = list(made.get_state_history(config("whole")))[:keep]
        assert [s.values for s in left] == [s.values for s in there]
    assert len(rows(saver, "pruned")) < len(rows(saver, "whole"))
