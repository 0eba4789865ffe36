"""The tables in company: other processes and threads, and what is the user's."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import portalocker
import pytest
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    StaticPool,
    Table,
    create_engine,
    event,
    text,
)
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel

from tallystick.errors import StoreBusy
from tallystick.stores import _schema, _tables, migrations
from tallystick.stores._revision import HEAD, VERSION_TABLE
from tallystick.stores._tables import METADATA
from tests.stores._engines import DATABASES, ahead, execute, scratch_engine, tables

OURS = {*METADATA.tables, VERSION_TABLE}

LOOK = """
import sys, sqlalchemy
from tallystick.stores import _schema
_schema.ensure(sqlalchemy.create_engine(sys.argv[1]), create=True)
assert "alembic" not in sys.modules and "mako" not in sys.modules
"""

RACE = """
import sys, sqlalchemy
from tallystick.stores import _schema, migrations
engines = [sqlalchemy.create_engine(url) for url in sys.argv[1:]]
print("ready", flush=True)
for engine in engines:
    sys.stdin.readline()
    _schema.ensure(engine, create=True)
    assert _schema.check(engine) == []
    print("done", flush=True)
"""


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Engine]:
    with scratch_engine(request.param, tmp_path) as made:
        yield made


def address(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


@pytest.mark.parametrize("kind", DATABASES)
def test_two_processes_that_begin_together_both_succeed(kind: str, tmp_path: Path) -> None:
    """Whoever comes second finds the tables made, five times out of five."""
    with ExitStack() as stack:
        urls: list[str] = []
        for n in range(5):
            (tmp_path / str(n)).mkdir()
            urls.append(address(stack.enter_context(scratch_engine(kind, tmp_path / str(n)))))
        command = [sys.executable, "-W", "error", "-c", RACE, *urls]
        racers = [
            stack.enter_context(
                subprocess.Popen(command, stdin=-1, stdout=-1, text=True, bufsize=1)
            )
            for _ in range(2)
        ]
        lines = [(racer.stdin, racer.stdout) for racer in racers]
        for _, answers in lines:
            assert answers
            assert answers.readline() == "ready\n"
        for _ in urls:
            for orders, _ in lines:
                assert orders
                orders.write("go\n")
            for _, answers in lines:
                assert answers
                assert answers.readline() == "done\n"
        for racer in racers:
            assert racer.wait() == 0


def test_threads_of_one_process_all_succeed(engine: Engine) -> None:
    """Nothing in Alembic that belongs to the process gets in the way."""
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(_schema.ensure, engine, create=True) for _ in range(4)]
    assert [future.result() for future in made] == [None] * 4
    assert _schema.check(engine) == []


def test_a_current_database_costs_one_statement_and_no_alembic(engine: Engine) -> None:
    """Opening a ledger whose tables are right reads one row and imports nothing more."""
    _schema.upgrade(engine)
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    _schema.ensure(engine, create=True)
    assert [statement.partition(" ")[0] for statement in said] == ["SELECT"]
    command = [sys.executable, "-W", "error", "-c", LOOK, address(engine)]
    subprocess.run(command, check=True)


def test_what_is_the_users_is_left_alone(engine: Engine) -> None:
    """Tables in the database stay, ours are not among SQLModel's, and SQLModel's are not made."""
    execute(engine, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    execute(engine, "INSERT INTO alembic_version VALUES ('theirs')")
    orders = Table("orders", SQLModel.metadata, Column("id", Integer))
    try:
        _schema.ensure(engine, create=True)
        assert not OURS & set(SQLModel.metadata.tables)
    finally:
        SQLModel.metadata.remove(orders)
    assert _schema.check(engine) == []
    assert tables(engine) == {*OURS, "alembic_version"}
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "theirs"


def test_a_downgrade_removes_our_tables_only(engine: Engine) -> None:
    """After the first migration is undone, the database is as it was."""
    execute(engine, "CREATE TABLE orders (id INTEGER)")
    _schema.upgrade(engine)
    with engine.begin() as connection:
        migrations.downgrade(connection)
    assert tables(engine) == {"orders"}
    assert _schema.current(engine) is None
    _schema.ensure(engine, create=True)
    assert _schema.check(engine) == []


def test_an_alembic_of_the_users_that_is_at_work_is_not_disturbed(
    engine: Engine, tmp_path: Path
) -> None:
    """A ledger may be opened by what a user's own env.py imports."""
    from alembic import context, op

    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    with (
        EnvironmentContext(config, ScriptDirectory(str(tmp_path))),
        engine.connect() as connection,
        Operations.context(MigrationContext.configure(connection)),
    ):
        before = op.get_context()
        _schema.ensure(engine, create=True)
        assert context.config is config
        assert op.get_context() is before


@pytest.mark.parametrize("engine", DATABASES[:1], indirect=True)
def test_a_lock_file_that_stays_held_is_waited_for_no_longer_than_promised(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On SQLite the message names the file, and nothing is made."""
    monkeypatch.setattr(_schema, "_PATIENCE", 0.1)
    folder = tmp_path / "ledger.db-workers"
    folder.mkdir()
    with portalocker.Lock(folder / "schema.lock"), pytest.raises(StoreBusy, match=r"schema\.lock"):
        _schema.ensure(engine, create=True)
    assert tables(engine) == set()


@pytest.mark.parametrize("engine", DATABASES[1:], indirect=True)
def test_a_transaction_that_stays_open_is_waited_for_no_longer_than_promised(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL the server ends the wait."""
    monkeypatch.setattr(_schema, "_PATIENCE", 0.1)
    with engine.connect() as other:
        migrations.upgrade(other, HEAD)
        with pytest.raises(OperationalError, match="lock timeout"):
            _schema.ensure(engine, create=True)
        other.commit()
    _schema.ensure(engine, create=True)


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_an_engine_with_an_isolation_of_its_own_is_upgraded_all_or_nothing(
    engine: Engine, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an engine that commits every statement gets one transaction for all tables."""
    peculiar = engine.execution_options(isolation_level=level)
    with monkeypatch.context() as patch:
        ahead(tmp_path, patch, then="raise RuntimeError('no power')")
        with pytest.raises(RuntimeError, match="no power"):
            _schema.upgrade(peculiar)
    assert tables(engine) == set()
    _schema.upgrade(peculiar)
    assert _schema.check(peculiar) == []


def test_an_engine_that_begins_by_itself_is_left_to_it(tmp_path: Path) -> None:
    """SQLAlchemy's own advice for SQLite, an event that says BEGIN, goes together with ours."""

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with scratch_engine("sqlite", tmp_path) as engine:
        event.listen(engine, "begin", begin)
        _schema.ensure(engine, create=True)
        assert _schema.check(engine) == []


def test_a_database_in_memory_needs_no_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that keeps one connection open gets its tables, and the disk gets nothing."""
    monkeypatch.chdir(tmp_path)
    engine = create_engine("sqlite://", poolclass=StaticPool)
    _schema.ensure(engine, create=True)
    assert _schema.check(engine) == []
    assert not list(tmp_path.iterdir())
    engine.dispose()


def test_the_models_can_be_imported_twice() -> None:
    """A second copy, as a reloading notebook makes one, has tables of its own."""
    spec = importlib.util.spec_from_file_location("again", _tables.__file__)
    assert spec
    assert spec.loader
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    assert set(again.METADATA.tables) == set(METADATA.tables)
    assert again.METADATA is not METADATA
