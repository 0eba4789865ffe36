"""From stored rows to the values that users see."""

from __future__ import annotations

import json
from typing import Any

from tallystick._acts import EventRow
from tallystick._changes import runs
from tallystick._codec import decode
from tallystick._model import Effect, Event, Guarantee, InboxItem, Row, Status, at
from tallystick._rules import dropped_at
from tallystick._vault import is_sealed
from tallystick.errors import DamagedRecord, LedgerError


def _value(text: str | None) -> Any:
    """A stored value, or its text where the class of the value is not imported here."""
    if text is None or is_sealed(text):
        return None
    try:
        return decode(text)
    except LedgerError:
        return json.loads(text)


def _error(text: str | None) -> dict[str, Any] | None:
    said: dict[str, Any] | None = json.loads(text) if text else None
    return said and {name: part for name, part in said.items() if name != "sealed"}


#: what reading values raises that nobody wrote
_NONSENSE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def effect_of(row: Row) -> Effect:
    """*row* as a user sees it; DamagedRecord where it holds what nobody wrote."""
    try:
        return _effect_of(row)
    except _NONSENSE as error:
        key = row.key.hex()
        raise DamagedRecord(
            f"the record of {key[:12]} is damaged ({error}); restore the database, or "
            "`tallystick verify` to see what else is",
            key=key,
        ) from error


def _effect_of(row: Row) -> Effect:
    gone = dropped_at(row)
    sealed = is_sealed(row.args)
    return Effect(
        key=row.key.hex(),
        tenant=row.tenant,
        workflow=row.workflow,
        tool=row.tool,
        call_id=row.call_id,
        guarantee=Guarantee(row.guarantee),
        status=Status(row.status),
        epoch=row.epoch,
        attempt=row.attempt,
        digest=runs(row).hex(),
        args=_value(row.args) if gone is None and not sealed else {},
        edited_args=_value(row.edited) if gone is None else None,
        facts=_value(json.loads(row.facts)["facts"]) if row.facts else None,
        result=_value(row.result),
        result_stored=row.status == Status.SUCCEEDED and row.result is not None,
        error=_error(row.error),
        approval_until=at(row.approval_until) if row.approval_until else None,
        quorum=row.quorum,
        created_at=at(row.created_at),
        started_at=at(row.started_at) if row.started_at else None,
        changed_at=at(row.changed_at),
        holder=row.holder,
        payload_dropped_at=None if gone is None else at(gone),
        payload_sealed=sealed,
    )


def event_of(event: EventRow) -> Event:
    """*event* as a user sees it."""
    return Event(
        key=event.key.hex(),
        n=event.n,
        kind=event.kind,
        actor=event.actor,
        at=at(event.at),
        epoch=event.epoch,
        detail=json.loads(event.detail),
        hash=event.hash.hex(),
        previous=event.previous.hex(),
    )


def item_of(kind: str, opened: int, due: int | None, note: str, row: Row) -> InboxItem:
    """An inbox entry as a user sees it."""
    return InboxItem(
        kind=kind,
        opened_at=at(opened),
        due_at=at(due) if due else None,
        note=note,
        effect=effect_of(row),
    )
