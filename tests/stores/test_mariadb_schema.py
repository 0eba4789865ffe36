"""The tables on MariaDB and MySQL, whose changes are not transactional."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, inspect

from tallystick.errors import SchemaMismatch, StoreBusy
from tallystick.stores import _mariadb_schema, _schema, migrations
from tallystick.stores._mariadb_sql import GUARD, MARIADB, ONCE, RETURNS, SLOTS, Server, quoted
from tallystick.stores._revision import HEAD, VERSION_TABLE
from tallystick.stores._sql import common
from tallystick.stores._tables import METADATA
from tests._mariadb import scratch_mariadb
from tests._urls import engine_on
from tests.stores._engines import NEXT, ahead, execute, tables

#: makes the tables, and is killed before the nth change
CUT_OFF = """
import os, sys, sqlalchemy
from tallystick.stores import _mariadb_schema, _schema
left, plain = int(sys.argv[2]), _mariadb_schema.MariaOperations.invoke
def invoke(self, operation):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return plain(self, operation)
_mariadb_schema.MariaOperations.invoke = invoke
_schema.upgrade(sqlalchemy.create_engine(sys.argv[1]))
"""

served = pytest.mark.mariadb


@pytest.fixture
def engine() -> Iterator[Engine]:
    with scratch_mariadb() as url:
        engine = engine_on(url)
        yield engine
        engine.dispose()


# -- words ----------------------------------------------------------------------------------------


def test_every_statement_is_in_their_words() -> None:
    for name, text in MARIADB.statements().items():
        for foreign in ("ON CONFLICT", "RETURNING", "excluded.", "unnest(", " AS TEXT", "BIGINT"):
            assert foreign not in text, (name, foreign)


def test_what_a_statement_returns_is_read_after_it() -> None:
    returning = {name for name, text in common().items() if "RETURNING" in text}
    assert returning == {*RETURNS, "settle"}
    assert {name for name, text in common().items() if "DO NOTHING" in text} == ONCE


def test_a_column_is_read_before_it_is_written() -> None:
    """They set the columns of an UPDATE one after the other."""
    start = MARIADB.statements()["start"]
    assert start.index("result_note = CASE") < start.index("status = 'running'")


def test_the_guards_of_a_claim_decide_about_its_epoch() -> None:
    claim = MARIADB.statements()["claim"]
    assert "CASE WHEN NOT EXISTS (SELECT 1 FROM tallystick_halt" in claim
    assert "THEN 1 END, %(attempt)s" in claim
    assert "SELECT s.version FROM tallystick_standing" in claim


def test_our_columns_are_told_from_their_words() -> None:
    said = "SET usage = :usage, over=1 WHERE key = 'key' AND e.key IN (key) OR over > usage_2"
    assert quoted(said) == (
        "SET `usage` = :usage, `over`=1 WHERE `key` = 'key' AND e.key IN (`key`) OR `over` "
        "> usage_2"
    )


def test_each_server_is_spoken_to_in_its_own_words() -> None:
    """MySQL is not tried here; what is said to it and not to MariaDB is this."""
    maria, mysql = Server.of("5.5.5-10.11.6-MariaDB-0+deb12u1"), Server.of("8.0.36")
    assert (maria.collation, mysql.collation) == ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
    assert "tx_isolation = 'READ-COMMITTED'" in maria.session(commits=True)
    assert "transaction_isolation = 'READ-COMMITTED'" in mysql.session(commits=False)
    assert "autocommit = 1" in maria.session(commits=True)
    assert "autocommit = 0" in mysql.session(commits=False)
    assert "max_recursive_iterations" not in mysql.session(commits=True)


# -- tables ---------------------------------------------------------------------------------------


@served
def test_the_tables_are_made_checked_and_dropped(engine: Engine) -> None:
    with pytest.raises(SchemaMismatch, match="no tables of tallystick: run `tallystick db upgr"):
        _schema.ensure(engine, create=False)
    assert tables(engine) == set()
    for _ in range(2):
        _schema.ensure(engine, create=True)
        assert (_schema.current(engine), _schema.check(engine)) == (HEAD, [])
    assert tables(engine) == {*METADATA.tables, VERSION_TABLE, GUARD}
    with engine.connect() as db:
        assert db.exec_driver_sql(f"SELECT count(*) FROM {GUARD}").scalar() == SLOTS
    with engine.begin() as db:
        migrations.downgrade(db)
    assert tables(engine) == set()


@served
def test_no_text_is_cut_and_none_is_compared_by_a_language(engine: Engine) -> None:
    _schema.upgrade(engine)
    query = """
SELECT DISTINCT data_type, collation_name FROM information_schema.columns
 WHERE table_schema = database() AND table_name IN ({})""".format(
        ", ".join(f"'{name}'" for name in METADATA.tables)
    )
    with engine.connect() as db:
        found = {tuple(row) for row in db.exec_driver_sql(query)}
        collation = _mariadb_schema.server_of(db).collation
    assert {kind for kind, _ in found} == {
        "bigint", "tinyint", "varbinary", "longblob", "varchar", "longtext",
    }  # fmt: skip
    assert {collation_ for _, collation_ in found} == {None, collation}


@served
def test_an_index_of_some_rows_begins_with_what_tells_them_apart(engine: Engine) -> None:
    _schema.upgrade(engine)
    indexes = {i["name"]: i for i in inspect(engine).get_indexes("tallystick_reservation")}
    assert indexes["tallystick_reservation_open"]["column_names"] == ["state", "holder"]


@served
def test_check_says_what_is_not_as_it_should_be(engine: Engine) -> None:
    _schema.upgrade(engine)
    execute(engine, "DROP TABLE tallystick_vote")
    execute(engine, "ALTER TABLE tallystick_event DROP COLUMN detail")
    execute(engine, "DROP INDEX tallystick_effect_scope ON tallystick_effect")
    execute(engine, "DROP INDEX tallystick_reservation_open ON tallystick_reservation")
    holder = "CREATE INDEX tallystick_reservation_open ON tallystick_reservation (holder)"
    execute(engine, holder)
    over = "The index tallystick_reservation_open on tallystick_reservation is not over"
    assert sorted(_schema.check(engine)) == [
        "The column tallystick_event.detail is missing.",
        "The index tallystick_effect_scope on tallystick_effect is missing.",
        f"{over} (state, holder).",
        "The table tallystick_vote is missing.",
    ]


@served
def test_tables_without_a_revision_are_refused(engine: Engine) -> None:
    execute(engine, "CREATE TABLE tallystick_effect (x INT)")
    with pytest.raises(SchemaMismatch, match=r"tallystick_effect.* names no revision"):
        _schema.ensure(engine, create=True)
    assert tables(engine) == {"tallystick_effect"}


@served
@pytest.mark.crash
def test_whoever_comes_next_finishes_what_was_cut_off(engine: Engine) -> None:
    """A process is killed before one change after the other; nobody takes half for the whole."""
    url = engine.url.render_as_string(hide_password=False)
    for changes in (5, 13):  # each process makes so many changes, and dies
        command = [sys.executable, "-W", "error", "-c", CUT_OFF, url, str(changes)]
        assert subprocess.run(command, check=False).returncode == 9
        with pytest.raises(SchemaMismatch, match="tallystick db upgrade"):
            _schema.ensure(engine, create=False)
        assert {VERSION_TABLE, GUARD} < tables(engine) < {*METADATA.tables, VERSION_TABLE, GUARD}
    _schema.ensure(engine, create=True)
    assert _schema.check(engine) == []


@served
def test_an_older_database_is_brought_up_to_date(
    engine: Engine, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    _schema.upgrade(engine)
    with monkeypatch.context() as patch:
        ahead(tmp_path, patch)  # type: ignore[arg-type]
        with pytest.raises(SchemaMismatch, match=f"at revision {HEAD} .* needs {NEXT}"):
            _schema.ensure(engine, create=False)
        _schema.ensure(engine, create=True)
        assert _schema.current(engine) == NEXT
    with pytest.raises(SchemaMismatch, match=rf"newer tallystick.* {NEXT} .*upgrade the package"):
        _schema.ensure(engine, create=True)


@served
def test_threads_that_begin_together_all_succeed(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(_schema.ensure, engine, create=True) for _ in range(4)]
    assert [future.result() for future in made] == [None] * 4
    assert _schema.check(engine) == []


@served
def test_others_who_change_the_tables_are_waited_for_no_longer_than_promised(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_schema, "_PATIENCE", 1.0)
    with engine.connect() as other, contextlib.ExitStack() as stack:
        stack.enter_context(_mariadb_schema.turn(other, 1.0))
        with pytest.raises(StoreBusy, match="changing the ledger's tables for 1 s"):
            _schema.ensure(engine, create=True)
        assert tables(engine) == set()
    _schema.ensure(engine, create=True)
