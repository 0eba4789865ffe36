"""Which recorded call a call in a graph is: each rule by itself, over plain values."""

# ruff: noqa: E501 - one case, one line

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from tallystick._places import Neighbour
from tallystick_langchain._graph import _judge
from tallystick_langchain._graph._judge import (
    Level,
    Relation,
    Standing,
    instances,
    judge,
    orphaned,
    relation,
)
from tests.mutation._python import mutants

LOOP = (("3", "loop"), ("2", "loop"), ("1", "input"))
ROOT = Level(ns="", id="3", steps=LOOP)
#: the call c1 in the task T of the node tools, asked for by checkpoint 3
HERE = Standing(
    call_id="c1",
    segments=("tools:T",),
    route="tools",
    run="r",
    attempt=1,
    levels=(ROOT,),
    asked=frozenset({"c1", "c2"}),
)


def root(*steps: tuple[str, str], **other: Any) -> Standing:
    """The same call with another lineage."""
    fields: dict[str, Any] = {"steps": steps or LOOP, **other}
    return replace(HERE, levels=(replace(ROOT, **fields),))


def nested(
    ns: str = "agent:A", *, attempt: int | None = None, finished: bool | None = None
) -> Standing:
    """A call in a graph inside of the task A of the node agent."""
    inner = Level(ns=ns, id="n", steps=(("n", "loop"), ("m", "input")), attempt=attempt)
    return replace(
        HERE,
        segments=(*ns.split("|"), "tools:T"),
        route="agent|tools",
        levels=(ROOT, inner),
        finished={"agent:A": finished},
    )


def place(**other: Any) -> dict[str, Any]:
    """Where c1 was asked for; by default where it is asked for now."""
    usual: dict[str, Any] = {"ns": "tools:T", "map": {"": "3"}, "call": "c1"}
    return {**usual, "route": "tools", "run": "r", "attempt": 1, "outer": {}, **other}


def inside(at: str = "n", ns: str = "agent:A", **other: Any) -> dict[str, Any]:
    """The same inside of the node agent."""
    where = {"ns": f"{ns}|tools:T", "map": {"": "3", ns: at}, "route": "agent|tools"}
    return place(**{**where, **other})


class Case(NamedTuple):
    """How a recorded place lies to a call."""

    name: str
    standing: Standing
    place: dict[str, Any]
    wanted: Relation


R = Relation
RELATIONS = (
    Case("the same task", HERE, place(), R.HERE),
    Case("the same task in another run", HERE, place(run="s", attempt=2), R.HERE),
    Case("one message holds an id twice", HERE, place(ns="tools:U"), R.HERE),
    Case("an id that no message holds", replace(HERE, asked=frozenset()), place(ns="tools:U"), R.BESIDE),
    Case("another id in another task", HERE, place(ns="tools:U", call="c2"), R.BESIDE),
    Case("no ids in two tasks", replace(HERE, call_id=None), place(ns="tools:U", call=None), R.BESIDE),
    Case("a task of another node", HERE, place(ns="mail:U"), R.BESIDE),
    Case("a nested task of another node", HERE, place(ns="mail:U|tools:T"), R.BESIDE),
    Case("a task outside of ours", nested(), place(ns="tools:U"), R.BESIDE),
    Case("two calls of one task", HERE, place(call="c9"), R.BESIDE),
    Case("two calls of one task without id", HERE, place(call=None, attempt=0), R.BESIDE),
    Case("two calls of one message", HERE, place(call="c2", attempt=0), R.BESIDE),
    Case("made up in an earlier attempt", HERE, place(call="c9", attempt=0), R.LOST),
    Case("made up in an earlier run", HERE, place(call="c9", run="q"), R.LOST),
    Case("an earlier step", HERE, place(map={"": "2"}), R.BEFORE),
    Case("the first step", HERE, place(map={"": "1"}), R.BEFORE),
    Case("before a fork", root(("3", "fork"), ("2", "loop")), place(map={"": "2"}), R.REPLACED),
    Case("before an input", root(("3", "input"), ("2", "loop")), place(map={"": "2"}), R.REPLACED),
    Case("before an update", root(("3", "update"), ("2", "loop")), place(map={"": "2"}), R.REPLACED),
    Case(
        "answered before an update",
        replace(root(("3", "update"), ("2", "loop")), answered=frozenset({"c1"})),
        place(map={"": "2"}),
        R.BEFORE,
    ),
    Case(
        "answered before a fork",
        replace(root(("3", "fork"), ("2", "loop")), answered=frozenset({"c1"})),
        place(map={"": "2"}),
        R.REPLACED,
    ),
    Case(
        "in a step before an update, and not answered any more",
        root(("3", "update"), ("2", "loop"), ("1", "loop")),
        place(map={"": "1"}),
        R.REPLACED,
    ),
    Case(
        "in a step before an update, and still answered",
        replace(root(("3", "update"), ("2", "loop"), ("1", "loop")), answered=frozenset({"c1"})),
        place(map={"": "1"}),
        R.BEFORE,
    ),
    Case(
        "in a step before an update of what holds no messages",
        replace(root(("3", "update"), ("2", "loop"), ("1", "loop")), asked=frozenset()),
        place(map={"": "1"}),
        R.BEFORE,
    ),
    Case(
        "answered, and left by a fork before an update",
        replace(root(("3", "update"), ("2", "fork"), ("1", "loop")), answered=frozenset({"c1"})),
        place(map={"": "1"}),
        R.REPLACED,
    ),
    Case("no ancestor", HERE, place(map={"": "21"}), R.LOST),
    Case("earlier than all that is known", HERE, place(map={"": "0"}), R.LOST),
    Case("earlier than what is left", root(cut=True), place(map={"": "0"}), R.UNCLEAR),
    Case("no ancestor among what is left", root(cut=True), place(map={"": "21"}), R.LOST),
    Case("of this run, which keeps nothing", root(steps=None), place(map={"": "2"}), R.BEFORE),
    Case("of another run, which kept nothing", root(steps=None), place(map={"": "2"}, run="q"), R.LOST),
    Case(
        "of runs without a name",
        replace(root(steps=None), run=None),
        place(map={"": "2"}, run=None),
        R.LOST,
    ),
    Case("the same nested task", nested(), inside(), R.HERE),
    Case("an earlier nested step", nested(), inside("m"), R.BEFORE),
    Case("a lost nested step", nested(), inside("k"), R.LOST),
    Case("a nested step of an earlier task", nested(), inside(map={"": "2", "agent:Z": "k"}), R.BEFORE),
    Case("another agent beside", nested(), inside(ns="agent:B"), R.BESIDE),
    Case("another task of the same agent", nested(), inside(call="c9", attempt=0) | {"ns": "agent:A|tools:U"}, R.BESIDE),
    Case("no task of the same agent", nested(), place(ns="agent:A", map={"": "3", "agent:A": "n"}), R.BESIDE),
    Case("the node itself, around its agent", nested(), place(ns="agent:A"), R.LOST),
    Case("a retry", nested("agent:A|1", attempt=2), inside(outer={"agent:A": 1}), R.LOST),
    Case("a second call", nested("agent:A|1", attempt=1), inside(outer={"agent:A": 1}), R.BESIDE),
    Case("the first call of a pair", nested(attempt=1), inside(ns="agent:A|1", outer={"agent:A|1": 1}), R.BESIDE),
    Case(
        "attempts of two runs",
        nested("agent:A|1", attempt=2),
        inside(outer={"agent:A": 1}, run="q"),
        R.UNCLEAR,
    ),
    Case("an attempt that is not known", nested("agent:A|1"), inside(outer={"agent:A": 1}), R.UNCLEAR),
    Case("an earlier graph without attempt", nested("agent:A|1", attempt=2), inside(outer=None), R.UNCLEAR),
    Case("an earlier graph that was cut off", nested("agent:A|1", finished=False), inside(), R.LOST),
    Case("an earlier graph that ended", nested("agent:A|1", finished=True), inside(), R.UNCLEAR),
)  # fmt: skip


@pytest.mark.parametrize("case", RELATIONS, ids=lambda case: case.name)
def test_a_place_lies_to_a_call(case: Case) -> None:
    assert relation(case.standing, case.place) is case.wanted


def test_every_relation_has_a_case() -> None:
    assert {case.wanted for case in RELATIONS} == set(Relation)


# -- verdicts ------------------------------------------------------------------------------------

LOST = place(map={"": "21"}, ns="tools:U", call="c8")
LOST_ELSEWHERE = {**LOST, "route": "mail", "ns": "mail:U"}
REPLACED = place(map={"": "2"}, ns="tools:U")
FORKED = root(("3", "fork"), ("2", "loop"), ("1", "loop"))
OLDER = place(map={"": "1"}, ns="tools:U")
BEFORE = place(map={"": "2"}, ns="tools:U")
#: by an approval node, a step before
ASKED = place(map={"": "2"}, ns="approval:U", route="approval", asks=True)
AGAIN = nested("agent:A|1")


def near(name: str, *places: Mapping[str, Any], call_id: str | None = "c1") -> Neighbour:
    """A recorded effect."""
    kept = [dict(place) for place in places]
    return Neighbour(1, name.encode(), call_id, "pay", b"", "succeeded", asked=False, places=kept)


class Ruling(NamedTuple):
    """What a call is beside others: the name of one, or an occurrence; why it is unclear."""

    name: str
    standing: Standing
    others: Sequence[Neighbour]
    same: str | None = None
    known: bool = False
    occurrence: int = 0
    unclear: bool = False


RULINGS = (
    Ruling("nothing is there", HERE, ()),
    Ruling("it is recorded here", HERE, [near("a", place())], "a", known=True),
    Ruling("here among others", HERE, [near("a", BEFORE), near("b", LOST, place())], "b", known=True),
    Ruling("it was before", HERE, [near("a", BEFORE)], occurrence=1),
    Ruling("others under its id", HERE, [near("a", BEFORE), near("b", BEFORE), near("c", BEFORE, call_id="c2")], occurrence=2),
    Ruling("its branch was left", FORKED, [near("a", REPLACED)], "a"),
    Ruling("a branch under another id was left", FORKED, [near("a", {**REPLACED, "call": "c8"}, call_id="c8")], "a"),
    Ruling("no id on a branch that was left", replace(FORKED, call_id=None), [near("a", {**REPLACED, "call": None, "route": "mail"}, call_id=None)], occurrence=1),
    Ruling("on its branch and on one that was left", FORKED, [near("a", REPLACED, OLDER)], "a"),
    Ruling("another's branch was left", FORKED, [near("a", {**REPLACED, "call": "c8"}, OLDER, call_id="c8")]),
    Ruling("nobody's branch was left", replace(FORKED, call_id=None), [near("a", {**REPLACED, "call": None}, OLDER, call_id=None)], occurrence=1),
    Ruling("what asked was lost", HERE, [near("a", LOST, call_id="c8")], "a"),
    Ruling("lost on another route", HERE, [near("a", LOST_ELSEWHERE, call_id="c8")]),
    Ruling("lost elsewhere under its id", HERE, [near("a", {**LOST_ELSEWHERE, "call": "c1"})], "a"),
    Ruling("lost, and known since", HERE, [near("a", LOST, {**BEFORE, "call": "c9"}, call_id="c8")]),
    Ruling("the oldest of two that were lost", HERE, [near("a", LOST, call_id="c8"), near("b", LOST, call_id="c8")], "a"),
    Ruling("its own of two that were lost", HERE, [near("a", LOST, call_id="c8"), near("b", {**LOST, "call": "c1"})], "b"),
    Ruling("a second call or a retry", AGAIN, [near("a", inside(), call_id="c8")], unclear=True),
    Ruling("a retry of another route", AGAIN, [near("a", inside(route="agent|mail"), call_id="c8")]),
    Ruling("a retry that was lost as well", AGAIN, [near("a", {**LOST, "route": "agent|tools"}, inside(), call_id="c8")], unclear=True),
    Ruling("a retry, and one that was lost", AGAIN, [near("a", inside(), call_id="c8"), near("b", {**LOST, "route": "agent|tools"}, call_id="c8")], "b"),
    Ruling("a person was asked ahead", HERE, [near("a", ASKED)], "a"),
    Ruling("asked ahead, and made since", HERE, [near("a", ASKED, OLDER)], occurrence=1),
    Ruling("asked ahead, and made where it was lost", HERE, [near("a", ASKED, LOST)], "a"),
    Ruling("asked ahead about another call", HERE, [near("a", {**ASKED, "call": "c8"}, call_id="c8")]),
    Ruling("asked in the same step", HERE, [near("a", {**ASKED, "map": {"": "3"}})], occurrence=1),
    Ruling("called outside of any graph", HERE, [near("a")], "a"),
    Ruling("called outside under another id", HERE, [near("a", call_id="c2")]),
)  # fmt: skip


@pytest.mark.parametrize("ruling", RULINGS, ids=lambda ruling: ruling.name)
def test_a_call_is(ruling: Ruling) -> None:
    verdict = judge(ruling.standing, ruling.others)
    same = None if verdict.same is None else verdict.same.key.decode()
    assert (same, verdict.known) == (ruling.same, ruling.known)
    assert bool(verdict.unclear) == ruling.unclear
    if verdict.same is None:
        assert verdict.occurrence == ruling.occurrence


def test_what_is_unclear_is_named() -> None:
    other = near("the other", inside(), call_id="c8")
    assert other.key.hex()[:12] in judge(AGAIN, [other]).unclear


def test_the_newest_effect_that_nobody_took_over_is_orphaned() -> None:
    lost, taken = near("a", LOST), near("b", LOST, BEFORE)
    outside, later = near("c"), near("d", LOST, REPLACED)
    assert orphaned(HERE, [lost, taken, outside]) is lost
    assert orphaned(FORKED, [lost, taken, outside, later]) is later
    assert orphaned(HERE, [taken, outside]) is None
    assert orphaned(HERE, []) is None


def test_the_graphs_of_one_task_are_told_by_their_count() -> None:
    others = [near("a", inside(), inside(ns="agent:A|2")), near("b", inside(ns="agent:B"))]
    assert instances(["", "agent:A|1"], others) == {"agent:A", "agent:A|2"}
    assert instances(["agent:A"], others) == {"agent:A|2"}
    assert instances(["agent:C"], others) == set()


def _all_hold() -> bool:
    rules = (
        test_what_is_unclear_is_named,
        test_the_newest_effect_that_nobody_took_over_is_orphaned,
        test_the_graphs_of_one_task_are_told_by_their_count,
    )
    try:
        for case in RELATIONS:
            test_a_place_lies_to_a_call(case)
        for ruling in RULINGS:
            test_a_call_is(ruling)
        for rule in rules:
            rule()
    except Exception:  # noqa: BLE001 - however it goes wrong
        return False
    return True


def test_no_condition_can_be_taken_out_of_the_judge() -> None:
    alive: list[str] = []
    for mutant in mutants("judge", _judge):
        with mutant.applied():
            alive += [mutant.name] if _all_hold() else []
    assert _all_hold()
    assert alive == []
