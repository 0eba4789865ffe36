"""What the ledger keeps, as frozen values."""

from __future__ import annotations

from dataclasses import field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from tallystick._values import Value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Guarantee(StrEnum):
    """
    What a tool declares about itself, and so what the ledger may promise after a crash.

    ``AT_MOST_ONCE``
        Nothing is known: an attempt that was cut off is *in doubt* and never repeated by itself.
    ``IDEMPOTENT``
        The downstream deduplicates on ``current_effect().idempotency_key`` for
        ``Policy(key_lifetime=…)``: repeated under the same key while the key lives.
    ``RECONCILE``
        ``Policy(probe=…)`` can tell whether it happened; a "no" counts after ``Policy(quiet=…)``.
    ``TRANSACTIONAL``
        It writes only through ``current_effect().connection``: effect and record are one commit.
    ``READ_ONLY``
        No side effect: run every time, audited, never deduplicated.
    """

    AT_MOST_ONCE = "at_most_once"
    IDEMPOTENT = "idempotent"
    RECONCILE = "reconcile"
    TRANSACTIONAL = "transactional"
    READ_ONLY = "read_only"


class Status(StrEnum):
    """Where an effect is in its life; see the README for the drawing."""

    PENDING = "pending"
    APPROVED = "approved"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    COMPENSATION_FAILED = "compensation_failed"


#: what is over, and what nobody waits for any more
OVER = (
    Status.SUCCEEDED,
    Status.FAILED,
    Status.DENIED,
    Status.EXPIRED,
    Status.CANCELLED,
    Status.COMPENSATED,
)


class Row(NamedTuple):
    """
    One effect as it is stored.

    A tuple, because that is what drivers return and the hot path builds one per call.
    Times are microseconds of the database's clock since 1970.
    """

    key: bytes
    tenant: str
    workflow: str
    tool: str
    call_id: str | None
    guarantee: str
    status: str
    epoch: int
    attempt: int
    holder: str | None
    nonce: bytes | None
    digest: bytes
    shown: bytes
    args: str
    edited: str | None
    quorum: int
    approval_until: int | None
    facts: str | None
    result: str | None
    result_digest: bytes | None
    result_note: str | None
    error: str | None
    quiet: int
    key_lifetime: int | None
    created_at: int
    started_at: int | None
    changed_at: int
    events: int
    head: bytes | None
    awaited: bool


def at(micros: int) -> datetime:
    """The moment *micros* microseconds after 1970, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


class Effect(Value):
    """
    One intended action and what became of it.

    ``args`` are the arguments as they were recorded (redacted ones show as ``"[redacted]"``),
    ``edited_args`` those that an approver put in their place. ``result`` is only meaningful when
    ``status`` is ``succeeded`` and ``result_stored`` is true. Once the payload was dropped
    (``payload_dropped_at``), arguments, result, facts and the words of an error are gone for good.
    """

    #: sha256 in hex; unique over all tenants
    key: str
    tenant: str
    workflow: str
    tool: str
    call_id: str | None
    guarantee: Guarantee
    status: Status
    #: the fencing token: +1 at every change of holder
    epoch: int
    attempt: int
    #: hex digest of the arguments that would run: what an approval binds to
    digest: str
    args: dict[str, Any]
    edited_args: dict[str, Any] | None
    #: what ``Approval(preconditions=…)`` found when a person was asked
    facts: Any
    result: Any
    result_stored: bool
    #: type, message and traceback of the exception of a failed or doubtful attempt
    error: dict[str, Any] | None
    approval_until: datetime | None
    quorum: int
    created_at: datetime
    started_at: datetime | None
    changed_at: datetime
    holder: str | None
    payload_dropped_at: datetime | None = None
    #: whether it is encrypted, and this ledger was opened without the key
    payload_sealed: bool = False


class Event(Value):
    """Something out of the ordinary that happened to an effect, chained to the one before."""

    key: str
    n: int
    kind: str
    actor: str
    at: datetime
    epoch: int
    detail: dict[str, Any]
    #: sha256 over the previous event's hash and this event's content, in hex
    hash: str
    previous: str


class InboxItem(Value):
    """Something a person must see: an approval to give, a doubt to resolve, a conflict."""

    #: ``approval``, ``in_doubt``, ``conflict`` or ``compensation``
    kind: str
    opened_at: datetime
    due_at: datetime | None
    note: str
    effect: Effect


class Halt(Value):
    """A stop that is in force; ``None`` in a field means *any*."""

    tenant: str | None
    tool: str | None
    workflow: str | None
    #: ``halt`` lets nothing start; ``drain`` lets what has begun be finished; ``contain`` lets
    #: nothing start but what undoes
    mode: str
    by: str
    reason: str
    at: datetime


class Damage(Value):
    """One thing ``Ledger.verify`` found to be untrue."""

    key: str
    what: str


class Verification(Value):
    """What ``Ledger.verify`` looked at and what it found."""

    effects: int
    events: int
    damage: tuple[Damage, ...] = field(default_factory=tuple)
    #: effects of which something is sealed, and the key was not given or is gone
    unchecked: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing was found to be damaged."""
        return not self.damage
