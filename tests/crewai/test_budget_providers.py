"""CrewAI's own model classes against a provider on loopback: what they use is on the books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from crewai import LLM, Agent, Crew, Task
from crewai.hooks import HookAborted

from tallystick import Ledger
from tallystick.errors import BudgetExceeded
from tallystick.prices import Overrides
from tallystick_crewai import budgeted, wrap_tools
from tests.crewai._metered import LINE, Metered, line
from tests.crewai._world import PAY, Bank, crew_of
from tests.providers._answers import Answer, Call, Fault
from tests.providers._server import Provider

USED = Answer().input + Answer().output
CALL = Answer(calls=(Call(name="pay", arguments='{"amount": 5}'),))

Mode = Callable[[Any], Any]
MODES: dict[str, Mode] = {
    "kickoff": lambda crew: crew.kickoff(),
    "kickoff_async": lambda crew: asyncio.run(crew.kickoff_async()),
    "akickoff": lambda crew: asyncio.run(crew.akickoff()),
}
modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


@pytest.fixture
def provider() -> Iterator[Provider]:
    """OpenAI's API on loopback."""
    with Provider() as provider:
        yield provider


def llm(provider: Provider, **options: Any) -> Any:
    """CrewAI's client of that provider."""
    given: dict[str, Any] = {"api_key": "none", "max_tokens": 50, "max_retries": 0, **options}
    return LLM(model="openai/gpt-4o-mini", base_url=f"{provider.origin}/v1", **given)


def one_agent(model: Any, tools: Any = (), **options: Any) -> Any:
    """A crew of one agent with that model."""
    clerk = Agent(role="clerk", goal="pay", backstory="a bank", llm=model, tools=list(tools))
    task = Task(description="Pay bob.", expected_output="a receipt", agent=clerk, **options)
    return Crew(agents=[clerk], tasks=[task])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@modes
def test_openai_is_booked_with_what_it_used(
    mode: Mode, stream: bool, provider: Provider, ledger: Ledger
) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    bank = Bank()
    [pay] = wrap_tools([bank.pay], ledger)
    provider.script(CALL)
    with ledger.workflow("order-42"), budgeted(ledger, LINE):
        mode(one_agent(llm(provider, stream=stream), [pay]))
    assert len(provider.asked) == 2
    assert len(bank.paid) == 1
    assert line(ledger) == (2 * USED, 0, 0)


@modes
def test_openai_is_not_asked_for_what_does_not_fit(
    mode: Mode, provider: Provider, ledger: Ledger
) -> None:
    ledger.budget(LINE, requests=1)
    bank = Bank()
    [pay] = wrap_tools([bank.pay], ledger)
    provider.script(CALL)
    with ledger.workflow("order-42"), budgeted(ledger, LINE), pytest.raises(BudgetExceeded) as at:
        mode(one_agent(llm(provider), [pay]))
    assert isinstance(at.value, HookAborted)
    assert (len(provider.asked), len(bank.paid)) == (1, 1)


def test_what_openai_refused_costs_nothing(provider: Provider, ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    provider.script(Answer(status=400))
    with budgeted(ledger, LINE):
        one_agent(llm(provider)).kickoff()
    assert len(provider.asked) == 2
    assert line(ledger) == (USED, 0, 0)


def test_what_failed_inside_openai_stays_charged(provider: Provider, ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    provider.script(Answer(status=500))
    with budgeted(ledger, LINE):
        one_agent(llm(provider)).kickoff()
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved) == (USED, 0)
    assert unreconciled > USED


def test_an_answer_without_usage_stays_charged(provider: Provider, ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    provider.script(Answer(fault=Fault.NO_USAGE))
    with budgeted(ledger, LINE):
        one_agent(llm(provider)).kickoff()
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved) == (0, 0)
    assert unreconciled > USED


def test_a_call_without_an_agent_is_paid_for_too(provider: Provider, ledger: Ledger) -> None:
    ledger.budget(LINE, requests=1)
    model = llm(provider)
    with budgeted(ledger, LINE):
        model.call("Hello!")
        with pytest.raises(BudgetExceeded):
            model.call("Hello again!")
    assert len(provider.asked) == 1
    assert line(ledger) == (1, 0, 0)


def test_attempts_that_a_client_hides_are_reserved_for(provider: Provider, ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=2_500)
    with budgeted(ledger, LINE):
        llm(provider).call("Hello!")
        with pytest.raises(BudgetExceeded):
            llm(provider, max_retries=2).call("Hello!")
    assert len(provider.asked) == 1


def test_a_budget_in_dollars_knows_the_price(provider: Provider, ledger: Ledger) -> None:
    budget = ledger.budget(LINE, usd="0.01")
    prices = Overrides({"toy": {"input": "1", "output": "2"}})
    bank = Bank()
    [pay] = wrap_tools([bank.pay], ledger)
    with ledger.workflow("order-42"), budgeted(ledger, LINE, prices=prices):
        crew_of(Metered.told(PAY, "done"), [pay]).kickoff()
    assert budget.spent * 1_000_000 == 2 * (11 + 2 * 7)
