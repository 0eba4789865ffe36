"""What CrewAI runs again: each intent is one effect."""

from __future__ import annotations

from typing import Any

import pytest
from crewai.tools import tool

from tallystick import EffectInDoubt, Ledger
from tallystick_crewai import wrap_tool
from tests.crewai._world import HOWS, PAY, Bank, Model, crew_of, however, natively


@natively
def test_a_plain_tool_shows_what_crewai_does(native: bool) -> None:
    """The measure of this folder: one action of the model, six effects on the text path."""
    bank = Bank(*[RuntimeError("lost the answer")] * 9)
    crew_of(Model.of(PAY, "done", native=native), [tool(bank.pay)]).kickoff()
    assert len(bank.paid) == (1 if native else 6)


@natively
@however
def test_an_effect_whose_answer_was_lost_runs_once(native: bool, how: str, ledger: Ledger) -> None:
    bank = Bank(*[RuntimeError("lost the answer")] * 9)
    model = Model.of(PAY, "done", native=native)
    crew = crew_of(model, [wrap_tool(bank.pay, ledger)])
    with ledger.workflow("order-42"), pytest.raises(EffectInDoubt, match="pay"):
        HOWS[how](crew)
    assert (len(bank.paid), model.calls) == (1, 1)


@natively
@however
def test_a_run_that_works_pays_once(native: bool, how: str, ledger: Ledger) -> None:
    bank = Bank()
    crew = crew_of(Model.of(PAY, "done", native=native), [wrap_tool(bank.pay, ledger)])
    with ledger.workflow("order-42"):
        output: Any = HOWS[how](crew)
    assert (output.raw, bank.paid) == ("done", [(5, "bob")])
