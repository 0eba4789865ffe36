"""
Effects in PostgreSQL, through psycopg 3: for more than one machine.

A claim or a settle is one statement in one round trip, alone or for a whole group; see ``_server``
for what is promised of every server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import (
    nullcontext,
    suppress,
)
from typing import Any, cast

import psycopg
from sqlalchemy.exc import DBAPIError

from tallystick._acts import Claim, Found, Look, PutHalt, Settle
from tallystick._budgets._acts import Reckon, Reserve, SettleHeld
from tallystick._checkpoints import Kept, PutCheckpoint, PutWrites
from tallystick._model import Row
from tallystick._ports import AnyAct, Applied
from tallystick.errors import LedgerError
from tallystick.stores import _scripts
from tallystick.stores._archive_postgres import STATEMENTS as ARCHIVE_STATEMENTS
from tallystick.stores._archive_postgres import PostgresArchive
from tallystick.stores._checkpoint_sql import (
    PIECE_FIELDS,
    PUT_MANY,
    PUT_WRITES_MANY,
    REPLACE_WRITES_MANY,
    SAVED_FIELDS,
    WRITTEN_FIELDS,
)
from tallystick.stores._listen import CHANNEL, Listener
from tallystick.stores._server import ServerStore
from tallystick.stores._server_tx import ServerTx
from tallystick.stores._sql import (
    CLAIM_FIELDS,
    CLAIM_MANY,
    CLAIM_NEW,
    POSTGRES,
    SETTLE_FIELDS,
    SETTLE_MANY,
    array,
    single,
    unnest,
)
from tallystick.stores._tx import Execute, granted, holding, inserted

#: acts that one statement does for a whole group
_IN_BULK = (Claim, Settle, PutCheckpoint, PutWrites)
#: acts that share what they charge to a line
_SPENDING = (Reserve, SettleHeld, Reckon)
#: workflows that are remembered to have begun here, and so to be likely to hold nothing older
YOUNG = 10_000

_STATEMENTS = {
    **POSTGRES.statements(),
    "claim_one": POSTGRES.say(CLAIM_MANY, want=single(CLAIM_FIELDS)),
    "claim_many": POSTGRES.say(CLAIM_MANY, want=unnest(CLAIM_FIELDS)),
    "claim_new": POSTGRES.say(CLAIM_NEW, want=single(CLAIM_FIELDS)),
    "claim_new_many": POSTGRES.say(CLAIM_NEW, want=unnest(CLAIM_FIELDS)),
    "put_many": POSTGRES.say(
        PUT_MANY, want=unnest(SAVED_FIELDS), pieces=unnest(PIECE_FIELDS, prefix="b_")
    ),
    "put_writes_many": POSTGRES.say(PUT_WRITES_MANY, want=unnest(WRITTEN_FIELDS)),
    "replace_writes_many": POSTGRES.say(REPLACE_WRITES_MANY, want=unnest(WRITTEN_FIELDS)),
    "settle_many": POSTGRES.say(SETTLE_MANY, want=unnest(SETTLE_FIELDS)),
    "clock": POSTGRES.say("SELECT {now}"),
    **ARCHIVE_STATEMENTS,
    "publish": "SELECT pg_notify(%(channel)s, k) FROM unnest(CAST(%(keys)s AS text[])) AS k",
}


class PostgresTx(PostgresArchive, ServerTx):
    """One transaction (or one statement) on the server."""

    dialect = POSTGRES
    statements = _STATEMENTS

    def __init__(
        self, execute: Execute, lease: int, shift: int, worker: str, young: dict[bytes, None]
    ) -> None:
        super().__init__(execute, lease, shift, worker)
        self._young = young

    def claim(self, claims: Sequence[Claim]) -> list[Found]:
        """
        Insert and read in one statement; where all workflows are new, only insert.

        A replay costs one statement and so does a fresh effect; only a repeated call in a workflow
        that began a moment ago costs two.
        """
        self._guard(claims)
        created: dict[bytes, int] = {}
        if all(_plain(c) and c.scope in self._young for c in claims):
            created = dict(self._claimed("claim_new", claims))
        met = {c.nonce: inserted(c, created[c.nonce], None) for c in claims if c.nonce in created}
        rest = [c for c in claims if c.nonce not in created]
        for some in _apart(rest):
            rows = {row[0]: row for row in self._claimed("claim", some)}
            for c in some:
                met[c.nonce] = _found(c, rows[c.nonce])
                self._remember(c, met[c.nonce])
        return [met[c.nonce] for c in claims]

    def _guard(self, claims: Sequence[Claim]) -> None:
        """Where a twin would be in the way, nobody else inserts one until this is committed."""
        twins = sorted({int.from_bytes(c.twin[:8], signed=True) for c in claims if wary(c)})
        if twins:
            self.run("guard", twins=array(twins, "int"))

    def _claimed(self, name: str, claims: Sequence[Claim]) -> Sequence[Any]:
        """The rows that a statement returns for one claim, or the one of its kind for many."""
        rows = [_claim_params(c) for c in claims]
        if len(rows) == 1:
            return self.run("claim_one" if name == "claim" else name, **rows[0]).fetchall()
        return self.run(f"{name}_many", **_columns(rows, CLAIM_FIELDS)).fetchall()

    def _remember(self, c: Claim, found: Found) -> None:
        """Whether the next effects of this workflow are likely to be new, too."""
        if found.fresh and _plain(c):
            self._young[c.scope] = None
            if len(self._young) > YOUNG:
                self._young.pop(next(iter(self._young)), None)
        elif found.row is not None:
            self._young.pop(c.scope, None)

    def settle(self, settles: Sequence[Settle]) -> list[bool | None]:
        if len(settles) == 1:
            return [self._settle(settles[0])]
        # the statement takes one outcome for each attempt; another one comes too late
        first = {s.nonce: s for s in reversed(settles)}
        columns = _columns([s._asdict() for s in first.values()], SETTLE_FIELDS)
        matched = {row[0]: bool(row[1]) for row in self.run("settle_many", **columns).fetchall()}
        return [matched.get(s.nonce) if first[s.nonce] is s else None for s in settles]

    def keep(self, group: Sequence[PutCheckpoint | PutWrites]) -> list[Kept | None]:
        """Checkpoints and writes of any number of threads, in at most three statements."""
        puts = {(a.key, a.saved.ns, a.saved.id): a for a in group if isinstance(a, PutCheckpoint)}
        kept = self._keep(list(puts.values())) if puts else {}
        writes = [a for a in group if isinstance(a, PutWrites)]
        self._write("put_writes_many", [a for a in writes if not a.replace])
        self._write("replace_writes_many", [a for a in reversed(writes) if a.replace])
        return [
            kept[a.key, a.saved.ns, a.saved.id] if isinstance(a, PutCheckpoint) else None
            for a in group
        ]

    def _keep(self, puts: Sequence[PutCheckpoint]) -> dict[tuple[bytes, str, str], Kept]:
        rows = [{**a.saved._asdict(), "needs": a.needs, "since": a.since} for a in puts]
        pieces = {
            (a.key, blob.id): {**blob._asdict(), "thread": a.key, "since": a.since}
            for a in puts
            for blob in a.blobs
        }
        params = _columns(rows, SAVED_FIELDS) | {
            f"b_{name}": text
            for name, text in _columns(list(pieces.values()), PIECE_FIELDS).items()
        }
        done = {tuple(row) for row in self.run("put_many", **params).fetchall()}
        kept: dict[tuple[bytes, str, str], Kept] = {}
        for a in puts:
            place = (a.key, a.saved.ns, a.saved.id)
            # what was refused is asked for by itself, which says why
            kept[place] = "kept" if place in done else self.put_checkpoint(a)
        return kept

    def _write(self, name: str, acts: Sequence[PutWrites]) -> None:
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for act in acts:  # of two with one place the first counts
            for w in act.writes:
                place = (act.key, w.ns, w.checkpoint, w.task, w.idx)
                rows.setdefault(place, {**w._asdict(), "thread": act.key})
        if rows:
            self.run(name, **_columns(list(rows.values()), WRITTEN_FIELDS))

    def lock_lines(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        return [row[0] for row in self.run("lock_lines", lines=array(lines, "bytes")).fetchall()]


def _columns(rows: Sequence[Mapping[str, Any]], fields: Mapping[str, str]) -> dict[str, str]:
    """One array for each field, as the statements for many take them."""
    return {field: array((row[field] for row in rows), kind) for field, kind in fields.items()}


def wary(c: Claim) -> bool:
    """Whether a twin of the effect would be in its way."""
    return c.suspect != "run"


def _apart(claims: Sequence[Claim]) -> Iterable[list[Claim]]:
    """Twins of wary claims one after the other: a statement does not see what it inserts itself."""
    alone = {c.twin for c in claims if wary(c)}
    rounds: dict[int, list[Claim]] = {}
    begun: Counter[bytes] = Counter()
    for c in claims:
        rounds.setdefault(begun[c.twin], []).append(c)
        begun[c.twin] += c.twin in alone
    return rounds.values()


def _plain(c: Claim) -> bool:
    """Whether nothing but the effect's own key and the halts decide about the claim."""
    return c.status == "running" and c.suspect == "run" and c.call_id is None


def _claim_params(claim: Claim) -> dict[str, Any]:
    return claim._asdict() | {"attempt": int(claim.status == "running")}


def _found(claim: Claim, row: Any) -> Found:
    _, created, now, halted, twin, alive, stale, *effect = row
    if created is not None:
        return inserted(claim, created, twin)
    if effect[0] is not None:
        return granted(claim, Row._make(effect), now, twin, alive=bool(alive))
    seen = twin if claim.suspect != "run" else None
    return Found(False, None, False, now, halted=halted, twin=seen, stale=stale)


class PostgresStore(ServerStore[psycopg.Connection[Any], PostgresTx]):
    """The store behind ``postgresql://``."""

    failures = psycopg.Error

    def _reset(self) -> None:
        super()._reset()
        self._young: dict[bytes, None] = {}

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of its own, outside the engine's pool, in autocommit."""
        try:
            fairy = self.engine.raw_connection()
        except DBAPIError as error:
            raise (error.orig or error) from error
        raw = cast("psycopg.Connection[Any]", fairy.driver_connection)
        fairy.detach()
        raw.rollback()
        raw.autocommit = True
        return raw

    def _on(self, execute: Execute) -> PostgresTx:
        return PostgresTx(execute, self._lease, self.shift, self._id, self._young)

    def _tx(self, db: psycopg.Connection[Any]) -> PostgresTx:
        return self._on(_execute(db))

    def _lost(self, db: psycopg.Connection[Any]) -> bool:
        return db.broken or db.closed

    def _clashed(self, error: BaseException) -> bool:
        return str(getattr(error, "sqlstate", None) or "").startswith(("40", "23505"))

    def _apply(self, acts: Sequence[AnyAct], so_far: Applied) -> Applied:
        """Each statement commits by itself; what was answered before a clash is not done again."""
        db = self._ready()
        if holding(acts) and not self.lively():
            self._register(self._tx(db))
        answers, touched = so_far
        left = [i for i in range(len(acts)) if answers[i] is None]
        order = sorted(left, key=lambda i: getattr(acts[i], "key", b""))
        self._in_bulk(db, [(i, acts[i]) for i in order], answers, touched)
        self._look(db, acts, answers)
        self._spend(
            db, [i for i in order if isinstance(acts[i], _SPENDING)], acts, answers, touched
        )
        for i in order:
            act = acts[i]
            if answers[i] is None and not isinstance(act, (*_IN_BULK, *_SPENDING)):
                with db.transaction():
                    answer = _scripts.perform(self._tx(db), act, touched)
                if isinstance(act, PutHalt):
                    self._until_seen(db)
                answers[i] = answer  # only now: a commit may fail, too
        return so_far

    def _in_bulk(
        self,
        db: psycopg.Connection[Any],
        acts: Sequence[tuple[int, AnyAct]],
        answers: list[Any],
        touched: list[tuple[bytes, bool]],
    ) -> None:
        """What one statement does for the whole group: claims, settles, checkpoints."""
        claims = [(i, a) for i, a in acts if isinstance(a, Claim)]
        settles = [(i, a) for i, a in acts if isinstance(a, Settle)]
        saves = [(i, a) for i, a in acts if isinstance(a, PutCheckpoint | PutWrites)]
        if claims:
            with db.transaction() if any(wary(a) for _, a in claims) else nullcontext():
                met = self._tx(db).claim([a for _, a in claims])
            for (i, claim), found in zip(claims, met, strict=True):
                answers[i] = found
                _scripts.applied(claim)
        if settles:
            matched = self._tx(db).settle([a for _, a in settles])
            for (i, settle), ok in zip(settles, matched, strict=True):
                answers[i] = self._settled(db, settle, ok, touched)
                _scripts.applied(settle)
        if saves:
            kept = self._tx(db).keep([a for _, a in saves])
            for (i, save), answer in zip(saves, kept, strict=True):
                answers[i] = answer
                _scripts.applied(save)

    def _spend(
        self,
        db: psycopg.Connection[Any],
        mine: Sequence[int],
        acts: Sequence[AnyAct],
        answers: list[Any],
        touched: list[tuple[bytes, bool]],
    ) -> None:
        """Charge each line of a budget once for the whole group, in one transaction."""
        if not mine:
            return
        with db.transaction():
            done = _scripts.perform_group(self._tx(db), [acts[i] for i in mine], touched)
        for i, answer in zip(mine, done, strict=True):
            answers[i] = answer

    def _look(
        self, db: psycopg.Connection[Any], acts: Sequence[AnyAct], answers: list[Any]
    ) -> None:
        """Many callers look at the same effect at once: read each effect once per group."""
        met: dict[bytes, Found] = {}
        for i, act in enumerate(acts):
            if isinstance(act, Look) and not act.await_:
                if act.key not in met:
                    met[act.key] = _scripts.look(self._tx(db), act)
                answers[i] = met[act.key]

    def _until_seen(self, db: psycopg.Connection[Any]) -> None:
        """
        Wait for the statements that began before a halt was committed, and so did not see it.

        A share lock is granted once they have ended; whoever begins later sees the halt. A long
        transaction of a TRANSACTIONAL tool may outlast the wait.
        """
        with (
            suppress(
                psycopg.errors.LockNotAvailable,
                psycopg.errors.FeatureNotSupported,
                psycopg.errors.SyntaxError,
                psycopg.errors.InsufficientPrivilege,
            ),
            db.transaction(),
        ):
            db.execute("SET LOCAL lock_timeout = '2s'")
            db.execute("LOCK TABLE tallystick_effect IN SHARE MODE")

    def _settled(
        self, db: psycopg.Connection[Any], act: Settle, ok: bool | None, touched: Any
    ) -> Any:
        if ok is not None:
            return _scripts.settle(self._tx(db), act, ok, touched)
        with db.transaction():
            return _scripts.settle_apart(self._tx(db), act, touched)

    def publish(self, keys: Sequence[bytes]) -> None:
        try:
            with self._reader() as db:
                hexes = [key.hex() for key in keys]
                _execute(db)(_STATEMENTS["publish"], {"channel": CHANNEL, "keys": hexes})
        except LedgerError:
            return  # a hint; waiters look by themselves every second

    def watch(self, wake: Callable[[Sequence[bytes] | None], None]) -> Callable[[], None]:
        return Listener(self.connect, wake).end


def _execute(db: psycopg.Connection[Any]) -> Execute:
    def run(sql: str, params: Mapping[str, Any] | tuple[Any, ...]) -> psycopg.Cursor[Any]:
        return db.execute(sql.encode(), params, binary=True)

    return run
