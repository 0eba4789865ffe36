"""Acts on their way in with their payloads sealed, rows on their way out with them opened again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeGuard

from tallystick._budgets._topups import CONTINUE, RAISE
from tallystick._changes import runs
from tallystick._keys import scope_of
from tallystick._model import Row
from tallystick._tombstones import kind_only
from tallystick._undoing._plan import image_of, with_image_text
from tallystick._undoing._tools import MARKS
from tallystick._vault import DataKey, ReadDataKeys, is_sealed
from tallystick.encryption import Keyring
from tallystick.encryption._keyring import aead_of, new_key, opened, sealed_with
from tallystick.errors import DamagedRecord, KeyMissing, WorkflowShredded, WrongKey

#: seconds that a key is believed to be there still, and how many are
_BELIEVED, _KEPT = 1.0, 4096
#: questions that scripts read, and marks that hold nothing of what a call was given
CLEAR = frozenset({RAISE, CONTINUE, *MARKS})
_SAID = {"type": "", "message": "", "traceback": ""}
#: what stands in the place of what was damaged: no digest fits it
_DAMAGED = '{"$":"damaged"}'


class Place(NamedTuple):
    """Which effect something is about."""

    key: bytes
    tenant: str
    workflow: str
    tool: str

    @property
    def scope(self) -> bytes:
        """What stands for its workflow."""
        return scope_of(self.tenant, self.workflow)


def place_of(row: Row) -> Place:
    """The effect that a row is of."""
    return Place(row.key, row.tenant, row.workflow, row.tool)


class Sealer:
    """A keyring, the data keys that it opened, and what is done with them."""

    def __init__(
        self,
        keyring: Keyring | None,
        tenant: str,
        read: Callable[[ReadDataKeys], list[DataKey]],
    ) -> None:
        self.keyring = keyring
        self._tenant = tenant
        self._read = read
        #: by scope: the key, or when it was shredded; and when we looked
        self._known: dict[bytes, tuple[Any, float]] = {}

    # -- keys ---------------------------------------------------------------------------------

    def found(self, scope: bytes) -> Any:
        """A workflow's key, the moment at which it was shredded, or ``None`` where it has none."""
        known = self._known.get(scope)
        if known is not None and time.monotonic() - known[1] < _BELIEVED:
            return known[0]
        stored = self._read(ReadDataKeys(tenant=self._tenant, scope=scope))
        return self.believe(stored[0]) if stored else None

    def believe(self, stored: DataKey, *, ours: bool = True) -> Any:
        """What a stored key comes to; remembered where it is committed."""
        found: Any = stored.shredded_at
        if stored.wrapped is not None:
            found = aead_of(self.ring().unwrap(stored.wrapped, stored.scope, stored.kek))
        if ours:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[stored.scope] = found, time.monotonic()
        return found

    def forget(self, scope: bytes) -> None:
        """Look again before this workflow's key is used."""
        self._known.pop(scope, None)

    def made(self, place: Place) -> DataKey:
        """A new key for a workflow, as it is to be stored."""
        ring = self.ring()
        wrapped = ring.wrap(new_key(), place.scope)
        return DataKey(place.scope, place.tenant, place.workflow, ring.id, wrapped)

    def ring(self) -> Keyring:
        """The user's keys; KeyMissing where none were given."""
        if self.keyring is None:
            raise KeyMissing(
                "the payloads of this ledger are encrypted, and no key was given; nothing was "
                "started: Ledger(…, cipher=Keyring(key)), or TALLYSTICK_KEY for the command line"
            )
        return self.keyring

    # -- texts --------------------------------------------------------------------------------

    def seal(self, text: str, place: Place, column: str, key: Any, digest: bytes = b"") -> str:
        """*text* as only the workflow's key opens it, in this column of this effect."""
        about = _about(place.key, column, digest.hex())
        sealed = sealed_with(key, text.encode("utf-8", "surrogatepass"), about)
        tag = {"$": "sealed", "c": column, "d": digest.hex(), "s": place.scope.hex()}
        tag["v"] = base64.b64encode(sealed).decode("ascii")
        return json.dumps(tag, separators=(",", ":"))

    def unseal(self, text: str, key: bytes, *columns: str) -> str | None:
        """What was sealed in one of these columns; ``None`` where its workflow's key is gone."""
        column, digest, scope, sealed = _read(text)
        if column not in columns:
            raise WrongKey(f"what is sealed here belongs into the column {column}")
        found = self.found(scope)
        if found is None or isinstance(found, int):
            return None
        about = _about(key, column, digest)
        return opened(found, sealed, about).decode("utf-8", "surrogatepass")

    # -- columns ------------------------------------------------------------------------------

    def planned(self, text: str | None, place: Place, key: Any) -> str | None:
        """How an effect is undone, with what was there before it sealed."""
        image = image_of(text)
        if text is None or image is None:
            return text
        return with_image_text(text, self.seal(image, place, "before", key))

    def maybe(
        self, text: str | None, place: Place, column: str, key: Any, digest: bytes = b""
    ) -> str | None:
        """*text* sealed, or nothing: where there is none, or no key."""
        if text is None or key is None:
            return None
        return self.seal(text, place, column, key, digest)

    def facts(self, text: str | None, place: Place, key: Any) -> str | None:
        """What an approver saw, sealed."""
        if text is None:
            return None
        said = json.loads(text)
        return json.dumps({**said, "facts": self.seal(said["facts"], place, "facts", key)})

    def error(self, text: str | None, place: Place, key: Any) -> str | None:
        """What an attempt ended with, sealed but for its kind."""
        if text is None:
            return None
        sealed = self.maybe(text, place, "error", key)
        said = {**_SAID, "type": json.loads(text).get("type", "")}
        return json.dumps(said if sealed is None else {**said, "sealed": sealed})

    # -- rows ---------------------------------------------------------------------------------

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


#: what events and items quote
_QUOTED = ("error", "result", "reason")
#: the columns of an effect that are sealed
_SEALED = ("args", "edited", "facts", "result", "error")


def holds_seals(row: Row) -> bool:
    """Whether anything of a row is sealed."""
    return any(
        text is not None and '"sealed"' in text for text in map(row.__getattribute__, _SEALED)
    )


def _is_object(detail: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(detail, dict)


def _read(text: str) -> tuple[str, str, bytes, bytes]:
    """The parts of a sealed text: column, digest, scope, and what is sealed."""
    try:
        tag = json.loads(text)
        sealed = base64.b64decode(tag["v"], validate=True)
        return tag["c"], tag["d"], bytes.fromhex(tag["s"]), sealed
    except (ValueError, KeyError, TypeError) as error:
        raise WrongKey("what is sealed was damaged") from error


def _about(key: bytes, column: str, digest: str) -> bytes:
    """What a sealed text is bound to."""
    return b"|".join(
        (b"tallystick/1 payload", key.hex().encode(), column.encode(), digest.encode())
    )


def damaged(row: Row, why: object) -> DamagedRecord:
    """What is sealed of a row is not what was written."""
    key = row.key.hex()
    return DamagedRecord(
        f"the record of {key[:12]} cannot be opened: {why}; restore the database, or "
        "`tallystick verify` to see what else is damaged",
        key=key,
    )


def refuse_shredded(place: Place) -> WorkflowShredded:
    """Nothing begins in a workflow that was shredded."""
    return WorkflowShredded(
        f"the workflow {place.workflow} was shredded, and nothing is recorded in it any more; "
        f"nothing was started: give the new work another workflow",
        workflow=place.workflow,
    )
