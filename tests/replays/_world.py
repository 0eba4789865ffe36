"""What replays are held against: tools that count, and all that a store holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

from tallystick import Ledger
from tests.conftest import TABLES, Place

#: what is not about effects but about processes
_LIVING = {"worker"}
_OTHERS = """ t WHERE t.key NOT IN (
  SELECT e.key FROM tallystick_effect e WHERE e.workflow LIKE 'replay:%')"""


def kept(place: Place, ledger: Ledger) -> dict[str, list[Any]]:
    """All rows of all tables but for those of replays themselves."""
    if place.kind == "memory":
        return _in_memory(ledger)
    found: dict[str, list[Any]] = {}
    for table in TABLES.split(", "):
        if table not in _LIVING:
            where = _OTHERS if table in {"effect", "event"} else ""
            query = f"SELECT * FROM tallystick_{table}{where} ORDER BY 1, 2"
            found[table] = _rows(place, query)
    return found


def _rows(place: Place, query: str) -> list[Any]:
    if place.kind == "sqlite":
        with closing(sqlite3.connect(place.url.removeprefix("sqlite:///"))) as file:
            return file.execute(query).fetchall()
    with psycopg.connect(place.url) as db:
        return list(db.execute(query.encode()).fetchall())


def _in_memory(ledger: Ledger) -> dict[str, list[Any]]:
    shelf: Any = ledger._engine.store  # pyright: ignore[reportPrivateUsage]
    shelf = shelf._shelf
    replays = {key for key, row in shelf.rows.items() if row.workflow.startswith("replay:")}
    return {
        name: [item for item in getattr(shelf, name).items() if item[0] not in replays]
        for name in ("rows", "places", "events", "items", "ballots", "stops")
    }


def same(**args: Any) -> dict[str, Any]:
    """A tool that gives back what it is given."""
    return args


class Shop:
    """What really ran."""

    def __init__(self) -> None:
        self.ran: list[Any] = []

    def send(self, n: int) -> int:
        """A tool."""
        self.ran.append(n)
        return n
