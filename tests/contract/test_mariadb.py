"""
The contract on MariaDB (or MySQL): the blocking face, and what is its own on the awaiting one.

With ``TALLYSTICK_STORES=all``, as in ``make stores``, both faces have all of it.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import pytest

from tallystick import Ledger
from tallystick.testing import StoreContract
from tallystick.testing._contract._transactions import Transactions
from tallystick.testing._contract._waiting import Waiting

from .sql_store import SqlContract, SqlGround

pytestmark = pytest.mark.mariadb

#: that the journal awaits is the same everywhere; that it waits, and is lent connections, is not
AWAITED: tuple[type, ...] = (
    (StoreContract,) if os.environ.get("TALLYSTICK_STORES") == "all" else (Transactions, Waiting)
)


class Mariadb(SqlGround):
    """Ledgers on one server; a killed one counts as dead when its lease has run out."""

    lease = 5.0
    options: ClassVar[dict[str, Any]] = {"isolation_level": "READ COMMITTED"}

    @pytest.fixture(autouse=True)
    def _database(self, empty_mariadb: str) -> None:
        self.url = empty_mariadb
        self.async_url = self.url.replace("mariadb:", "mariadb+aiomysql:")
        self.prepare()

    def open(self, **options: Any) -> Ledger:
        return super().open(lease=self.lease, **options)


class TestMariadb(Mariadb, SqlContract):
    """All of it."""


TestMariadbAwaited = type("TestMariadbAwaited", (Mariadb, *AWAITED), {"awaiting": True})
