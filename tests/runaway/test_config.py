"""Which rules look, what they may see, and what is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import FrozenInstanceError, dataclass
from typing import Any, cast

import pytest

import tallystick.runaway
from tallystick.errors import InvalidPolicy
from tallystick.runaway import (
    Action,
    BurnRate,
    Call,
    Cycles,
    Finding,
    Growth,
    NoProgress,
    Repeats,
    Runaway,
)

from ._traces import asked, used

anything: Any = cast("Any", None)


def test_four_rules_look_by_default_and_growth_is_not_among_them() -> None:
    assert [rule.name for rule in Runaway().rules] == [
        "repeats",
        "cycles",
        "burn_rate",
        "no_progress",
    ]


def test_a_rule_may_have_an_action_of_its_own() -> None:
    """Warn at three, stop at five."""
    careful = Runaway(
        rules=(Repeats(), Repeats(times=5, name="stuck", action="stop")), action="warn"
    )
    same = [used(n, "t", "q", "a") for n in range(5)]
    assert [(f.rule, f.action) for f in careful.look(same[:3])] == [("repeats", "warn")]
    assert [(f.rule, f.action) for f in careful.look(same)] == [
        ("repeats", "warn"),
        ("stuck", "stop"),
    ]


def test_a_rule_of_ones_own_looks_like_the_others() -> None:
    """It needs five members and no base class."""

    @dataclass(frozen=True)
    class TooManyTools:
        name: str = "too_many_tools"
        action: Action | None = "ask"
        depth: int = 200
        forgives: bool = True

        def look(self, calls: Sequence[Call]) -> Finding | None:
            tools = {call.what for call in calls if call.kind == "tool"}
            return Finding(rule=self.name, message=", ".join(tools)) if len(tools) > 2 else None

    mine = Runaway(rules=(TooManyTools(),), ignore=("poll",))
    assert mine.depth == 200
    calls = [used(n, tool, n, n) for n, tool in enumerate(["a", "b", "poll"])]
    assert mine.look(calls) == []
    (finding,) = mine.look([*calls, used(4, "c", 1, 1)])
    assert finding.action == "ask"


def test_ignored_tools_are_hidden_with_the_model_calls_that_asked_for_them() -> None:
    """And nothing else: a model call before another tool stays, and so do two in a row."""
    calls = [
        asked(0, 1),
        asked(1, 2),
        used(1, "poll", 1, 1),
        used(1, "poll", 1, 1),
        asked(2, 3),
        used(2, "work", 1, 1),
        used(2, "poll", 1, 1),
    ]

    @dataclass(frozen=True)
    class Show:
        name: str = "show"
        action: Action | None = None
        depth: int = 10
        forgives: bool = True

        def look(self, calls: Sequence[Call]) -> Finding | None:
            seen = [call.input_tokens or call.what for call in calls]
            return Finding(rule=self.name, message="", evidence={"seen": seen})

    (finding,) = Runaway(rules=(Show(),), ignore=("poll",)).look(calls)
    assert finding.evidence["seen"] == [1, 3, "work"]
    (finding,) = Runaway(rules=(Show(forgives=False),), ignore=("poll",)).look(calls)
    assert len(finding.evidence["seen"]) == len(calls)


def test_a_cap_reaches_the_rules_that_know_shares() -> None:
    """And changes nothing else."""
    before = Runaway(action="stop", ignore=("poll",))
    after = before.under(2_000_000_000)
    (rate,) = [rule for rule in after.rules if isinstance(rule, BurnRate)]
    assert rate.limit == 1_000_000_000
    assert (after.action, after.ignore, after.depth) == ("stop", ("poll",), before.depth)


def test_a_configuration_is_a_value() -> None:
    """Equal, hashable, unchangeable; lists are taken as tuples."""
    listed = Runaway(rules=cast("Any", [Repeats()]), ignore=cast("Any", ["poll"]))
    assert listed == Runaway(rules=(Repeats(),), ignore=("poll",))
    assert len({listed, Runaway(rules=(Repeats(),), ignore=("poll",))}) == 1
    with pytest.raises(FrozenInstanceError):
        listed.action = "stop"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Repeats(times=1), r"Repeats\(times=…\): give a whole number from 2"),
        (lambda: Repeats(times=cast("Any", True)), "whole number"),
        (lambda: Repeats(name=""), r"Repeats\(name=''\): give a non-empty name"),
        (lambda: Repeats(action=cast("Any", "explode")), "'warn', 'ask', 'stop'"),
        (lambda: Cycles(period=1), "whole number from 2 to 16"),
        (lambda: Cycles(times=0), "whole number from 2"),
        (lambda: NoProgress(steps=cast("Any", "5")), "whole number"),
        (lambda: BurnRate(share=1.5), "above 0 and up to 1"),
        (lambda: BurnRate(share=float("nan")), "above 0"),
        (lambda: BurnRate(usd="a lot"), "dollars above 0"),
        (lambda: BurnRate(usd="NaN"), "dollars above 0"),
        (lambda: BurnRate(usd=-1), "dollars above 0"),
        (lambda: BurnRate(usd=cast("Any", 0.1)), "as a Decimal"),
        (lambda: BurnRate(usd="1e30"), "dollars above 0"),
        (lambda: BurnRate(seconds=0), r"BurnRate\(seconds=…\): give a number above 0"),
        (lambda: BurnRate(burst=-1), r"BurnRate\(burst=…\)"),
        (lambda: BurnRate(calls_per_second=0), "above 0"),
        (lambda: BurnRate(calls_per_second=1000, burst=1000), "calls_per_second × burst"),
        (lambda: BurnRate(cap=-1), "in nano-dollars"),
        (lambda: Growth(ratio=0), "above 0"),
        (lambda: Growth(window=3, times=3), "fewer than window"),
        (lambda: Runaway(action=cast("Any", None)), "'warn', 'ask', 'stop'"),
        (lambda: Runaway(rules=cast("Any", Repeats())), "give a tuple"),
        (lambda: Runaway(rules=cast("Any", ("repeats",))), "'repeats' is no rule"),
        (lambda: Runaway(rules=cast("Any", (Repeats,))), "is no rule"),
        (lambda: Runaway(rules=(Repeats(), Repeats(times=5))), "two rules are named 'repeats'"),
        (lambda: Runaway(ignore=cast("Any", "poll")), "give a tuple"),
        (lambda: Runaway(ignore=("",)), "give names of tools"),
    ],
)
def test_nonsense_is_refused_where_it_is_written(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InvalidPolicy, match=says):
        make()


def test_the_public_names_are_sorted_and_say_what_they_are() -> None:
    names = tallystick.runaway.__all__
    assert names == sorted(names)
    for name in names:
        value = getattr(tallystick.runaway, name)
        assert not isinstance(value, type) or vars(value).get("__doc__"), name
