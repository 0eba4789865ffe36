"""Whole records on their way out of an encrypted ledger, and into one."""

from __future__ import annotations

from typing import Any

from tallystick._archive._acts import Record
from tallystick._changes import runs
from tallystick._model import Row, Status
from tallystick._rules import dropped_at
from tallystick._vault import is_sealed
from tallystick.errors import WrongKey
from tallystick.stores._sealing._keys import Place, place_of, refuse_shredded
from tallystick.stores._sealing._opener import CLEAR, Opener, damaged, holds_seals


def opened_record(sealer: Opener, record: Record) -> Record:
    """
    A record in the clear; what was shredded stays sealed, and what its events quote does, too.

    Raises KeyMissing without the key, and DamagedRecord for what it does not open.
    """
    row = record.row
    if not (holds_seals(row) or is_sealed(record.undo) or any(map(_sealed_note, record.items))):
        return record._replace(undo=_plan(sealer, record))
    sealer.ring()
    try:
        opened = sealer.columns(row)
    except (WrongKey, ValueError, KeyError) as error:
        raise damaged(row, error) from error
    found = {name: value for name, value in opened.items() if value is not None}
    items = [item._replace(note=sealer.detail(item.note, row.key)) for item in record.items]
    return record._replace(
        row=row._replace(**found), undo=_plan(sealer, record), items=tuple(items)
    )


def _plan(sealer: Opener, record: Record) -> str | None:
    try:
        return sealer.plan(record.undo, record.row.key)
    except WrongKey as error:
        raise damaged(record.row, error) from error


def _sealed_note(item: Any) -> bool:
    return is_sealed(item.note)


def sealed_record(sealer: Opener, record: Record, key: Any) -> Record:
    """
    A record as it is stored with its payload sealed; what its events quote stays as it came.

    WorkflowShredded where the workflow's key was deleted.
    """
    row, place = record.row, place_of(record.row)
    if row.tool in CLEAR:
        return record
    if isinstance(key, int):
        raise refuse_shredded(place)
    notes = [
        item._replace(note=sealer.seal(item.note, place, "reason", key) if item.note else "")
        for item in record.items
    ]
    return record._replace(
        row=row if dropped_at(row) is not None else _sealed(sealer, row, place, key),
        undo=sealer.planned(record.undo, place, key),
        items=tuple(notes),
    )


def _sealed(sealer: Opener, row: Row, place: Place, key: Any) -> Row:
    def seal(name: str, digest: bytes = b"") -> str | None:
        text: str | None = getattr(row, name)
        return None if text is None else sealer.seal(text, place, name, key, digest)

    said = row.error if row.status == Status.DENIED else sealer.error(row.error, place, key)
    return row._replace(
        args=sealer.seal(row.args, place, "args", key),
        edited=seal("edited", runs(row)),
        facts=sealer.facts(row.facts, place, key),
        result=seal("result"),
        error=said,
    )
