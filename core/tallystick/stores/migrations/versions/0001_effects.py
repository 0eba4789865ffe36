"""
Effects: what is intended, what happened, what a person must see.

Written out, not derived from ``_tables``: that file goes on, this one stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0001"
down_revision = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("effect", "event", "inbox", "vote", "halt", "worker")


def _big(name: str, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return sa.Column(name, _BIG, nullable=null, primary_key=primary)


def _serial(name: str) -> sa.Column[Any]:
    return sa.Column(name, _BIG, sa.Identity(), primary_key=True)


def _text(name: str, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=null, primary_key=primary)


def _blob(name: str, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary(), nullable=null, primary_key=primary)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def upgrade(op: Operations) -> None:
    """Create the six tables."""
    _effect(op)
    _others(op)
    _tune(op)


def _effect(op: Operations) -> None:
    op.create_table(
        "tallystick_effect",
        _serial("seq"),
        _blob("key"),
        _text("tenant"),
        _text("workflow"),
        _text("tool"),
        _text("call_id", null=True),
        _text("guarantee"),
        _text("status"),
        _big("epoch"),
        _big("attempt"),
        _text("holder", null=True),
        _blob("nonce", null=True),
        _blob("digest"),
        _blob("shown"),
        _text("args"),
        _text("edited", null=True),
        _big("quorum"),
        _big("approval_until", null=True),
        _text("facts", null=True),
        _text("result", null=True),
        _blob("result_digest", null=True),
        _text("result_note", null=True),
        _text("error", null=True),
        _big("quiet"),
        _big("key_lifetime", null=True),
        _big("created_at"),
        _big("started_at", null=True),
        _big("changed_at"),
        _big("events"),
        _blob("head", null=True),
        _flag("awaited"),
        _blob("scope"),
        _blob("twin"),
    )
    op.create_index("tallystick_effect_key", "tallystick_effect", ["key"], unique=True)
    op.create_index("tallystick_effect_scope", "tallystick_effect", ["scope", "twin"])


def _others(op: Operations) -> None:
    op.create_table(
        "tallystick_event",
        _blob("key", primary=True),
        _big("n", primary=True),
        _text("kind"),
        _text("actor"),
        _big("at"),
        _big("epoch"),
        _text("detail"),
        _blob("previous"),
        _blob("hash"),
    )
    op.create_index("tallystick_event_actor", "tallystick_event", ["actor", "kind"])
    op.create_table(
        "tallystick_inbox",
        _blob("key", primary=True),
        _text("kind", primary=True),
        _text("tenant"),
        _big("opened_at"),
        _big("due_at", null=True),
        _text("note"),
        _flag("notified"),
    )
    op.create_table(
        "tallystick_vote",
        _blob("key", primary=True),
        _big("round", primary=True),
        _text("actor", primary=True),
        _blob("digest"),
        _text("reason"),
        _big("at"),
    )
    op.create_table(
        "tallystick_halt",
        _serial("id"),
        _text("tenant", null=True),
        _text("tool", null=True),
        _text("workflow", null=True),
        _text("mode"),
        _text("actor"),
        _text("reason"),
        _big("at"),
    )
    op.create_table(
        "tallystick_worker",
        _text("id", primary=True),
        _text("host"),
        _big("pid"),
        _big("started_at"),
        _big("last_seen"),
        _big("first_seq"),
    )


def _tune(op: Operations) -> None:
    """Room for updates in the page, and early cleaning; PostgreSQL's relatives refuse these."""
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(
        "ALTER TABLE tallystick_effect SET (fillfactor = 70,"
        " autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)"
    )
    op.execute("ALTER TABLE tallystick_worker SET (fillfactor = 50)")


def downgrade(op: Operations) -> None:
    """Drop the six tables and all that is in them."""
    for name in reversed(_TABLES):
        op.drop_table(f"tallystick_{name}")
