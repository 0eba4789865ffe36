"""
The contract on stores whose payloads are encrypted.

In memory here, and on the databases what lends connections and what forgets; the rest of it with
``TALLYSTICK_SEALED=all``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tallystick import Ledger
from tallystick.encryption import Keyring
from tests._sqlite import empty_database

from .sql_store import SqlContract
from .test_memory import TestMemory as _Memory

ALL = os.environ.get("TALLYSTICK_SEALED") == "all"
PARTS = {"Transactions", "Retention", "Forgotten"}
T = TypeVar("T")
CIPHER = Keyring(Keyring.generate())


class TestMemorySealed(_Memory):
    """Ledgers that share one shelf and one key."""

    def open(self, **options: Any) -> Ledger:
        return super().open(cipher=CIPHER, **options)


def some(kind: type[T]) -> type[T]:
    """The class with a few parts of the contract, unless all of them are asked for."""
    for name in dir(kind):
        owner = getattr(getattr(kind, name), "__qualname__", "").partition(".")[0]
        if name.startswith("test_") and owner not in PARTS and not ALL:
            setattr(kind, name, None)
    return kind


class _Sealed(SqlContract):
    """A database behind a key."""

    def open(self, **options: Any) -> Ledger:
        return super().open(cipher=CIPHER, **options)


@some
class TestSqliteSealed(_Sealed):
    """Ledgers on one file."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = empty_database(tmp_path)
        self.async_url = self.url.replace("sqlite:", "sqlite+aiosqlite:")
        self.prepare()


@some
class TestSqliteSealedAwaited(TestSqliteSealed):
    """The same, awaited."""

    awaiting = True


@some
@pytest.mark.postgres
class TestPostgresSealed(_Sealed):
    """Ledgers on one server."""

    lease = 5.0

    def open(self, **options: Any) -> Ledger:
        return super().open(lease=self.lease, **options)

    @pytest.fixture(autouse=True)
    def _database(self, empty_postgres: str) -> None:
        self.url = empty_postgres
        self.async_url = self.url.replace("postgresql:", "postgresql+psycopg:")
        self.prepare()
