"""The same crew is told again from its record: equal words, and no tool runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewai.flow import Flow, listen, start
from crewai.tools.tool_failure import ToolFailure

from tallystick import Ledger, NotApplied, Policy
from tallystick.errors import Divergence
from tallystick_crewai import ledgered_step, wrap_tool
from tests.crewai._world import PAY, PAY_OTHERWISE, Bank, Calls, Model, crew_of, natively
from tests.replays._elsewhere import cut_off, moved

REPORT: Calls = [("report", {"amount": 3})]


def crew(ledger: Ledger, bank: Bank, *turns: Any, native: bool = True, **options: Any) -> Any:
    """A crew of one, who pays."""
    pay = wrap_tool(bank.pay, ledger, **options)
    return crew_of(Model.of(*turns, native=native), [pay])


@natively
def test_a_crew_replays_word_for_word(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    turns = (PAY, PAY_OTHERWISE, PAY, "paid")

    def run() -> Any:
        model = Model.of(*turns, native=native)
        done: Any = crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff()
        return done.raw, model.heard

    with ledger.workflow("order-42"):
        first = run()
    with ledger.replay("order-42") as replay:
        assert run() == first
    assert (bank.paid, replay.served) == ([(5, "bob"), (7, "bob")], 3)


def test_a_crew_replays_from_an_export_on_another_kind_of_store(
    journey: tuple[Ledger, Ledger],
) -> None:
    """With the network cut: every word byte by byte, and no tool runs."""
    banks = Bank(), Bank()

    def run(ledger: Ledger, bank: Bank) -> bytes:
        model = Model.of(PAY, PAY_OTHERWISE, "paid")
        done: Any = crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff()
        return f"{done.raw}\n{model.heard}".encode()

    here, there = journey
    with here.workflow("order-42"):
        first = run(here, banks[0])
    moved(here, there)
    with cut_off(), there.replay("order-42") as replay:
        assert run(there, banks[1]) == first
    assert (replay.served, replay.divergences, replay.missing) == (2, (), ())
    assert [bank.paid for bank in banks] == [[(5, "bob"), (7, "bob")], []]
    assert there.verify().sound


def test_an_awaited_crew_and_crews_beside_each_other_replay(ledger: Ledger) -> None:
    bank = Bank()

    async def run() -> list[str]:
        crews: list[Any] = [crew(ledger, bank, turn, "paid") for turn in (PAY, PAY_OTHERWISE)]
        kickoffs: list[Any] = [crews[0].kickoff_async(), crews[1].akickoff()]
        return [str(done.raw) for done in await asyncio.gather(*kickoffs)]

    with ledger.workflow("order-42"):
        first = asyncio.run(run())
    with ledger.replay("order-42"):
        assert asyncio.run(run()) == first
    assert sorted(bank.paid) == [(5, "bob"), (7, "bob")]


def test_other_arguments_stop_the_crew(ledger: Ledger) -> None:
    """The Divergence leaves ``kickoff`` as itself; nobody is told to try again."""
    bank = Bank()
    with ledger.workflow("order-42"):
        crew(ledger, bank, PAY, "paid").kickoff()
    other = crew(ledger, bank, PAY_OTHERWISE, "paid")
    with pytest.raises(Divergence, match='"amount": 7'), ledger.replay("order-42"):
        other.kickoff()
    assert bank.paid == [(5, "bob")]


def test_failures_and_what_a_person_decided_replay_in_the_same_words(ledger: Ledger) -> None:
    """A tool that says no, one that reports a failure, and a denied call."""
    bank = Bank(NotApplied("no money"))
    reports: list[int] = []

    def report(amount: int) -> Any:
        """Report."""
        reports.append(amount)
        return ToolFailure(message="out of paper", code="paper")

    def run() -> Any:
        model = Model.of(PAY, REPORT, "done")
        tools = [wrap_tool(bank.pay, ledger), wrap_tool(report, ledger)]
        done: Any = crew_of(model, tools).kickoff()
        return done.raw, model.heard

    with ledger.workflow("order-42"):
        first = run()
    with ledger.replay("order-42"):
        assert run() == first
    assert (len(bank.paid), reports) == (1, [3])


def test_an_approved_call_is_not_asked_again(ledger: Ledger) -> None:
    bank, asks = Bank(), Policy(approval=True)
    with ledger.workflow("order-42"):
        with pytest.raises(Exception, match="waits for approval"):
            crew(ledger, bank, PAY, "paid", policy=asks).kickoff()
        ledger.approve(ledger.pending()[0].effect.key, by="ann")
        first = crew(ledger, bank, PAY, "paid", policy=asks).kickoff().raw
    with ledger.replay("order-42"):
        assert crew(ledger, bank, PAY, "paid", policy=asks).kickoff().raw == first
    assert (bank.paid, ledger.pending()) == ([(5, "bob")], [])


def test_the_steps_of_a_flow_replay_with_what_they_left_in_its_state(ledger: Ledger) -> None:
    """A tool inside of a step is not run, and not missed."""
    bank = Bank()
    pay: Any = wrap_tool(bank.pay, ledger)

    class Order(Flow[dict[str, Any]]):
        @start()
        @ledgered_step(ledger)
        def charge(self) -> str:
            self.state["paid"] = pay.run(amount=5)
            return "charged"

        @listen(charge)
        @ledgered_step(ledger)
        def ship(self, before: str) -> str:
            return f"{before} and shipped"

    def run() -> Any:
        flow = Order(suppress_flow_events=True)
        return flow.kickoff(), flow.state["paid"]

    with ledger.workflow("order-42"):
        first = run()
    assert first == ("charged and shipped", "paid 5 to bob as number 1")
    with ledger.replay("order-42") as replay:
        assert run() == first
    assert (bank.paid, replay.served) == ([(5, "bob")], 2)
