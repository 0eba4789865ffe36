"""The acts on data keys, each a function of a transaction, like those of ``_scripts``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from tallystick import _changes as changes
from tallystick._ports import Tx
from tallystick._vault import (
    DataKey,
    PutDataKey,
    ReadDataKeys,
    ReadItems,
    ReadRows,
    Rewrap,
    Shred,
    Shredded,
    keys_chain,
)
from tallystick.stores._vault_tx import VaultTx


class KeepingTx(Tx, VaultTx, Protocol):
    """A transaction of a store that keeps data keys."""


def put_datakey(tx: KeepingTx, act: PutDataKey, _: Any) -> DataKey:
    return tx.put_datakey(act.made)


def rewrap(tx: KeepingTx, act: Rewrap, _: Any) -> bool:
    return tx.rewrap(act)


def shred(tx: KeepingTx, act: Shred, _: Any) -> Shredded:
    known = tx.datakeys(ReadDataKeys(tenant=act.tenant, scope=act.scope))
    if not known:
        return Shredded(False, False, 0)
    if known[0].wrapped is None:  # our own commit, whose answer was lost
        return Shredded(True, True, 0)
    if not tx.shred(act):
        return Shredded(True, False, tx.open_in(act))
    detail = json.dumps(
        {"workflow": act.workflow, "reason": act.reason}, sort_keys=True, separators=(",", ":")
    )
    change = changes.Change(event="shredded", actor=act.by)
    key = keys_chain(act.tenant, act.workflow)
    tx.append(changes.link(changes.GENESIS, key, 1, change, tx.now(), 0, detail))
    return Shredded(True, True, 0)


SCRIPTS: dict[type, Callable[[Any, Any, Any], Any]] = {
    PutDataKey: put_datakey,
    Rewrap: rewrap,
    Shred: shred,
}
READS: dict[type, Callable[[Any, Any], Any]] = {
    ReadDataKeys: lambda tx, act: tx.datakeys(act),
    ReadRows: lambda tx, act: tx.find(act.find),
    ReadItems: lambda tx, act: tx.inbox(act.tenant, act.limit, unnotified=act.unnotified),
}
