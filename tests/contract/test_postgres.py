"""The contract on PostgreSQL, both faces."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick import Ledger

from .sql_store import SqlContract

pytestmark = pytest.mark.postgres


class TestPostgres(SqlContract):
    """Ledgers on one server; a killed one counts as dead when its lease has run out."""

    lease = 5.0

    @pytest.fixture(autouse=True)
    def _database(self, empty_postgres: str) -> None:
        self.url = empty_postgres
        self.async_url = self.url.replace("postgresql:", "postgresql+psycopg:")
        self.prepare()

    def open(self, **options: Any) -> Ledger:
        return super().open(lease=self.lease, **options)


class TestPostgresAwaited(TestPostgres):
    """The same, awaited."""

    awaiting = True
