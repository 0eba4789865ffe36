"""
A thousand random changes to a sealed ledger: each is found, and the finding names the record.

``TALLYSTICK_TAMPERS=1000`` tries as many, as ``make storm`` does; sixty are enough for every day.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tallystick import Approval, ApprovalRequired, EffectInDoubt, Ledger, NotApplied, Policy
from tallystick.seals import new_key

from ._tampering import Tamperer

TAMPERS = int(os.environ.get("TALLYSTICK_TAMPERS", "60"))


PAY = Policy(approval=Approval(quorum=2))


def charge(n: int) -> dict[str, int]:
    """A tool."""
    return {"receipt": n}


def lose() -> None:
    """One of which nobody knows what it did."""
    raise RuntimeError("no answer")


def refuse() -> None:
    """One that says no for now."""
    raise NotApplied("declined", retryable=True)


def _asked(ledger: Ledger, n: int) -> str:
    with pytest.raises(ApprovalRequired) as asked:
        ledger.call("pay", charge, {"n": n}, workflow="w", policy=PAY)
    return str(asked.value.key)


def fill(ledger: Ledger) -> None:
    """Effects with and without a history, in every status that is settled; one that is not."""
    for n in range(8):
        ledger.call("charge", charge, {"n": n}, workflow=f"w{n % 3}")
    for n in range(2):
        for name in ("ann", "bob"):
            ledger.approve(_asked(ledger, n), by=name, reason="fine")
        ledger.call("pay", charge, {"n": n}, workflow="w", policy=PAY)
    ledger.deny(_asked(ledger, 2), by="ann", reason="no")
    ledger.cancel(_asked(ledger, 3), by="ann")
    _asked(ledger, 4)
    for n in range(3):
        with pytest.raises(EffectInDoubt) as doubt:
            ledger.call("lost", lose, workflow=f"v{n}")
        if n:
            ledger.resolve(str(doubt.value.key), by="ann", succeeded={"found": n})
    with pytest.raises(NotApplied):
        ledger.call("refuse", refuse, workflow="w")
    ledger.halt(tool="mail", by="ann", reason="spam")


@pytest.mark.timeout(600)
def test_every_change_to_a_sealed_ledger_is_found_and_names_the_record(tmp_path: Path) -> None:
    public = new_key(tmp_path / "key")
    whole, copy, seals = tmp_path / "whole.db", tmp_path / "copy.db", tmp_path / "seals"
    with Ledger(f"sqlite:///{whole}") as ledger:
        fill(ledger)
        sealed = ledger.seal(seals, key=tmp_path / "key")
        assert sealed.leaves == 8 + 4 + 3 + 1 + 1
        assert ledger.verify(seal=seals, public_key=public).sound
    chance, missed, silent = random.Random(20261121), list[str](), 0
    for _ in range(TAMPERS):
        shutil.copy(whole, copy)
        with closing(sqlite3.connect(copy)) as db, db:
            db.execute("PRAGMA synchronous = OFF")
            change = Tamperer(db, chance).tamper()
        with Ledger(f"sqlite:///{copy}") as ledger:
            named = {d.key for d in ledger.verify(seal=seals, public_key=public).damage}
            silent += ledger.verify().sound
        if not change.keys & named:
            missed.append(f"{change.what}: {named}")
    assert missed == [], missed
    assert silent > TAMPERS / 10, "what the hashes in the ledger tell by themselves is not enough"
