"""
For tests of tools and of stores: ledgers that die, clocks that turn, and an outside witness.

:class:`StoreContract` is what every store must keep, your own included; ``crash_points`` walks
through every named point at which a process can die.
"""

from __future__ import annotations

from tallystick.testing._time import turn_clock
from tallystick.testing._world import Witness, crash

__all__ = ["Witness", "crash", "turn_clock"]
