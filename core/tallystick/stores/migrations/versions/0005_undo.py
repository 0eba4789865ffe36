"""
Plans: how each effect is undone, as it was said before the effect began.

Written out, not derived from ``_tables``: that file goes on, this one stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0005"
down_revision = "0004"


def upgrade(op: Operations) -> None:
    """Add the column; nobody said how the effects that are there could be undone."""
    op.add_column("tallystick_effect", sa.Column("undo", sa.Text(), nullable=True))


def downgrade(op: Operations) -> None:
    """Drop the column."""
    op.drop_column("tallystick_effect", "undo")
