"""
For tests of tools and of stores: ledgers that die, clocks that turn, and an outside witness.

:class:`StoreContract` is what every store must keep, yours included. :func:`crash` ends a ledger as
a killed process ends; :func:`crash_at` does so at one of the named :func:`points`.
:func:`prove_undo` lets a workflow of yours fail at every step, and finds compensations that lie.
"""

from __future__ import annotations

from tallystick.testing._contract import StoreContract
from tallystick.testing._crash import Crash, Crashed, crash_at, points
from tallystick.testing._proof import (
    UndoDisproved,
    UndoProof,
    UndoStep,
    UndoTry,
    aprove_undo,
    prove_undo,
)
from tallystick.testing._time import turn_clock
from tallystick.testing._world import Witness, crash

__all__ = [
    "Crash",
    "Crashed",
    "StoreContract",
    "UndoDisproved",
    "UndoProof",
    "UndoStep",
    "UndoTry",
    "Witness",
    "aprove_undo",
    "crash",
    "crash_at",
    "points",
    "prove_undo",
    "turn_clock",
]
