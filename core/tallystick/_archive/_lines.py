"""
Records as lines of text, and back.

``{"n":3,"sum":"…","effect":{…},"events":[…],"votes":[…],"inbox":[…]}``: columns without a value
and empty lists are left out, bytes are hex, stored texts stay texts. ``sum`` is the beginning of
the sha256 of all that follows it, so that an edited line can be named. The tenant is the header's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Final, NoReturn, cast

from tallystick._acts import EventRow
from tallystick._archive._acts import Ballot, Item, Record
from tallystick._archive._shapes import Column, Shape, Unfit, columns_of
from tallystick._canonical._text import reader, writer
from tallystick._changes import GENESIS
from tallystick._model import Row

#: the JSON of plain data, in ASCII, on one line
compact: Final = writer(ascii_only=True, sort_keys=False)

#: of a sum, in hex
_DIGITS: Final = 16
_START: Final = re.compile(rb'\{"n":([1-9]\d{0,17}),"sum":"([0-9a-f]{16})",')

#: what a line may say, and how much of it every line does: its number, its sum and its effect
_PARTS: Final = frozenset({"n", "sum", "effect", "events", "votes", "inbox"})
_PLAIN: Final = 3

_ROW = columns_of(Row, "tenant", "awaited")
_EFFECT = Shape(
    (*_ROW, Column("twin", bytes, False), Column("place", str, True), Column("undo", str, True))
)
_EVENT = Shape(columns_of(EventRow, "key", "previous"))
_VOTE = Shape(columns_of(Ballot))
_ITEM = Shape(columns_of(Item))
_TENANT = Row._fields.index("tenant")
_PREVIOUS = EventRow._fields.index("previous")


def line_of(n: int, record: Record) -> bytes:
    """The line of the *n*th effect of an archive, with its end."""
    row = record.row
    columns = (*row[:_TENANT], *row[_TENANT + 1 : -1], record.twin, record.place, record.undo)
    parts: dict[str, Any] = {"effect": _EFFECT.said(columns)}
    if record.events:
        parts["events"] = [
            _EVENT.said((*e[1:_PREVIOUS], *e[_PREVIOUS + 1 :])) for e in record.events
        ]
    if record.votes:
        parts["votes"] = [_VOTE.said(vote) for vote in sorted(record.votes)]
    if record.items:
        parts["inbox"] = [_ITEM.said(item) for item in sorted(record.items)]
    body = compact(parts)[1:].encode()
    return b'{"n":%d,"sum":"%s",%s\n' % (n, _sum(body), body)


def _sum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode()


def record_of(line: bytes, n: int, tenant: str) -> Record:
    """The record of the *n*th effect's line; Unfit where it is none, another one's, or edited."""
    begin = len(start := b'{"n":%d,"sum":"' % n) + _DIGITS + len(b'",')
    if not line.startswith(start) or line[begin - len(b'",') : begin] != b'",':
        raise _misplaced(line, n)
    if _sum(line[begin:-1]) != line[len(start) : len(start) + _DIGITS]:
        raise Unfit("it was edited: it does not match its sum")
    parts = json_of(line)
    try:
        columns = _EFFECT.read(parts["effect"])
        row = Row._make((*columns[:_TENANT], tenant, *columns[_TENANT:-3], False))
        twin, place, undo = columns[-3:]
        if len(parts) == _PLAIN:
            return Record(row, twin, place, undo)
        record = Record(
            row,
            twin,
            place,
            undo,
            _chain(row.key, parts.get("events", ())),
            tuple([Ballot._make(_VOTE.read(vote)) for vote in parts.get("votes", ())]),
            tuple([Item._make(_ITEM.read(item)) for item in parts.get("inbox", ())]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Unfit(f"it is not the line of an effect ({error})") from error
    if not parts.keys() <= _PARTS:
        unknown = sorted({*parts} - _PARTS)
        raise Unfit(f"it holds what this version does not know: {', '.join(unknown)}")
    return record


def _misplaced(line: bytes, n: int) -> Unfit:
    """Why a line does not begin as the *n*th effect's does."""
    start = _START.match(line)
    if start is None or int(start[1]) == n:
        return Unfit("it is not the line of an effect")
    return Unfit(
        f"it is effect {int(start[1])} where effect {n} belongs: lines were added, removed or "
        "put in another order"
    )


def json_of(line: bytes) -> dict[str, Any]:
    """The JSON object that a line is; Unfit where it is none."""
    try:
        parts: Any = _parsed(line.removesuffix(b"\n").decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Unfit(f"it is no JSON ({error})") from error
    if type(parts) is not dict:
        raise Unfit("it is no JSON object")
    return cast("dict[str, Any]", parts)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_parsed: Final = reader(_no_constant)


def _chain(key: bytes, given: Sequence[Any]) -> tuple[EventRow, ...]:
    """The events of a line, each linked to the one before it as the line has them."""
    if not given:
        return ()
    previous, chain = GENESIS, list[EventRow]()
    for said in given:
        values = _EVENT.read(said)
        columns = [key, *values[: _PREVIOUS - 1], previous, *values[_PREVIOUS - 1 :]]
        event = EventRow._make(columns)
        chain.append(event)
        previous = event.hash
    return tuple(chain)
