"""What stops a run leaves ``kickoff`` as the ledger's own error, and the next one goes on."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest
from crewai.hooks import HookAborted
from crewai.hooks.dispatch import clear_all, scoped_hooks
from crewai.utilities.agent_utils import (
    is_context_length_exceeded,
    is_native_tool_calling_unsupported_error,
)

from tallystick import ApprovalRequired, EffectInDoubt, Halted, Ledger, Policy
from tallystick._kinds import become
from tallystick.errors import LedgerClosed, NoWorkflow, ResultNotStored, StillRunning
from tallystick_crewai import wrap_tool
from tallystick_crewai._stops import TRIGGERS
from tests.crewai._world import (
    HOWS,
    PAY,
    Bank,
    Model,
    agent_of,
    crew_of,
    however,
    natively,
)

ASKS = Policy(approval=True)


class Elsewhere(Exception):
    """What another framework lets through."""


@natively
@however
def test_an_approval_ends_the_run_and_the_next_one_pays(
    native: bool, how: str, ledger: Ledger
) -> None:
    bank = Bank()
    crew = crew_of(
        Model.of(PAY, "never", native=native), [wrap_tool(bank.pay, ledger, policy=ASKS)]
    )
    with ledger.workflow("order-42"), pytest.raises(ApprovalRequired) as caught:
        HOWS[how](crew)
    assert isinstance(caught.value, HookAborted)
    assert caught.value.arguments == {"amount": 5, "to": "bob"}
    [item] = ledger.pending()
    assert (item.effect.key, bank.paid) == (caught.value.key, [])
    ledger.approve(caught.value.key, by="ann")
    model = Model.of(PAY, "done", native=native)
    with ledger.workflow("order-42"):
        output = HOWS[how](crew_of(model, [wrap_tool(bank.pay, ledger, policy=ASKS)]))
    assert (output.raw, bank.paid) == ("done", [(5, "bob")])
    assert "paid 5 to bob as number 1" in model.heard


@natively
def test_a_denial_is_an_answer_for_the_model(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=ASKS)
    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired) as caught:
            crew_of(Model.of(PAY, native=native), [pay]).kickoff()
        ledger.deny(caught.value.key, by="ann", reason="wrong bob")
        model = Model.of(PAY, "gave up", native=native)
        output = crew_of(model, [pay]).kickoff()
    assert (output.raw, bank.paid) == ("gave up", [])
    assert "denied by ann: wrong bob. It was not made; do not repeat it." in model.heard
    assert [f.message[:21] for f in output.tasks_output[0].tool_failures] == [
        "This call was denied "
    ]


@natively
def test_two_kickoffs_in_one_scope_stand_for_themselves(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=ASKS)
    crew = crew_of(Model.of(PAY, PAY, "done", native=native), [pay])
    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired) as caught:
            crew.kickoff()
        ledger.approve(caught.value.key, by="ann")
        assert crew.kickoff().raw == "done"
    assert bank.paid == [(5, "bob")]


@natively
def test_a_halt_stops_the_run_until_it_is_lifted(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger)
    ledger.halt(tool="pay", by="ann", reason="too many tokens, rate limit")
    crew = crew_of(Model.of(PAY, PAY, "done", native=native), [pay])
    with ledger.workflow("order-42"):
        with pytest.raises(Halted) as caught:
            crew.kickoff()
        assert (caught.value.by, bank.paid) == ("ann", [])
        ledger.unhalt(tool="pay", by="ann")
        assert crew.kickoff().raw == "done"
    assert bank.paid == [(5, "bob")]


def test_no_word_of_an_error_makes_crewai_try_again(ledger: Ledger) -> None:
    pay = wrap_tool(Bank().pay, ledger, workflow="order-42")
    reason = " & ".join(TRIGGERS)
    assert is_context_length_exceeded(ValueError("too many tokens"))
    ledger.halt(tool="pay", by="ann", reason=reason)
    with pytest.raises(Halted) as caught:
        pay.run(amount=5)
    assert not is_context_length_exceeded(caught.value)
    assert not is_native_tool_calling_unsupported_error(caught.value)
    assert str(caught.value).replace("\N{WORD JOINER}", "").count(reason) == 1


@natively
def test_who_waited_too_long_for_another_process_is_told(native: bool, tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    begun, may_end = threading.Event(), threading.Event()

    def pay(amount: int, to: str = "bob") -> str:
        """Pay someone."""
        begun.set()
        may_end.wait(10)
        return "paid"

    with Ledger(url) as one, Ledger(url) as other:
        holder = wrap_tool(pay, one, workflow="order-42")
        thread = threading.Thread(target=lambda: holder.run(amount=5))
        thread.start()
        assert begun.wait(10)
        waiting = wrap_tool(pay, other, policy=Policy(wait=0.05))
        crew = crew_of(Model.of(PAY, PAY, "done", native=native), [waiting])
        try:
            with other.workflow("order-42"), pytest.raises(StillRunning):
                crew.kickoff()
        finally:
            may_end.set()
            thread.join(10)
        with other.workflow("order-42"):
            assert crew.kickoff().raw == "done"


@natively
def test_a_result_that_was_not_kept_stops_the_second_run(native: bool, ledger: Ledger) -> None:
    ran: list[int] = []

    def pay(amount: int) -> Any:
        """Pay."""
        ran.append(amount)
        return iter([amount])

    crew = crew_of(Model.of(PAY, "done", PAY, native=native), [wrap_tool(pay, ledger)])
    with ledger.workflow("order-42"):
        crew.kickoff()
        with pytest.raises(ResultNotStored):
            crew.kickoff()
    assert ran == [5]


def test_an_agent_by_itself_is_stopped_and_goes_on(ledger: Ledger) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=ASKS)
    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired) as caught:
            agent_of(Model.of(PAY, "done"), [pay]).kickoff("pay bob")
        ledger.approve(caught.value.key, by="ann")
        output: Any = agent_of(Model.of(PAY, "done"), [pay]).kickoff("pay bob")
    assert (output.raw, bank.paid) == ("done", [(5, "bob")])


@natively
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_no_tool_hangs_a_background_task(native: bool, kind: Any, ledger: Ledger) -> None:
    """A BaseException out of a tool would leave the future of the task unset for ever."""
    bank = Bank(kind("out"))
    model = Model.of(PAY, "done", native=native)
    crew = crew_of(model, [wrap_tool(bank.pay, ledger)], task={"async_execution": True})
    with ledger.workflow("order-42"), pytest.raises(EffectInDoubt):
        crew.kickoff()
    assert len(bank.paid) == 1


def test_a_cleared_hook_comes_back(ledger: Ledger) -> None:
    """Tests and frameworks around CrewAI clear all hooks; a stop must not become advice."""
    bank = Bank()
    crew = crew_of(Model.of(PAY, "done"), [wrap_tool(bank.pay, ledger, policy=ASKS)])
    with ledger.workflow("order-42"), scoped_hooks():
        clear_all()
        with pytest.raises(ApprovalRequired):
            crew.kickoff()


def test_a_tool_that_is_called_by_hand_raises(ledger: Ledger) -> None:
    pay = wrap_tool(Bank().pay, ledger, policy=ASKS)
    with ledger.workflow("order-42"), pytest.raises(ApprovalRequired) as caught:
        pay.run(amount=5)
    become(caught.value, Elsewhere)  # as where the crew runs inside another framework
    for same in (
        copy.copy(caught.value),
        pickle.loads(pickle.dumps(caught.value)),  # noqa: S301 - our own
    ):
        assert isinstance(same, ApprovalRequired)
        assert isinstance(same, HookAborted)
        assert isinstance(same, Elsewhere)
        assert (str(same), same.key) == (str(caught.value), caught.value.key)


@natively
def test_nobody_said_which_workflow_it_is(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    model = Model.of(PAY, "done", native=native)
    with pytest.raises(NoWorkflow, match=r"with ledger\.workflow\('order-42'\)"):
        crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff()
    assert (model.calls, bank.paid) == (1, [])


@natively
def test_a_ledger_that_was_closed_stops_the_run(native: bool) -> None:
    bank = Bank()
    model = Model.of(PAY, "done", native=native)
    with Ledger("memory://") as ledger:
        crew = crew_of(model, [wrap_tool(bank.pay, ledger)])
    with ledger.workflow("order-42"), pytest.raises(LedgerClosed):
        crew.kickoff()
    assert (model.calls, bank.paid) == (1, [])
