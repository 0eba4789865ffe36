"""What a crew's model calls cost: reserved before, settled after, refused where it does not fit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from crewai import Crew
from crewai.hooks import HookAborted, clear_before_llm_call_hooks
from crewai.tools import tool

from tallystick import Ledger
from tallystick.errors import BudgetExceeded, InvalidCall, LedgerClosed
from tallystick_crewai import budgeted, wrap_tools
from tests.crewai._metered import BOUND, LINE, USED, Metered, line
from tests.crewai._world import PAY, Bank, agent_of, crew_of, task_of

Mode = Callable[[Any], Any]


def _stream(crew: Any) -> Any:
    crew.stream = True
    streaming: Any = crew.kickoff()
    for _ in streaming:
        pass
    return streaming.result


MODES: dict[str, Mode] = {
    "kickoff": lambda crew: crew.kickoff(),
    "kickoff_async": lambda crew: asyncio.run(crew.kickoff_async()),
    "akickoff": lambda crew: asyncio.run(crew.akickoff()),
    "for_each": lambda crew: crew.kickoff_for_each([{}]),
    "akickoff_for_each": lambda crew: asyncio.run(crew.akickoff_for_each([{}])),
    "stream": _stream,
}
#: how a model lets CrewAI know of its calls
KINDS: dict[str, dict[str, Any]] = {
    "events and count": {},
    "events alone": {"counts": False},
    "events without usage": {"tells": False},
    "count alone": {"speaks": False},
}
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
#: every kind in the two ways that everything else goes through, and each other way with two kinds
pairs = pytest.mark.parametrize(
    ("mode", "kind"),
    [
        pytest.param(MODES[mode], KINDS[kind], id=f"{mode}-{kind}")
        for way, mode in enumerate(MODES)
        for sort, kind in enumerate(KINDS)
        if mode in {"kickoff", "akickoff"} or way % 2 == sort % 2
    ],
)


def pay_tool(bank: Bank, ledger: Ledger) -> Any:
    """The bank's tool, wrapped."""
    [made] = wrap_tools([bank.pay], ledger)
    return made


def team(agents: list[Any], tasks: list[Any]) -> Any:
    """A crew of several."""
    return Crew(agents=agents, tasks=tasks)


# -- settled --------------------------------------------------------------------------------------


@pairs
def test_every_call_is_booked_with_what_it_used(
    mode: Mode, kind: dict[str, Any], ledger: Ledger
) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    model, bank = Metered.told(PAY, "done", **kind), Bank()
    with ledger.workflow("order-42"), budgeted(ledger, LINE):
        mode(crew_of(model, [pay_tool(bank, ledger)]))
    assert model.paid == 2
    assert line(ledger) == (2 * USED, 0, 0)


@kinds
def test_the_text_path_is_booked_too(kind: dict[str, Any], ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    model, bank = Metered.told(PAY, "done", native=False, **kind), Bank()
    with ledger.workflow("order-42"), budgeted(ledger, LINE):
        crew_of(model, [pay_tool(bank, ledger)]).kickoff()
    assert line(ledger) == (model.paid * USED, 0, 0)


@pytest.mark.parametrize("speaks", [True, False], ids=["events", "silence"])
def test_what_nobody_says_stays_charged(speaks: bool, ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    model = Metered.told("done", speaks=speaks, counts=False, tells=False)
    with budgeted(ledger, LINE):
        crew_of(model, []).kickoff()
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved) == (0, 0)
    assert unreconciled > USED


def test_a_call_that_failed_stays_charged_unless_it_was_refused(ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    lost = Metered.told(ConnectionResetError("lost"), "done")
    refused = Metered.told(ConnectionRefusedError("no one there"), "done")
    with budgeted(ledger, LINE):
        crew_of(refused, []).kickoff()
    assert line(ledger) == (USED, 0, 0)
    with budgeted(ledger, LINE):
        crew_of(lost, []).kickoff()
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved) == (2 * USED, 0)
    assert unreconciled > USED


# -- refused --------------------------------------------------------------------------------------


@pairs
def test_a_call_that_does_not_fit_is_not_made(
    mode: Mode, kind: dict[str, Any], ledger: Ledger
) -> None:
    ledger.budget(LINE, requests=1)
    model, bank = Metered.told(PAY, "done", **kind), Bank()
    crew = crew_of(model, [pay_tool(bank, ledger)])
    with ledger.workflow("order-42"), budgeted(ledger, LINE), pytest.raises(BudgetExceeded) as at:
        mode(crew)
    assert isinstance(at.value, HookAborted)
    assert (model.paid, len(bank.paid)) == (1, 1)
    assert line(ledger) == (1, 0, 0)


def test_a_bound_that_does_not_fit_is_not_sent(ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=USED)
    model = Metered.told("done")
    with budgeted(ledger, LINE), pytest.raises(BudgetExceeded):
        crew_of(model, []).kickoff()
    assert model.paid == 0
    assert line(ledger) == (0, 0, 0)


@pytest.mark.parametrize("speaks", [True, False], ids=["events", "silence"])
def test_tools_are_part_of_the_bound(speaks: bool, ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=BOUND)
    model = Metered.told("done", speaks=speaks)
    with budgeted(ledger, LINE):
        crew_of(model, []).kickoff()
    assert model.paid == 1

    @tool("long")
    def long(text: str) -> str:
        """Does something."""
        return text

    long.description = "x" * BOUND
    with budgeted(ledger, LINE), pytest.raises(BudgetExceeded):
        crew_of(Metered.told("done", speaks=speaks), [long]).kickoff()


def test_a_request_that_is_longer_than_announced_is_reserved_for_anew(ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=BOUND)
    model = Metered.told("done", preamble="x" * BOUND)
    with budgeted(ledger, LINE), pytest.raises(BudgetExceeded):
        crew_of(model, []).kickoff()
    assert model.paid == 0
    assert line(ledger) == (0, 0, 0)
    short = Metered.told("done", preamble="x")
    with budgeted(ledger, LINE):
        crew_of(short, []).kickoff()
    assert line(ledger) == (USED, 0, 0)


@pytest.mark.parametrize("name", ["rate limit", "throttled", "too many tokens"])
def test_the_name_of_a_budget_makes_nothing_retry(name: str, ledger: Ledger) -> None:
    ledger.budget(name, requests=1)
    model, bank = Metered.told(PAY, "done"), Bank()
    with (
        ledger.workflow("order-42"),
        budgeted(ledger, name),
        pytest.raises(BudgetExceeded),
    ):
        crew_of(model, [pay_tool(bank, ledger)]).kickoff()
    assert (model.paid, len(bank.paid)) == (1, 1)


@kinds
def test_an_agent_that_ran_before_obeys(kind: dict[str, Any], ledger: Ledger) -> None:
    ledger.budget(LINE, requests=0)
    model = Metered.told("done", **kind)
    crew = crew_of(model, [])
    clear_before_llm_call_hooks()  # as if it ran before anybody imported us
    crew.kickoff()
    with budgeted(ledger, LINE), pytest.raises(BudgetExceeded):
        crew.kickoff()
    assert model.paid == 1


def test_a_worker_that_may_not_ask_stops_its_boss(ledger: Ledger) -> None:
    ledger.budget(LINE, requests=1)
    boss_model, model = Metered.told([_DELEGATE], "done"), Metered.told("done")
    boss = agent_of(boss_model, role="boss", allow_delegation=True)
    clerk = agent_of(model)
    crew = team([boss, clerk], [task_of(boss)])
    with ledger.workflow("order-42"), budgeted(ledger, LINE), pytest.raises(BudgetExceeded):
        crew.kickoff()
    assert (boss_model.paid, model.paid) == (1, 0)


_DELEGATE = (
    "delegate_work_to_coworker",
    {"task": "Pay bob 5.", "context": "bob waits", "coworker": "clerk"},
)


# -- around ---------------------------------------------------------------------------------------


def test_a_person_grants_more_and_the_next_kickoff_goes_on(ledger: Ledger) -> None:
    ledger.budget(LINE, requests=1, on_exceed="ask", raise_by=5)
    model, bank = Metered.told(PAY, PAY, "done"), Bank()
    crew = crew_of(model, [pay_tool(bank, ledger)])
    with ledger.workflow("order-42"), budgeted(ledger, LINE), pytest.raises(BudgetExceeded) as at:
        crew.kickoff()
    [waiting] = ledger.pending()
    assert at.value.request == waiting.effect.key
    ledger.approve(waiting.effect.key, by="ann")
    with ledger.workflow("order-42"), budgeted(ledger, LINE):
        assert crew.kickoff().raw == "done"
    assert len(bank.paid) == 1
    assert line(ledger) == (3, 0, 0)


def test_kickoffs_at_the_same_time_do_not_mix(ledger: Ledger) -> None:
    names = [f"session:{n}" for n in range(4)]
    for name in names:
        ledger.budget(name, tokens=1_000_000)

    async def run(name: str, tasks: int) -> None:
        async with budgeted(ledger, name):
            await crew_of(Metered.told("done", seconds=0.02), [], tasks=tasks).kickoff_async()

    async def together() -> None:
        await asyncio.gather(*(run(name, n + 1) for n, name in enumerate(names)))

    asyncio.run(together())
    assert [line(ledger, name)[0] for name in names] == [USED, 2 * USED, 3 * USED, 4 * USED]


def test_a_model_that_serves_two_at_once_is_booked_by_what_it_says(ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    model = Metered.told("done", seconds=0.1)
    agents: list[Any] = [agent_of(model, role=f"clerk {n}") for n in range(4)]
    tasks = [task_of(agent, async_execution=agent is not agents[-1]) for agent in agents]
    with budgeted(ledger, LINE):
        team(agents, tasks).kickoff()
    assert line(ledger) == (4 * USED, 0, 0)


def test_a_silent_model_that_serves_two_at_once_stays_charged(ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    model = Metered.told("done", seconds=0.1, speaks=False)
    agents: list[Any] = [agent_of(model, role=f"clerk {n}") for n in range(3)]
    tasks = [task_of(agent, async_execution=agent is not agents[-1]) for agent in agents]
    with budgeted(ledger, LINE):
        team(agents, tasks).kickoff()
    spent, reserved, unreconciled = line(ledger)
    assert (spent, reserved) == (USED, 0)
    assert unreconciled > 2 * USED


def test_a_scope_inside_another_pays_from_both(ledger: Ledger) -> None:
    ledger.budget("team", tokens=1_000_000)
    ledger.budget(LINE, tokens=1_000_000)
    with budgeted(ledger, "team"):
        with budgeted(ledger, LINE):
            crew_of(Metered.told("done"), []).kickoff()
        crew_of(Metered.told("done"), []).kickoff()
    assert line(ledger, "team") == (2 * USED, 0, 0)
    assert line(ledger) == (USED, 0, 0)


def test_a_ledger_that_is_out_of_reach_lets_no_call_go(ledger: Ledger) -> None:
    ledger.budget(LINE, tokens=1_000_000)
    model = Metered.told("done")
    with budgeted(ledger, LINE):
        ledger.close()
        with pytest.raises(LedgerClosed) as caught:
            crew_of(model, []).kickoff()
    assert isinstance(caught.value, HookAborted)
    assert model.paid == 0


def test_bad_input_is_refused_at_once(ledger: Ledger) -> None:
    wrong: Any = "a ledger"
    with pytest.raises(InvalidCall, match="no ledger"):
        budgeted(wrong, LINE)
    with Ledger("memory://another") as other, budgeted(ledger, LINE), pytest.raises(InvalidCall):
        budgeted(other, LINE).__enter__()
