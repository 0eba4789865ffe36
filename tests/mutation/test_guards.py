"""
Each predicate of each statement and each state test in Python is taken away in turn, and the plays
notice. ``python -m tests.mutation.run`` does all of them on all stores; here they are sampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tallystick.stores._postgres import PostgresTx
from tallystick.stores._sqlite import SqliteTx
from tests.model._rigs import EVERY_KIND, Bench, fast_database, quick_folder
from tests.mutation._driver import Mutant, Trace, code_mutants, hunt, run, sql_mutants, traces
from tests.mutation._equivalent import EQUIVALENT
from tests.mutation._probes import PROBES
from tests.mutation._sql import cuts, title

#: of each store's mutants every so manieth is tried here
STRIDES = {"memory": 8, "sqlite": 10, "postgres": 60}
#: said by other means than an act: a hint, or what the other database is asked instead
UNPLAYED = {"publish", "claim", "look", "halted", "twin", "workers"}
#: what is put together for each question is executed without a name
PUT_TOGETHER = {
    "find", "neighbours", "checkpoints", "writes", "blobs", "orphan", "reservations", "costs",
    "records",
}  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Databases for all mutants; a clash is told at once."""
    with quick_folder(Path.cwd()) as folder, fast_database() as url:
        bench = Bench(folder, url, patience=0.3)
        yield bench
        bench.close()


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_plays_go_as_written_on_a_sound_store(bench: Bench, kind: str) -> None:
    """One after the other, in one place."""
    run(bench, kind, [probe for probe in PROBES if kind in probe.kinds])


def _all_killed(bench: Bench, kind: str, mutants: Sequence[Mutant], found: list[Trace]) -> None:
    mutants = mutants[:: STRIDES[kind]]
    survivors = hunt(bench, kind, mutants, found)
    assert set(survivors.alive) - set(EQUIVALENT) == set()
    tried = {mutant.name for mutant in mutants}
    said = {name for name in EQUIVALENT if name in tried}
    assert said - set(survivors.alive) == set(), "said to be equivalent, and killed"


def test_no_sampled_state_test_can_be_taken_out_of_the_rules(bench: Bench) -> None:
    """Nor out of the scripts, nor out of the store in memory."""
    _all_killed(bench, "memory", code_mutants("memory"), traces(bench, "memory"))


def test_no_sampled_predicate_can_be_taken_out_on_sqlite(bench: Bench) -> None:
    """Out of no statement, and out of none of the code around them."""
    found = traces(bench, "sqlite")
    _all_killed(bench, "sqlite", [*sql_mutants("sqlite", found), *code_mutants("sqlite")], found)


def test_no_sampled_predicate_can_be_taken_out_on_postgres(bench: Bench) -> None:
    """Out of no statement, and out of none of the code around them."""
    found = traces(bench, "postgres")
    mutants = [*sql_mutants("postgres", found), *code_mutants("postgres")]
    _all_killed(bench, "postgres", mutants, found)


def test_every_statement_is_played(bench: Bench) -> None:
    """None of the ledger's statements has no play that executes it."""
    played = {
        title(sql)
        for kind in ("sqlite", "postgres")
        for trace in traces(bench, kind)
        for sql in trace.statements.values()
    }
    # on SQLite these two are executed by number, and so have no name
    named = {*SqliteTx.statements, *PostgresTx.statements} - UNPLAYED
    assert named - played - PUT_TOGETHER == set()


def test_a_statement_is_cut_at_every_predicate() -> None:
    """The cutter itself: members of AND and OR, lone conditions, lists, locks and conflicts."""
    sql = (
        "SELECT CASE WHEN a = 1 THEN b END FROM t JOIN u ON t.x = u.x"
        " WHERE (c = :c OR d IN ('p', 'q'))"
        " AND NOT EXISTS (SELECT 1 FROM v WHERE v.y = t.y) ORDER BY e FOR UPDATE"
    )
    assert [(sql[c.start : c.end].strip(), c.instead) for c in cuts(sql)] == [
        ("a = 1", "false"),
        ("a = 1", "true"),
        ("t.x = u.x", "true"),
        ("(c = :c OR d IN ('p', 'q'))", "true"),
        ("c = :c", "false"),
        ("d IN ('p', 'q')", "false"),
        ("'p'", "''"),
        ("'q'", "''"),
        ("NOT EXISTS (SELECT 1 FROM v WHERE v.y = t.y)", "true"),
        ("v.y = t.y", "true"),
        ("FOR UPDATE", ""),
    ]
    assert [
        c.instead for c in cuts("INSERT INTO t (a) VALUES (1)\n ON CONFLICT (a) DO NOTHING")
    ] == [""]
