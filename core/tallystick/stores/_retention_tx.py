"""The retention of a transaction on a SQL database."""

from __future__ import annotations

from typing import Any, Protocol

from tallystick._acts import EventRow
from tallystick._retention import ReadStale, Stale


class RetentionTx(Protocol):
    """What a transaction must offer for retention."""

    def plan(self, key: bytes) -> str | None:
        """Read how an effect is undone."""
        ...

    def drop_payload(
        self, key: bytes, before: int, columns: dict[str, Any], undo: str | None
    ) -> bool:
        """
        Write *columns* and a plan where the effect is over since *before*.

        Not where an item of the inbox shows it, nor where it failed, may be tried again, and its
        approval still holds. Whether it was done.
        """
        ...

    def strip_event(self, event: EventRow) -> None:
        """Put another detail in the place of an event's."""
        ...

    def drop_note(self, id_: bytes, before: int) -> bool:
        """Drop the note of a reservation settled or released by *before*; whether there was one."""
        ...

    def stale(self, act: ReadStale) -> Stale:
        """Look at the next rows in the order of writing."""
        ...


class SqlRetention:
    """What the scripts of retention need, said in SQL; a part of :class:`SqlTx`."""

    def run(self, name: str, /, **params: Any) -> Any:
        """Execute a statement by its name."""
        raise NotImplementedError

    def plan(self, key: bytes) -> str | None:
        text: str | None = self.run("plan", key=key).fetchone()[0]
        return text

    def drop_payload(
        self, key: bytes, before: int, columns: dict[str, Any], undo: str | None
    ) -> bool:
        done = self.run("drop_payload", key=key, before=before, undo=undo, **columns)
        return bool(done.rowcount)

    def strip_event(self, event: EventRow) -> None:
        self.run("strip_event", key=event.key, n=event.n, detail=event.detail)

    def drop_note(self, id_: bytes, before: int) -> bool:
        return bool(self.run("drop_note", id=id_, before=before).rowcount)

    def stale(self, act: ReadStale) -> Stale:
        name = "stale_notes" if act.calls else "stale"
        place = {"tenant": act.tenant, "before": act.before}
        rows = self.run(name, after=act.after, limit=act.limit, **place).fetchall()
        through = rows[-1][0] if rows else None
        due = [(bytes(id_), workflow) for _, id_, workflow in rows if id_ is not None]
        return Stale(through, tuple(id_ for id_, _ in due), tuple(name for _, name in due))
