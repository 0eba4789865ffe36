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
        "memory | _scripts._perform | _points.armed -> True",
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
    "the scope is made of the tenant and the workflow": (
        "sqlite | plans | e.scope = ? -> true",
        "sqlite | plans | e.workflow = ? -> true",
        "postgres | plans | e.scope = ? -> true",
        "postgres | plans | e.workflow = ? -> true",
    ),
    "what is looked up again is what it was; the test saves the look": (
        "memory | _retention_scripts.Closed.__call__ | found is None -> True",
    ),
    "a plan that is nothing is none; the test saves an entry": (
        "memory | _memory.MemoryTx._claim | c.undo is not None -> True",
        "memory | _archive_memory.MemoryArchive._put_record | record.undo is not None -> True",
    ),
    "awaiting what is awaited changes nothing; the test saves the write": (
        "memory | _memory.MemoryTx.await_ | not row.awaited -> True",
    ),
    "what is named nowhere in a text is nowhere in its objects; the test saves the reading": (
        "memory | _places.within_of | WITHIN not in text -> False",
        "memory | _places.within_of | text is None or WITHIN not in text -> False",
    ),
    "an effect without events has an empty chain; the test saves the query": (
        "memory | _retention_scripts._drop | row.events -> True",
        "sqlite | _tx.SqlTx.page | r.events -> True",
        "postgres | _tx.SqlTx.page | r.events -> True",
        "mariadb | _tx.SqlTx.page | r.events -> True",
    ),
    "nobody is nobody's heartbeat; the test saves the query": (
        "postgres | _server_tx.ServerTx.alive | holder is not None -> True",
    ),
    "the plain insert is a shortcut: what it does not insert is claimed in full": (
        (
            "postgres | _postgres.PostgresTx.claim | "
            "all((_plain(c) and c.scope in self._young for c in claims)) -> False"
        ),
        "postgres | _postgres.PostgresTx.claim | _plain(c) -> False",
        "postgres | _postgres.PostgresTx.claim | c.scope in self._young -> False",
        "postgres | claim_new | (h.mode <> 'contain' OR NOT w.undoing) -> true",
        "postgres | claim_new_many | (h.mode <> 'contain' OR NOT w.undoing) -> true",
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
    "who locks too much keeps more waiting, and nothing apart": (
        "postgres | lock_lines | w.id = l.id -> true",
    ),
    "one writer at a time has every line; a play on PostgreSQL has a line begun by another": (
        "memory | _till.Till._ours | demand.line not in self._locked -> False",
    ),
    "who only asks goes by no budget; told of others, it learns them and asks again": (
        "postgres | claim_many | w.attempt = 1 -> true (3)",
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
        "mariadb | held | e.seq >= (SELECT w.first_seq FROM tallystick_ … HERE w.id = ?) -> true",
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
        "postgres | claim_one | e.key IS NULL -> true (2)",
        "postgres | claim_one | i.key IS NULL -> true (2)",
        "postgres | claim_many | e.key IS NULL -> true (2)",
        "postgres | claim_many | i.key IS NULL -> true (2)",
    ),
    "a nonce belongs to one claim, and so to one key": (
        "postgres | claim_one | i.key = w.key -> true",
        "postgres | claim_many | i.key = w.key -> true",
    ),
    "of one claim one row is inserted: its own": (
        "postgres | claim_one | i.nonce = w.nonce -> true",
    ),
    "a statement about nothing does nothing; the test saves it": (
        "postgres | _archive_postgres.PostgresArchive.belongings | keys -> True",
        "postgres | _archive_postgres.PostgresArchive._put_all | rows -> True",
        "postgres | _postgres.PostgresTx.keep | puts -> True",
        "postgres | _postgres.PostgresTx._write | rows -> True",
    ),
    "what belongs to an effect that was not asked for is read in vain": (
        "postgres | record_events_many | key = ANY(CAST(? AS bytea[])) -> true",
        "postgres | record_votes_many | key = ANY(CAST(? AS bytea[])) -> true",
        "postgres | record_items_many | key = ANY(CAST(? AS bytea[])) -> true",
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
    "what is begun with an effect has one, and a line has a budget: for the type checker": (
        "memory | _budget_scripts._anew | effect is None -> False",
        "memory | _budget_scripts._anew | act.start is None -> False",
        "memory | _budget_alerts.overrun | about is None -> False",
        "memory | _budget_memory.MemoryBudgets.about | found is None -> False",
        "sqlite | _budget_tx.SqlBudgets.about | found is None -> False",
        "memory | _till.Till.version | line is None -> False (2)",
        "memory | _rules.Weight.__add__ | not isinstance(other, Weight) -> False",
    ),
    "a claim that was granted is met by its effect before": (
        "memory | _budget_scripts._again | act.claim is None -> True",
    ),
    "nothing moved, nothing locked, nothing counted; the test saves the writing": (
        "memory | _budget_reckoning._charge | difference == _NOTHING -> False",
        "memory | _till.Till.charge | reached -> True",
        "memory | _till.Till.lock | wanted -> True",
        "memory | _till.lock | lines -> True",
        "memory | _till.Till.close | more != _NOTHING -> True",
    ),
    "the shelf has one lock": (
        "memory | _budget_reckoning.sweep | row is None or row != seen -> False",
        "memory | _budget_reckoning.sweep | row is None -> False",
        "memory | _budget_reckoning.sweep | row != seen -> False",
        "memory | _till.lock | lines -> False",
    ),
    "read or written once more, with the same outcome": (
        "memory | _till.Till.standing | tenant not in self._standing -> True",
        "memory | _till.Till.standing | tenant in self._standing -> True",
        "memory | _till.Till.standing | tenant in self._standing -> False",
        "memory | _till.Till.count | (tenant, name) not in self._sessions -> True",
        "memory | _till.Till.version | line is None -> True",
        "memory | _till.Till._line | id_ not in self._lines -> True",
    ),
    "refused and free, it is halted, or its holder died in the middle of the refusal": (
        "memory | _scripts._refused | halted -> True",
    ),
    "whether it waits for the disk shows after a power cut alone": (
        "sqlite | _tx.swift | isinstance(act, Reserve) -> False",
        "sqlite | _tx.swift | act.claim is None -> True",
        "sqlite | _tx.swift | act.claim is None -> False",
        "sqlite | _tx.swift | act.start is None -> True",
        "sqlite | _tx.swift | act.start is None -> False",
        "postgres | _tx.swift | isinstance(act, Reserve) -> False",
        "postgres | _tx.swift | act.claim is None -> True",
        "postgres | _tx.swift | act.claim is None -> False",
        "postgres | _tx.swift | act.start is None -> True",
        "postgres | _tx.swift | act.start is None -> False",
        "mariadb | _tx.swift | isinstance(act, Reserve) -> True",
        "mariadb | _tx.swift | isinstance(act, Reserve) -> False",
        "mariadb | _tx.swift | act.claim is None -> True",
        "mariadb | _tx.swift | act.claim is None -> False",
        "mariadb | _tx.swift | act.start is None -> True",
        "mariadb | _tx.swift | act.start is None -> False",
    ),
    "who was granted it has a row: the test is for the type checker": (
        "memory | _scripts.start_unpaid | found.row is not None -> True",
    ),
    "a line is begun where there is none; two at once do so in tests/budgets/test_overspend": (
        "sqlite | put_line | ON CONFLICT (id) DO NOTHING -> nothing",
        "memory | _budget_memory.MemoryBudgets.put_line | line not in self._tills.lines -> True",
    ),
    "the till leaves out once more what is outside of the window": (
        "memory | _budget_memory.MemoryBudgets.line | u.start >= since -> True",
        "sqlite | line | u.start >= ? -> true",
        "postgres | line | u.start >= ? -> true",
        "mariadb | line | u.start >= ? -> true",
    ),
    "it was read, and locked, in the same transaction": (
        "sqlite | set_reservation | state = ? -> true",
        "postgres | set_reservation | state = ? -> true",
        "mariadb | set_reservation | state = ? -> true",
    ),
    "the last guard: a sound till writes nothing of the kind (see tests/budgets/test_books)": (
        (
            "memory | _budget_memory.MemoryBudgets.put_use | "
            "min(weight) < 0 or weight.total > use.cap + use.over -> False"
        ),
        "memory | _budget_memory.MemoryBudgets.put_use | min(weight) < 0 -> False",
        (
            "memory | _budget_memory.MemoryBudgets.put_use | "
            "weight.total > use.cap + use.over -> False"
        ),
    ),
    "nobody sends a piece while this transaction clears away; two at once do in test_races": (
        "sqlite | drop_blob | at < ? -> true",
        "postgres | drop_blob | at < ? -> true",
        "mariadb | drop_blob | at < ? -> true",
    ),
}

EQUIVALENT = {name: reason for reason, names in _SAID.items() for name in names}
