"""What CrewAI asks for again: guardrails, errors of the model, people, delegation, replays."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import pytest
from crewai import Crew
from crewai.tools.tool_failure import ToolExecutionFailedError

from tallystick import Ledger, Policy
from tallystick_crewai import wrap_tool
from tests.crewai._world import (
    DELEGATE,
    HOWS,
    PAY,
    Bank,
    Model,
    Raw,
    agent_of,
    crew_of,
    however,
    natively,
    task_of,
)

ONCE = [(5, "bob")]


@natively
def test_a_call_that_the_model_repeats_is_one_effect(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    other = [("pay", {"amount": 6})]
    turns = (PAY, other, PAY, "done")
    with ledger.workflow("order-42"):
        crew_of(Model.of(*turns, native=native), [wrap_tool(bank.pay, ledger)]).kickoff()
    assert bank.paid == [(5, "bob"), (6, "bob")]


def test_a_model_that_goes_in_circles_is_still_stopped_by_crewai(ledger: Ledger) -> None:
    bank = Bank()
    crew = crew_of(Model.of(PAY), [wrap_tool(bank.pay, ledger)])
    with ledger.workflow("order-42"), pytest.raises(ToolExecutionFailedError, match="same"):
        crew.kickoff()
    assert bank.paid == ONCE


def test_arguments_that_validate_alike_are_one_intent(ledger: Ledger) -> None:
    bank = Bank()
    spelled = [
        ("pay", {"amount": 5}),
        ("pay", {"amount": "5"}),
        ("pay", {"to": "bob", "amount": 5.0}),
    ]
    with ledger.workflow("order-42"):
        crew_of(Model.of(spelled, "done"), [wrap_tool(bank.pay, ledger)]).kickoff()
    assert bank.paid == ONCE


@pytest.mark.parametrize("cache", [True, False], ids=["cached", "uncached"])
def test_two_equal_calls_at_once_are_one_effect(cache: bool, ledger: Ledger) -> None:
    bank = Bank(seconds=0.1)
    crew = crew_of(Model.of([*PAY, *PAY], "done"), [wrap_tool(bank.pay, ledger)], cache=cache)
    with ledger.workflow("order-42"):
        crew.kickoff()
    assert bank.paid == ONCE


@natively
def test_the_cache_of_a_crew_does_not_answer_before_the_ledger(
    native: bool, ledger: Ledger
) -> None:
    bank = Bank()
    model = Model.of(PAY, "done", PAY, "done", native=native)
    crew = crew_of(model, [wrap_tool(bank.pay, ledger)], cache=True)
    for order in ("order-42", "order-43"):
        with ledger.workflow(order):
            crew.kickoff()
    assert bank.paid == ONCE * 2


@natively
@however
def test_an_error_of_the_model_after_the_effect(native: bool, how: str, ledger: Ledger) -> None:
    """The whole task begins anew, from its first message."""
    bank = Bank()
    model = Model.of(PAY, RuntimeError("500"), PAY, OSError("502"), PAY, "done", native=native)
    with ledger.workflow("order-42"):
        output = HOWS[how](crew_of(model, [wrap_tool(bank.pay, ledger)]))
    assert (output.raw, bank.paid) == ("done", ONCE)


@natively
def test_an_empty_answer_after_the_effect(native: bool, ledger: Ledger) -> None:
    """The whole task begins anew; text that CrewAI cannot read is to it a final answer."""
    bank = Bank()
    model = Model.of(PAY, Raw(""), PAY, "done", native=native)
    with ledger.workflow("order-42"):
        output = crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff()
    assert (output.raw, model.calls > 3, bank.paid) == ("done", True, ONCE)


def test_a_throttled_model_is_asked_again_and_the_tool_is_not(ledger: Ledger) -> None:
    bank = Bank()
    model = Model.of(PAY, RuntimeError("429: too many requests"), PAY, "done")
    with ledger.workflow("order-42"):
        assert crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff().raw == "done"
    assert bank.paid == ONCE


@natively
@however
def test_a_guardrail_that_refuses_twice(native: bool, how: str, ledger: Ledger) -> None:
    bank, refusals = Bank(), iter([False, False, True])
    model = Model.of(PAY, "one", PAY, "two", PAY, "three", native=native)
    # CrewAI evaluates no annotations, and takes strings in their place for wrong ones
    strict: Callable[[Any], Any] = lambda output: (next(refusals), output.raw)  # noqa: E731
    task = {"guardrail": strict, "guardrail_max_retries": 3}
    with ledger.workflow("order-42"):
        output = HOWS[how](crew_of(model, [wrap_tool(bank.pay, ledger)], task=task))
    assert (output.raw, bank.paid) == ("three", ONCE)


def test_a_task_that_ran_out_of_time_has_paid_all_the_same(ledger: Ledger) -> None:
    bank = Bank(seconds=1.3)
    model = Model.of(PAY, "late", PAY, "done")
    pay = wrap_tool(bank.pay, ledger)
    with ledger.workflow("order-42"):
        with pytest.raises(TimeoutError):
            crew_of(model, [pay], agent={"max_execution_time": 1}).kickoff()
        assert crew_of(Model.of(PAY, "done"), [pay]).kickoff().raw == "done"
    assert bank.paid == ONCE


def test_a_person_who_wants_it_otherwise_pays_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, words = Bank(), iter(["say it in French", ""])
    monkeypatch.setattr(builtins, "input", lambda _="": next(words))
    model = Model.of(PAY, "paid", PAY, "payé")
    crew = crew_of(model, [wrap_tool(bank.pay, ledger)], task={"human_input": True})
    with ledger.workflow("order-42"):
        assert crew.kickoff().raw == "payé"
    assert bank.paid == ONCE


@natively
def test_work_that_is_delegated_twice(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    worker_model = Model.of(PAY, "paid", PAY, "paid", native=native)
    worker = agent_of(worker_model, [wrap_tool(bank.pay, ledger)])
    said = {**DELEGATE[0][1], "context": "bob still waits"}
    boss_model = Model.of(DELEGATE, [(DELEGATE[0][0], said)], "all paid", native=native)
    boss = agent_of(boss_model, role="boss", allow_delegation=True)
    crew: Any = Crew(agents=[boss, worker], tasks=[task_of(boss)])
    with ledger.workflow("order-42"):
        assert crew.kickoff().raw == "all paid"
    assert (worker_model.calls, bank.paid) == (4, ONCE)


@natively
def test_the_same_payment_in_two_tasks_is_one(native: bool, ledger: Ledger) -> None:
    """A task's id is new in the next process and its text may be edited: neither is identity."""
    bank = Bank()
    model = Model.of(PAY, "one", PAY, "two", native=native)
    with ledger.workflow("order-42"):
        crew_of(model, [wrap_tool(bank.pay, ledger)], tasks=2).kickoff()
    assert bank.paid == ONCE


def test_a_second_payment_that_is_meant_says_so(ledger: Ledger) -> None:
    paid: list[int] = []

    def pay(amount: int, instalment: int) -> str:
        """Pay an instalment."""
        paid.append(instalment)
        return f"paid number {instalment}"

    calls = [("pay", {"amount": 5, "instalment": n}) for n in (1, 2, 2)]
    policy = Policy(identity=("instalment",))
    with ledger.workflow("order-42"):
        tools = [wrap_tool(pay, ledger, policy=policy)]
        crew_of(Model.of(calls, "done"), tools).kickoff()
    assert sorted(paid) == [1, 2]


@natively
def test_a_recorded_answer_reads_like_a_fresh_one(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    first, second = (Model.of(PAY, "done", native=native) for _ in range(2))
    with ledger.workflow("order-42"):
        for model in (first, second):
            crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff()
    assert "paid 5 to bob as number 1" in first.heard
    assert first.heard == second.heard
