"""The contract on SQLite, both faces."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._sqlite import empty_database

from .sql_store import SqlContract


class TestSqlite(SqlContract):
    """Ledgers on one file."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self.url = empty_database(tmp_path)
        self.async_url = self.url.replace("sqlite:", "sqlite+aiosqlite:")
        self.prepare()


class TestSqliteAwaited(TestSqlite):
    """The same, awaited."""

    awaiting = True
