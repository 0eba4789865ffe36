"""
Checkpoints: the steps of a thread, the pieces of their values, what tasks wrote for the next one.

Written out, not derived from ``_tables``: that file goes on, this one stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0002"
down_revision = "0001"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_TABLES = ("checkpoint", "blob", "write", "tombstone")


def _column(name: str, kind: Any, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, primary_key=primary)


def _text(name: str, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return _column(name, sa.Text(), null=null, primary=primary)


def _bytes(name: str, *, primary: bool = False) -> sa.Column[Any]:
    return _column(name, sa.LargeBinary(), primary=primary)


def upgrade(op: Operations) -> None:
    """Create the four tables."""
    op.create_table(
        "tallystick_checkpoint",
        _bytes("thread", primary=True),
        _text("ns", primary=True),
        _column("id", _ID, primary=True),
        _text("tenant"),
        _text("name"),
        _column("parent", _ID, null=True),
        _text("turn", null=True),
        _text("run", null=True),
        _text("kind"),
        _bytes("data"),
        _text("metadata"),
        _text("vals"),
        _column("at", _BIG),
    )
    op.create_index("tallystick_checkpoint_run", "tallystick_checkpoint", ["run"])
    op.create_table(
        "tallystick_blob",
        _bytes("thread", primary=True),
        _bytes("id", primary=True),
        _text("kind"),
        _bytes("data"),
        _column("at", _BIG),
    )
    op.create_table(
        "tallystick_write",
        _bytes("thread", primary=True),
        _text("ns", primary=True),
        _column("checkpoint", _ID, primary=True),
        _text("task", primary=True),
        _column("idx", _BIG, primary=True),
        _text("channel"),
        _text("path"),
        _text("kind"),
        _bytes("data"),
    )
    op.create_table(
        "tallystick_tombstone",
        _bytes("thread", primary=True),
        _text("tenant"),
        _text("name"),
        _column("through", _ID),
        _column("at", _BIG),
    )


def downgrade(op: Operations) -> None:
    """Drop the four tables and all that is in them."""
    for name in reversed(_TABLES):
        op.drop_table(f"tallystick_{name}")
