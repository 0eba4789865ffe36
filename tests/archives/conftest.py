"""A ledger that was exported."""

from __future__ import annotations

import io

import pytest

from tallystick import Approval, ApprovalRequired, EffectInDoubt, Ledger, Policy

ASK = Policy(approval=Approval(quorum=2))


def receipt(n: int) -> dict[str, int]:
    """A tool."""
    return {"receipt": n}


def spend(cents: int) -> int:
    """One that people approve."""
    return cents


def lose() -> None:
    """A tool of which nobody knows what it did."""
    raise RuntimeError("no answer")


def fill(ledger: Ledger) -> None:
    """Three receipts, one request that one person approved, one doubt."""
    for n in range(3):
        ledger.call("charge", receipt, {"n": n}, workflow="w")
    with pytest.raises(ApprovalRequired) as asked:
        ledger.call("pay", spend, {"cents": 5}, workflow="w", policy=ASK)
    ledger.approve(str(asked.value.key), by="ann", reason="fine")
    with pytest.raises(EffectInDoubt):
        ledger.call("lost", lose, workflow="v")


def exported(ledger: Ledger) -> bytes:
    """The archive of a ledger."""
    archive = io.BytesIO()
    ledger.export(archive)
    return archive.getvalue()


@pytest.fixture(scope="module")
def archive() -> bytes:
    """Five effects: lines 2 to 6 of eight."""
    with Ledger("memory://") as ledger:
        fill(ledger)
        return exported(ledger)
