"""The tables: made, recognised, refused and left alone, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from sqlalchemy import Engine, Inspector, inspect, text
from sqlalchemy.exc import DBAPIError

from tallystick.errors import SchemaMismatch
from tallystick.stores import _schema, migrations
from tallystick.stores._revision import HEAD, VERSION_TABLE
from tallystick.stores._tables import METADATA
from tests.stores._engines import DATABASES, NEXT, ahead, execute, scratch_engine, tables

OURS = {*METADATA.tables, VERSION_TABLE}
NEXT_STEP = r"run `tallystick db upgrade --ledger URL` or .*Ledger\(\.\.\., create=True\)"


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Engine]:
    with scratch_engine(request.param, tmp_path) as made:
        yield made


def shape(inspector: Inspector, name: str) -> Any:
    """Everything that SQLAlchemy can read about a table, ready to be compared."""
    columns = [column | {"type": str(column["type"])} for column in inspector.get_columns(name)]
    key = inspector.get_pk_constraint(name)
    indexes = [
        index
        | {"dialect_options": {n: str(v) for n, v in index.get("dialect_options", {}).items()}}
        for index in inspector.get_indexes(name)
    ]
    return columns, key, sorted(indexes, key=str)


def test_migrations_and_models_describe_the_same_tables(engine: Engine) -> None:
    """Alembic finds no difference between a migrated database and the models."""

    def only_ours(name: str | None, kind: str, _: Any) -> bool:
        return kind != "table" or str(name).startswith("tallystick_")

    _schema.upgrade(engine)
    options = {"include_name": only_ours, "compare_type": True, "compare_server_default": True}
    with engine.connect() as connection:
        found: list[Any] = compare_metadata(migrations.context(connection, **options), METADATA)
    if engine.name == "sqlite":  # it has no identities; the next test compares its defaults
        found = [difference for difference in found if difference[0][0] != "modify_default"]
    assert found == []


def test_migrations_make_each_table_as_the_models_would(engine: Engine) -> None:
    """Order, defaults, identities and keys are equal too, of which Alembic compares only some."""
    _schema.upgrade(engine)
    migrated = {name: shape(inspect(engine), name) for name in METADATA.tables}
    with engine.begin() as connection:
        migrations.downgrade(connection)
        METADATA.create_all(connection)
    assert {name: shape(inspect(engine), name) for name in METADATA.tables} == migrated


def test_the_newest_migration_is_the_one_that_this_version_needs() -> None:
    """The constant that is compared with the database names the last file of the history."""
    assert migrations.head() == HEAD


def test_rows_number_themselves_and_flags_begin_as_false(engine: Engine) -> None:
    """A row without a number gets the next one, and one with its own number keeps it."""
    _schema.upgrade(engine)
    values = "(key, kind, tenant, opened_at, note) VALUES ('', 'doubt', 'a', 1, '')"
    execute(engine, f"INSERT INTO tallystick_inbox {values}")
    columns = "tenant, mode, actor, reason, at"
    execute(engine, f"INSERT INTO tallystick_halt ({columns}) VALUES ('a', 'halt', 'b', '', 1)")
    execute(
        engine, f"INSERT INTO tallystick_halt (id, {columns}) VALUES (9, 'a', 'halt', 'b', '', 1)"
    )
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT id FROM tallystick_halt")).all() == [1, 9]
        assert not connection.scalar(text("SELECT notified FROM tallystick_inbox"))


@pytest.mark.parametrize("engine", DATABASES[1:], indirect=True)
def test_postgresql_keeps_room_for_updates_and_cleans_up_early(engine: Engine) -> None:
    """Fill factors and autovacuum thresholds are those that the models name."""
    _schema.upgrade(engine)
    query = "SELECT relname, reloptions FROM pg_class WHERE relname = ANY(:names) AND relkind = 'r'"
    with engine.connect() as connection:
        rows = connection.execute(text(query), {"names": list(METADATA.tables)}).all()
    found = {name: set(options or ()) for name, options in rows}
    for name, table in METADATA.tables.items():
        wanted = table.info.get("storage", {})
        assert found[name] == {f"{option}={value}" for option, value in wanted.items()}
    assert "fillfactor=70" in found["tallystick_effect"]


def test_missing_tables_are_made_once(engine: Engine) -> None:
    """The first call makes the tables and the second one leaves what is in them."""
    assert _schema.current(engine) is None
    _schema.ensure(engine, create=True)
    execute(engine, "INSERT INTO tallystick_worker VALUES ('w', 'host', 1, 1, 1, 1)")
    _schema.ensure(engine, create=True)
    _schema.ensure(engine, create=False)
    _schema.upgrade(engine)
    assert (_schema.current(engine), _schema.check(engine)) == (HEAD, [])
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT id FROM tallystick_worker")) == "w"


def test_missing_tables_are_refused_with_the_next_step(engine: Engine) -> None:
    """Without leave to create, nothing is made and the message says how to."""
    with pytest.raises(SchemaMismatch, match="no tables of tallystick: " + NEXT_STEP):
        _schema.ensure(engine, create=False)
    assert tables(engine) == set()


def test_an_older_database_is_refused_or_brought_up_to_date(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made by the version before is upgraded where that is allowed."""
    _schema.upgrade(engine)
    ahead(tmp_path, monkeypatch)
    with pytest.raises(SchemaMismatch, match=f"at revision {HEAD} .* needs {NEXT}: {NEXT_STEP}"):
        _schema.ensure(engine, create=False)
    behind = f"The database is at revision {HEAD}; this version needs {NEXT}."
    assert _schema.check(engine) == [behind]
    _schema.ensure(engine, create=True)
    assert _schema.current(engine) == NEXT
    assert tables(engine) == {*OURS, "tallystick_later"}


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_database_is_refused_with_the_next_step(engine: Engine, create: bool) -> None:
    """A revision that this version does not know is never written over."""
    _schema.upgrade(engine)
    execute(engine, f"UPDATE {VERSION_TABLE} SET version_num = '0777'")
    with pytest.raises(SchemaMismatch, match=r"newer tallystick.* 0777 .*upgrade the package"):
        _schema.ensure(engine, create=create)
    assert _schema.current(engine) == "0777"


@pytest.mark.parametrize("begin", ["nothing", HEAD])
def test_an_upgrade_that_fails_leaves_everything_as_it_was(
    engine: Engine, begin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and revision change together or not at all, on both databases."""
    if begin == HEAD:
        _schema.upgrade(engine)
    before = tables(engine)
    ahead(tmp_path, monkeypatch, then="raise RuntimeError('no power')")
    with pytest.raises(RuntimeError, match="no power"):
        _schema.ensure(engine, create=True)
    assert tables(engine) == before


def test_tables_without_a_revision_are_refused(engine: Engine) -> None:
    """Tables of our names whose history is unknown are neither used nor changed."""
    METADATA.create_all(engine)
    with pytest.raises(SchemaMismatch, match=r"tallystick_effect.* names no revision"):
        _schema.ensure(engine, create=True)
    assert VERSION_TABLE not in tables(engine)


def test_check_says_what_is_missing(engine: Engine) -> None:
    """Each difference is one sentence that names the table and the part."""
    assert len(_schema.check(engine)) == 1 + len(METADATA.tables)
    _schema.upgrade(engine)
    execute(engine, "DROP TABLE tallystick_vote")
    execute(engine, "ALTER TABLE tallystick_event DROP COLUMN detail")
    execute(engine, "DROP INDEX tallystick_effect_scope")
    execute(engine, "DROP INDEX tallystick_effect_key")
    execute(engine, "CREATE INDEX tallystick_effect_key ON tallystick_effect (key)")
    assert sorted(_schema.check(engine)) == [
        "The column tallystick_event.detail is missing.",
        "The index tallystick_effect_key on tallystick_effect is not unique.",
        "The index tallystick_effect_scope on tallystick_effect is missing.",
        "The table tallystick_vote is missing.",
    ]


def test_check_says_which_keys_are_not_what_they_should_be(engine: Engine) -> None:
    """A primary key or an index over other columns does not keep the promise it is there for."""
    _schema.upgrade(engine)
    execute(engine, "DROP TABLE tallystick_vote")
    columns = "key INT, round INT, actor INT, digest INT, reason INT, at INT"
    execute(engine, f"CREATE TABLE tallystick_vote ({columns}, PRIMARY KEY (key, round))")
    execute(engine, "DROP INDEX tallystick_event_actor")
    execute(engine, "CREATE INDEX tallystick_event_actor ON tallystick_event (actor)")
    assert sorted(_schema.check(engine)) == [
        "The index tallystick_event_actor on tallystick_event is not over (actor, kind).",
        "The primary key of tallystick_vote is not (key, round, actor).",
    ]


def test_a_version_table_that_cannot_be_read_is_not_taken_for_none(engine: Engine) -> None:
    """What the database says about it comes through, and no table is made."""
    execute(engine, f"CREATE TABLE {VERSION_TABLE} (something INTEGER)")
    with pytest.raises(DBAPIError, match="version_num"):
        _schema.ensure(engine, create=True)
    assert tables(engine) == {VERSION_TABLE}
