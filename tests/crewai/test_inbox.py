"""People and budgets: the same inbox, command line and limits as without a framework."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import crewai.lite_agent
import pytest
from crewai import Crew
from crewai.hooks import HookAborted

from tallystick import (
    ApprovalRequired,
    BudgetExceeded,
    Ledger,
    Policy,
    current_effect,
)
from tallystick.testing import turn_clock
from tallystick_crewai import wrap_tool, wrap_tools
from tests.crewai._world import (
    PAY,
    PAY_OTHERWISE,
    Bank,
    Model,
    agent_of,
    crew_of,
    natively,
    task_of,
)

ROOT = Path(__file__).parents[2]
#: deprecated, and still there
old_agent: Any = vars(crewai.lite_agent)["LiteAgent"]


def tallystick(*args: str) -> str:
    """What the command line says."""
    folders = [str(ROOT / name) for name in ("core", "adapters", "checkpointers")]
    ended = subprocess.run(
        [sys.executable, "-m", "tallystick.cli", *args],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_person_approves_on_the_command_line(tmp_path: Path) -> None:
    bank = Bank()
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    policies = {"pay": Policy(approval=True)}
    for attempt in range(2):
        with Ledger(url) as ledger, ledger.workflow("order-42"):
            tools = wrap_tools([bank.pay], ledger, policies=policies)
            crew = crew_of(Model.of(PAY, "done"), tools)
            if attempt == 0:
                with pytest.raises(ApprovalRequired, match="tallystick approve") as caught:
                    crew.kickoff()
                assert "pay" in tallystick("inbox", "--ledger", url)
                tallystick(
                    "approve", caught.value.key[:12], "--by", "ann", "--yes", "--ledger", url
                )
            else:
                assert crew.kickoff().raw == "done"
    assert bank.paid == [(5, "bob")]


@natively
def test_an_approval_that_nobody_gave_in_time_is_an_answer(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=Policy(approval=True))
    model = Model.of(PAY, "too late", native=native)
    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired):
            crew_of(Model.of(PAY), [pay]).kickoff()
        turn_clock(ledger, 2 * 86_400)
        assert crew_of(model, [pay]).kickoff().raw == "too late"
    assert ("expired" in model.heard, bank.paid) == (True, [])


@natively
def test_a_budget_that_is_spent_ends_the_run(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    ledger.budget("payments", requests=1)
    pay = wrap_tool(bank.pay, ledger, policy=Policy(budgets=("payments",)))
    model = Model.of(PAY, PAY_OTHERWISE, PAY_OTHERWISE, native=native)
    with ledger.workflow("order-42"), pytest.raises(BudgetExceeded, match="payments") as caught:
        crew_of(model, [pay]).kickoff()
    assert isinstance(caught.value, HookAborted)
    assert (model.calls, bank.paid) == (2, [(5, "bob")])


@pytest.mark.filterwarnings("ignore:LiteAgent is deprecated")
def test_a_task_and_an_old_agent_take_wrapped_tools(ledger: Ledger) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger)
    with ledger.workflow("order-42"):
        agent = agent_of(Model.of(PAY, "done"))
        crew: Any = Crew(agents=[agent], tasks=[task_of(agent, tools=[pay])])
        assert crew.kickoff().raw == "done"
        model = Model.of(PAY, "done", native=False)
        old: Any = old_agent(role="r", goal="g", backstory="b", llm=model, tools=[pay])
        assert old.kickoff("pay bob").raw == "done"
        asks = wrap_tool(Bank().pay, ledger, policy=Policy(approval=True))
        model = Model.of(PAY_OTHERWISE, "done", native=False)
        old = old_agent(role="r", goal="g", backstory="b", llm=model, tools=[asks])
        with pytest.raises(ApprovalRequired):
            old.kickoff("pay bob")
    assert bank.paid == [(5, "bob")]


@natively
def test_a_tool_knows_its_effect(native: bool, ledger: Ledger) -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    async def pay(amount: int) -> str:
        """Pay."""
        effect = current_effect()
        seen.append((effect.idempotency_key, effect.args))
        return "paid"

    with ledger.workflow("order-42"):
        crew_of(Model.of(PAY, "done", native=native), [wrap_tool(pay, ledger)]).kickoff()
    [effect] = ledger.effects()
    assert seen == [(effect.key, {"amount": 5})]
