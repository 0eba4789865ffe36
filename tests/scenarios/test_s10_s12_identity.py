"""The same intent has the same key, two intents never share one (S10–S12)."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tallystick import ArgumentsChanged, Ledger, Policy
from tallystick._keys import identify
from tallystick.errors import NotSerializable
from tests.conftest import Face, Place


class Counting:
    """A tool that counts, and a ledger to call it through."""

    def __init__(self, ledger: Ledger, face: Face) -> None:
        self.runs = 0
        self._ledger = ledger
        self._face = face

    def tool(self, x: Any = 0, y: Any = None) -> int:
        self.runs += 1
        return self.runs

    def call(self, **options: Any) -> int:
        """How manieth execution it was whose result came back."""
        args = options.pop("args", {"x": 1})
        fn: Callable[..., int] = options.pop("fn", self.tool)
        name = options.pop("tool", "tip")
        answer: int = self._face.do(self._ledger, "call", name, fn, args, workflow="w", **options)
        return answer


@pytest.fixture
def counting(place: Place, face: Face) -> Counting:
    """A tool that counts its executions, on every store and both faces."""
    return Counting(place.open(), face)


# -- S10 ----------------------------------------------------------------------------------------


def test_two_intended_calls_have_two_call_ids_and_run_twice(counting: Counting) -> None:
    """S10: a second five-dollar tip is not dropped, and a retried call id is the same tip."""
    assert [counting.call(call_id=c) for c in ("1", "2", "1", "2")] == [1, 2, 1, 2]


def test_without_call_ids_an_occurrence_tells_intended_repeats_apart(counting: Counting) -> None:
    """S10: the same content is the same intent until the caller says otherwise."""
    assert [counting.call(occurrence=n) for n in (0, 1, 0, 1)] == [1, 2, 1, 2]


def test_a_policy_can_say_that_a_new_call_id_is_the_same_intent(counting: Counting) -> None:
    """S10: ``repeat="same"`` is for models that mint ids anew."""
    same = Policy(repeat="same")
    assert [counting.call(call_id=c, policy=same) for c in ("1", "2")] == [1, 1]


def test_a_suspected_repeat_can_be_answered_with_the_first_result(counting: Counting) -> None:
    """S10: ``on_suspect="replay"`` follows the call of the other id."""
    replay = Policy(on_suspect="replay")
    assert [counting.call(call_id=c, policy=replay) for c in ("1", "2", "1")] == [1, 1, 1]


# -- S11 ----------------------------------------------------------------------------------------


def test_arguments_are_one_call_however_they_are_given(place: Place) -> None:
    """S11: ``f(1)``, ``f(x=1)`` and ``f(x=1, y=default)`` have one key."""
    ledger, runs = place.open(), list[int]()

    @ledger.tool()
    def f(x: int, y: str = "default") -> int:
        runs.append(x)
        return x

    with ledger.workflow("w"):
        assert [f(1), f(x=1), f(1, "default"), f(y="default", x=1)] == [1] * 4
    assert runs == [1]


SAME: list[tuple[Any, Any]] = [
    (1, 1.0),
    (0, -0.0),
    ([1, 2], (1, 2)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
]
OTHER: list[tuple[Any, Any]] = [
    (True, 1),
    (False, 0),
    (None, 0),
    ("1", 1),
    (2**53, 2**53 + 1),
    (2**64, 2**64 + 1),
    ("é", unicodedata.normalize("NFD", "é")),
    ([], {}),
    ("", None),
    ({1: "a"}, {"1": "a"}),
]


@pytest.mark.parametrize("pair", SAME, ids=repr)
def test_equal_values_are_one_call(counting: Counting, pair: tuple[Any, Any]) -> None:
    """S11: what JSON cannot tell apart is one argument."""
    assert [counting.call(args={"x": x}) for x in pair] == [1, 1]


@pytest.mark.parametrize("pair", OTHER, ids=repr)
def test_different_values_are_two_calls(counting: Counting, pair: tuple[Any, Any]) -> None:
    """S11: nothing is rounded, normalised or taken for something else."""
    assert [counting.call(args={"x": x}) for x in pair] == [1, 2]


def test_a_missing_argument_is_its_default(counting: Counting) -> None:
    """S11: ``None`` that is given and ``None`` that is the default are one call."""
    assert [counting.call(args=a) for a in ({"x": 1}, {"x": 1, "y": None})] == [1, 1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), [-float("inf")], {"a": object()}])
def test_what_is_no_value_is_refused_and_nothing_runs(counting: Counting, bad: Any) -> None:
    """S11: NaN equals nothing, so no call could ever be the same."""
    with pytest.raises(NotSerializable, match="x"):
        counting.call(args={"x": bad})
    assert counting.runs == 0


# -- S12 ----------------------------------------------------------------------------------------

NASTY = st.text(
    alphabet=st.sampled_from(["a", "|", "/", ":", "\x1f", "\n", "\\", '"', "é", "\u202e"]),
    min_size=1,
    max_size=4,
)
PLACES = st.fixed_dictionaries(
    {
        "tenant": NASTY,
        "workflow": NASTY,
        "tool": NASTY,
        "args": st.dictionaries(NASTY, NASTY | st.integers(0, 2), max_size=2),
        "call_id": st.none() | NASTY,
        "occurrence": st.integers(0, 2),
        "identity": st.none() | st.lists(NASTY, min_size=1, max_size=2, unique=True).map(tuple),
    }
)


def key_of(place: dict[str, Any]) -> bytes:
    """The key of a call at this place."""
    parts = dict(place)
    names = parts.pop("identity")
    if names is not None:
        parts["args"] = {**dict.fromkeys(names, 0), **parts["args"]}
    return identify(policy=Policy(identity=names), **parts).key


def meaning_of(place: dict[str, Any]) -> tuple[Any, ...]:
    """What makes the call what it is."""
    names = place["identity"]
    args: tuple[Any, ...] = tuple(sorted((k, repr(v)) for k, v in place["args"].items()))
    if names is not None:
        given = {**dict.fromkeys(names, 0), **place["args"]}
        args = ("only", *sorted((k, repr(given[k])) for k in names))
    call_id = None if names is not None else place["call_id"]
    return (place["tenant"], place["workflow"], place["tool"], args, call_id, place["occurrence"])


@given(PLACES, PLACES)
def test_two_different_calls_never_share_a_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    """S12: separators, NUL-like characters and prefixes in any part change nothing."""
    assume(meaning_of(one) != meaning_of(other))
    assert key_of(one) != key_of(other)


@given(PLACES, st.data())
def test_moving_a_letter_from_one_part_to_the_next_is_another_call(
    place: dict[str, Any], data: st.DataObject
) -> None:
    """S12: no two neighbours are joined: ``("a", "b|c")`` is not ``("a|b", "c")``."""
    left, right = data.draw(st.sampled_from([("tenant", "workflow"), ("workflow", "tool")]))
    moved = place | {left: place[left] + place[right][:1], right: place[right][1:]}
    assert key_of(moved) != key_of(place)


def test_no_tenant_gets_what_another_one_recorded(place: Place, face: Face) -> None:
    """S12: the same call of two tenants is two effects, whatever their names hold."""
    answers = [
        face.do(place.open(tenant=tenant), "call", tool, lambda t=tenant: t, workflow=workflow)
        for tenant, workflow, tool in [
            ("a", "x|y", "get"),
            ("a|x", "y", "get"),
            ("a", "x", "y|get"),
        ]
    ]
    assert answers == ["a", "a|x", "a"]


def test_the_same_key_with_other_arguments_is_an_error_and_never_a_replay(
    counting: Counting, place: Place
) -> None:
    """S12: a business identity says which payment, not that any amount will do."""
    policy = Policy(identity=("x",))
    assert counting.call(args={"x": 7, "y": 10}, policy=policy) == 1
    with pytest.raises(ArgumentsChanged) as caught:
        counting.call(args={"x": 7, "y": 9999}, policy=policy)
    assert counting.runs == 1
    (effect,) = place.open().effects()
    assert (caught.value.key, caught.value.recorded) == (effect.key, effect.digest)
    assert caught.value.given not in {"", effect.digest}
    assert counting.call(args={"x": 7, "y": 10}, policy=policy) == 1
