"""What a record must be, so that a ledger could have written it: pure, and before anything is."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

from tallystick._archive._acts import Record
from tallystick._archive._rim import Header
from tallystick._keys import MAX_NAME, halts_chain, is_a
from tallystick._model import Guarantee, Status

_STATUSES = frozenset(status.value for status in Status)
_GUARANTEES = frozenset(guarantee.value for guarantee in Guarantee)
_HASH, _TWIN = 32, 16


def misfits(record: Record, header: Header) -> Iterator[str]:
    """Why no ledger can have written *record* into an archive with this header."""
    row = record.row
    if header.workflow not in {None, row.workflow}:
        yield f"it belongs to workflow {row.workflow}, and the archive is of {header.workflow}"
    if row.status not in _STATUSES or row.guarantee not in _GUARANTEES:
        yield f"{row.status!r} is no status, or {row.guarantee!r} no guarantee"
    if not (0 < len(row.tool) <= MAX_NAME and 0 < len(row.workflow) <= MAX_NAME):
        yield "its tool or its workflow has no name"
    if not _measured(record):
        yield "a hash in it has another length than hashes have"
    if row.key in _chains(row.tenant):
        yield "its key is the one of the chain of halts"
    if row.epoch < 1 or min(row.attempt, row.quorum, row.quiet, row.created_at, row.changed_at) < 0:
        yield "a number in it is less than it can be"
    if record.votes and any(vote.round > row.epoch for vote in record.votes):
        yield "a vote in it is of a round that has not begun"
    if not _readable(record):
        yield "a text in it that has to be JSON is none"


@functools.lru_cache(maxsize=4)
def _chains(tenant: str) -> frozenset[bytes]:
    """The keys of chains that belong to no effect."""
    return frozenset({halts_chain(tenant), halts_chain(None)})


def _measured(record: Record) -> bool:
    row = record.row
    lengths = {len(row.key), len(row.digest), len(row.shown)}
    if row.result_digest is not None:
        lengths.add(len(row.result_digest))
    if row.head is not None:
        lengths.add(len(row.head))
    if record.events:
        lengths.update([len(event.hash) for event in record.events])
        lengths.update([len(vote.digest) for vote in record.votes])
    return len(record.twin) == _TWIN and lengths == {_HASH}


def _readable(record: Record) -> bool:
    row = record.row
    if not (record.events or record.place or record.undo or row.error or row.facts or row.edited):
        return True
    try:
        texts = [row.error, row.facts, record.undo, *(event.detail for event in record.events)]
        objects: list[Any] = [json.loads(text) for text in texts if text is not None]
        if row.edited is not None:
            json.loads(row.edited)
        places: Any = [] if record.place is None else json.loads(record.place)
    except (ValueError, RecursionError):
        return False
    if not is_a(places, list):
        return False
    return all(isinstance(found, dict) for found in [*objects, *places])
