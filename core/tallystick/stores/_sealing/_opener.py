"""Rows and details on their way out, with what is sealed of them opened again."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from tallystick._budgets._topups import CONTINUE, RAISE
from tallystick._changes import runs
from tallystick._keys import scope_of
from tallystick._model import Row
from tallystick._tombstones import kind_only
from tallystick._undoing._plan import image_of, with_image_text
from tallystick._undoing._tools import MARKS
from tallystick._vault import is_sealed
from tallystick.errors import DamagedRecord, WrongKey
from tallystick.stores._sealing._sealer import Sealer

#: questions that scripts read, and marks that hold nothing of what a call was given
CLEAR = frozenset({RAISE, CONTINUE, *MARKS})
#: what stands in the place of what was damaged: no digest fits it
_DAMAGED = '{"$":"damaged"}'
#: what events and items quote
_QUOTED = ("error", "result", "reason")
#: the columns of an effect that are sealed
_SEALED = ("args", "edited", "facts", "result", "error")


class Opener(Sealer):
    """What opens rows, too."""

    def row(self, row: Row) -> Row:
        """A row with what is sealed opened; where the key is gone, as one that lost its payload."""
        if not holds_seals(row) or self.keyring is None:
            return row
        try:
            return self._opened(row)
        except WrongKey as error:
            raise damaged(row, error) from error

    def needed(self, row: Row) -> Row:
        """As :meth:`row`, where something is done with it; KeyMissing without the key."""
        if holds_seals(row):
            self.ring()
        return self.row(row)

    def plan(self, text: str | None, key: bytes) -> str | None:
        """How an effect is undone, opened; without what was there before where that is gone."""
        image = image_of(text)
        if text is None or not is_sealed(image):
            return text
        self.ring()
        return with_image_text(text, self.unseal(str(image), key, "before"))

    def _opened(self, row: Row) -> Row:
        columns = self.columns(row)
        if any(value is None and getattr(row, name) for name, value in columns.items()):
            return self._gone(row)
        return row._replace(**columns)

    def columns(self, row: Row) -> dict[str, Any]:
        """What can be sealed of a row, opened; ``None`` where the key is gone, too."""
        return {name: self._column(row, name) for name in _SEALED}

    def _column(self, row: Row, name: str) -> str | None:
        text: str | None = getattr(row, name)
        if name == "error" and text is not None and '"sealed"' in text:
            sealed = json.loads(text).get("sealed")
            return self.unseal(sealed, row.key, name) if is_sealed(sealed) else text
        if name == "facts" and text is not None:
            said = json.loads(text)
            inner = said["facts"]
            inner = self.unseal(inner, row.key, name) if is_sealed(inner) else inner
            return None if inner is None else json.dumps({**said, "facts": inner})
        return self.unseal(text, row.key, name) if text is not None and is_sealed(text) else text

    def _gone(self, row: Row) -> Row:
        moment = self.found(scope_of(row.tenant, row.workflow))
        edited = None if row.edited is None else json.dumps(runs(row).hex())
        args = str(moment if isinstance(moment, int) else row.changed_at)
        args = row.args if row.tool in CLEAR else args
        return row._replace(args=args, edited=edited, facts=None, result=None, error=kind_only(row))

    def checked(self, row: Row) -> Row:
        """As :meth:`row`, for verification: what is shredded stays sealed, damage is shown."""
        if not holds_seals(row) or self.keyring is None:
            return row
        columns: dict[str, Any] = {}
        for name in _SEALED:
            before = getattr(row, name)
            try:
                found = self._column(row, name)
            except (WrongKey, ValueError, KeyError):
                found = _DAMAGED
            columns[name] = before if found is None else found
        return row._replace(**columns)

    def detail(self, detail: Any, key: bytes) -> Any:
        """An event's detail, or an item's note, with what is sealed opened where it can be."""
        if isinstance(detail, str):
            return self._said(detail, key) if is_sealed(detail) else detail
        if not _is_object(detail):
            return detail
        if is_sealed(detail.get("sealed")):
            whole = self._said(detail["sealed"], key)
            return json.loads(whole) if whole.startswith("{") else {**detail, "sealed": whole}
        return {name: self.detail(part, key) for name, part in detail.items()}

    def _said(self, text: str, key: bytes) -> str:
        if self.keyring is None:
            return "(sealed)"
        try:
            found = self.unseal(text, key, *_QUOTED)
        except WrongKey:
            found = "(damaged)"
        return "(shredded)" if found is None else found


def holds_seals(row: Row) -> bool:
    """Whether anything of a row is sealed."""
    return any(
        text is not None and '"sealed"' in text for text in map(row.__getattribute__, _SEALED)
    )


def _is_object(detail: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(detail, dict)


def damaged(row: Row, why: object) -> DamagedRecord:
    """What is sealed of a row is not what was written."""
    key = row.key.hex()
    return DamagedRecord(
        f"the record of {key[:12]} cannot be opened: {why}; restore the database, or "
        "`tallystick verify` to see what else is damaged",
        key=key,
    )
