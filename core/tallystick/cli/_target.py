"""The database that was asked for, which must exist."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tallystick.errors import InvalidUrl, StoreUnavailable
from tallystick.stores import driver_missing
from tallystick.stores._revision import MARIADB

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tallystick.encryption import Keyring
    from tallystick.ledger import Ledger

_NEXT = (
    "name the right one with --ledger or TALLYSTICK_LEDGER; a program makes one with "
    'Ledger("sqlite:///…"), `tallystick import --create` one for what it imports, and '
    "`tallystick demo` one to look into"
)


@contextmanager
def opened(given: str, tenant: str) -> Generator[Ledger]:
    """
    Open the ledger in an existing database; a missing one is an error, never made.

    TALLYSTICK_KEY opens encrypted payloads, TALLYSTICK_OLD_KEYS those of keys before it.
    """
    url = located(given)
    from tallystick.ledger import Ledger

    with Ledger(url, tenant=tenant, cipher=_cipher()) as ledger:
        yield ledger


def _cipher() -> Keyring | None:
    from tallystick.encryption import Keyring

    key, old = os.environ.get("TALLYSTICK_KEY"), os.environ.get("TALLYSTICK_OLD_KEYS", "")
    return Keyring(key, *filter(None, old.split(","))) if key else None


def located(given: str, *, tables: bool = True) -> str:
    """
    The URL of the database that *given* (a URL, or a path) names.

    A SQLite file must exist, and with *tables* hold a ledger, else StoreUnavailable.
    """
    url = given if "://" in given else f"sqlite:///{given}"
    scheme = url.partition("://")[0]
    if scheme == "memory":
        raise InvalidUrl(
            "a memory ledger lives inside the program that opened it and cannot be looked into "
            "from outside; use sqlite:///file.db there"
        )
    path = file_of(url)
    if path is not None:
        _check(path, tables=tables)
    return url


def file_of(url: str) -> Path | None:
    """The file of a SQLite URL; ``None`` for another database."""
    if not url.startswith("sqlite"):
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        name = make_url(url).database
    except ArgumentError as error:
        raise InvalidUrl(f"{url!r} cannot be read as a URL: {error}") from error
    if not name or name == ":memory:":
        raise InvalidUrl(f"{url} names no file; use sqlite:///file.db")
    return Path(name)


def masked(url: str) -> str:
    """The URL without its password."""
    from sqlalchemy import make_url

    return make_url(url).render_as_string(hide_password=True)


def _check(path: Path, *, tables: bool) -> None:
    where = path.absolute()
    if not path.exists():
        raise StoreUnavailable(f"there is no ledger at {where}: {_NEXT}")
    if not path.is_file():
        raise StoreUnavailable(f"{where} is not a file: {_NEXT}")
    if tables and holds_tables(path) is False:
        raise StoreUnavailable(f"{where} is a database, but holds no ledger: {_NEXT}")


def holds_tables(path: Path) -> bool | None:
    """Whether a SQLite file has our tables; ``None`` where it cannot be read."""
    try:
        with closing(reading(path)) as connection:
            query = "SELECT count(*) FROM sqlite_master WHERE name = 'tallystick_effect'"
            found: tuple[Any, ...] = connection.execute(query).fetchone()
    except sqlite3.Error:
        return None
    return bool(found[0])


def reading(path: Path) -> sqlite3.Connection:
    """Open a SQLite file that exists, for reading only."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)


def engine_for(url: str) -> Engine:
    """An SQLAlchemy engine, for what is asked of the database and not of the ledger."""
    import sqlalchemy
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = sqlalchemy.make_url(url)
        family = parsed.get_backend_name()
        if family in {"postgres", "postgresql"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        elif family in MARIADB:
            parsed = parsed.set(drivername=f"{family}+pymysql")
        return sqlalchemy.create_engine(parsed, poolclass=sqlalchemy.NullPool)
    except ImportError as error:
        raise driver_missing(error) or error from error
    except ArgumentError as error:
        raise InvalidUrl(f"{url!r} cannot be read as a URL: {error}") from error
