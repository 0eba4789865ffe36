"""Which revision of the tables this version of tallystick reads and writes."""

from __future__ import annotations

HEAD = "0003"
#: Alembic's own table
VERSION_TABLE = "tallystick_version"
