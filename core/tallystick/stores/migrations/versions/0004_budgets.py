"""
Budgets: their terms, the lines that amounts are charged to, reservations, raises, alerts.

Written out, not derived from ``_tables``: that file goes on, this one stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0004"
down_revision = "0003"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("budget", "standing", "line", "use", "reservation", "raise", "session", "alert")


def _column(name: str, kind: Any, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null, primary_key=primary)


def _text(name: str, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return _column(name, sa.Text(), null=null, primary=primary)


def _bytes(name: str, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return _column(name, sa.LargeBinary(), null=null, primary=primary)


def _big(name: str, *, null: bool = False, primary: bool = False) -> sa.Column[Any]:
    return _column(name, _BIG, null=null, primary=primary)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def upgrade(op: Operations) -> None:
    """Create the eight tables; effects that are there have spent nothing that is known."""
    _terms(op)
    _uses(op)
    _reservations(op)
    _told(op)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE tallystick_use SET (fillfactor = 50)")
        op.execute(
            "ALTER TABLE tallystick_reservation SET (fillfactor = 70, "
            "autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)"
        )


def _terms(op: Operations) -> None:
    op.create_table(
        "tallystick_budget",
        _bytes("id", primary=True),
        _text("tenant"),
        _text("name"),
        _text("terms"),
        _flag("standing"),
        _big("version"),
        _text("actor"),
        _big("created_at"),
        _big("changed_at"),
    )
    op.create_table("tallystick_standing", _text("tenant", primary=True), _big("version"))


def _uses(op: Operations) -> None:
    op.create_table(
        "tallystick_line",
        _bytes("id", primary=True),
        _bytes("budget"),
        _text("metric"),
        _text("label"),
        _big("raised"),
    )
    op.create_index("tallystick_line_budget", "tallystick_line", ["budget"])
    op.create_table(
        "tallystick_use",
        _bytes("line", primary=True),
        _big("start", primary=True),
        _big("reserved"),
        _big("spent"),
        _big("unreconciled"),
        _big("raised"),
        _big("cap"),
        _big("over"),
        _big("told"),
        sa.CheckConstraint(
            "reserved >= 0 AND spent >= 0 AND unreconciled >= 0", "tallystick_use_sane"
        ),
        sa.CheckConstraint(
            "reserved + spent + unreconciled <= cap + over", "tallystick_use_within"
        ),
    )


def _reservations(op: Operations) -> None:
    op.create_table(
        "tallystick_reservation",
        sa.Column("seq", _BIG, sa.Identity(), primary_key=True),
        _bytes("id"),
        _text("tenant"),
        _text("kind"),
        _text("what"),
        _text("provider", null=True),
        _text("workflow", null=True),
        _text("session", null=True),
        _bytes("scope", null=True),
        _big("iteration", null=True),
        _text("state"),
        _text("holder"),
        _bytes("nonce"),
        _big("until", null=True),
        _text("parts"),
        _big("bound", null=True),
        _big("cost", null=True),
        _big("tokens", null=True),
        _text("usage", null=True),
        _text("price", null=True),
        _bytes("digest", null=True),
        _bytes("answer", null=True),
        _text("note", null=True),
        _big("created_at"),
        _big("settled_at", null=True),
    )
    table = "tallystick_reservation"
    op.create_index("tallystick_reservation_id", table, ["id"], unique=True)
    op.create_index("tallystick_reservation_scope", table, ["scope", "seq"])
    held = sa.text("state = 'held'")
    op.create_index(
        "tallystick_reservation_open",
        table,
        ["holder"],
        sqlite_where=held,
        postgresql_where=held,
    )


def _told(op: Operations) -> None:
    op.create_table(
        "tallystick_raise",
        _bytes("id", primary=True),
        _bytes("line"),
        _big("amount"),
        _big("start", null=True),
        _text("actor"),
        _text("reason"),
        _big("at"),
    )
    op.create_table(
        "tallystick_session",
        _bytes("id", primary=True),
        _text("tenant"),
        _text("name"),
        _big("calls"),
        _big("tokens"),
        _big("nanos"),
    )
    op.create_table(
        "tallystick_alert",
        _bytes("id", primary=True),
        _text("tenant"),
        _text("kind"),
        _text("subject"),
        _text("detail"),
        _big("at"),
        _flag("told"),
    )


def downgrade(op: Operations) -> None:
    """Drop the eight tables and all that is in them."""
    for name in reversed(_TABLES):
        op.drop_table(f"tallystick_{name}")
