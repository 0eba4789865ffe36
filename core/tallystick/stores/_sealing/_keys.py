"""Which effect a payload is of, and the key of each workflow, wrapped in the user's."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tallystick._keys import scope_of
from tallystick._model import Row
from tallystick._vault import DataKey, ReadDataKeys
from tallystick.encryption import Keyring
from tallystick.encryption._keyring import aead_of, new_key
from tallystick.errors import KeyMissing, WorkflowShredded

#: seconds that a key is believed to be there still, and how many are
_BELIEVED, _KEPT = 1.0, 4096


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


class DataKeys:
    """A keyring, and the data keys that it opened."""

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


def refuse_shredded(place: Place) -> WorkflowShredded:
    """Nothing begins in a workflow that was shredded."""
    return WorkflowShredded(
        f"the workflow {place.workflow} was shredded, and nothing is recorded in it any more; "
        f"nothing was started: give the new work another workflow",
        workflow=place.workflow,
    )
