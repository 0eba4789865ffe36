"""A clock that can be turned."""

from __future__ import annotations

from tallystick.ledger import Ledger


def turn_clock(ledger: Ledger, seconds: float) -> None:
    """
    Let *seconds* pass for everything that *ledger* does and reads from now on.

    It is the database's clock as this ledger sees it that moves: expiries, quiet periods, key
    lifetimes and, on a server, leases of other workers; its own heart goes on beating. Other
    ledgers are not affected.
    """
    store = ledger._engine.store  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    store.shift += int(seconds * 1_000_000)
    store.beat()
