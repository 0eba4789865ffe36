"""Empty databases, one of each kind, and what the tests of the schema do with them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, make_url, text

from tallystick.stores import _schema, migrations
from tallystick.stores._revision import HEAD
from tests._postgres import scratch_database

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


#: the revision of the version after this one
NEXT = f"{int(HEAD) + 1:04}"
TOMORROW = """
revision, down_revision = "{next}", "{head}"
def upgrade(op):
    op.execute("CREATE TABLE tallystick_later (id INTEGER)")
    {then}
"""


@contextlib.contextmanager
def scratch_engine(kind: str, folder: Path) -> Generator[Engine]:
    """An engine for an empty database of its own."""
    with contextlib.ExitStack() as stack:
        if kind == "sqlite":
            url = make_url(f"sqlite:///{folder / 'ledger.db'}")
        else:
            url = make_url(stack.enter_context(scratch_database()))
            url = url.set(drivername="postgresql+psycopg")
        engine = create_engine(url)
        stack.callback(engine.dispose)
        yield engine


def execute(engine: Engine, statement: str) -> None:
    """One statement, committed."""
    with engine.begin() as connection:
        connection.execute(text(statement))


def tables(engine: Engine) -> set[str]:
    """The names of all tables that are there."""
    return set(inspect(engine).get_table_names())


def ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str = "") -> None:
    """Go on as a version of tallystick that is one revision ahead."""
    folder = tmp_path / "versions"
    shutil.copytree(migrations.VERSIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = TOMORROW.format(then=then, next=NEXT, head=HEAD)
    (folder / f"{NEXT}_later.py").write_text(text)
    monkeypatch.setattr(migrations, "VERSIONS", folder)
    monkeypatch.setattr(_schema, "HEAD", NEXT)
