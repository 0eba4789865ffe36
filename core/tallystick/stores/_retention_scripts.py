"""The acts of retention, each a function of a transaction, like those of ``_scripts``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol

from tallystick._keys import own_key
from tallystick._model import Row, Status
from tallystick._ports import Tx
from tallystick._retention import Gone, ReadStale, Retain, Stale
from tallystick._rules import dropped_at
from tallystick._tombstones import tombstone
from tallystick._undoing._plan import image_of, without_image
from tallystick._undoing._tools import COMPENSATE, RUN
from tallystick.stores._retention_tx import RetentionTx

_RUNS_ENDED = (Status.SUCCEEDED, Status.COMPENSATED, Status.CANCELLED)
#: a round that failed has left something to be undone
_ROUNDS_ENDED = (Status.SUCCEEDED, Status.CANCELLED, Status.DENIED, Status.EXPIRED)


class DroppingTx(Tx, RetentionTx, Protocol):
    """A transaction of a store that can drop payloads."""


def retain(tx: DroppingTx, act: Retain, _: Any) -> Gone:
    closed = Closed(tx, act.tenant, act.before)
    effects = sum(_drop(tx, act, key, closed) for key in act.keys)
    return Gone(effects, sum(tx.drop_note(id_, act.before) for id_ in act.calls))


def _drop(tx: DroppingTx, act: Retain, key: bytes, closed: Closed) -> bool:
    """Make one effect a tombstone, if the store lets it go."""
    row = tx.load(act.tenant, key)
    if row is None or (dropped_at(row) or 0) >= row.changed_at or not closed(row.workflow):
        return False
    chain = tx.history(act.tenant, key) if row.events else []
    undo = tx.plan(key)
    stone = tombstone(row, chain, act.by, tx.now(), imaged=image_of(undo) is not None)
    if not tx.drop_payload(key, act.before, stone.columns, without_image(undo)):
        return False
    for event in stone.stripped:
        tx.strip_event(event)
    tx.append(stone.event)
    return True


def stale(tx: DroppingTx, act: ReadStale) -> Stale:
    found = tx.stale(act)
    if act.calls:
        return found
    closed = Closed(tx, act.tenant, act.before)
    kept = [each for each in zip(found.due, found.workflows, strict=True) if closed(each[1])]
    return Stale(found.through, tuple(key for key, _ in kept), tuple(name for _, name in kept))


class Closed:
    """Whether the runs of workflows, and the rounds of undoing them, have come to their end."""

    def __init__(self, tx: Tx, tenant: str, before: int) -> None:
        self._tx = tx
        self._tenant = tenant
        self._before = before
        self._known: dict[str, bool] = {}

    def __call__(self, workflow: str) -> bool:
        """Looked up once for each workflow, by the keys that such effects have."""
        found = self._known.get(workflow)
        if found is None:
            found = self._known[workflow] = self._look(workflow)
        return found

    def _look(self, workflow: str) -> bool:
        run = self._tx.look(self._tenant, own_key(self._tenant, workflow, RUN, "run"))
        if run is not None and not self._ended(run):
            return False
        for number in itertools.count(1):
            key = own_key(self._tenant, workflow, COMPENSATE, number)
            latest = self._tx.look(self._tenant, key)
            if latest is None:
                return True
            if latest.status not in _ROUNDS_ENDED:
                return False
        raise AssertionError("there is a last round")

    def _ended(self, run: Row) -> bool:
        """A run that failed may be tried again, and is not once nobody did for as long."""
        failed = run.status == Status.FAILED and run.changed_at <= self._before
        return failed or run.status in _RUNS_ENDED


SCRIPTS: dict[type, Callable[[Any, Any, Any], Any]] = {Retain: retain}
READS: dict[type, Callable[[Any, Any], Any]] = {ReadStale: stale}
