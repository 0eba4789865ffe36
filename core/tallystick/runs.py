"""
Runs, and undoing them.

:class:`Undo` goes into ``Policy(compensate=…)``; ``ledger.compensate`` answers with a
:class:`Compensation`, ``ledger.contain`` with a :class:`Containment` of :class:`Affected` effects
and :class:`Frozen` scopes, ``ledger.run`` and ``ledger.runs`` with :class:`Run`,
``ledger.undo_of`` with :class:`UndoPlan`.
"""

from __future__ import annotations

from tallystick._undo import Undo
from tallystick._undoing._containment import Affected, Containment, Frozen
from tallystick._undoing._report import Compensation, Run, RunStatus, Undone, UndoPlan

__all__ = [
    "Affected",
    "Compensation",
    "Containment",
    "Frozen",
    "Run",
    "RunStatus",
    "Undo",
    "UndoPlan",
    "Undone",
]
