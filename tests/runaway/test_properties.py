"""What holds for every session, however it went."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tallystick.runaway import Call, Cycles, Finding, Growth, NoProgress, Repeats, Runaway

EVERY = Runaway(
    rules=(
        *Runaway().rules,
        Growth(),
        NoProgress(steps=3, name="no_progress-3"),
        Cycles(times=2, name="cycles-2"),
    ),
    ignore=("poll",),
).under(1_000_000)

#: few values, so that sameness is frequent
calls = st.builds(
    Call,
    at=st.just(0),
    kind=st.sampled_from(["model", "tool"]),
    what=st.sampled_from(["a", "b", "poll"]),
    request=st.sampled_from([b"q", b"r"]),
    answer=st.sampled_from([b"x", b"y", None]),
    input_tokens=st.sampled_from([0, 1000, 1400, 1960, 2744, 9999]),
    nanos=st.sampled_from([0, 1, 400_000]),
    replayed=st.booleans(),
)
pauses = st.sampled_from([0, 100_000, 5_000_000])


@st.composite
def sessions(draw: st.DrawFn, most: int = 40) -> list[Call]:
    """Calls of one session, the oldest first; often a part of it again and again."""
    drawn = draw(st.lists(calls, max_size=most // 4)) + draw(st.lists(calls, max_size=4)) * draw(
        st.integers(0, 6)
    )
    now, session = 0, list[Call]()
    for call in drawn:
        now += draw(pauses)
        session.append(replace(call, at=now))
    return session


@given(sessions(), sessions(), st.randoms(use_true_random=False))
def test_other_sessions_in_between_change_nothing(
    mine: list[Call], other: list[Call], random: Random
) -> None:
    """Sessions share a table; whoever picks out one of them finds what it alone would show."""
    table = [(0, call) for call in mine]
    for call in other:
        table.insert(random.randint(0, len(table)), (1, call))
    assert EVERY.look([call for session, call in table if session == 0]) == EVERY.look(mine)


@given(sessions(most=300))
def test_the_last_calls_are_all_that_matters(session: list[Call]) -> None:
    """So the ledger reads no more."""
    again = session * 4
    assert EVERY.look(again) == EVERY.look(again[-EVERY.depth :])


@given(sessions())
def test_looking_changes_nothing_and_finds_the_same_again(session: list[Call]) -> None:
    """Each rule at most once, and evidence that JSON can hold."""
    before = list(session)
    found = EVERY.look(session)
    assert EVERY.look(tuple(session)) == found
    assert session == before
    assert len({finding.rule for finding in found}) == len(found)
    json.dumps([finding.evidence for finding in found], allow_nan=False)


def sameness(session: Sequence[Call], kind: str) -> list[Finding]:
    """What the rules of sameness say about one kind of calls."""
    of_kind = [call for call in session if call.kind == kind]
    rules = (Repeats(), Cycles(), NoProgress(steps=3))
    return [finding for rule in rules if (finding := rule.look(of_kind)) is not None]


@given(sessions(), st.sampled_from(["model", "tool"]))
def test_a_new_answer_ends_all_sameness(session: list[Call], kind: str) -> None:
    """Whatever was asked for it."""
    fresh = Call(at=10**12, kind="tool", what="a", request=b"q", answer=b"never seen before")
    assert sameness([*session, replace(fresh, kind=kind)], kind) == []  # type: ignore[arg-type]


@given(sessions())
def test_a_call_under_way_neither_makes_nor_ends_sameness(session: list[Call]) -> None:
    """Its answer may be anything."""
    waiting = Call(at=10**12, kind="tool", what="a", request=b"q")
    for rule in (Repeats(), Cycles(), NoProgress(steps=3)):
        assert rule.look([*session, waiting]) == rule.look(session)


@given(sessions(), st.integers(2, 5))
def test_whoever_repeats_often_enough_repeats_less_often_too(
    session: list[Call], times: int
) -> None:
    if Repeats(times=times + 1).look(session) is not None:
        assert Repeats(times=times).look(session) is not None


@given(st.integers(1, 10**15), st.integers(2, 9))
def test_growth_by_exactly_the_ratio_is_never_above_it(start: int, points: int) -> None:
    """However large the numbers are."""
    tokens = [start * 5**points]
    while len(tokens) < points:
        tokens.append(tokens[-1] * 7 // 5)
    session = [
        Call(at=n, kind="model", what="m", request=b"", input_tokens=count)
        for n, count in enumerate(tokens)
    ]
    assert Growth().look(session) is None
