"""
Each predicate of each statement and each state test in Python is taken away in turn, and the plays
notice. ``python -m tests.mutation.run`` does all of them on all stores; here they are sampled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tallystick.stores._postgres import PostgresTx
from tallystick.stores._sqlite import SqliteTx
from tests.model._rigs import EVERY_KIND, Bench, fast_database, quick_folder
from tests.mutation._driver import Mutant, Trace, code_mutants, hunt, sql_mutants, traces
from tests.mutation._equivalent import EQUIVALENT
from tests.mutation._sql import cuts, title

#: of each store's mutants every so manieth is tried here
STRIDES = {"memory": 8, "sqlite": 10, "postgres": 60, "mariadb": 60}
#: said by other means than an act: a hint, or what the other database is asked instead
UNPLAYED = {"publish", "claim", "look", "halted", "twin", "workers"}
#: what is put together for each question is executed without a name
PUT_TOGETHER = {
    "find", "neighbours", "checkpoints", "writes", "blobs", "orphan", "reservations", "costs",
    "records",
}  # fmt: skip

Played = Callable[[str], list[Trace]]

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Databases for all mutants; a clash is told at once."""
    with quick_folder(Path.cwd()) as folder, fast_database() as url:
        bench = Bench(folder, url, patience=0.3)
        yield bench
        bench.close()


@pytest.fixture(scope="module")
def played(bench: Bench) -> Played:
    """What each play executes on a sound store, where all of them go as written."""
    return functools.cache(functools.partial(traces, bench))


def _all_killed(bench: Bench, kind: str, mutants: Sequence[Mutant], found: list[Trace]) -> None:
    mutants = mutants[:: STRIDES[kind]]
    survivors = hunt(bench, kind, mutants, found)
    assert set(survivors.alive) - set(EQUIVALENT) == set()
    tried = {mutant.name for mutant in mutants}
    said = {name for name in EQUIVALENT if name in tried}
    assert said - set(survivors.alive) == set(), "said to be equivalent, and killed"


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_plays_go_as_written_and_none_of_the_sampled_guards_can_be_taken_out(
    bench: Bench, played: Played, kind: str
) -> None:
    """Out of no rule and no script (memory), no statement and none of the code around it."""
    found = played(kind)
    _all_killed(bench, kind, [*sql_mutants(kind, found), *code_mutants(kind)], found)


def test_every_statement_is_played(played: Played) -> None:
    """None of the ledger's statements has no play that executes it."""
    said = {
        title(sql)
        for kind in ("sqlite", "postgres")
        for trace in played(kind)
        for sql in trace.statements.values()
    }
    # on SQLite these two are executed by number, and so have no name
    named = {*SqliteTx.statements, *PostgresTx.statements} - UNPLAYED
    assert named - said - PUT_TOGETHER == set()


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
