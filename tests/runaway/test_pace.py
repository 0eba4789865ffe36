"""Money and calls per time, and requests that grow: S37."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from tallystick.runaway import BurnRate, Call, Finding, Growth

from ._traces import SECOND

DOLLAR = 1_000_000_000


def paid(*nanos: int, every: float = 1) -> list[Call]:
    """Model calls that cost so much, so many seconds apart."""
    return [
        Call(at=int(n * every * SECOND), kind="model", what="m", request=b"", nanos=cost)
        for n, cost in enumerate(nanos)
    ]


def sized(*tokens: int) -> list[Call]:
    """Model calls with so many input tokens."""
    return [
        Call(at=n * SECOND, kind="model", what="m", request=b"", input_tokens=count)
        for n, count in enumerate(tokens)
    ]


def found(finding: Finding | None) -> Finding:
    """One that is there."""
    assert finding is not None
    return finding


# -- burn rate ----------------------------------------------------------------------------------


def test_exactly_the_limit_is_no_finding_and_one_nano_dollar_more_is() -> None:
    rate = BurnRate(usd="0.30", calls_per_second=None)
    third = DOLLAR // 10
    assert rate.look(paid(third, third, third)) is None
    finding = found(rate.look(paid(third, third, third + 1)))
    assert finding.evidence["nanos"] == 300_000_001
    assert finding.evidence["limit_nanos"] == 300_000_000
    assert "$0.300000001 were spent within 2 seconds, where 120 seconds may cost $0.3" in (
        finding.message
    )


@pytest.mark.parametrize("usd", [Decimal("0.3"), "0.3", "3e-1"])
def test_dollars_may_be_a_decimal_or_a_string(usd: Decimal | str) -> None:
    assert BurnRate(usd=usd).limit == 300_000_000


def test_a_share_is_exact_and_the_smaller_limit_counts() -> None:
    """A tenth of thirty cents is three cents, not three cents minus a rounding."""
    assert BurnRate(share=0.1, cap=300_000_000).limit == 30_000_000
    assert BurnRate(share=0.1, cap=300_000_000, usd="0.02").limit == 20_000_000
    assert BurnRate(share=0.1, cap=300_000_000, usd="0.04").limit == 30_000_000


def test_without_a_cap_a_share_is_not_judged() -> None:
    """Nor is anything without a limit."""
    assert BurnRate(share=0.5).limit is None
    assert BurnRate(share=0.5).look(paid(*[DOLLAR] * 10, every=5)) is None


def test_what_is_older_than_the_window_is_not_counted() -> None:
    """The window ends with the newest call and leaves out its own beginning."""
    rate = BurnRate(usd=2, seconds=timedelta(seconds=30), calls_per_second=None)
    assert rate.look(paid(DOLLAR, DOLLAR, DOLLAR, every=15)) is None
    assert rate.look(paid(DOLLAR, DOLLAR, DOLLAR, every=14.9)) is not None


def test_one_or_two_dear_calls_are_no_rate() -> None:
    """They are what the budget itself is for; calls that cost nothing do not make them three."""
    rate = BurnRate(usd=1, calls_per_second=None)
    assert rate.look(paid(5 * DOLLAR, 5 * DOLLAR, 0, 0)) is None
    assert rate.look(paid(5 * DOLLAR, 5 * DOLLAR, 1, 0)) is not None


def test_where_more_calls_fit_into_the_window_than_are_read_their_pace_counts() -> None:
    """64 cents in the last 32 seconds are more than two dollars in two minutes."""
    rate = BurnRate(usd=2, calls_per_second=None)
    cent = DOLLAR // 100
    assert rate.depth == 64
    assert rate.look(paid(*[cent] * 240, every=0.5)) is not None
    assert rate.look(paid(*[cent] * 63, every=0.5)) is None
    assert rate.look(paid(*[cent] * 240, every=0.7)) is None


def test_calls_per_second_are_an_average_over_the_burst() -> None:
    """Twenty at once are fine, twenty-one are not, and time heals it."""
    rate = BurnRate(calls_per_second=4, burst=5)
    assert rate.look(paid(*[0] * 20, every=0)) is None
    finding = found(rate.look(paid(*[0] * 21, every=0)))
    assert finding.message == (
        "21 calls within 5 seconds are more than 4 per second; wait longer between retries, or stop"
    )
    assert rate.look([*paid(*[0] * 21, every=0), *paid(*[0] * 10)]) is None


def test_nothing_is_no_hurry() -> None:
    assert BurnRate(usd=1).look([]) is None


# -- growth: AgentWatch's rule ------------------------------------------------------------------


def test_three_points_are_two_ratios_and_too_few() -> None:
    assert Growth().look(sized(1000, 2000, 4000)) is None


def test_four_points_are_three_ratios_and_enough() -> None:
    finding = found(Growth().look(sized(1000, 2000, 4000, 8000)))
    assert finding.evidence["tokens"] == [1000, 2000, 4000, 8000]
    assert "the input of m grew from 1,000 to 8,000 tokens in 4 calls" in finding.message


@pytest.mark.parametrize("first", [1000, 5 * 7**6, 10**15])
def test_exactly_the_ratio_is_not_above_it(first: int) -> None:
    """As in the example of AgentWatch's own documentation, whose alarm therefore never rings."""
    exact = [first, first * 14 // 10, first * 196 // 100, first * 2744 // 1000]
    assert Growth().look(sized(*exact)) is None
    above = [count + n for n, count in enumerate(exact)]
    above[2] += 1
    above[3] += 5
    assert Growth().look(sized(*above)) is not None


def test_three_of_the_four_ratios_of_a_window_are_enough() -> None:
    """One call that did not grow does not end it; two do."""
    assert Growth().look(sized(1000, 2000, 2000, 4000, 8000)) is not None
    assert Growth().look(sized(1000, 2000, 2000, 4000, 4000)) is None


def test_what_is_older_than_the_window_is_forgotten() -> None:
    assert Growth().look(sized(1000, 2000, 4000, 8000, 8000)) is not None
    assert Growth().look(sized(1000, 2000, 4000, 8000, 8000, 8000)) is None


def test_tools_are_no_points() -> None:
    """Nor are model calls whose tokens nobody knows."""
    tool = Call(at=0, kind="tool", what="t", request=b"", input_tokens=10**9)
    unknown = Call(at=0, kind="model", what="m", request=b"")
    calls = [call for point in sized(1000, 2000, 4000, 8000) for call in (point, tool, unknown)]
    assert Growth().look(calls) is not None
