"""
What ``Ledger.export`` wrote and what ``Ledger.load`` made of it.

An archive is JSON Lines: a header, one line for each effect with its events, votes and open
questions, and a seal over all that comes before it. It holds what was recorded, in the order in
which it was recorded, and nothing of the database that it was recorded in: equal records are equal
lines, whatever store they come from.
"""

from __future__ import annotations

from tallystick._archive._values import Exported, Loaded

__all__ = ["Exported", "Loaded"]
