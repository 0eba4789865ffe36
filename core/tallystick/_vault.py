"""
Data keys, one for each workflow, and what is sealed with them; see :mod:`tallystick.encryption`.

What is sealed is JSON like everything else that is stored, under a tag that no data looks like. The
digest of what was sealed stands beside it where a rule needs it.
"""

from __future__ import annotations

import json
from typing import NamedTuple, TypeGuard

from tallystick._acts import Act, Find
from tallystick._keys import VERSION, hashed
from tallystick._model import Row

#: how every sealed text begins
SEAL = '{"$":"sealed"'


def is_sealed(text: object) -> TypeGuard[str]:
    """Whether *text* is what a key made of something; a database may hold anything."""
    return isinstance(text, str) and text.startswith(SEAL)


def sealed_digest(text: str) -> bytes:
    """The digest of what a sealed text holds, as it says itself."""
    return bytes.fromhex(json.loads(text)["d"])


def keys_chain(tenant: str, workflow: str) -> bytes:
    """The key of the chain of events that says when a workflow was shredded."""
    return hashed(VERSION, b"shredded", tenant.encode(), workflow.encode())


class DataKey(NamedTuple):
    """A workflow's key as it is stored: wrapped in the user's, or gone."""

    scope: bytes
    tenant: str
    workflow: str
    #: which of the user's keys wraps it
    kek: str
    wrapped: bytes | None
    created_at: int = 0
    shredded_at: int | None = None


class PutDataKey(Act[DataKey]):
    """Keep a workflow's key, unless it has one; the one that it has."""

    made: DataKey


class ReadDataKeys(Act["list[DataKey]"]):
    """Read one workflow's key, or a tenant's keys after a scope."""

    tenant: str
    scope: bytes | None = None
    after: bytes = b""
    limit: int = 500


class Rewrap(Act[bool]):
    """Wrap a workflow's key in another one of the user's; whether it was still in the first."""

    scope: bytes
    was: str
    kek: str
    wrapped: bytes


class Shred(Act["Shredded"]):
    """Delete a workflow's key for good, unless anything in the workflow is open."""

    tenant: str
    workflow: str
    scope: bytes
    by: str
    reason: str


class Shredded(NamedTuple):
    """Whether there was a key, whether it is gone, and how many open effects kept it there."""

    known: bool
    done: bool
    open: int


class ReadRows(Act[list[Row]]):
    """Read rows as they are stored, newest first."""

    find: Find


class ReadItems(Act[list[tuple[str, int, int | None, str, Row]]]):
    """Read the inbox as it is stored, oldest first."""

    tenant: str | None
    unnotified: bool = False
    limit: int = 1000
