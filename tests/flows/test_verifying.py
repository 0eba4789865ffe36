"""What ``verify`` finds out about halts; of effects the contract tells, on every store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger
from tallystick import _changes as changes
from tallystick._acts import Chain, EventRow, Halts, Page
from tallystick._budgets._acts import ReadBooks
from tallystick._flows.verifying import verify
from tallystick._keys import halts_chain


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the ledger is."""
    return tmp_path / "halts.db"


@pytest.fixture
def ledger(file: Path) -> Iterator[Ledger]:
    """One halt in force, one that was replaced, one that was lifted, one for everybody."""
    with Ledger(f"sqlite:///{file}", tenant="default") as ledger:
        ledger.halt(tool="mail", by="ann", reason="spam")
        ledger.halt(tool="pay", by="ann", reason="fraud")
        ledger.halt(tool="pay", mode="drain", by="bob", reason="slowly")
        ledger.halt(workflow="w", by="bob", reason="loop")
        ledger.unhalt(workflow="w", by="bob", reason="fixed")
        ledger.halt(everywhere=True, by="ann", reason="storm")
        yield ledger


def test_halts_as_they_were_made_are_sound(ledger: Ledger) -> None:
    """Their events are counted with the others."""
    found = ledger.verify()
    assert (found.sound, found.effects, found.events) == (True, 0, 6)


@pytest.mark.parametrize(
    "deed",
    [
        "DELETE FROM tallystick_halt WHERE tool = 'mail'",
        "DELETE FROM tallystick_halt WHERE tenant IS NULL",
        "UPDATE tallystick_halt SET mode = 'halt' WHERE tool = 'pay'",
        "UPDATE tallystick_halt SET tool = 'nothing' WHERE tool = 'mail'",
        "UPDATE tallystick_halt SET reason = 'none' WHERE tool = 'mail'",
        "DELETE FROM tallystick_event WHERE n = 5",
        "DELETE FROM tallystick_event WHERE kind = 'drain'",
        "UPDATE tallystick_event SET actor = 'eve' WHERE kind = 'lifted'",
        "DELETE FROM tallystick_event",
        """INSERT INTO tallystick_halt (tenant, tool, workflow, mode, actor, reason, at)
           VALUES ('default', 'new', NULL, 'halt', 'eve', 'mine', 0)""",
    ],
)
def test_a_halt_that_was_meddled_with_is_found(ledger: Ledger, file: Path, deed: str) -> None:
    """Taken away, changed, or put there past the ledger; or its events were."""
    with closing(sqlite3.connect(file)) as db, db:
        assert db.execute(deed).rowcount >= 1
    damage = ledger.verify().damage
    assert damage
    assert all(d.what.startswith("halts: ") for d in damage)
    whose = {halts_chain("default").hex(), halts_chain(None).hex()}
    assert {d.key for d in damage} <= whose


class Busy:
    """Between any two readings somebody halts something."""

    def __init__(self) -> None:
        self.chains: dict[bytes, list[EventRow]] = {}

    async def read(self, act: Any) -> Any:
        """What a store answers."""
        if isinstance(act, Chain):
            chain = self.chains.setdefault(act.key, [])
            n = len(chain) + 1
            previous = chain[-1].hash if chain else changes.GENESIS
            detail = json.dumps({"tool": f"t{n}", "workflow": None, "reason": "busy"})
            change = changes.Change(event="halt", actor="ann")
            chain.append(changes.link(previous, act.key, n, change, 0, 0, detail))
            return list(chain)
        assert isinstance(act, Page | Halts | ReadBooks)
        return {} if isinstance(act, ReadBooks) else []


async def test_halts_that_change_all_the_time_are_not_called_damaged() -> None:
    """Only their chain is looked at then; and not for ever."""
    busy: Any = Busy()
    found = await verify(busy, "default")
    assert (found.sound, found.events) == (True, sum(map(len, busy.chains.values())))
