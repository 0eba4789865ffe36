"""Mutants that are no other program: each with the reason why nothing can tell them apart."""

from __future__ import annotations

_SAID: dict[str, tuple[str, ...]] = {
    "a row that is not there brings no change: the test is for the type checker": (
        "memory | _scripts.start | before is None -> False",
        "memory | _scripts.release | row is None -> False",
        "memory | _scripts.lapse | row -> True (2)",
        "memory | _scripts.ask_again | row -> True (2)",
    ),
    "without a listener a point does nothing; the test saves the call": (
        "memory | _scripts.applied | _points.armed -> True",
        "memory | _scripts.perform | _points.armed -> True",
    ),
    "an empty part of a group does nothing; the test saves the call": (
        "memory | _scripts.perform_group | claims -> True",
        "memory | _scripts.perform_group | settles -> True",
    ),
    "where no halt is in force none concerns the effect; the test saves the search": (
        "memory | _memory.MemoryTx._claim | self._shelf.stops -> True",
    ),
    "no round is later than the effect's own epoch": (
        "memory | _memory.MemoryTx.votes | r <= row.epoch -> True",
    ),
    "awaiting what is awaited changes nothing; the test saves the write": (
        "memory | _memory.MemoryTx.await_ | not row.awaited -> True",
    ),
    "an effect without events has an empty chain; the test saves the query": (
        "sqlite | _tx.SqlTx.page | r.events -> True",
        "postgres | _tx.SqlTx.page | r.events -> True",
    ),
    "nobody is nobody's heartbeat; the test saves the query": (
        "postgres | _postgres.PostgresTx.alive | holder is not None -> True",
    ),
    "the plain insert is a shortcut: what it does not insert is claimed in full": (
        (
            "postgres | _postgres.PostgresTx.claim | "
            "all((_plain(c) and c.scope in self._young for c in claims)) -> False"
        ),
        "postgres | _postgres.PostgresTx.claim | _plain(c) -> False",
        "postgres | _postgres.PostgresTx.claim | c.scope in self._young -> False",
        "postgres | claim_new | (h.tenant IS NULL OR h.tenant = w.tenant) -> true",
        "postgres | claim_new | (h.tool IS NULL OR h.tool = w.tool) -> true",
        "postgres | claim_new | (h.workflow IS NULL OR h.workflow = w.workflow) -> true",
        "postgres | claim_new_many | (h.tenant IS NULL OR h.tenant = w.tenant) -> true",
        "postgres | claim_new_many | (h.tool IS NULL OR h.tool = w.tool) -> true",
        "postgres | claim_new_many | (h.workflow IS NULL OR h.workflow = w.workflow) -> true",
    ),
    "claimed in full, what was just inserted is found under its own nonce": (
        "postgres | _postgres.PostgresTx.claim | c.nonce not in created -> True",
    ),
    "what need not be claimed apart may be, in more statements": (
        "postgres | _postgres._apart | wary(c) -> True",
        "postgres | _postgres._apart | c.twin in alone -> True",
    ),
    "of no twins nothing is locked; the test saves the statement": (
        "postgres | _postgres.PostgresTx._guard | twins -> True",
    ),
    "the statement for many also takes one claim": (
        "postgres | _postgres.PostgresTx._claimed | len(rows) == 1 -> False",
    ),
    "the statement for many also takes one": (
        "postgres | _postgres.PostgresTx.settle | len(settles) == 1 -> False",
    ),
    "SQLite has no heartbeats: SqliteTx.start has looked at the lock file before": (
        "sqlite | start | (e.status <> 'running' OR NOT ?) -> true",
        "sqlite | start | e.status <> 'running' -> false",
    ),
    "this only narrows the search: whatever a worker holds it inserted or started": (
        "sqlite | held | (e.seq >= (SELECT w.first_seq FROM tallystick …  = 'started')) -> true",
        "sqlite | held | v.actor = ? -> true",
        "sqlite | held | v.kind = 'started' -> true",
        "postgres | held | (e.seq >= (SELECT w.first_seq FROM tallystick …  = 'started')) -> true",
        "postgres | held | v.actor = ? -> true",
        "postgres | held | v.kind = 'started' -> true",
    ),
    "SQLite takes the first worker's row, whose effects begin earliest of all": (
        "sqlite | held | w.id = ? -> true",
    ),
    "a row under the claim's own key is a conflict by itself": (
        "postgres | claim_one | t.key <> w.key -> true",
        "postgres | claim_many | t.key <> w.key -> true",
    ),
    "the flag is read only where nothing was inserted and nothing found": (
        "postgres | claim_one | e.key IS NULL -> true",
        "postgres | claim_one | i.key IS NULL -> true",
        "postgres | claim_many | e.key IS NULL -> true",
        "postgres | claim_many | i.key IS NULL -> true",
    ),
    "a nonce belongs to one claim, and so to one key": (
        "postgres | claim_one | i.key = w.key -> true",
        "postgres | claim_many | i.key = w.key -> true",
    ),
    "of one claim one row is inserted: its own": (
        "postgres | claim_one | i.nonce = w.nonce -> true",
    ),
    "a statement about nothing does nothing; the test saves it": (
        "postgres | _postgres.PostgresTx.keep | puts -> True",
        "postgres | _postgres.PostgresTx._write | rows -> True",
    ),
    "what is replaced may be kept beside before": (
        "postgres | _postgres.PostgresTx.keep | not a.replace -> True",
    ),
    "what the statement for many does not keep is asked for by itself": (
        "postgres | _postgres.PostgresTx._keep | place in done -> False",
        "postgres | put_many | w.needs IS NULL -> false",
        (
            "postgres | put_many"
            " | EXISTS ( SELECT 1 FROM held h WHERE h.thread  … .id = w.needs) -> false"
        ),
        "postgres | put_many | gone.thread = w.thread -> true",
        "postgres | put_many | gone.through >= w.since -> true",
    ),
    "what is held too much is not asked for": (
        "postgres | put_many | c.thread = w.thread -> true",
        "postgres | put_many | c.ns = w.ns -> true",
        "postgres | put_many | c.id = w.needs -> true",
    ),
    "nobody sends a piece while this transaction clears away; two at once do in test_races": (
        "sqlite | drop_blob | at < ? -> true",
        "postgres | drop_blob | at < ? -> true",
    ),
}

EQUIVALENT = {name: reason for reason, names in _SAID.items() for name in names}
