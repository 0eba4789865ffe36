"""What the contract needs of a SQL store besides ledgers: spoilt rows and lent connections."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any, ClassVar

import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine

from tallystick import Ledger
from tallystick.testing import StoreContract
from tallystick.testing._contract._base import Contract

SPOIL = {
    "result": "UPDATE tallystick_effect SET result = '\"six\"' WHERE tallystick_effect.key = :key",
    "event": """
UPDATE tallystick_event SET actor = 'mallory' WHERE tallystick_event.key = :key AND n = 1""",
    "removed": """
DELETE FROM tallystick_event
 WHERE tallystick_event.key = :key
   AND n = (SELECT m FROM (SELECT max(v.n) AS m FROM tallystick_event v WHERE v.key = :key) w)""",
}


class SqlGround(Contract):
    """A database that *url* and *async_url* lead to."""

    transactional = True
    durable = True
    damageable = True
    url: str
    async_url: str
    #: of the engines whose connections are lent
    options: ClassVar[dict[str, Any]] = {}

    def open(self, **options: Any) -> Ledger:
        return Ledger(self.url, create=True, **options)

    def prepare(self) -> None:
        """An empty table for tools that write."""
        with self._begin() as db:
            db.execute(sqlalchemy.text("CREATE TABLE IF NOT EXISTS written (what TEXT)"))
            db.execute(sqlalchemy.text("DELETE FROM written"))

    @contextmanager
    def _begin(self) -> Generator[sqlalchemy.Connection]:
        url = self.async_url.replace("+aiosqlite", "").replace("+aiomysql", "+pymysql")
        engine = sqlalchemy.create_engine(url, **self.options)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()

    @asynccontextmanager
    async def _abegin(self) -> AsyncGenerator[Any]:
        engine = create_async_engine(self.async_url, **self.options)
        try:
            async with engine.begin() as connection:
                yield connection
        finally:
            await engine.dispose()

    def damage(self, ledger: Ledger, key: bytes, what: str) -> None:
        with self._begin() as db:
            assert db.execute(sqlalchemy.text(SPOIL[what]), {"key": key}).rowcount == 1

    def transaction(self) -> AbstractContextManager[Any] | AbstractAsyncContextManager[Any]:
        return self._abegin() if self.awaiting else self._begin()

    def write(self, connection: Any, text: str) -> Any:
        insert = sqlalchemy.text("INSERT INTO written VALUES (:what)")
        return connection.execute(insert, {"what": text})

    def written(self) -> list[str]:
        with self._begin() as db:
            return [what for (what,) in db.execute(sqlalchemy.text("SELECT what FROM written"))]


class SqlContract(SqlGround, StoreContract):
    """The whole contract there."""
