"""The databases of LangGraph's own savers, opened for reading only, all in one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from tallystick.errors import InvalidUrl, SchemaMismatch, StoreUnavailable
from tallystick_checkpoint._extra import required
from tallystick_checkpoint._reading import SEALED

_POSTGRES = ("postgresql", "postgres")


@contextmanager
def stock(source: str) -> Generator[BaseCheckpointSaver[Any]]:
    """
    The saver of LangGraph whose database *source* names: a URL, or the path of a SQLite file.

    Nothing is written, and nothing is made of what is stored. DriverMissing names the package that
    is not installed.
    """
    scheme, there, rest = source.partition("://")
    scheme = scheme.partition("+")[0] if there else "sqlite"
    if scheme in _POSTGRES:
        with _postgres(f"postgresql://{rest}") as saver:
            yield saver
    elif scheme == "sqlite":
        with _sqlite(_file(rest) if there else Path(source)) as saver:
            yield saver
    else:
        raise InvalidUrl(
            f"{scheme}://… is no database of LangGraph's own savers; give sqlite:///file.db, "
            "the path of a file, or postgresql://…"
        )


def _file(rest: str) -> Path:
    """The file of a SQLite URL, which has three slashes, or four before an absolute path."""
    if not rest.startswith("/") or rest in {"/", "/:memory:"}:
        raise InvalidUrl("that URL names no file; use sqlite:///file.db")
    return Path(rest[1:])


@contextmanager
def _sqlite(path: Path) -> Generator[BaseCheckpointSaver[Any]]:
    with required(
        "the file of a SqliteSaver is read with LangGraph's package for it",
        "langgraph.checkpoint.sqlite",
        "sqlite_vec",
        install="pip install langgraph-checkpoint-sqlite",
    ):
        from langgraph.checkpoint.sqlite import SqliteSaver
    where = path.absolute()
    if not path.is_file():
        raise StoreUnavailable(f"there is no file {where}: name the one that SqliteSaver wrote")
    try:
        uri = f"{where.as_uri()}?mode=ro"
        with closing(
            sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN")
            columns = _columns(connection)
            if "checkpoint_id" not in columns:
                raise SchemaMismatch(f"{where} holds no checkpoints of LangGraph's SqliteSaver")
            saver = SqliteSaver(connection, serde=SEALED)
            saver.is_setup = True  # its setup() would write
            saver._has_task_path = "task_path" in columns  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            yield saver
    except sqlite3.Error as error:
        raise StoreUnavailable(
            f"{where} cannot be read: {error}; check that it is a SqliteSaver's file, and copy it "
            "with its -wal file to a folder that can be written if it is in one that cannot"
        ) from error


def _columns(connection: sqlite3.Connection) -> set[str]:
    found: list[tuple[str]] = connection.execute(
        "SELECT name FROM pragma_table_info('checkpoints')"
        " UNION ALL SELECT name FROM pragma_table_info('writes')"
    ).fetchall()
    return {name for (name,) in found}


@contextmanager
def _postgres(url: str) -> Generator[BaseCheckpointSaver[Any]]:
    with required(
        "the tables of a PostgresSaver are read with LangGraph's package for them",
        "langgraph.checkpoint.postgres",
        "psycopg",
        "psycopg_pool",
        install='pip install langgraph-checkpoint-postgres "psycopg[binary]"',
    ):
        import psycopg
        from langgraph.checkpoint.postgres import PostgresSaver
        from psycopg.rows import DictRow, dict_row
    try:
        with psycopg.Connection[DictRow].connect(
            url, row_factory=dict_row, prepare_threshold=None
        ) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            _check(connection)
            yield PostgresSaver(connection, serde=SEALED)
            connection.rollback()
    except psycopg.Error as error:
        raise StoreUnavailable(
            f"the source cannot be read: {str(error).strip()}; check that the database runs, the "
            "URL is right, and its user may read the tables of PostgresSaver"
        ) from error


def _check(connection: Any) -> None:
    found = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid IN"
        " (to_regclass('checkpoints'), to_regclass('checkpoint_writes')) AND NOT attisdropped"
    ).fetchall()
    columns = {row["attname"] for row in found}
    if "checkpoint_id" not in columns:
        raise SchemaMismatch("the source holds no checkpoints of LangGraph's PostgresSaver")
    if "task_path" not in columns:
        raise SchemaMismatch(
            "the source was written by an old langgraph-checkpoint-postgres; run the setup() of a "
            "current PostgresSaver on it, or on a copy, and import that"
        )
