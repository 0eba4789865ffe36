"""The table of the reference, row by row: what runs away is seen, what is healthy is left alone."""

from __future__ import annotations

import pytest

from tallystick.runaway import BurnRate, Growth, Runaway

from . import _traces as traces

#: a cap of twenty dollars, of which half may be gone in two minutes
EVERY = Runaway(rules=(*Runaway().rules, Growth())).under(20_000_000_000)


def test_a_loop_that_appends_is_seen_as_repetition_and_not_as_growth() -> None:
    """AgentWatch's rule never sees it, whatever the context was at first."""
    for base in (10_000, 300):
        found = traces.alarms(EVERY, traces.append_loop(base))
        assert found["repeats"] == 3
        assert "growth" not in traces.alarms(EVERY, traces.append_loop(10_000))


def test_a_context_that_doubles_is_seen_as_growth_and_in_the_money() -> None:
    """The fourth call is the third ratio."""
    found = traces.alarms(EVERY, traces.doubling())
    assert found["growth"] == 4
    assert found["burn_rate"] <= 13
    assert not {"repeats", "cycles", "no_progress"}.intersection(found)


def test_a_loop_in_a_compacted_context_is_seen_as_repetition() -> None:
    """Though it never grows and is cheap."""
    found = traces.alarms(EVERY, traces.stuck_compacted())
    assert found == {"repeats": 3, "no_progress": 17}


def test_ping_pong_is_seen_as_a_cycle() -> None:
    """Three rounds of two."""
    found = traces.alarms(EVERY, traces.ping_pong())
    assert found["cycles"] == 6
    assert "repeats" not in found
    assert "growth" not in found


def test_reading_big_documents_is_healthy() -> None:
    """Only AgentWatch's rule takes it for a runaway: that is why it is off by default."""
    assert traces.alarms(EVERY, traces.big_documents()) == {"growth": 4}
    assert traces.alarms(Runaway().under(20_000_000_000), traces.big_documents()) == {}


def test_polling_is_healthy_where_the_tool_may_poll() -> None:
    """Neither the tool nor the model that waits for it counts as sameness then."""
    assert traces.alarms(Runaway(ignore=("job_status",)), traces.polling()) == {}
    assert traces.alarms(Runaway(), traces.polling())["repeats"] == 3


def test_a_storm_of_retries_is_seen_as_hurry() -> None:
    """Eight a second: more than four a second over ten seconds after five of them."""
    found = traces.alarms(Runaway(), traces.retry_storm())
    assert found == {"burn_rate": 41}


def test_a_storm_of_a_polling_tool_is_a_storm() -> None:
    """It may give the same answer, but not eight times a second."""
    found = traces.alarms(Runaway(ignore=("fetch",)), traces.retry_storm())
    assert found == {"burn_rate": 41}


def test_replays_are_evidence_though_nothing_happened_again() -> None:
    """The ledger keeps the mail from going out twice; the tokens are burnt all the same."""
    calls = [call for step in traces.replays()[:3] for call in step]
    (finding,) = Runaway().look(calls)
    assert finding.rule == "repeats"
    assert finding.evidence["replayed"] == 2


@pytest.mark.parametrize(("cap", "step"), [(2_000_000_000, 21), (1_000_000_000, 13)])
def test_the_smaller_the_cap_the_sooner_the_rate_is_too_high(cap: int, step: int) -> None:
    """A share of it, within two minutes."""
    only = Runaway(rules=(BurnRate(share=0.5),)).under(cap)
    assert traces.alarms(only, traces.append_loop()) == {"burn_rate": step}
