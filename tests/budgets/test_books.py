"""``ledger.verify()`` over money: whoever meddles with what is charged is found out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tallystick import Ledger
from tallystick._budgets._terms import line_id

DEEDS = {
    "charged less": "UPDATE tallystick_use SET spent = spent - 1 WHERE spent > 0",
    "charged more": "UPDATE tallystick_use SET spent = spent + 1",
    "another sort": "UPDATE tallystick_use SET spent = 0, unreconciled = spent",
    "another window": "UPDATE tallystick_use SET start = start + 1",
    "another line": (
        "UPDATE tallystick_use SET line = (SELECT max(id) FROM tallystick_line), start = 1"
        " WHERE spent > 0"
    ),
    "a line less": "DELETE FROM tallystick_use",
    "a reservation less": "DELETE FROM tallystick_reservation",
    "a reservation released": "UPDATE tallystick_reservation SET state = 'released'",
    "a reservation of others": "UPDATE tallystick_reservation SET tenant = 'other'",
}


@pytest.mark.parametrize("deed", DEEDS)
def test_what_was_meddled_with_is_found(tmp_path: Path, deed: str) -> None:
    """One unit more or less, elsewhere, or of another sort."""
    file = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{file}") as ledger:
        budgets = [ledger.budget(name, tokens=10) for name in "ab"]
        for budget in budgets:
            budget.reserve(tokens=1).release()
        lowest = min(budgets, key=lambda budget: line_id("default", budget.name, "tokens", "{}"))
        lowest.reserve(tokens=5).settle(tokens=3)
        assert ledger.verify().sound
        with closing(sqlite3.connect(file)) as db, db:
            assert db.execute(DEEDS[deed]).rowcount >= 1
        found = ledger.verify().damage
    assert found
    assert all("a budget's line is charged" in damage.what for damage in found)


@pytest.mark.parametrize(
    "deed",
    [
        "UPDATE tallystick_use SET spent = cap + over + 1",
        "UPDATE tallystick_use SET reserved = -1, spent = 4",
        "UPDATE tallystick_use SET spent = -1",
        "UPDATE tallystick_use SET unreconciled = -1",
    ],
)
def test_the_table_itself_refuses_more_than_the_limit(tmp_path: Path, deed: str) -> None:
    """Whatever program writes it."""
    file = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{file}") as ledger:
        ledger.budget("purse", tokens=10).reserve(tokens=5).settle(tokens=3)
        with closing(sqlite3.connect(file)) as db, pytest.raises(sqlite3.IntegrityError):
            db.execute(deed)
