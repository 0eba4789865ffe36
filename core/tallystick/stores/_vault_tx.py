"""The data keys of a transaction on a SQL database."""

from __future__ import annotations

from typing import Any, Protocol

from tallystick._vault import DataKey, ReadDataKeys, Rewrap, Shred


class VaultTx(Protocol):
    """What a transaction must offer for data keys."""

    def put_datakey(self, made: DataKey) -> DataKey:
        """Insert unless the workflow has one; the one that it has."""
        ...

    def datakeys(self, act: ReadDataKeys) -> list[DataKey]:
        """Read keys, by scope."""
        ...

    def rewrap(self, act: Rewrap) -> bool:
        """Write a key as it is wrapped now, where it was wrapped in ``was``."""
        ...

    def shred(self, act: Shred) -> bool:
        """Delete a key, provided that nothing in its workflow is open; whether it was done."""
        ...

    def open_in(self, act: Shred) -> int:
        """Count what is open in a workflow."""
        ...


class SqlVault:
    """What the scripts of data keys need, said in SQL; a part of :class:`SqlTx`."""

    def run(self, name: str, /, **params: Any) -> Any:
        """Execute a statement by its name."""
        raise NotImplementedError

    def put_datakey(self, made: DataKey) -> DataKey:
        params = made._asdict()
        del params["created_at"], params["shredded_at"]
        self.run("put_datakey", **params)
        return DataKey._make(self.run("datakey", scope=made.scope).fetchone())

    def datakeys(self, act: ReadDataKeys) -> list[DataKey]:
        if act.scope is not None:
            rows = self.run("datakey", scope=act.scope).fetchall()
        else:
            place = {"tenant": act.tenant, "after": act.after, "limit": act.limit}
            rows = self.run("datakeys", **place).fetchall()
        return [DataKey._make(row) for row in rows]

    def rewrap(self, act: Rewrap) -> bool:
        facts = {"scope": act.scope, "was": act.was, "kek": act.kek, "wrapped": act.wrapped}
        return bool(self.run("rewrap", **facts).rowcount)

    def shred(self, act: Shred) -> bool:
        return bool(self.run("shred", scope=act.scope).rowcount)

    def open_in(self, act: Shred) -> int:
        return int(self.run("open_in", scope=act.scope).fetchone()[0])
