"""A transaction on a SQL database, over any connection that can execute a named statement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from tallystick._acts import Ask, Claim, EventRow, Find, Found, Page, Settle, Start
from tallystick._budgets._acts import Reserve
from tallystick._changes import Vote
from tallystick._keys import scope_of
from tallystick._model import Halt, Row, at
from tallystick._places import Neighbour, Neighbours, places_of, within_of
from tallystick._replay._records import ReadRecords, Record
from tallystick._rules import fresh_row
from tallystick._undoing._acts import Planned, ReadPlans
from tallystick.stores._archive_tx import SqlArchive
from tallystick.stores._budget_tx import Overtaken, SqlBudgets
from tallystick.stores._checkpoint_tx import SqlCheckpoints
from tallystick.stores._retention_tx import SqlRetention
from tallystick.stores._sql import STATEMENTS
from tallystick.stores._vault_tx import SqlVault


class Result(Protocol):
    """The part of a driver's cursor that is used here."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Sequence[Any]: ...


class Execute(Protocol):
    """Run one statement with parameters by name, or by number where the text has numbers."""

    def __call__(self, sql: str, params: Mapping[str, Any] | tuple[Any, ...], /) -> Result: ...


def plain(text: str) -> str:
    """*text* as every database can keep it: no NUL, no half surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()


class SqlTx(SqlCheckpoints, SqlBudgets, SqlRetention, SqlArchive, SqlVault):
    """
    What the scripts need, said in SQL.

    The subclasses add what only they can do: the clock, the liveness of a worker, and claims and
    settles in bulk.
    """

    statements: Mapping[str, str]

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def now(self) -> int:
        raise NotImplementedError

    def alive(self, holder: str | None) -> bool:
        raise NotImplementedError

    def _facts(self) -> dict[str, Any]:
        """The parameters of the dialect's own words."""
        raise NotImplementedError

    def run(self, name: str, /, **params: Any) -> Result:
        """Execute a statement by its name."""
        found: Result = self._execute(self.statements[name], params | self._facts())
        return found

    def _row(self, name: str, **params: Any) -> Row | None:
        found = self.run(name, **params).fetchone()
        return None if found is None else Row._make(found)

    def settle(self, settles: Sequence[Settle]) -> list[bool | None]:
        return [self._settle(s) for s in settles]

    def _settle(self, s: Settle) -> bool | None:
        params = s._asdict()
        params["to"] = params.pop("status")
        found = self.run("settle", **params).fetchone()
        return None if found is None else bool(found[0])

    def start(self, act: Start) -> Row | None:
        return self._row(
            "start",
            key=act.key,
            tenant=act.tenant,
            status=act.status,
            epoch=act.epoch,
            shown=act.shown,
            nonce=act.nonce,
            holder=act.holder,
            standing=act.standing,
            undoing=act.undoing,
            undo=act.undo,
        )

    def load(self, tenant: str, key: bytes) -> Row | None:
        return self._row("load", tenant=tenant, key=key)

    def look(self, tenant: str, key: bytes) -> Row | None:
        return self._row("look", tenant=tenant, key=key)

    def change(self, row: Row, columns: dict[str, Any]) -> None:
        assignments = ", ".join(f"{name} = :{name}" for name in columns)
        text = (
            f"UPDATE tallystick_effect SET {assignments} WHERE key = :the_key"
            " AND status = :was_status AND epoch = :was_epoch AND events = :was_events"
        )
        seen = {
            "the_key": row.key,
            "was_status": row.status,
            "was_epoch": row.epoch,
            "was_events": row.events,
        }
        if self._execute(self.dialect.say(text), columns | seen).rowcount != 1:
            raise Overtaken(row.key.hex())

    def append(self, event: EventRow) -> None:
        self.run("append", **event._replace(actor=plain(event.actor))._asdict())

    def open_item(self, row: Row, kind: str, note: str, at: int, due: int | None) -> None:
        self.run(
            "open_item",
            key=row.key,
            kind=kind,
            tenant=row.tenant,
            at=at,
            due=due,
            note=plain(note),
        )

    def close_items(self, key: bytes, kinds: Iterable[str]) -> None:
        for kind in kinds:
            self.run("close_item", key=key, kind=kind)

    def notified(self, key: bytes, kind: str) -> None:
        self.run("notified", key=key, kind=kind)

    def put_vote(self, row: Row, by: str, digest: bytes, reason: str, at: int) -> None:
        self.run(
            "put_vote",
            key=row.key,
            round=row.epoch,
            actor=by,
            digest=digest,
            reason=plain(reason),
            at=at,
        )

    def votes(self, row: Row) -> list[Vote]:
        pending = row.status == "pending"
        found = self.run("votes", key=row.key, round=row.epoch, pending=pending).fetchall()
        return [Vote(by=by, digest=digest) for by, digest in found]

    def put_halt(self, halt: Halt, at: int) -> None:
        self.lift_halt(halt.tenant, halt.tool, halt.workflow, contain=halt.mode == "contain")
        self.run(
            "put_halt",
            tenant=halt.tenant,
            tool=halt.tool,
            workflow=halt.workflow,
            mode=halt.mode,
            actor=plain(halt.by),
            reason=plain(halt.reason),
            at=at,
        )

    def lift_halt(
        self,
        tenant: str | None,
        tool: str | None,
        workflow: str | None,
        *,
        contain: bool,
        only: str | None = None,
    ) -> int:
        scope = {"tenant": tenant, "tool": tool, "workflow": workflow, "contain": contain}
        return self.run("lift_halt", **scope, only=only).rowcount

    def halts(self, tenant: str | None) -> list[Halt]:
        return [
            Halt(tenant=t, tool=tool, workflow=w, mode=mode, by=by, reason=reason, at=at(moment))
            for t, tool, w, mode, by, reason, moment in self.run("halts", tenant=tenant).fetchall()
        ]

    def last_event(self, key: bytes) -> EventRow | None:
        found = self.run("last_event", key=key).fetchone()
        return None if found is None else EventRow._make(found)

    def dead(self) -> list[str]:
        raise NotImplementedError

    def held(self, worker: str, limit: int) -> list[Row]:
        return [Row._make(r) for r in self.run("held", worker=worker, limit=limit).fetchall()]

    def bury(self, worker: str) -> None:
        self.run("bury", worker=worker)

    def await_(self, tenant: str, key: bytes) -> None:
        self.run("await", tenant=tenant, key=key)

    def glance(self, tenant: str, key: bytes) -> Found:
        row = self.look(tenant, key)
        alive = row is not None and row.status == "running" and self.alive(row.holder)
        return Found(False, row, alive, self.now())

    def find(self, act: Find) -> list[Row]:
        params: dict[str, Any] = {"tenant": act.tenant, "limit": act.limit}
        where = ""
        if act.prefix is not None:
            where += " AND e.key >= :low AND e.key <= :high"
            params["low"] = bytes.fromhex(act.prefix.ljust(64, "0"))
            params["high"] = bytes.fromhex(act.prefix.ljust(64, "f"))
        if act.workflow is not None:
            where += " AND e.scope = :scope AND e.workflow = :workflow"
            params |= {"scope": scope_of(act.tenant, act.workflow), "workflow": act.workflow}
        for name in ("tool", "status", "call_id"):
            if getattr(act, name) is not None:
                where += f" AND e.{name} = :{name}"
                params[name] = getattr(act, name)
        sql = self.dialect.say(STATEMENTS["find"], where=where)
        return [Row._make(r) for r in self._execute(sql, params).fetchall()]

    def plans(self, act: ReadPlans) -> list[Planned]:
        where: dict[str, Any] = {"tenant": act.tenant, "after": act.after, "limit": act.limit}
        if act.key is not None:
            found = self.run("plan_of", key=act.key, tenant=act.tenant).fetchall()
        elif act.workflow is None:
            found = self.run("trail", tool=act.tool, since=act.since, **where).fetchall()
        else:
            scope = scope_of(act.tenant, act.workflow)
            found = self.run("plans", scope=scope, workflow=act.workflow, **where).fetchall()
        return [Planned(seq, Row._make(row), undo) for seq, undo, *row in found]

    def neighbours(self, act: Neighbours) -> list[Neighbour]:
        where = " AND e.twin = :twin" if act.twin is not None else ""
        params = {"scope": act.scope, "twin": act.twin, "limit": act.limit}
        sql = self.dialect.say(STATEMENTS["neighbours"], where=where)
        found = self._execute(sql, params).fetchall()
        return [
            Neighbour._make((*facts, bool(asked), places_of(place)))
            for *facts, asked, place in reversed(found)
        ]

    def recorded(self, act: ReadRecords) -> list[Record]:
        found = self.run("recorded", scope=act.scope, after=act.after, limit=act.limit).fetchall()
        return [Record(seq, Row._make(row), within_of(place)) for seq, place, *row in found]

    def place(self, key: bytes) -> str | None:
        text: str | None = self.run("place", key=key).fetchone()[0]
        return text

    def put_place(self, key: bytes, place: str) -> None:
        self.run("put_place", key=key, place=place)

    def history(self, tenant: str, key: bytes) -> list[EventRow]:
        return [EventRow._make(r) for r in self.run("history", key=key, tenant=tenant).fetchall()]

    def inbox(
        self, tenant: str | None, limit: int, *, unnotified: bool
    ) -> list[tuple[str, int, int | None, str, Row]]:
        found = self.run(
            "inbox",
            tenant=tenant or "",
            everyone=tenant is None,
            unnotified=unnotified,
            limit=limit,
        ).fetchall()
        return [(k, opened, due, note, Row._make(row)) for k, opened, due, note, *row in found]

    def page(self, act: Page) -> list[tuple[int, Row, list[EventRow]]]:
        found = self.run("page", tenant=act.tenant, after=act.after, limit=act.limit).fetchall()
        rows = [(seq, Row._make(row)) for seq, *row in found]
        return [(n, r, self.history(act.tenant, r.key) if r.events else []) for n, r in rows]


def granted(claim: Claim, row: Row, now: int, twin: bytes | None, *, alive: bool) -> Found:
    """What a claim met when its key was taken; by itself, if the nonce is its own."""
    mine = row.nonce == claim.nonce and row.status == claim.status
    return Found(mine, row, alive, now, twin=twin)


#: what makes a worker the holder of something
_HOLDING = (Claim, Start, Ask, Reserve)


def holding(acts: Sequence[Any]) -> bool:
    """Whether any of *acts* may make this worker the holder of an effect."""
    return any(isinstance(act, _HOLDING) for act in acts)


def swift(acts: Sequence[Any]) -> bool:
    """
    Whether a power cut may take back *acts*, as it takes back what they are for.

    A reservation that begins no effect is there for a call of a model that the power cut ends, too;
    what such a call did cost is always waited for.
    """
    return all(isinstance(act, Reserve) and act.claim is None and act.start is None for act in acts)


def inserted(claim: Claim, now: int, twin: bytes | None) -> Found:
    """What a claim met when it was the first."""
    return Found(True, fresh_row(claim, now), True, now, twin=twin)
