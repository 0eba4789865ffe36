"""A transaction on MariaDB or MySQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pymysql
from sqlalchemy.exc import DBAPIError

from tallystick._acts import Claim, Found, Settle
from tallystick._model import Row
from tallystick.stores._archive_mariadb import MariaArchive
from tallystick.stores._claiming import ClaimsAlone
from tallystick.stores._mariadb_sql import MARIADB, ONCE, OWN, RETURNS, SLOTS
from tallystick.stores._server_tx import ServerTx
from tallystick.stores._sql import Dialect

#: what a connection raises, ours or a lent one
FAILURES = (pymysql.Error, DBAPIError)
#: how many things one statement may name
_AMONG = 500
_TAKEN = 1062
_REFUSED = 1048


class Nothing:
    """The result of an insert that found its key taken."""

    rowcount = 0

    def fetchone(self) -> None:
        """No row."""

    def fetchall(self) -> Sequence[Any]:
        """No rows."""
        return ()


class MariaTx(MariaArchive, ClaimsAlone, ServerTx):
    """
    One transaction at READ COMMITTED: each statement sees what is committed when it begins.

    Nobody is told of changes by this server, so nobody marks what he waits for.
    """

    dialect: Dialect = MARIADB
    statements = MARIADB.statements()
    #: what the effects of some claims met, by key and tenant
    _met: Mapping[tuple[bytes, str], Row] = MappingProxyType({})

    def run(self, name: str, /, **params: Any) -> Any:
        """
        Execute a statement by its name.

        What is there already is not inserted again, and what a change returns is read after it.
        """
        try:
            done = super().run(name, **params)
        except FAILURES as error:
            if name not in ONCE or errno(error) != _TAKEN:
                raise
            return Nothing()
        if name not in RETURNS:
            return done
        return super().run(RETURNS[name], **params) if done.rowcount else Nothing()

    def _insert(self, c: Claim) -> bool:
        running = c.status == "running"
        values = (c if running else c._replace(holder=None))._asdict()
        try:
            return bool(self.run("claim", **values, attempt=int(running)).rowcount)
        except FAILURES as error:
            if errno(error) != _REFUSED or "'epoch'" not in str(error):
                raise
            return False

    def claim(self, claims: Sequence[Claim]) -> list[Found]:
        """
        Look first, and wait for a rival's row there: an insert that waits keeps its neighbours out.

        Where a twin would be in the way, nobody else inserts one until this is committed.
        """
        slots = {int.from_bytes(c.twin[:8]) % SLOTS for c in claims if c.suspect != "run"}
        if slots:
            self._each("guard", sorted(slots))
        found = map(Row._make, self._each("met", sorted({c.key for c in claims})))
        self._met = {(row.key, row.tenant): row for row in found}
        return super().claim(claims)

    def _there(self, c: Claim) -> Row | None:
        return self._met.get((c.key, c.tenant))

    def _each(self, name: str, values: Sequence[Any]) -> list[Any]:
        """Execute a statement about each of *values*."""
        found: list[Any] = []
        for first in range(0, len(values), _AMONG):
            some = {f"id{n}": value for n, value in enumerate(values[first : first + _AMONG])}
            among = f"IN ({', '.join(f':{n}' for n in some)})"
            text = self.dialect.say(OWN[name], among=among)
            found += self._execute(text, some).fetchall()
        return found

    def _settle(self, s: Settle) -> bool | None:
        params = s._asdict()
        params["to"] = params.pop("status")
        return False if self.run("settle", **params).rowcount else None

    def load(self, tenant: str, key: bytes) -> Row | None:
        row = super().load(tenant, key)
        self._moment = None  # whoever had it locked may have kept us waiting
        return row

    def await_(self, tenant: str, key: bytes) -> None:
        """Nothing to mark: who waits looks by himself."""

    def held(self, worker: str, limit: int) -> list[Row]:
        """Found without locks, so that no other row is waited for; then locked one by one."""
        found = self.run("held", worker=worker, limit=limit).fetchall()
        rows = [self.load(tenant, key) for key, tenant in found]
        return [r for r in rows if r is not None and (r.holder, r.status) == (worker, "running")]

    def lock_lines(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        return [row[0] for row in self._each("lock_lines", lines)]


def errno(error: BaseException) -> int | None:
    """The server's number for *error*, behind SQLAlchemy's too; ``None`` where it gave none."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    number = error.args[0] if error.args else None
    return number if isinstance(number, int) else None
