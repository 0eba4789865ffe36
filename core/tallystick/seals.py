"""
Seals: what a ledger recorded, signed and kept outside of its database.

``Ledger.seal`` appends the hashes of what was settled since the last seal to a file, with a signed
Merkle root over them (RFC 6962), chained to the seal before. ``Ledger.verify(seal=…)`` compares the
ledger with it, and names each record that was changed, removed or slipped in.
"""

from __future__ import annotations

from tallystick._archive._signing import new_key
from tallystick._archive._values import Sealed

__all__ = ["Sealed", "new_key"]
