"""Random changes to the tables of a sealed ledger, each of which somebody has to notice."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

#: not part of the record: a wish of the moment, and what stands for the workflow in an index
LEFT_OUT = {"awaited", "scope"}
Row = dict[str, Any]


class Change(NamedTuple):
    """What was done, and to which records."""

    what: str
    keys: set[str]


def columns(db: sqlite3.Connection, table: str) -> list[str]:
    """The columns of a table, but for the ones that are no part of a record."""
    found = [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")]
    return [name for name in found if name not in LEFT_OUT]


def rows(db: sqlite3.Connection, table: str, where: str = "true") -> list[Row]:
    """Some rows."""
    cursor = db.execute(f"SELECT * FROM {table} WHERE {where} ORDER BY rowid")
    names = [about[0] for about in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor]


def another(chance: random.Random, value: Any) -> Any:
    """Another value than this one, of its kind."""
    if isinstance(value, bytes):
        at = chance.randrange(len(value))
        return value[:at] + bytes([value[at] ^ (1 << chance.randrange(8))]) + value[at + 1 :]
    if isinstance(value, int):
        return value + chance.choice([-1, 1, 1_000_000, -3_600_000_000])
    if isinstance(value, str):
        if value and chance.random() < 0.5:
            at = chance.randrange(len(value))
            return value[:at] + chr((ord(value[at]) - 31) % 94 + 32) + value[at + 1 :]
        return value + "x"
    return chance.choice([7, "7", b"7" * 32])


class Tamperer:
    """Somebody who can write the database, and knows its tables."""

    def __init__(self, db: sqlite3.Connection, chance: random.Random) -> None:
        self.db = db
        self.chance = chance
        #: the keys of what was settled when it was sealed
        self.sealed = [
            bytes(row["key"])
            for row in rows(db, "tallystick_effect")
            if row["status"] not in {"pending", "approved", "running"}
        ]

    def tamper(self) -> Change:
        """Do one thing, at random."""
        deeds: list[tuple[Callable[[], Change | None], int]] = [
            (self.a_column, 10),
            (self.an_event, 5),
            (self.a_vote, 1),
            (self.a_deletion, 2),
            (self.an_event_less, 2),
            (self.an_event_more, 1),
            (self.a_swap, 2),
            (self.a_payload_swap, 2),
            (self.an_insertion, 2),
        ]
        while True:
            (deed,) = self.chance.choices(
                [deed for deed, _ in deeds], [weight for _, weight in deeds]
            )
            change = deed()
            if change is not None:
                return change

    def _key(self) -> bytes:
        return self.chance.choice(self.sealed)

    def _set(self, table: str, row: Row, column: str) -> Change:
        value = another(self.chance, row[column])
        ids = {"tallystick_effect": "key = :key", "tallystick_event": "key = :key AND n = :n"}
        where = ids.get(table, "key = :key AND round = :round AND actor = :actor")
        self.db.execute(
            f"UPDATE OR REPLACE {table} SET {column} = :value WHERE {where}",
            row | {"value": value},
        )
        keys = {bytes(row["key"]).hex()}
        if column == "key" and isinstance(value, bytes):
            keys.add(value.hex())
        return Change(f"{table}.{column}", keys)

    def a_column(self) -> Change:
        """Any column of a record."""
        row = rows(self.db, "tallystick_effect", f"key = x'{self._key().hex()}'")[0]
        column = self.chance.choice(columns(self.db, "tallystick_effect"))
        return self._set("tallystick_effect", row, column)

    def an_event(self) -> Change | None:
        """Any column of an event."""
        found = rows(self.db, "tallystick_event", f"key = x'{self._key().hex()}'")
        if not found:
            return None
        row = self.chance.choice(found)
        column = self.chance.choice(columns(self.db, "tallystick_event"))
        return self._set("tallystick_event", row, column)

    def a_vote(self) -> Change | None:
        """Any column of a vote."""
        found = rows(self.db, "tallystick_vote", f"key = x'{self._key().hex()}'")
        if not found:
            return None
        column = self.chance.choice(columns(self.db, "tallystick_vote"))
        return self._set("tallystick_vote", self.chance.choice(found), column)

    def a_deletion(self) -> Change:
        """A record, with or without its events."""
        key = self._key()
        self.db.execute("DELETE FROM tallystick_effect WHERE key = ?", [key])
        if self.chance.random() < 0.5:
            self.db.execute("DELETE FROM tallystick_event WHERE key = ?", [key])
        return Change("a record is deleted", {key.hex()})

    def an_event_less(self) -> Change | None:
        """The last event, and the row is made to fit."""
        key = self._key()
        found = rows(self.db, "tallystick_event", f"key = x'{key.hex()}'")
        if not found:
            return None
        last = found[-1]
        where = "WHERE key = ?"
        self.db.execute("DELETE FROM tallystick_event WHERE key = ? AND n = ?", [key, last["n"]])
        head = last["previous"] if last["n"] > 1 else None
        self.db.execute(
            f"UPDATE tallystick_effect SET events = ?, head = ? {where}", [last["n"] - 1, head, key]
        )
        return Change("the last event is cut off", {key.hex()})

    def an_event_more(self) -> Change:
        """An event that belongs to nothing."""
        key = self._key()
        n = len(rows(self.db, "tallystick_event", f"key = x'{key.hex()}'")) + 1
        self.db.execute(
            "INSERT INTO tallystick_event VALUES (?, ?, 'resolved', 'eve', 7, 1, '{}', ?, ?)",
            [key, n, b"p" * 32, b"h" * 32],
        )
        return Change("an event is added", {key.hex()})

    def a_swap(self) -> Change | None:
        """Two records change places: each has the number of the other one."""
        one, two = self.chance.sample(self.sealed, 2)
        numbers = "SELECT key, seq FROM tallystick_effect WHERE key IN (?, ?)"
        found = {bytes(key): seq for key, seq in self.db.execute(numbers, [one, two])}
        set_ = "UPDATE tallystick_effect SET seq = ? WHERE key = ?"
        self.db.execute(set_, [-1, one])
        self.db.execute(set_, [found[one], two])
        self.db.execute(set_, [found[two], one])
        return Change("two records change places", {one.hex(), two.hex()})

    def a_payload_swap(self) -> Change | None:
        """Two records change their results, with the digests that fit."""
        one, two = self.chance.sample(self.sealed, 2)
        names = "result, result_digest, error, changed_at, status"
        read = f"SELECT {names} FROM tallystick_effect WHERE key = ?"
        first, second = (self.db.execute(read, [key]).fetchone() for key in (one, two))
        if first == second:
            return None
        put = f"UPDATE tallystick_effect SET ({names}) = (?, ?, ?, ?, ?) WHERE key = ?"
        self.db.execute(put, [*second, one])
        self.db.execute(put, [*first, two])
        return Change("two records change their results", {one.hex(), two.hex()})

    def an_insertion(self) -> Change:
        """A copy of a record under another key, as if it had been there for a day."""
        row = rows(self.db, "tallystick_effect", "events = 0 AND status = 'succeeded'")[0]
        row |= {"key": self.chance.randbytes(32), "seq": None}
        row["changed_at"] -= 86_400_000_000
        marks = ", ".join("?" * len(row))
        self.db.execute(
            f"INSERT INTO tallystick_effect ({', '.join(row)}) VALUES ({marks})", list(row.values())
        )
        return Change("a record is slipped in", {bytes(row["key"]).hex()})
