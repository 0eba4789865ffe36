"""Drivers' errors become ours in one table."""

from __future__ import annotations

import sqlite3
from typing import Any

from tallystick.errors import (
    LedgerError,
    SchemaMismatch,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

_SQLITE = {
    "SQLITE_BUSY": StoreBusy,
    "SQLITE_LOCKED": StoreBusy,
    "SQLITE_FULL": StoreFull,
    "SQLITE_READONLY": StoreFull,
    "SQLITE_IOERR": StoreFull,
    "SQLITE_PERM": StoreFull,
    "SQLITE_AUTH": StoreFull,
    "SQLITE_CORRUPT": StoreCorrupt,
    "SQLITE_NOTADB": StoreCorrupt,
    "SQLITE_CANTOPEN": StoreUnavailable,
    "SQLITE_PROTOCOL": StoreBusy,
}

#: SQLSTATE classes and codes, the longer ones first
_POSTGRES = (
    ("42P01", SchemaMismatch),
    ("42703", SchemaMismatch),
    ("55P03", StoreBusy),
    ("57014", StoreBusy),
    ("40", StoreBusy),
    ("53100", StoreFull),
    ("25006", StoreFull),
    ("42501", StoreFull),
    ("XX001", StoreCorrupt),
    ("XX002", StoreCorrupt),
    ("53", StoreUnavailable),
    ("57P", StoreUnavailable),
    ("08", StoreUnavailable),
)

#: numbers of MariaDB and MySQL
_MARIADB: dict[int, type[StoreError]] = {
    **dict.fromkeys((1054, 1146), SchemaMismatch),
    **dict.fromkeys((1020, 1205, 1213, 1305, 1317, 1969, 3024, 3572), StoreBusy),
    **dict.fromkeys((1021, 1114, 1142, 1143, 1227, 1290, 1370, 1792, 1836), StoreFull),
    **dict.fromkeys((1034, 1035, 1194, 1195, 1712, 1877), StoreCorrupt),
    **dict.fromkeys((1037, 1038, 1040, 1041, 1044, 1045, 1047, 1049, 1053), StoreUnavailable),
    **dict.fromkeys((1129, 1130, 1158, 1159, 1160, 1161, 1203, 1226, 1698), StoreUnavailable),
    **dict.fromkeys((1927, 2002, 2003, 2006, 2013, 2055, 4031), StoreUnavailable),
}

_NEXT: dict[type[StoreError], str] = {
    StoreBusy: "try again; if it stays so, look for a long transaction on the ledger's tables",
    StoreFull: "free space or make the database writable; nothing was started",
    StoreCorrupt: "restore it from a backup; `tallystick verify` shows what is damaged",
    StoreUnavailable: "check that the database runs and the URL is right",
    SchemaMismatch: "run `tallystick db upgrade`",
}


def translate(error: BaseException) -> BaseException:
    """Our error for a driver's *error*; anything else comes back as it is."""
    kind = _kind(error)
    if kind is None:
        return error
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    ours: StoreError = kind(f"the ledger's database says: {text}; {_NEXT[kind]}")
    ours.__cause__ = error
    return ours


def _kind(error: BaseException) -> type[StoreError] | None:
    if isinstance(error, LedgerError):
        return None
    if isinstance(error, sqlite3.Error):
        return _sqlite_kind(error)
    driver = (type(error).__module__ or "").partition(".")[0]
    if driver == "pymysql":
        return _mariadb_kind(error)
    if driver != "psycopg":
        return None
    state: Any = getattr(error, "sqlstate", None)
    if state is None:
        name = {k.__name__ for k in type(error).__mro__}
        return StoreUnavailable if name & {"OperationalError", "InterfaceError"} else None
    return next((kind for prefix, kind in _POSTGRES if str(state).startswith(prefix)), None)


def _mariadb_kind(error: BaseException) -> type[StoreError] | None:
    number = error.args[0] if error.args else None
    if isinstance(number, int) and number:
        return _MARIADB.get(number)
    # a connection that was closed under the driver has no number
    name = {k.__name__ for k in type(error).__mro__}
    return StoreUnavailable if name & {"OperationalError", "InterfaceError"} else None


def _sqlite_kind(error: sqlite3.Error) -> type[StoreError] | None:
    name = getattr(error, "sqlite_errorname", "") or ""
    for prefix, kind in _SQLITE.items():
        if name.startswith(prefix):
            return kind
    text = str(error)
    if "no such table" in text or "no such column" in text:
        return SchemaMismatch
    if isinstance(error, sqlite3.ProgrammingError) and "closed" in text:
        return StoreUnavailable
    damaged = "malformed" in text or "decode to UTF-8" in text
    return StoreCorrupt if damaged else None
