"""
Mutants of SQL: each predicate of a statement taken away in turn.

A statement is cut into words; every chain of ``AND`` or ``OR`` gives one mutant per member (the
neutral truth value in its place), every lone condition of ``WHERE``, ``ON`` and ``WHEN`` one more,
every literal of an ``IN (…)`` list one, and so do the locks and the ``ON CONFLICT`` clauses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tallystick.stores._mariadb_tx import MariaTx
from tallystick.stores._postgres import PostgresTx
from tallystick.stores._sqlite import SqliteTx
from tallystick.stores._tx import SqlTx

_WORD = re.compile(r"'[^']*'|[\w.:%$]+|\(|\)|,|[^\s\w(),']+")
_CLAUSES = (
    "SELECT FROM WHERE ON WHEN THEN ELSE SET RETURNING ORDER GROUP LIMIT LEFT JOIN WITH INSERT"
    " UPDATE DELETE FOR AS VALUES DO UNION"
)
#: words that end a condition
_ENDS = {*_CLAUSES.split(), ",", ")"}
_LOCK = re.compile(r" FOR UPDATE( OF \w+)?")
_CONFLICT = re.compile(r"\s+ON CONFLICT \([\w, ]+\) DO (NOTHING|UPDATE SET .*)$", re.MULTILINE)


class Cut(NamedTuple):
    """A part of a statement, and what is put in its place."""

    start: int
    end: int
    instead: str

    def of(self, sql: str) -> str:
        """The statement with this cut."""
        return sql[: self.start] + self.instead + sql[self.end :]


class _Token(NamedTuple):
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        return self.text.upper()

    @property
    def deeper(self) -> int:
        """Whether a part opens (1) or closes (-1) here."""
        return (self.word in ("(", "CASE")) - (self.word in (")", "END"))


def cuts(sql: str) -> list[Cut]:
    """All the places where *sql* can be weakened."""
    tokens = [_Token(m.group(), m.start(), m.end()) for m in _WORD.finditer(sql)]
    found = {*_chains(tokens), *_lists(sql)}
    lock = _LOCK.search(sql)
    if lock is not None:
        found.add(Cut(lock.start(), lock.end(), ""))
    found |= {Cut(m.start(), m.end(), "") for m in _CONFLICT.finditer(sql)}
    return sorted(c for c in found if sql[c.start : c.end].upper() != c.instead.strip().upper())


def _lists(sql: str) -> Iterator[Cut]:
    """Each literal of each list."""
    for listed in re.finditer(r"IN \((('\w+'(, )?)+)\)", sql):
        for m in re.finditer(r"'\w+'", listed.group(1)):
            start = listed.start(1) + m.start()
            yield Cut(start, start + len(m.group()), "''")


def _chains(tokens: list[_Token]) -> Iterator[Cut]:
    """The members of each chain of AND or OR, at every depth, and lone conditions."""
    groups = [0]
    for i, token in enumerate(tokens):
        if token.deeper > 0:
            groups.append(i + 1)
        elif token.deeper < 0:
            yield from _level(tokens[groups.pop() : i])
    yield from _level(tokens)


def _level(tokens: list[_Token]) -> Iterator[Cut]:
    """The conditions that stand directly between ( and ), or CASE and END."""
    part: list[_Token] = []
    opener, depth = "(", 0
    for token in [*tokens, _Token(")", 0, 0)]:
        if depth == 0 and token.word in _ENDS:
            yield from _condition(opener, part)
            opener, part = token.word, []
            continue
        depth += token.deeper
        part.append(token)


def _condition(opener: str, part: list[_Token]) -> Iterator[Cut]:
    if not part or part[0].word == "CONFLICT":
        return
    for word, neutral in (("OR", "false"), ("AND", "true")):
        members = _split(part, word)
        if len(members) > 1:
            for member in members:
                yield Cut(member[0].start, member[-1].end, neutral)
                yield from _condition("(", member) if word == "OR" else ()
            if word == "AND":
                return
            break
    if opener in ("WHERE", "ON", "WHEN"):
        yield Cut(part[0].start, part[-1].end, "true")
    if opener == "WHEN":
        yield Cut(part[0].start, part[-1].end, "false")


def _split(part: list[_Token], word: str) -> list[list[_Token]]:
    members: list[list[_Token]] = [[]]
    depth = 0
    for token in part:
        depth += token.deeper
        if depth == 0 and token.word == word:
            members.append([])
        else:
            members[-1].append(token)
    return members


# -- statements as they are executed ---------------------------------------------------------------

Rewrite = Callable[[str], str]
_SET = re.compile(r"^(UPDATE tallystick_effect SET ).*?( WHERE `?key`? = )", re.DOTALL)


def family(sql: str) -> str:
    """The same for statements that differ only in the columns that they write."""
    return _SET.sub(r"\1…\2", sql)


class SqlMutant(NamedTuple):
    """One predicate taken out of one statement (and out of those that differ in columns only)."""

    store: str
    statement: str
    number: int
    sample: str

    @property
    def target(self) -> str:
        """What a probe must execute to have a chance."""
        return self.statement

    @property
    def name(self) -> str:
        """Something to read; of equal predicates in one statement the later ones are numbered."""
        said = [_said(self.sample, cut) for cut in cuts(self.sample)[: self.number + 1]]
        n = said.count(said[-1])
        return f"{self.store} | {title(self.sample)} | {said[-1]}{f' ({n})' if n > 1 else ''}"

    @contextmanager
    def applied(self) -> Generator[None]:
        """While this is open, the statement is executed without the predicate."""

        def rewrite(sql: str) -> str:
            return _weakened(sql, cuts(sql)[self.number]) if family(sql) == self.statement else sql

        with rewriting(rewrite):
            yield


def _weakened(sql: str, cut: Cut) -> str:
    """The statement without the predicate, and with its numbered parameters, which are counted."""
    lost = re.findall(r"\?\d+", sql[cut.start : cut.end])
    word = {"true": "OR", "false": "AND"}.get(cut.instead)
    if not lost or word is None:
        return cut.of(sql)
    kept = f" {word} ".join([cut.instead, *(f"{parameter} IS NULL" for parameter in lost)])
    return cut._replace(instead=f"({kept})").of(sql)


def _said(sql: str, cut: Cut) -> str:
    words = _bare(sql[cut.start : cut.end])
    short = words if len(words) <= 60 else f"{words[:45]} … {words[-14:]}"
    return f"{short} -> {cut.instead or 'nothing'}"


def _bare(sql: str) -> str:
    """A statement without the ways in which parameters are written."""
    return re.sub(r"\?\d+|%\(\w+\)s|(?<![:\w]):\w+", "?", " ".join(sql.split()))


_NAMES = {
    _bare(text): name
    for statements in (MariaTx.statements, SqliteTx.statements, PostgresTx.statements)
    for name, text in statements.items()
}


def title(sql: str) -> str:
    """What the ledger calls a statement."""
    made = "change" if family(sql) != sql else "find" + _bare(sql).partition("e.tenant = ?")[2]
    return _NAMES.get(_bare(sql), made.partition(" ORDER BY")[0])


@contextmanager
def rewriting(rewrite: Rewrite) -> Generator[None]:
    """Everything that a transaction executes goes through *rewrite* first."""
    plain, plain_many = SqlTx.__init__, SqliteTx.__init__

    def init(self: SqlTx, execute: Any) -> None:
        plain(self, lambda sql, params: execute(rewrite(sql), params))

    def init_many(self: SqliteTx, execute: Any, alive: Any, now: int, many: Any = None) -> None:
        def bulk(sql: str, rows: Any) -> Any:
            return many(rewrite(sql), rows)

        plain_many(self, execute, alive, now, many and bulk)

    SqlTx.__init__ = init  # type: ignore[method-assign]
    SqliteTx.__init__ = init_many  # type: ignore[method-assign]
    try:
        yield
    finally:
        SqlTx.__init__ = plain  # type: ignore[method-assign]
        SqliteTx.__init__ = plain_many  # type: ignore[method-assign]
