"""The same again, the same in turns, nothing new."""

from __future__ import annotations

import pytest

from tallystick.runaway import Call, Cycles, Finding, NoProgress, Repeats

from ._traces import asked, used


def tools(*calls: tuple[str, object, object]) -> list[Call]:
    """Tool calls one after the other: tool, arguments, result."""
    return [used(n, *call) for n, call in enumerate(calls)]


def found(finding: Finding | None) -> Finding:
    """One that is there."""
    assert finding is not None
    return finding


# -- repeats ------------------------------------------------------------------------------------


def test_two_are_no_repetition_and_three_are() -> None:
    same = ("search", "q", "nothing")
    assert Repeats().look(tools(same, same)) is None
    finding = found(Repeats().look(tools(same, same, same)))
    assert finding.message == (
        "search was called 3 times in a row with the same arguments and gave the same answer; "
        "use that answer, change the arguments, or stop"
    )
    assert finding.evidence["what"] == "search"


def test_another_answer_is_no_repetition() -> None:
    """A counter that counts, a job that moves on."""
    assert Repeats().look(tools(("status", 1, 1), ("status", 1, 2), ("status", 1, 3))) is None


def test_other_arguments_are_no_repetition() -> None:
    """A thousand mails that were all sent."""
    assert Repeats().look(tools(("send", 1, "ok"), ("send", 2, "ok"), ("send", 3, "ok"))) is None


def test_another_tool_with_the_same_digests_is_no_repetition() -> None:
    """Two tools without arguments that say "ok"."""
    calls = [
        Call(at=0, kind="tool", what=what, request=b"", answer=b"ok") for what in ("a", "b", "a")
    ]
    assert Repeats().look(calls) is None


def test_model_calls_between_tool_calls_do_not_break_the_row() -> None:
    """Which is what every agent's log looks like."""
    calls = [call for n in range(3) for call in (asked(n, 100 + n), used(n, "t", "q", "a"))]
    assert found(Repeats().look(calls)).evidence["kind"] == "tool"


def test_tool_calls_between_model_calls_do_not_break_the_row() -> None:
    """A context that was compacted to the same again."""
    one = Call(at=0, kind="model", what="m", request=b"q", answer=b"a")
    calls = [call for n in range(3) for call in (one, used(n, "t", n, n))]
    assert "m was asked the same 3 times in a row" in found(Repeats().look(calls)).message


def test_a_call_under_way_hides_nothing_and_proves_nothing() -> None:
    """An answer that is not there yet may be a new one."""
    same, waiting = ("search", "q", "nothing"), ("search", "q", None)
    assert Repeats().look(tools(same, same, waiting)) is None
    assert Repeats().look(tools(same, same, same, waiting, waiting)) is not None


def test_a_call_that_gave_no_answer_breaks_the_row() -> None:
    """Nobody knows what it would have been."""
    same, lost = ("search", "q", "nothing"), ("search", "q", None)
    assert Repeats().look(tools(same, same, lost, same)) is None


# -- cycles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [2, 3, 4])
def test_a_cycle_is_found_at_its_third_round_and_not_before(period: int) -> None:
    """Of two, three or four calls, whatever came before."""
    turn = [(f"tool {n}", n, n) for n in range(period)]
    rounds = tools(("start", 0, 0), *turn * 3)
    assert Cycles().look(rounds[:-1]) is None
    finding = found(Cycles().look(rounds))
    assert finding.evidence["period"] == period
    assert " → ".join(f"tool {n}" for n in range(period)) in finding.message


def test_a_longer_cycle_is_not_looked_for() -> None:
    """Unless asked for."""
    rounds = tools(*[(f"tool {n}", n, n) for n in range(5)] * 3)
    assert Cycles().look(rounds) is None
    assert found(Cycles(period=5).look(rounds)).evidence["period"] == 5


def test_a_cycle_whose_answers_change_is_progress() -> None:
    """Write and test, until the test passes."""
    turns = [(("write", n, "ok"), ("test", 0, ("failed", 9 - n))) for n in range(6)]
    assert Cycles().look(tools(*[call for turn in turns for call in turn])) is None


def test_a_cycle_of_one_is_a_repetition() -> None:
    """Found once, by the rule that says so."""
    assert Cycles().look(tools(*[("search", "q", "nothing")] * 12)) is None


def test_a_cycle_with_calls_that_gave_no_answer_is_none() -> None:
    """Equal requests that nothing came back from are not equal outcomes."""
    lost = [("a", 1, "x"), ("b", 2, None), ("a", 1, "x"), ("c", 3, "z")]
    assert Cycles().look(tools(*lost * 3)) is None


# -- no progress --------------------------------------------------------------------------------


def test_steps_without_a_new_answer_are_counted_from_the_last_new_one() -> None:
    """Whatever was asked: five variants of a search that find nothing."""
    calls = tools(("search", 0, "hit"), *[("search", n, "nothing") for n in range(1, 7)])
    assert NoProgress(steps=5).look(calls[:-1]) is None
    finding = found(NoProgress(steps=5).look(calls))
    assert finding.evidence["steps"] == 5
    assert "(search)" in finding.message


def test_a_new_answer_starts_the_count_anew() -> None:
    """One hit is progress."""
    nothing = [("search", n, "nothing") for n in range(6)]
    assert NoProgress(steps=5).look(tools(*nothing)) is not None
    assert NoProgress(steps=5).look(tools(*nothing, ("search", 9, "hit"))) is None


def test_old_answers_in_a_new_order_are_no_progress() -> None:
    """A long cycle, or none at all."""
    order = [0, 1, 2, 0, 2, 1, 1, 0, 2]
    calls = tools(*[("look", n, answer) for n, answer in enumerate(order)])
    assert found(NoProgress(steps=6).look(calls)).evidence["steps"] == 6


def test_calls_without_an_answer_are_no_steps() -> None:
    """Ten calls under way at once are not ten failures."""
    nothing = [("search", n, "nothing") for n in range(5)]
    lost = [("search", n, None) for n in range(10)]
    assert NoProgress(steps=5).look(tools(*nothing, *lost)) is None


def test_the_model_alone_can_fail_to_make_progress() -> None:
    """Where no tool is recorded."""
    calls = [asked(n, 100 + n, answer="I am sorry") for n in range(6)]
    finding = found(NoProgress(steps=5).look(calls))
    assert "5 calls of the model (claude)" in finding.message
