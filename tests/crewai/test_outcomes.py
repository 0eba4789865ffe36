"""What a tool refuses, fails at, returns and is given, and how a model hears of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from crewai.tools import BaseTool
from crewai.tools.tool_failure import ToolExecutionFailedError, ToolFailure
from pydantic import BaseModel, Field, SecretStr

from tallystick import ApprovalRequired, EffectFailed, Ledger, NotApplied, Policy, Status
from tallystick_crewai import wrap_tool, wrap_tools
from tallystick_crewai._hooks import ASKED
from tests.crewai._tools import Desk, Receipt
from tests.crewai._world import PAY, PAY_OTHERWISE, Bank, Model, crew_of, natively


@natively
def test_arguments_that_do_not_fit_are_the_models_problem(native: bool, ledger: Ledger) -> None:
    desk = Desk()
    wrong, right = ([("order_desk", {"amount": n})] for n in (0, 3))
    model = Model.of(wrong, right, "never", native=native)
    with ledger.workflow("order-42"):
        output = crew_of(model, [wrap_tool(desk, ledger)]).kickoff()
    assert (output.raw, desk.orders, len(ledger.effects())) == ("receipt 1 for 3", [3], 1)


@natively
def test_a_tool_that_says_no_is_heard_and_not_repeated(native: bool, ledger: Ledger) -> None:
    ran: list[int] = []

    def pay(amount: int) -> Any:
        """Pay."""
        ran.append(amount)
        return ToolFailure(message="account closed", code="closed")

    model = Model.of(PAY, PAY_OTHERWISE, PAY, "gave up", native=native)
    with ledger.workflow("order-42"):
        crew_of(model, [wrap_tool(pay, ledger)]).kickoff()
    assert (ran, model.heard.count("account closed (code: closed)") > 1) == ([5, 7], True)
    assert {effect.status for effect in ledger.effects()} == {Status.FAILED}


@natively
def test_a_failure_that_may_pass_is_tried_again_when_the_model_asks(
    native: bool, ledger: Ledger
) -> None:
    bank = Bank(NotApplied("busy", retryable=True), NotApplied("closed"))
    model = Model.of(PAY, PAY_OTHERWISE, PAY, "done", native=native)
    with ledger.workflow("order-42"):
        crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff()
    assert [amount for amount, _ in bank.paid] == [5, 7, 5]
    assert "Error executing tool: busy" in model.heard
    assert "as number 3" in model.heard


@natively
def test_a_policy_of_failures_is_the_plain_tools(native: bool, ledger: Ledger) -> None:
    bank = Bank(NotApplied("closed"))
    crew = crew_of(
        Model.of(PAY, "never", native=native),
        [wrap_tool(bank.pay, ledger)],
        agent={"tool_failure_policy": "raise"},
    )
    with ledger.workflow("order-42"), pytest.raises(ToolExecutionFailedError, match="closed"):
        crew.kickoff()
    assert len(bank.paid) == 1


def test_by_hand_the_tools_own_errors_are_raised(ledger: Ledger) -> None:
    bank = Bank(NotApplied("closed"))
    made = wrap_tool(bank.pay, ledger, workflow="order-42")
    with pytest.raises(NotApplied, match="closed"):
        made.run(amount=5)
    with pytest.raises(EffectFailed, match="closed"):
        made.run(amount=5)
    assert len(bank.paid) == 1


async def test_both_kinds_can_be_awaited_by_hand(ledger: Ledger) -> None:
    bank = Bank()
    made = wrap_tools([bank.pay, bank.apay], ledger, workflow="order-42")
    for each in made * 2:
        assert "paid 5 to bob" in await each.arun(amount=5)
    assert len(bank.paid) == 2


def test_an_approver_may_edit_what_is_run(ledger: Ledger) -> None:
    desk = Desk()
    made = wrap_tool(desk, ledger, workflow="order-42", policy=Policy(approval=True))
    for edit, expected in (({"amount": "4", "note": "x"}, [4]), ({"amount": 0}, [4])):
        desk.orders[:] = expected if desk.orders else []
        with pytest.raises(ApprovalRequired) as caught:
            made.run(amount=3, note=str(edit))
        ledger.approve(caught.value.key, by="ann", args={"note": "y", **edit})
        if edit["amount"] == 0:
            with pytest.raises(NotApplied, match="do not fit"):
                made.run(amount=3, note=str(edit))
        else:
            assert cast("Receipt", made.run(amount=3, note=str(edit))).amount == 4
        assert desk.orders == expected
        made.reset_usage_count()


MARKS = (f"mark-{n}" for n in range(100))


class Secret(BaseModel):
    token: SecretStr = Field(max_length=9)  # what stands for it in the ledger is longer
    mark: str = Field(default_factory=lambda: next(MARKS))


class Vault(BaseTool):
    name: str = "vault"
    description: str = "Opens."
    args_schema: type[BaseModel] = Secret
    opened: list[str] = Field(default_factory=list[str])

    def _run(self, token: SecretStr, mark: str) -> str:
        self.opened.append(f"{token.get_secret_value()} {mark}")
        return "open"


@natively
def test_secrets_are_not_kept_and_minted_marks_are_no_identity(
    native: bool, ledger: Ledger
) -> None:
    vault = Vault()
    asks = [("vault", {"token": "tiger"})]
    own = [("vault", {"token": "tiger", "mark": "mine"})]
    model = Model.of(asks, own, asks, "done", native=native)
    with ledger.workflow("order-42"):
        crew_of(model, [wrap_tool(vault, ledger)]).kickoff()
    assert [opened.partition(" ")[0] for opened in vault.opened] == ["tiger"] * 2
    assert "tiger" not in str([effect.args for effect in ledger.effects()])


def test_what_is_no_exception_leaves_a_tool_that_is_called_by_hand(ledger: Ledger) -> None:
    """An agent's task would hang for ever; whoever calls it by hand wants it."""
    made = wrap_tool(Bank(KeyboardInterrupt("enough")).pay, ledger, workflow="order-42")
    with pytest.raises(KeyboardInterrupt, match="enough"):
        made.run(amount=5)
    [effect] = ledger.effects()
    assert effect.status is Status.IN_DOUBT


async def test_who_awaits_a_tool_may_cancel_it(ledger: Ledger) -> None:
    """Also as an agent does, for which a tool's own CancelledError is text."""
    made = wrap_tool(Bank(seconds=5).apay, ledger, workflow="order-42")
    ASKED.set(made.name)
    task = asyncio.create_task(made.arun(amount=5))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@natively
def test_a_minted_mark_is_identity_where_the_policy_says_so(native: bool, ledger: Ledger) -> None:
    vault = Vault()
    asks = [("vault", {"token": "tiger"})]
    made = wrap_tool(vault, ledger, policy=Policy(identity=("mark",)))
    with ledger.workflow("order-42"):
        crew_of(
            Model.of(asks, [("vault", {"token": "lion"})], "done", native=native), [made]
        ).kickoff()
    assert [opened.partition(" ")[0] for opened in vault.opened] == ["tiger", "lion"]
