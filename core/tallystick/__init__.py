"""
tallystick: the ledger that stands between AI agents and the world.

It records every intended side effect before it happens, lets exactly one holder perform it, and
gives every later retry, resume or replay the recorded result.
"""

from __future__ import annotations

from tallystick._context import current_effect
from tallystick._model import Effect, Event, Guarantee, Status
from tallystick._policy import Approval, Policy, ProbeAnswer, Retry
from tallystick.budgets import Budget
from tallystick.errors import (
    ApprovalDenied,
    ApprovalRequired,
    ArgumentsChanged,
    BudgetExceeded,
    EffectFailed,
    EffectInDoubt,
    Halted,
    LedgerError,
    NotApplied,
)
from tallystick.ledger import Ledger

__all__ = [
    "Approval",
    "ApprovalDenied",
    "ApprovalRequired",
    "ArgumentsChanged",
    "Budget",
    "BudgetExceeded",
    "Effect",
    "EffectFailed",
    "EffectInDoubt",
    "Event",
    "Guarantee",
    "Halted",
    "Ledger",
    "LedgerError",
    "NotApplied",
    "Policy",
    "ProbeAnswer",
    "Retry",
    "Status",
    "current_effect",
]
