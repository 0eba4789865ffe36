"""Where effects are kept: memory, SQLite, PostgreSQL, MariaDB, MySQL, or a store of your own."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from tallystick._ports import Store
from tallystick.errors import DriverMissing, InvalidUrl
from tallystick.stores._revision import MARIADB

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["driver_missing", "open_store"]

#: our connections read by key: a plan made when the tables were empty must not stay a scan, and
#: making one anew for each checkpoint would cost as much as keeping it
_OPTIONS = (
    "-c jit=off -c plan_cache_mode=force_generic_plan "
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off "
    "-c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000"
)


def open_store(target: str | sqlalchemy.Engine | Store, *, create: bool, lease: float) -> Store:
    """
    The store that *target* names.

    Raises InvalidUrl for what names none, DriverMissing where an extra is not installed, and
    SchemaMismatch where the tables are missing or of another version.
    """
    if not isinstance(target, str):
        if hasattr(target, "apply") and hasattr(target, "read"):
            return cast("Store", target)
        return _on_engine(target, create=create, lease=lease)
    scheme, found, rest = target.partition("://")
    if not found:
        raise InvalidUrl(
            f"{target!r} is not a URL; use sqlite:///file.db, postgresql://user@host/database, "
            "mariadb://user@host/database or memory://"
        )
    if scheme == "memory":
        from tallystick.stores._memory import MemoryStore

        return MemoryStore(rest or None)
    return _on_engine(_engine(target, scheme), create=create, lease=lease, owned=True)


def _engine(url: str, scheme: str) -> sqlalchemy.Engine:
    import sqlalchemy  # a fifth of a second that memory:// need not pay
    from sqlalchemy.exc import ArgumentError

    family = scheme.partition("+")[0]
    if family not in {"sqlite", "postgresql", "postgres", *MARIADB}:
        raise InvalidUrl(
            f"there is no store for {scheme}://; use sqlite://, postgresql://, mariadb://, "
            "mysql:// or memory://"
        )
    try:
        parsed = sqlalchemy.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InvalidUrl(f"{url!r} cannot be read as a URL: {error}") from error
    with _extra():
        if family == "sqlite":
            from tallystick.stores._sqlite import path_of

            path_of(parsed)
            return sqlalchemy.create_engine(
                parsed.set(drivername="sqlite"), connect_args={"timeout": 30.0}
            )
        if family in MARIADB:
            return sqlalchemy.create_engine(parsed.set(drivername=f"{family}+pymysql"))
        asked = parsed.query.get("options", "")
        options = " ".join([_OPTIONS, asked if isinstance(asked, str) else " ".join(asked)])
        return sqlalchemy.create_engine(
            parsed.set(drivername="postgresql+psycopg"), connect_args={"options": options.strip()}
        )


def _on_engine(given: Any, *, create: bool, lease: float, owned: bool = False) -> Store:
    if hasattr(given, "sync_engine"):
        raise InvalidUrl(
            "an AsyncEngine cannot be shared with threads; give the ledger its URL, or an Engine. "
            "Both faces work on either"
        )
    engine = cast("sqlalchemy.Engine", given)
    try:
        return _of_its_kind(engine, create=create, lease=lease, owned=owned)
    except BaseException:
        if owned:
            engine.dispose()
        raise


def _of_its_kind(engine: sqlalchemy.Engine, *, create: bool, lease: float, owned: bool) -> Store:
    name = getattr(getattr(engine, "dialect", None), "name", None)
    if name == "sqlite":
        from tallystick.stores._sqlite import SqliteStore

        return SqliteStore(engine, create=create, owned=owned)
    if name == "postgresql":
        _refuse_driver(engine, "psycopg", "psycopg 3: postgresql+psycopg://")
        with _extra():
            from tallystick.stores._postgres import PostgresStore
        return PostgresStore(engine, create=create, lease=lease, owned=owned)
    if name in MARIADB:
        _refuse_driver(engine, "pymysql", f"PyMySQL: {name}+pymysql://")
        with _extra():
            from tallystick.stores._mariadb import MariaStore
        return MariaStore(engine, create=create, lease=lease, owned=owned)
    raise InvalidUrl(
        f"{_kind(engine)} is no store; give a URL, a SQLAlchemy Engine for SQLite, PostgreSQL, "
        "MariaDB or MySQL, or an object with the methods of tallystick._ports.Store"
    )


def _refuse_driver(engine: sqlalchemy.Engine, needed: str, said: str) -> None:
    if engine.dialect.driver != needed:
        raise InvalidUrl(
            f"the engine uses the driver {engine.dialect.driver!r}; tallystick needs {said}"
        )


@contextmanager
def _extra() -> Generator[None]:
    """An import whose failure may mean that a driver is not installed."""
    try:
        yield
    except ImportError as error:
        if (missing := driver_missing(error)) is None:
            raise
        raise missing from error


def _kind(value: Any) -> str:
    dialect = getattr(getattr(value, "dialect", None), "name", None)
    return f"an engine for {dialect}" if dialect else f"a {type(value).__name__}"


def driver_missing(error: ImportError) -> DriverMissing | None:
    """What *error* comes to where a driver, or the libpq that psycopg needs, is what is missing."""
    module = (error.name or "").partition(".")[0]
    if module == "pymysql":
        return DriverMissing(
            "MariaDB and MySQL need PyMySQL, which is not installed: "
            'pip install "tallystick[mariadb]"'
        )
    if module != "psycopg" and "pq wrapper" not in str(error):
        return None
    return DriverMissing(
        'PostgreSQL needs psycopg 3, which is not installed: pip install "tallystick[postgres]"'
    )
