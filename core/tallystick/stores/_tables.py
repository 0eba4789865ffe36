"""
The tables, as SQLModel classes.

Alembic's migrations make them and a test keeps the two equal. Times are microseconds since 1970 by
the database's clock; digests and keys are 32 raw bytes; arguments, results and events are ASCII
JSON text, so that every database keeps every string. No index covers a column that changes
(PostgreSQL updates stay heap-only): what a person must see has its own small table. The tables have
a registry of their own: a user's ``SQLModel.metadata`` never sees them, nor they a user's.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    false,
    text,
)
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

_BIG = BigInteger().with_variant(Integer, "sqlite")
_ID = Text().with_variant(Text(collation="C"), "postgresql")
#: PostgreSQL's storage parameters; ``Table.info``, since SQLAlchemy 2.0 has no word for them
_TUNED: dict[str, Any] = {
    "info": {
        "storage": {
            "fillfactor": 70,
            "autovacuum_vacuum_scale_factor": 0.02,
            "autovacuum_analyze_scale_factor": 0.02,
        }
    }
}


def _big(*, null: bool = False, primary: bool = False) -> Any:
    return Field(default=None, sa_column=Column(_BIG, nullable=null, primary_key=primary))


def _serial() -> Any:
    return Field(default=None, sa_column=Column(_BIG, Identity(), primary_key=True))


def _flag() -> Any:
    return Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))


def _text(*, null: bool = False, primary: bool = False) -> Any:
    return Field(default=None, sa_column=Column(Text, nullable=null, primary_key=primary))


def _blob(*, null: bool = False, primary: bool = False) -> Any:
    return Field(default=None, sa_column=Column(LargeBinary, nullable=null, primary_key=primary))


def _id(*, null: bool = False, primary: bool = False) -> Any:
    """A checkpoint's id: sorted byte by byte, whatever language the database speaks."""
    return Field(default=None, sa_column=Column(_ID, nullable=null, primary_key=primary))


class Table(SQLModel, registry=registry()):
    """What all tables of the ledger share: a registry, and nothing of the user's."""


class EffectTable(Table, table=True):
    """One intended action: the narrow, hot table."""

    __tablename__: ClassVar[Any] = "tallystick_effect"
    __table_args__: ClassVar[Any] = (
        Index("tallystick_effect_key", "key", unique=True),
        Index("tallystick_effect_scope", "scope", "twin"),
        _TUNED,
    )

    seq: int = _serial()
    key: bytes = _blob()
    tenant: str = _text()
    workflow: str = _text()
    tool: str = _text()
    call_id: str | None = _text(null=True)
    guarantee: str = _text()
    status: str = _text()
    epoch: int = _big()
    attempt: int = _big()
    holder: str | None = _text(null=True)
    nonce: bytes | None = _blob(null=True)
    digest: bytes = _blob()
    shown: bytes = _blob()
    args: str = _text()
    edited: str | None = _text(null=True)
    quorum: int = _big()
    approval_until: int | None = _big(null=True)
    facts: str | None = _text(null=True)
    result: str | None = _text(null=True)
    result_digest: bytes | None = _blob(null=True)
    result_note: str | None = _text(null=True)
    error: str | None = _text(null=True)
    quiet: int = _big()
    key_lifetime: int | None = _big(null=True)
    created_at: int = _big()
    started_at: int | None = _big(null=True)
    changed_at: int = _big()
    events: int = _big()
    head: bytes | None = _blob(null=True)
    awaited: bool = _flag()
    scope: bytes = _blob()
    twin: bytes = _blob()
    place: str | None = _text(null=True)
    undo: str | None = _text(null=True)


class EventTable(Table, table=True):
    """What happened off the straight path; only ever appended to."""

    __tablename__: ClassVar[Any] = "tallystick_event"
    __table_args__: ClassVar[Any] = (Index("tallystick_event_actor", "actor", "kind"),)

    key: bytes = _blob(primary=True)
    n: int = _big(primary=True)
    kind: str = _text()
    actor: str = _text()
    at: int = _big()
    epoch: int = _big()
    detail: str = _text()
    previous: bytes = _blob()
    hash: bytes = _blob()


class InboxTable(Table, table=True):
    """What a person must see, and nothing else."""

    __tablename__: ClassVar[Any] = "tallystick_inbox"

    key: bytes = _blob(primary=True)
    kind: str = _text(primary=True)
    tenant: str = _text()
    opened_at: int = _big()
    due_at: int | None = _big(null=True)
    note: str = _text()
    notified: bool = _flag()


class VoteTable(Table, table=True):
    """Who approved what, in which round of asking."""

    __tablename__: ClassVar[Any] = "tallystick_vote"

    key: bytes = _blob(primary=True)
    round: int = _big(primary=True)
    actor: str = _text(primary=True)
    digest: bytes = _blob()
    reason: str = _text()
    at: int = _big()


class HaltTable(Table, table=True):
    """Halts in force; a lifted one is gone from here and stays in the events."""

    __tablename__: ClassVar[Any] = "tallystick_halt"

    id: int = _serial()
    tenant: str | None = _text(null=True)
    tool: str | None = _text(null=True)
    workflow: str | None = _text(null=True)
    mode: str = _text()
    actor: str = _text()
    reason: str = _text()
    at: int = _big()


class WorkerTable(Table, table=True):
    """Processes that hold effects: liveness is one row here, not one lease per effect."""

    __tablename__: ClassVar[Any] = "tallystick_worker"
    __table_args__: ClassVar[Any] = ({"info": {"storage": {"fillfactor": 50}}},)

    id: str = _text(primary=True)
    host: str = _text()
    pid: int = _big()
    started_at: int = _big()
    last_seen: int = _big()
    first_seq: int = _big()


class CheckpointTable(Table, table=True):
    """A checkpoint of a thread, without the pieces of its values."""

    __tablename__: ClassVar[Any] = "tallystick_checkpoint"
    __table_args__: ClassVar[Any] = (Index("tallystick_checkpoint_run", "run"),)

    thread: bytes = _blob(primary=True)
    ns: str = _text(primary=True)
    id: str = _id(primary=True)
    tenant: str = _text()
    name: str = _text()
    parent: str | None = _id(null=True)
    turn: str | None = _text(null=True)
    run: str | None = _text(null=True)
    kind: str = _text()
    data: bytes = _blob()
    metadata_: str = Field(default=None, sa_column=Column("metadata", Text, nullable=False))
    vals: str = _text()
    at: int = _big()


class BlobTable(Table, table=True):
    """A piece of a value, once per thread and content."""

    __tablename__: ClassVar[Any] = "tallystick_blob"

    thread: bytes = _blob(primary=True)
    id: bytes = _blob(primary=True)
    kind: str = _text()
    data: bytes = _blob()
    at: int = _big()


class WriteTable(Table, table=True):
    """What a task wrote that is part of no checkpoint yet."""

    __tablename__: ClassVar[Any] = "tallystick_write"

    thread: bytes = _blob(primary=True)
    ns: str = _text(primary=True)
    checkpoint: str = _id(primary=True)
    task: str = _text(primary=True)
    idx: int = _big(primary=True)
    channel: str = _text()
    path: str = _text()
    kind: str = _text()
    data: bytes = _blob()


class TombstoneTable(Table, table=True):
    """A thread that was deleted, so that nothing late brings it back."""

    __tablename__: ClassVar[Any] = "tallystick_tombstone"

    thread: bytes = _blob(primary=True)
    tenant: str = _text()
    name: str = _text()
    through: str = _id()
    at: int = _big()


class BudgetTable(Table, table=True):
    """A budget's terms, as they were declared last."""

    __tablename__: ClassVar[Any] = "tallystick_budget"

    id: bytes = _blob(primary=True)
    tenant: str = _text()
    name: str = _text()
    terms: str = _text()
    standing: bool = _flag()
    version: int = _big()
    actor: str = _text()
    created_at: int = _big()
    changed_at: int = _big()


class StandingTable(Table, table=True):
    """How often the budgets that concern unnamed calls were declared, by tenant."""

    __tablename__: ClassVar[Any] = "tallystick_standing"

    tenant: str = _text(primary=True)
    version: int = _big()


class LineTable(Table, table=True):
    """One metric of a budget for one set of values; whoever spends holds its lock."""

    __tablename__: ClassVar[Any] = "tallystick_line"
    __table_args__: ClassVar[Any] = (Index("tallystick_line_budget", "budget"),)

    id: bytes = _blob(primary=True)
    budget: bytes = _blob()
    metric: str = _text()
    label: str = _text()
    raised: int = _big()


class UseTable(Table, table=True):
    """What is charged to a line in one window."""

    __tablename__: ClassVar[Any] = "tallystick_use"
    __table_args__: ClassVar[Any] = (
        CheckConstraint(
            "reserved >= 0 AND spent >= 0 AND unreconciled >= 0", "tallystick_use_sane"
        ),
        CheckConstraint("reserved + spent + unreconciled <= cap + over", "tallystick_use_within"),
        {"info": {"storage": {"fillfactor": 50}}},
    )

    line: bytes = _blob(primary=True)
    start: int = _big(primary=True)
    reserved: int = _big()
    spent: int = _big()
    unreconciled: int = _big()
    raised: int = _big()
    cap: int = _big()
    over: int = _big()
    told: int = _big()


class ReservationTable(Table, table=True):
    """What was reserved for one call, and what became of it."""

    __tablename__: ClassVar[Any] = "tallystick_reservation"
    __table_args__: ClassVar[Any] = (
        Index("tallystick_reservation_id", "id", unique=True),
        Index("tallystick_reservation_scope", "scope", "seq"),
        # the one index over a column that changes: without it the dead could not be swept
        Index(
            "tallystick_reservation_open",
            "holder",
            sqlite_where=text("state = 'held'"),
            postgresql_where=text("state = 'held'"),
        ),
        _TUNED,
    )

    seq: int = _serial()
    id: bytes = _blob()
    tenant: str = _text()
    kind: str = _text()
    what: str = _text()
    provider: str | None = _text(null=True)
    workflow: str | None = _text(null=True)
    session: str | None = _text(null=True)
    scope: bytes | None = _blob(null=True)
    iteration: int | None = _big(null=True)
    state: str = _text()
    holder: str = _text()
    nonce: bytes = _blob()
    until: int | None = _big(null=True)
    parts: str = _text()
    bound: int | None = _big(null=True)
    cost: int | None = _big(null=True)
    tokens: int | None = _big(null=True)
    usage: str | None = _text(null=True)
    price: str | None = _text(null=True)
    digest: bytes | None = _blob(null=True)
    answer: bytes | None = _blob(null=True)
    note: str | None = _text(null=True)
    created_at: int = _big()
    settled_at: int | None = _big(null=True)


class RaiseTable(Table, table=True):
    """Who raised which limit by how much."""

    __tablename__: ClassVar[Any] = "tallystick_raise"

    id: bytes = _blob(primary=True)
    line: bytes = _blob()
    amount: int = _big()
    start: int | None = _big(null=True)
    actor: str = _text()
    reason: str = _text()
    at: int = _big()


class SessionTable(Table, table=True):
    """What a session has used so far, over all processes."""

    __tablename__: ClassVar[Any] = "tallystick_session"

    id: bytes = _blob(primary=True)
    tenant: str = _text()
    name: str = _text()
    calls: int = _big()
    tokens: int = _big()
    nanos: int = _big()


class AlertTable(Table, table=True):
    """What somebody should hear of, once."""

    __tablename__: ClassVar[Any] = "tallystick_alert"

    id: bytes = _blob(primary=True)
    tenant: str = _text()
    kind: str = _text()
    subject: str = _text()
    detail: str = _text()
    at: int = _big()
    told: bool = _flag()


class DataKeyTable(Table, table=True):
    """A workflow's key, wrapped in the user's; without it nobody reads the workflow's payloads."""

    __tablename__: ClassVar[Any] = "tallystick_datakey"
    __table_args__: ClassVar[Any] = (Index("tallystick_datakey_tenant", "tenant", "scope"),)

    scope: bytes = _blob(primary=True)
    tenant: str = _text()
    workflow: str = _text()
    kek: str = _text()
    wrapped: bytes | None = _blob(null=True)
    created_at: int = _big()
    shredded_at: int | None = _big(null=True)


#: all of the above and nothing else
METADATA: MetaData = Table.metadata
