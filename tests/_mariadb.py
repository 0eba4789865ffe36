"""A MariaDB (or MySQL) for the tests, where there is one."""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from collections.abc import Generator
from typing import Any

import pymysql
import pytest

HOST, PORT, USER = "127.0.0.1", 3306, "root"
NONE = f"no MariaDB or MySQL lets {USER} in on {HOST}:{PORT} without a password"


@functools.cache
def answers() -> bool:
    """Whether a server is there on which databases may be made."""
    try:
        admin().close()
    except pymysql.Error:
        return False
    return True


def admin(database: str | None = None) -> pymysql.Connection[Any]:
    """A connection that commits each statement."""
    return pymysql.connect(
        host=HOST, port=PORT, user=USER, database=database, autocommit=True, connect_timeout=3
    )


@contextlib.contextmanager
def scratch_mariadb() -> Generator[str]:
    """The URL of a new, empty database, which is dropped at the end; skips where no server is."""
    if not answers():
        pytest.skip(NONE)
    name = f"tallystick_test_{os.getpid()}_{uuid.uuid4().hex[:12]}"
    execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield f"mariadb://{USER}@{HOST}:{PORT}/{name}"
    finally:
        kill_others(name)
        execute(f"DROP DATABASE {name}")


def kill_others(database: str) -> int:
    """End every connection to a database; how many there were."""
    with contextlib.closing(admin()) as db, db.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [database])
        found = cursor.fetchall()
        for (left,) in found:
            with contextlib.suppress(pymysql.Error):  # it ended by itself
                cursor.execute(f"KILL CONNECTION {left}")
        return len(found)


def execute(*statements: str, database: str | None = None) -> None:
    """Statements, each committed."""
    with contextlib.closing(admin(database)) as db, db.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
