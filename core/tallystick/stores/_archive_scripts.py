"""Every act of exports and imports, as a function of a transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick._archive import _acts as acts
from tallystick.stores._archive_tx import ArchiveTx

SCRIPTS: dict[type, Callable[[ArchiveTx, Any, Any], Any]] = {
    acts.PutRecords: lambda tx, act, _: tx.put_records(act.records),
}

READS: dict[type, Callable[[ArchiveTx, Any], Any]] = {
    acts.Records: lambda tx, act: tx.records(act),
    acts.Known: lambda tx, act: tx.known(act),
}
