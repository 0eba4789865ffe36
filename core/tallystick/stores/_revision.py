"""Which revision of the tables this version of tallystick reads and writes."""

from __future__ import annotations

HEAD = "0006"
#: Alembic's own table
VERSION_TABLE = "tallystick_version"
#: what SQLAlchemy calls MariaDB and MySQL
MARIADB = ("mysql", "mariadb")
