"""
All the SQL, each statement with a name and a sentence.

Written once for SQLite and PostgreSQL. ``:name`` is a parameter; ``{now}``, ``{alive}``, ``{lock}``
and ``{share}`` are what the databases say differently. Nothing here goes beyond
``INSERT … ON CONFLICT DO NOTHING``, ``UPDATE … RETURNING`` and one mutation per table and
statement, so PostgreSQL's relatives can run it too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from tallystick._acts import Claim, Settle
from tallystick._model import Row
from tallystick.stores._archive_sql import ARCHIVE_STATEMENTS
from tallystick.stores._budget_sql import BUDGET_STATEMENTS, KNOWN
from tallystick.stores._checkpoint_sql import CHECKPOINT_STATEMENTS
from tallystick.stores._retention_sql import RETENTION_STATEMENTS
from tallystick.stores._vault_sql import VAULT_STATEMENTS

COLUMNS = Row._fields
_ROW = ", ".join(f"e.{name}" for name in COLUMNS)
_OWN = ", ".join(COLUMNS)

#: a halt concerns the effect ``{e}``; draining lets go on what has begun, containing what undoes
_HALTED = """EXISTS (SELECT 1 FROM tallystick_halt h
       WHERE (h.tenant IS NULL OR h.tenant = {e}tenant)
         AND (h.tool IS NULL OR h.tool = {e}tool)
         AND (h.workflow IS NULL OR h.workflow = {e}workflow){mode})"""

_DRAINED = " AND (h.mode <> 'drain' OR e.attempt = 0)"
_CONTAINED = " AND (h.mode <> 'contain' OR NOT {u})"
_STOPPED = _HALTED.format(e="w.", mode=_CONTAINED.format(u="w.undoing"))

STATEMENTS = {
    # -- the straight path --------------------------------------------------------------------
    # Insert an effect unless its key is taken or a halt forbids it (SQLite; one row).
    "claim": f"""
INSERT INTO tallystick_effect (key, tenant, workflow, tool, call_id, guarantee, status, epoch,
       attempt, holder, nonce, digest, shown, args, quorum, approval_until, facts, quiet,
       key_lifetime, created_at, started_at, changed_at, events, awaited, scope, twin, place,
       undo)
SELECT :key, :tenant, :workflow, :tool, :call_id, :guarantee, :status, 1,
       :attempt, :holder, :nonce, :digest, :shown, :args, :quorum, {{now}} + :expires, :facts,
       :quiet, :key_lifetime, {{now}}, CASE WHEN :attempt = 1 THEN {{now}} END, {{now}}, 0, false,
       :scope, :twin, :place, :undo
 WHERE NOT {_HALTED.format(e=":", mode=_CONTAINED.format(u=":undoing"))}
   AND (:attempt = 0 OR {KNOWN.format(e=":")})
    ON CONFLICT (key) DO NOTHING""",
    # Record an outcome, if the attempt is still its holder's.
    "settle": """
UPDATE tallystick_effect
   SET status = :to, result = :result, result_digest = :result_digest, result_note = :note,
       error = :error, changed_at = {now}
 WHERE key = :key AND tenant = :tenant AND status = 'running' AND epoch = :epoch
   AND nonce = :nonce
RETURNING awaited""",
    # Read an effect.
    "look": f"SELECT {_ROW} FROM tallystick_effect e WHERE e.key = :key AND e.tenant = :tenant",
    # -- beginning an attempt at what exists ---------------------------------------------------
    # Binding, expiry, single use, liveness, halts and claim in one row update.
    "start": f"""
UPDATE tallystick_effect AS e
   SET status = 'running', holder = :holder, nonce = :nonce, epoch = e.epoch + 1,
       attempt = e.attempt + 1, started_at = coalesce(e.started_at, {{now}}),
       changed_at = {{now}}, error = NULL,
       result_note = CASE WHEN e.status IN ('running', 'in_doubt') THEN 'unsure' END,
       undo = coalesce(CAST(:undo AS TEXT), e.undo)
 WHERE e.key = :key AND e.tenant = :tenant AND e.status = :status AND e.epoch = :epoch
   AND e.shown = :shown
   AND (e.approval_until IS NULL OR e.approval_until > {{now}}
        OR e.status IN ('running', 'in_doubt'))
   AND (e.status <> 'running' OR NOT {{alive}})
   AND NOT {_HALTED.format(e="e.", mode=_DRAINED + _CONTAINED.format(u=":undoing"))}
   AND {KNOWN.format(e=":")}
RETURNING {_OWN}""",
    # Read an effect and keep others from changing it until the transaction ends.
    "load": f"""
SELECT {_ROW} FROM tallystick_effect e WHERE e.key = :key AND e.tenant = :tenant{{lock}}""",
    # Read an effect, whether its holder lives, and the clock, in one go (PostgreSQL).
    "glance": f"""
SELECT {{now}}, e.status = 'running' AND {{alive}}, {_ROW}
  FROM tallystick_effect e WHERE e.key = :key AND e.tenant = :tenant""",
    # Whether any halt forbids a new effect.
    "halted": f"SELECT {_HALTED.format(e=':', mode=_CONTAINED.format(u=':undoing'))}",
    # The newest effect of the same tool and arguments in the same workflow, under another key.
    "twin": """
SELECT key FROM tallystick_effect
 WHERE scope = :scope AND twin = :twin AND key <> :key AND seq > :after
 ORDER BY seq DESC LIMIT 1""",
    # Let nobody else begin the like of these until the transaction ends (PostgreSQL).
    "guard": """
SELECT pg_advisory_xact_lock(k) FROM unnest(CAST(:twins AS bigint[])) AS k ORDER BY k""",
    # The effects beside which a call may stand, oldest first.
    "neighbours": """
SELECT e.seq, e.key, e.call_id, e.tool, e.twin, e.status, e.approval_until IS NOT NULL, e.place
  FROM tallystick_effect e
 WHERE e.scope = :scope{where} ORDER BY e.seq DESC LIMIT :limit""",
    # The effects of a workflow as they were asked for, oldest first.
    "recorded": f"""
SELECT e.seq, e.place, {_ROW} FROM tallystick_effect e
 WHERE e.scope = :scope AND e.seq > :after ORDER BY e.seq LIMIT :limit""",
    # The places at which an effect was asked for.
    "place": "SELECT place FROM tallystick_effect WHERE key = :key",
    # Write them.
    "put_place": "UPDATE tallystick_effect SET place = :place WHERE key = :key",
    # Ask whoever changes an unfinished effect to tell other processes.
    "await": """
UPDATE tallystick_effect SET awaited = true
 WHERE key = :key AND tenant = :tenant AND NOT awaited
   AND status IN ('pending', 'approved', 'running', 'in_doubt')""",
    # -- events -------------------------------------------------------------------------------
    # Add an event to a chain; (key, n) is the primary key.
    "append": """
INSERT INTO tallystick_event (key, n, kind, actor, at, epoch, detail, previous, hash)
VALUES (:key, :n, :kind, :actor, :at, :epoch, :detail, :previous, :hash)""",
    # Read a chain, unless it is another tenant's (a chain of halts has no effect).
    "history": """
SELECT key, n, kind, actor, at, epoch, detail, previous, hash
  FROM tallystick_event v
 WHERE v.key = :key AND NOT EXISTS (
       SELECT 1 FROM tallystick_effect e WHERE e.key = :key AND e.tenant <> :tenant)
 ORDER BY n""",
    # Read the end of a chain.
    "last_event": """
SELECT key, n, kind, actor, at, epoch, detail, previous, hash
  FROM tallystick_event WHERE key = :key ORDER BY n DESC LIMIT 1""",
    # -- the inbox ----------------------------------------------------------------------------
    # Show an effect to people, once per kind.
    "open_item": """
INSERT INTO tallystick_inbox (key, kind, tenant, opened_at, due_at, note, notified)
VALUES (:key, :kind, :tenant, :at, :due, :note, false) ON CONFLICT (key, kind) DO NOTHING""",
    # Take it out again.
    "close_item": "DELETE FROM tallystick_inbox WHERE key = :key AND kind = :kind",
    # The listeners heard of it.
    "notified": "UPDATE tallystick_inbox SET notified = true WHERE key = :key AND kind = :kind",
    # Read the inbox, oldest first.
    "inbox": f"""
SELECT i.kind, i.opened_at, i.due_at, i.note, {_ROW}
  FROM tallystick_inbox i JOIN tallystick_effect e ON e.key = i.key
 WHERE (:everyone OR i.tenant = :tenant) AND NOT (:unnotified AND i.notified)
 ORDER BY i.opened_at, i.key LIMIT :limit""",
    # -- decisions ----------------------------------------------------------------------------
    # One person's approval in one round; (key, round, actor) is the primary key.
    "put_vote": """
INSERT INTO tallystick_vote (key, round, actor, digest, reason, at)
VALUES (:key, :round, :actor, :digest, :reason, :at)""",
    # The approvals of a pending effect's round, or else of its last round.
    "votes": """
SELECT actor, digest FROM tallystick_vote v
 WHERE v.key = :key
   AND v.round = CASE WHEN :pending THEN CAST(:round AS BIGINT) ELSE
         (SELECT max(w.round) FROM tallystick_vote w WHERE w.key = :key) END
 ORDER BY at, actor""",
    # -- halts --------------------------------------------------------------------------------
    # Forbid effects to start.
    "put_halt": """
INSERT INTO tallystick_halt (tenant, tool, workflow, mode, actor, reason, at)
VALUES (:tenant, :tool, :workflow, :mode, :actor, :reason, :at)""",
    # Allow again exactly what one halt forbade.
    "lift_halt": """
DELETE FROM tallystick_halt
 WHERE coalesce(tenant, '') = coalesce(CAST(:tenant AS TEXT), '')
   AND coalesce(tool, '') = coalesce(CAST(:tool AS TEXT), '')
   AND coalesce(workflow, '') = coalesce(CAST(:workflow AS TEXT), '')
   AND (mode = 'contain') = :contain
   AND (CAST(:only AS TEXT) IS NULL OR reason = :only)""",
    # Read the halts that concern a tenant.
    "halts": """
SELECT tenant, tool, workflow, mode, actor, reason, at FROM tallystick_halt
 WHERE tenant IS NULL OR tenant = :tenant ORDER BY id""",
    # -- workers ------------------------------------------------------------------------------
    # A worker lives; remember where its rows begin when it is new, or was forgotten meanwhile.
    "beat": """
INSERT INTO tallystick_worker (id, host, pid, started_at, last_seen, first_seq)
SELECT :worker, :host, :pid, {now}, {now}, coalesce(CAST(:first AS BIGINT), max(seq), 0)
  FROM tallystick_effect
 WHERE true
    ON CONFLICT (id) DO UPDATE SET last_seen = excluded.last_seen
RETURNING first_seq""",
    # All workers that are known.
    "workers": "SELECT id FROM tallystick_worker ORDER BY id",
    # Workers whose lease ran out (PostgreSQL).
    "dead": "SELECT id FROM tallystick_worker WHERE last_seen <= {now} - :lease ORDER BY id",
    # Whether a worker's lease runs (PostgreSQL).
    "alive": """
SELECT EXISTS (
       SELECT 1 FROM tallystick_worker WHERE id = :worker AND last_seen > {now} - :lease)""",
    # What a worker left running: rows it inserted, and rows whose attempt it began later.
    "held": f"""
SELECT {_ROW} FROM tallystick_effect e
 WHERE e.holder = :worker AND e.status = 'running'
   AND (e.seq >= (SELECT w.first_seq FROM tallystick_worker w WHERE w.id = :worker)
        OR e.key IN (SELECT v.key FROM tallystick_event v
                      WHERE v.actor = :worker AND v.kind = 'started'))
 ORDER BY e.key LIMIT :limit{{lock}}""",
    # Forget a worker.
    "bury": "DELETE FROM tallystick_worker WHERE id = :worker",
    # -- reading ------------------------------------------------------------------------------
    # Effects, newest first.
    "find": f"""
SELECT {_ROW} FROM tallystick_effect e
 WHERE e.tenant = :tenant{{where}} ORDER BY e.seq DESC LIMIT :limit""",
    # The effects of a workflow and how each is undone, in the order they were written.
    "plans": f"""
SELECT e.seq, e.undo, {_ROW} FROM tallystick_effect e
 WHERE e.scope = :scope AND e.tenant = :tenant AND e.workflow = :workflow AND e.seq > :after
 ORDER BY e.seq LIMIT :limit""",
    # One effect and how it is undone.
    "plan_of": f"""
SELECT e.seq, e.undo, {_ROW} FROM tallystick_effect e WHERE e.key = :key AND e.tenant = :tenant""",
    # The effects of a tenant, a tool or a time with their plans, in the order they were written.
    "trail": f"""
SELECT e.seq, e.undo, {_ROW} FROM tallystick_effect e
 WHERE e.tenant = :tenant AND e.seq > :after
   AND (CAST(:tool AS TEXT) IS NULL OR e.tool = :tool)
   AND (CAST(:since AS BIGINT) IS NULL OR e.changed_at >= :since OR e.status = 'running')
 ORDER BY e.seq LIMIT :limit""",
    # Rows in the order they were written.
    "page": f"""
SELECT e.seq, {_ROW} FROM tallystick_effect e
 WHERE e.tenant = :tenant AND e.seq > :after ORDER BY e.seq LIMIT :limit""",
}

#: Insert many effects and read what they met, in one statement (PostgreSQL).
CLAIM_MANY = f"""
WITH want AS ({{want}}),
ins AS (
  INSERT INTO tallystick_effect (key, tenant, workflow, tool, call_id, guarantee, status, epoch,
         attempt, holder, nonce, digest, shown, args, quorum, approval_until, facts, quiet,
         key_lifetime, created_at, started_at, changed_at, events, awaited, scope, twin, place,
         undo)
  SELECT w.key, w.tenant, w.workflow, w.tool, w.call_id, w.guarantee, w.status, 1,
         w.attempt, CASE WHEN w.attempt = 1 THEN w.holder END, w.nonce, w.digest, w.shown, w.args,
         w.quorum, {{now}} + w.expires, w.facts, w.quiet, w.key_lifetime, {{now}},
         CASE WHEN w.attempt = 1 THEN {{now}} END, {{now}}, 0, false, w.scope, w.twin,
         w.place, w.undo
    FROM want w
   WHERE NOT {_STOPPED}
     AND (w.attempt = 0 OR {KNOWN.format(e="w.")})
     AND (w.suspect = 'run' OR NOT EXISTS (
           SELECT 1 FROM tallystick_effect t
            WHERE t.scope = w.scope AND t.twin = w.twin AND t.key <> w.key AND t.seq > w.after))
   ORDER BY w.key
      ON CONFLICT (key) DO NOTHING
  RETURNING key, nonce, created_at)
SELECT w.nonce, i.created_at, {{now}},
       e.key IS NULL AND i.key IS NULL AND {_STOPPED},
       CASE WHEN w.call_id IS NOT NULL OR w.suspect <> 'run' THEN
         (SELECT t.key FROM tallystick_effect t
           WHERE t.scope = w.scope AND t.twin = w.twin AND t.key <> w.key AND t.seq > w.after
           ORDER BY t.seq DESC LIMIT 1) END,
       e.status = 'running' AND {{alive}},
       e.key IS NULL AND i.key IS NULL AND w.attempt = 1 AND NOT {KNOWN.format(e="w.")},
       {_ROW}
  FROM want w
  LEFT JOIN ins i ON i.key = w.key AND i.nonce = w.nonce
  LEFT JOIN tallystick_effect e ON e.key = w.key AND e.tenant = w.tenant"""

#: Insert effects and read nothing else: for workflows that were new a moment ago (PostgreSQL).
CLAIM_NEW = f"""
INSERT INTO tallystick_effect (key, tenant, workflow, tool, call_id, guarantee, status, epoch,
       attempt, holder, nonce, digest, shown, args, quorum, approval_until, facts, quiet,
       key_lifetime, created_at, started_at, changed_at, events, awaited, scope, twin, place,
       undo)
SELECT w.key, w.tenant, w.workflow, w.tool, w.call_id, w.guarantee, 'running', 1, 1, w.holder,
       w.nonce, w.digest, w.shown, w.args, w.quorum, NULL, NULL, w.quiet, w.key_lifetime,
       {{now}}, {{now}}, {{now}}, 0, false, w.scope, w.twin,
         w.place, w.undo
  FROM ({{want}}) w
 WHERE NOT {_STOPPED} AND {KNOWN.format(e="w.")}
 ORDER BY w.key
    ON CONFLICT (key) DO NOTHING RETURNING nonce, created_at"""

#: Record many outcomes in one statement (PostgreSQL).
SETTLE_MANY = """
UPDATE tallystick_effect e
   SET status = w.status, result = w.result, result_digest = w.result_digest,
       result_note = w.note, error = w.error, changed_at = {now}
  FROM ({want}) w
 WHERE e.key = w.key AND e.tenant = w.tenant AND e.status = 'running' AND e.epoch = w.epoch
   AND e.nonce = w.nonce
RETURNING e.nonce, e.awaited"""

_TYPES = {"bytes": "bytea", "int": "bigint", "str": "text", "bool": "boolean"}
_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


def numbered(text: str, names: Sequence[str]) -> str:
    """*text* with its parameters by number, for values that come as a tuple (SQLite)."""
    return _PARAMETER.sub(lambda m: f"?{names.index(m.group(1)) + 1}", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The things that a database says in its own way."""

    now: str
    alive: str
    lock: str
    share: str
    #: how a parameter is written, with ``name`` in place of its name
    parameter: str
    #: begins a transaction that sees the world as it is at one moment
    snapshot: str = "BEGIN"

    def say(self, text: str, **more: str) -> str:
        """*text* in this dialect."""
        own = {"now": self.now, "alive": self.alive, "lock": self.lock, "share": self.share}
        filled = text.format_map(_Keep(own | more))
        return _PARAMETER.sub(lambda m: self.parameter.replace("name", m.group(1)), filled)

    def statements(self) -> Mapping[str, str]:
        """All statements in this dialect, by name."""
        return {name: self.say(text) for name, text in common().items()}


def common() -> dict[str, str]:
    """All statements by name, as they are written once for every database."""
    return {
        **STATEMENTS,
        **CHECKPOINT_STATEMENTS,
        **BUDGET_STATEMENTS,
        **RETENTION_STATEMENTS,
        **ARCHIVE_STATEMENTS,
        **VAULT_STATEMENTS,
    }


class _Keep(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "{" + name + "}"


SQLITE = Dialect(now=":now", alive=":alive", lock="", share="", parameter=":name")
_PG_NOW = "(CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) + :shift)"
_PG_ALIVE = f"""EXISTS (SELECT 1 FROM tallystick_worker k
         WHERE k.id = e.holder AND k.last_seen > {_PG_NOW} - :lease)"""
POSTGRES = Dialect(
    now=_PG_NOW,
    alive=_PG_ALIVE,
    lock=" FOR UPDATE",
    share=" FOR KEY SHARE",
    parameter="%(name)s",
    snapshot="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
)


def unnest(fields: Mapping[str, str], prefix: str = "") -> str:
    """A table of parameters: one array per column, one element per act."""
    arrays = ", ".join(
        f"CAST(:{prefix}{name} AS {_TYPES[kind]}[])" for name, kind in fields.items()
    )
    return f"SELECT * FROM unnest({arrays}) AS u({', '.join(fields)})"


def array(values: Iterable[Any], kind: str) -> str:
    """
    *values* as PostgreSQL writes an array of *kind* (its manual, "Array Input and Output Syntax").

    The driver's own way through a regular expression for each element costs as much as the insert.
    """
    if kind == "bytes":
        items = ("NULL" if v is None else f'"\\\\x{v.hex()}"' for v in values)
    elif kind == "int":
        items = ("NULL" if v is None else str(v) for v in values)
    elif kind == "bool":
        items = ("t" if v else "f" for v in values)
    else:
        items = ("NULL" if v is None else f'"{_quoted(v)}"' for v in values)
    return f"{{{','.join(items)}}}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def single(fields: Mapping[str, str]) -> str:
    """The same table with exactly one row, without arrays."""
    return "SELECT " + ", ".join(
        f"CAST(:{name} AS {_TYPES[kind]}) AS {name}" for name, kind in fields.items()
    )


def kinds(act: type[Claim | Settle]) -> dict[str, str]:
    """The columns of an act and whether each is bytes, int, str or bool."""
    return {
        name: next(kind for kind in _TYPES if kind in str(hint))
        for name, hint in get_type_hints(act).items()
    }


CLAIM_FIELDS = kinds(Claim) | {"attempt": "int"}
SETTLE_FIELDS = kinds(Settle)
