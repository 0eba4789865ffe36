"""
Runs, and undoing them.

:class:`Undo` goes into ``Policy(compensate=…)``; ``ledger.compensate`` answers with a
:class:`Compensation`, ``ledger.run`` and ``ledger.runs`` with :class:`Run`, ``ledger.undo_of`` with
:class:`UndoPlan`.
"""

from __future__ import annotations

from tallystick._undo import Undo
from tallystick._undoing._report import Compensation, Run, RunStatus, Undone, UndoPlan

__all__ = ["Compensation", "Run", "RunStatus", "Undo", "UndoPlan", "Undone"]
