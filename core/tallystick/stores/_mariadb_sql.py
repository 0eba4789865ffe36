"""
The same statements as MariaDB and MySQL say them, derived from the common ones by rules.

A statement or a column that is new costs nothing here. What the servers lack is put in other words:
``INSERT … ON CONFLICT DO NOTHING`` is an INSERT whose refusal (error 1062) says that the key is
taken; ``RETURNING`` is left out, and whoever needs it reads again in the same transaction. The
guards stay where they are, in the WHERE of the statement that changes something; those of a claim
decide whether its epoch is NULL, which the table refuses (error 1048): an INSERT … SELECT would
hold the lock of the whole table's numbers while it waits for a rival's row.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MARIADB, RESERVED_WORDS_MYSQL

from tallystick.stores._archive_mariadb import STATEMENTS as ARCHIVE
from tallystick.stores._sql import COLUMNS, STATEMENTS, Dialect, common
from tallystick.stores._tables import METADATA

#: how many kinds of effects can be begun at once by those who look out for the like of them
SLOTS = 256
GUARD = "tallystick_guard"
#: one row for each of them
FILL = (
    f"INSERT INTO {GUARD} (slot) VALUES {', '.join(f'({n})' for n in range(SLOTS))} "
    "ON DUPLICATE KEY UPDATE slot = slot"
)
_RESERVED = sorted(
    {column.name for table in METADATA.tables.values() for column in table.columns}
    & (RESERVED_WORDS_MARIADB | RESERVED_WORDS_MYSQL)
)
_NAME = re.compile(rf"(?<![\w.:'`{{])(?:{'|'.join(_RESERVED)})(?![\w'`(])")
_NOTHING = re.compile(r"\s*ON CONFLICT \([\w, ]+\)\s+DO NOTHING")
_INSTEAD = re.compile(r"ON CONFLICT \([\w, ]+\)\s+DO UPDATE\s+SET")
_EXCLUDED = re.compile(r"excluded\.(\w+)")
_RETURNING = re.compile(r"\s*RETURNING .*", re.DOTALL)
_CLAIM = re.compile(r"\s*(INSERT INTO \w+ \((.*?)\))\s*SELECT (.*?)\s+WHERE (.*)", re.DOTALL)
_UPDATE = re.compile(r"\A(\s*UPDATE .*?\sSET )(.*?)(\s+WHERE .*)", re.DOTALL)
_SAME = re.compile(r"CAST\((:\w+) AS \w+\)")
_TYPES = {"TEXT": "CHAR", "BIGINT": "SIGNED"}
_TYPE = re.compile(r" AS (TEXT|BIGINT)\)")
#: whole numbers by whole numbers
_DIVISION = re.compile(r" / (?=\d)")

_ROW = ", ".join(f"e.{name}" for name in COLUMNS)

#: when the statement began, and for how long it has been at it: NOW() alone stands still while a
#: statement waits for a lock, and SYSDATE() alone is in a zone whose hours may come twice
_NOW = (
    "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
    " + TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6)) + :shift)"
)
_ALIVE = f"""EXISTS (SELECT 1 FROM tallystick_worker k
         WHERE k.id = e.holder AND k.last_seen > {_NOW} - :lease)"""


def quoted(text: str) -> str:
    """*text* with quotes around those of our columns whose names are words of the language."""
    return _NAME.sub(lambda m: f"`{m.group()}`", text)


def _in_their_words(text: str) -> str:
    text = _NOTHING.sub("", text)
    text = _RETURNING.sub("", _INSTEAD.sub("ON DUPLICATE KEY UPDATE", text))
    text = _TYPE.sub(lambda m: f" AS {_TYPES[m.group(1)]})", _SAME.sub(r"\1", text))
    text = _DIVISION.sub(" DIV ", text)
    return quoted(_EXCLUDED.sub(r"VALUES(\1)", _UPDATE.sub(_in_order, text)))


def _in_order(update: re.Match[str]) -> str:
    """An UPDATE that reads each column before it writes it: here they are set one by one."""
    head, body, tail = update.groups()
    parts = {part.split(" = ")[0]: part for part in _split(body)}

    def reads(column: str) -> bool:
        return any(
            re.search(rf"\be\.{other}\b", parts[column]) for other in parts if other != column
        )

    return head + ", ".join(parts[name] for name in sorted(parts, key=reads, reverse=True)) + tail


def _guarded(text: str) -> str:
    """A claim as one row of values, whose epoch is NULL unless its conditions hold."""
    found = _CLAIM.fullmatch(_NOTHING.sub("", text))
    assert found is not None, "the claim is an INSERT … SELECT … WHERE"
    insert, columns, values, conditions = found.groups()
    parts = _split(values)
    place = [name.strip() for name in columns.split(",")].index("epoch")
    parts[place] = f"CASE WHEN {conditions} THEN {parts[place]} END"
    return f"{insert}\nVALUES ({', '.join(parts)})"


def _split(values: str) -> list[str]:
    """The expressions of a list, parted by the commas that stand in no parentheses."""
    parts, depth = [""], 0
    for sign in values:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


class MariaDialect(Dialect):
    """What these servers say in their own way; see the module."""

    __slots__ = ()

    def say(self, text: str, **more: str) -> str:
        return _said(text, tuple(more.items()))

    def statements(self) -> Mapping[str, str]:
        more = {name: self.say(text) for name, text in OWN.items()}
        return {**Dialect.statements(self), **more}


@functools.lru_cache(maxsize=1024)
def _said(text: str, more: tuple[tuple[str, str], ...]) -> str:
    filled = {name: _in_their_words(part) for name, part in more}
    return Dialect.say(MARIADB, _in_their_words(text), **filled)


#: what is said otherwise here, or only here
OWN = {
    **ARCHIVE,
    # Insert an effect; its key may be taken, and its conditions may not hold.
    "claim": _guarded(STATEMENTS["claim"]),
    # The clock.
    "clock": "SELECT {now}",
    # Where a worker's rows begin.
    "first_seq": "SELECT first_seq FROM tallystick_worker WHERE id = :worker",
    # How many calls a session has made.
    "calls": "SELECT calls FROM tallystick_session WHERE id = :id",
    # Let nobody else begin the like of these until the transaction ends.
    "guard": f"SELECT slot FROM {GUARD} WHERE slot {{among}} ORDER BY slot FOR UPDATE",
    # Read effects by key, waiting for those that somebody is about to insert or to change.
    "met": f"SELECT {_ROW} FROM tallystick_effect e WHERE e.key {{among}} LOCK IN SHARE MODE",
    # Let nobody else charge these lines until the transaction ends.
    "lock_lines": """
SELECT l.id FROM tallystick_line l WHERE l.id {among} ORDER BY l.id FOR UPDATE""",
    # What a worker left running, by the index of events and from where its rows begin; no row is
    # locked that is not wanted.
    "held": """
SELECT e.key, e.tenant FROM tallystick_effect e
 WHERE e.seq >= (SELECT w.first_seq FROM tallystick_worker w WHERE w.id = :worker)
   AND e.holder = :worker AND e.status = 'running'
 UNION
SELECT e.key, e.tenant FROM tallystick_event v JOIN tallystick_effect e ON e.key = v.key
 WHERE v.actor = :worker AND v.kind = 'started' AND e.holder = :worker AND e.status = 'running'
 ORDER BY 1 LIMIT :limit""",
}

MARIADB = MariaDialect(
    now=_NOW,
    alive=_ALIVE,
    lock=" FOR UPDATE",
    share=" LOCK IN SHARE MODE",
    parameter="%(name)s",
)


#: statements that insert a row unless there is one
ONCE = frozenset(name for name, text in common().items() if _NOTHING.search(text))
#: what is read instead of what a statement returns; a settle returns only who waits elsewhere
RETURNS = {"start": "look", "beat": "first_seq", "count_session": "calls"}


class Server(NamedTuple):
    """Which of the two answers, and in what it differs."""

    maria: bool

    @classmethod
    def of(cls, version: str) -> Server:
        """By what it says of itself when one connects."""
        return cls("mariadb" in version.lower())

    @property
    def collation(self) -> str:
        """Byte by byte, with a blank at the end that counts."""
        return "utf8mb4_nopad_bin" if self.maria else "utf8mb4_0900_bin"

    def session(self, *, commits: bool) -> str:
        """
        What a connection of ours begins with; *commits*: each statement by itself.

        Nothing is cut off to fit, a lock is waited for no longer than by PostgreSQL's store, no
        lineage ends early, and who was stopped inside a transaction does not hold its locks for
        ever.
        """
        own: dict[str, object] = (
            {
                "tx_isolation": "'READ-COMMITTED'",
                "idle_transaction_timeout": 60,
                "max_recursive_iterations": 4294967295,
            }
            if self.maria
            else {
                "transaction_isolation": "'READ-COMMITTED'",
                "cte_max_recursion_depth": 4294967295,
            }
        )
        values = SESSION | own | {"autocommit": int(commits)}
        return "SET " + ", ".join(f"SESSION {name} = {value}" for name, value in values.items())


SESSION: dict[str, object] = {
    "sql_mode": "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_BACKSLASH_ESCAPES'",
    "innodb_lock_wait_timeout": 5,
    "lock_wait_timeout": 5,
}
