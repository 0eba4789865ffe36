"""A flow that CrewAI restores from its own checkpoints: what was interrupted begins anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crewai.flow import Flow, and_, listen, start
from crewai.flow.flow import FlowState
from crewai.state.checkpoint_config import CheckpointConfig

from tallystick import ApprovalRequired, EffectInDoubt, Ledger, Policy
from tallystick_crewai import ledgered_step, wrap_tool
from tests.crewai._world import PAY, Bank, Model, crew_of
from tests.crewai.test_checkpoints import whole

__all__ = ["whole"]


class Paid(FlowState):
    """What the flow knows."""

    receipt: str = ""


def flow_of(ledger: Ledger, bank: Bank, *, approval: bool = False) -> Any:
    """A flow of two steps: one pays, the other has a crew pay."""

    class Order(Flow[Paid]):
        @start()
        def draft(self) -> int:
            return 5

        @listen(draft)
        @ledgered_step(ledger)
        def pay(self, amount: int) -> str:
            receipt = self.state.receipt = bank.pay(amount, "eve")
            return receipt

        @listen(pay)
        def note(self) -> str:
            return "noted"

        @listen(and_(pay, note))
        @ledgered_step(ledger)
        def pay_others(self, noted: str) -> str:
            pay = wrap_tool(bank.pay, ledger, policy=Policy(approval=approval))
            said = crew_of(Model.of(PAY, "done"), [pay]).kickoff()
            return f"{noted}, {said}, {self.state.receipt}"

    return Order


def saving(folder: Path) -> CheckpointConfig:
    return CheckpointConfig(location=str(folder), on_events=["method_execution_finished"])


def restoring(folder: Path, *, oldest: bool = False) -> CheckpointConfig:
    files = sorted(folder.rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    assert len(files) == 3
    return CheckpointConfig(restore_from=str(files[0 if oldest else -1]))


@pytest.mark.parametrize("how", ["from_checkpoint", "fork", "kickoff"])
@pytest.mark.parametrize("oldest", [True, False], ids=["oldest", "newest"])
def test_a_flow_that_is_restored_goes_on(
    how: str, oldest: bool, ledger: Ledger, tmp_path: Path
) -> None:
    """The oldest checkpoint is from before both payments, the newest one between them."""
    bank = Bank()
    flow = flow_of(ledger, bank, approval=True)
    with ledger.workflow("order-42"):
        with pytest.raises(ApprovalRequired) as stopped:
            flow(checkpoint=saving(tmp_path)).kickoff()
        assert bank.paid == [(5, "eve")]
        ledger.approve(stopped.value.key, by="ann")
        config = restoring(tmp_path, oldest=oldest)
        if how == "kickoff":
            said = flow().kickoff(from_checkpoint=config)
        else:
            said = getattr(flow, how)(config).kickoff()
    assert said == "noted, done, paid 5 to eve as number 1"
    assert bank.paid == [(5, "eve"), (5, "bob")]


def test_a_restored_flow_is_given_what_was_meant(ledger: Ledger, tmp_path: Path) -> None:
    """CrewAI gives it nothing, or the answer of another method."""
    bank, errors = Bank(), [ConnectionResetError("the answer was lost")]

    class Restored(Flow[Paid]):
        @start()
        def draft(self) -> int:
            return 5

        @listen(draft)
        def note(self) -> str:
            return "noted"

        @listen(note)
        def check(self) -> int:
            return 6

        @listen(check)
        @ledgered_step(ledger)
        def pay(self, amount: int) -> str:
            paid = bank.pay(amount, "eve")
            if errors:
                raise errors.pop()
            return paid

    flow: Any = Restored
    with ledger.workflow("order-42"):
        with pytest.raises(EffectInDoubt) as caught:
            flow(checkpoint=saving(tmp_path)).kickoff()
        with pytest.raises(EffectInDoubt):  # and not ArgumentsChanged
            flow.from_checkpoint(restoring(tmp_path)).kickoff()
        ledger.resolve(caught.value.key, succeeded=STEP, by="ann")
        assert flow.from_checkpoint(restoring(tmp_path)).kickoff() == "a receipt"
    assert bank.paid == [(6, "eve")]


#: what a step that succeeded is recorded with
STEP: Any = {"result": "a receipt", "put": {}, "gone": []}
