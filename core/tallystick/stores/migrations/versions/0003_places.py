"""
Places: where in a run that may be run again each effect was asked for.

Written out, not derived from ``_tables``: that file goes on, this one stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations) -> None:
    """Add the column; effects that are there were asked for nowhere in particular."""
    op.add_column("tallystick_effect", sa.Column("place", sa.Text(), nullable=True))


def downgrade(op: Operations) -> None:
    """Drop the column."""
    op.drop_column("tallystick_effect", "place")
