"""Which policy is whose, and what a ledger does not take."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick import (
    Approval,
    ApprovalRequired,
    Guarantee,
    Ledger,
    Policy,
)
from tallystick.errors import (
    InvalidCall,
    InvalidPolicy,
)
from tallystick_langchain import wrap_tool, wrap_tools
from tests.adapters.langchain_agents import (
    Bank,
    call,
    thread,
)
from tests.adapters.langchain_classes import Sync


@pytest.fixture
def bank() -> Bank:
    return Bank()


def test_policies_go_by_name_and_the_others_get_the_default(ledger: Ledger, bank: Bank) -> None:
    tools = wrap_tools(
        [bank.tool(), Sync()],
        ledger,
        workflow="w",
        policies={"charge": Policy(guarantee=Guarantee.IDEMPOTENT)},
        default=Policy(guarantee=Guarantee.READ_ONLY),
    )
    tools[0].invoke({"order": "a"})
    tools[1].invoke({"x": 1})
    assert {effect.tool: effect.guarantee for effect in ledger.effects()} == {
        "charge": Guarantee.IDEMPOTENT,
        "sync_class": Guarantee.READ_ONLY,
    }


def test_a_default_can_ask_about_whatever_cannot_be_undone(ledger: Ledger, bank: Bank) -> None:
    """A tool that says how it is undone, or that only reads, is not asked about."""
    careful = Policy(approval=Approval(min_reversibility="compensable"))
    policies = {"charge": careful.but(compensate="refund")}
    tools = wrap_tools(
        [bank.tool(), Sync()], ledger, workflow="w", policies=policies, default=careful
    )
    tools[0].invoke({"order": "a"})
    with pytest.raises(ApprovalRequired, match="irreversible, and the policy asks") as asked:
        tools[1].invoke({"x": 1})
    assert asked.value.reason == ledger.pending()[0].note
    assert bank.book == ["a"]


def test_a_policy_for_a_tool_that_is_not_there_names_those_that_are(
    ledger: Ledger, bank: Bank
) -> None:
    with pytest.raises(InvalidPolicy, match=r"'chrage'.*the tools are charge, sync_class"):
        wrap_tools([bank.tool(), Sync()], ledger, policies={"chrage": Policy()})


def test_a_read_only_tool_runs_every_time(ledger: Ledger, bank: Bank) -> None:
    read = wrap_tool(bank.tool(), ledger, policy=Policy(guarantee=Guarantee.READ_ONLY))
    for _ in range(2):
        call(read, {"order": "a"}, "c1", thread())
    assert bank.book == ["a", "a"]


def test_wrapping_for_another_ledger_is_refused(ledger: Ledger, bank: Bank) -> None:
    with Ledger("memory://") as other, pytest.raises(InvalidCall, match="another ledger"):
        wrap_tool(wrap_tool(bank.tool(), ledger), other)


def test_wrapping_again_with_another_policy_or_workflow_is_refused(
    ledger: Ledger, bank: Bank
) -> None:
    charge = wrap_tool(bank.tool(), ledger, workflow="w", policy=Policy())
    assert wrap_tools([charge], ledger, workflow="w", policies={"charge": Policy()}) == [charge]
    with pytest.raises(InvalidPolicy, match="another policy"):
        wrap_tool(charge, ledger, policy=Policy(approval=True))
    with pytest.raises(InvalidCall, match="workflow 'w' already"):
        wrap_tool(charge, ledger, workflow="v")


@pytest.mark.parametrize(
    ("wrong", "options"),
    [
        (InvalidCall, {"tool": 7}),
        (InvalidCall, {"ledger": "sqlite://"}),
        (InvalidCall, {"workflow": ""}),
        (InvalidCall, {"workflow": 7}),
        (InvalidPolicy, {"policy": "read_only"}),
        (InvalidCall, {"tool": {"type": "web_search"}}),
    ],
)
def test_bad_input_is_a_typed_error(
    wrong: type[Exception], options: dict[str, Any], ledger: Ledger, bank: Bank
) -> None:
    given: dict[str, Any] = {"tool": bank.tool(), "ledger": ledger} | options
    with pytest.raises(wrong):
        wrap_tool(given.pop("tool"), given.pop("ledger"), **given)
