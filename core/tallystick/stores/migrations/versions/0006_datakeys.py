"""
Data keys: one for each workflow whose payloads are encrypted.

Written out, not derived from ``_tables``: that file goes on, this one stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0006"
down_revision = "0005"

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade(op: Operations) -> None:
    """Make the table."""
    op.create_table(
        "tallystick_datakey",
        sa.Column("scope", sa.LargeBinary(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("kek", sa.Text(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", _BIG, nullable=False),
        sa.Column("shredded_at", _BIG, nullable=True),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_index("tallystick_datakey_tenant", "tallystick_datakey", ["tenant", "scope"])


def downgrade(op: Operations) -> None:
    """Drop the table: what it sealed is lost."""
    op.drop_table("tallystick_datakey")
