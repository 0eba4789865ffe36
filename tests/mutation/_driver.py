"""Every weakened predicate and state test against the plays: which of them survive?"""

from __future__ import annotations

import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType
from typing import Any, NamedTuple, Protocol

import pytest

from tallystick import _changes, _places, _rules, _tombstones, _vault
from tallystick._archive import _arrival
from tallystick._budgets import _rules as _budget_rules
from tallystick.stores import (
    _archive_memory,
    _archive_postgres,
    _archive_sqlite,
    _archive_tx,
    _budget_alerts,
    _budget_limits,
    _budget_memory,
    _budget_reckoning,
    _budget_scripts,
    _budget_tx,
    _checkpoint_scripts,
    _checkpoint_tx,
    _claiming,
    _mariadb_tx,
    _memory,
    _postgres,
    _retention_memory,
    _retention_scripts,
    _retention_tx,
    _scripts,
    _server_tx,
    _sqlite,
    _till,
    _tx,
    _vault_memory,
    _vault_scripts,
    _vault_tx,
)
from tests.model._rigs import Bench
from tests.mutation._probes import PROBES, Probe
from tests.mutation._python import mutants as python_mutants
from tests.mutation._python import place
from tests.mutation._scene import Scene, Twin
from tests.mutation._sql import SqlMutant, cuts, family, rewriting

WORKERS = 2
#: seconds; no play takes a tenth of that
PATIENCE = 10.0


class Mutant(Protocol):
    """A store with one guard less."""

    @property
    def store(self) -> str: ...

    @property
    def target(self) -> str: ...

    @property
    def name(self) -> str: ...

    def applied(self) -> Any: ...


class Trace(NamedTuple):
    """What a play executes on a sound store: statements and functions."""

    probe: Probe
    statements: dict[str, str]
    places: set[str]
    seconds: float


class Survivors(NamedTuple):
    """What came of it."""

    tried: int
    alive: list[str]
    killers: dict[str, str]


def traces(bench: Bench, kind: str) -> list[Trace]:
    """
    Play all of them on the sound store, one after the other in one place, and remember what each
    one executes; raises where one goes wrong.
    """
    found: list[Trace] = []
    rig = bench.rig(kind, WORKERS)
    model = Twin(rig)
    try:
        for n, probe in enumerate(probe for probe in PROBES if kind in probe.kinds):
            found.append(_traced(probe, Scene(rig, model, f"tenant {n}")))
    finally:
        rig.close()
    return sorted(found, key=lambda trace: trace.seconds)


def _traced(probe: Probe, scene: Scene) -> Trace:
    statements: dict[str, str] = {}
    places: set[str] = set()

    def rewrite(sql: str) -> str:
        statements.setdefault(family(sql), sql)
        return sql

    began = time.perf_counter()
    with rewriting(rewrite), _listening(places):
        probe.play(scene)
    return Trace(probe, statements, places, time.perf_counter() - began)


@contextmanager
def _listening(places: set[str]) -> Generator[None]:
    known: set[CodeType] = set()

    def heard(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code not in known:
            known.add(frame.f_code)
            places.add(place(frame.f_code))

    sys.setprofile(heard)
    try:
        yield
    finally:
        sys.setprofile(None)


def sql_mutants(kind: str, found: Sequence[Trace]) -> list[Mutant]:
    """The mutants of every statement that the plays execute."""
    statements = {name: sql for trace in found for name, sql in trace.statements.items()}
    return [
        SqlMutant(kind, name, number, sql)
        for name, sql in sorted(statements.items())
        for number in range(len(cuts(sql)))
    ]


def code_mutants(kind: str) -> list[Mutant]:
    """The mutants of the rules and scripts (in memory), and of what each store adds."""
    if kind == "memory":
        return [
            *python_mutants(kind, _rules),
            *python_mutants(kind, _changes),
            *python_mutants(kind, _scripts),
            *python_mutants(kind, _places),
            *python_mutants(kind, _tombstones),
            *python_mutants(kind, _retention_scripts),
            *python_mutants(kind, _retention_memory),
            *python_mutants(kind, _vault),
            *python_mutants(kind, _vault_scripts),
            *python_mutants(kind, _vault_memory),
            *python_mutants(kind, _memory, "MemoryTx", "_asked_for"),
            *python_mutants(kind, _budget_rules),
            *python_mutants(kind, _budget_alerts),
            *python_mutants(kind, _budget_limits),
            *python_mutants(kind, _budget_reckoning),
            *python_mutants(kind, _budget_scripts),
            *python_mutants(kind, _till),
            *python_mutants(kind, _budget_memory, "MemoryBudgets", "_counts"),
            *python_mutants(kind, _arrival),
            *python_mutants(kind, _archive_memory),
        ]
    if kind == "sqlite":
        own = [*python_mutants(kind, _sqlite, "SqliteTx"), *python_mutants(kind, _claiming)]
        checkpoints = [
            *python_mutants(kind, _checkpoint_scripts),
            *python_mutants(kind, _checkpoint_tx),
            *python_mutants(kind, _budget_tx),
            *python_mutants(kind, _retention_tx),
            *python_mutants(kind, _archive_tx),
            *python_mutants(kind, _archive_sqlite),
            *python_mutants(kind, _vault_tx),
        ]
        return [*_common(kind, _sqlite.SqliteTx), *own, *checkpoints]
    if kind == "mariadb":
        return [*_common(kind, _mariadb_tx.MariaTx), *python_mutants(kind, _mariadb_tx)]
    mine = [
        *python_mutants(kind, _postgres, "PostgresTx", "_found", "_apart", "wary"),
        *python_mutants(kind, _archive_postgres),
        *python_mutants(kind, _server_tx),
    ]
    return [*_common(kind, _postgres.PostgresTx), *mine]


def _common(kind: str, own: type[_tx.SqlTx]) -> Iterator[Mutant]:
    """Of what the SQL stores share, the part that this one does not say in its own way."""
    said = {name for kind_ in own.__mro__[: own.__mro__.index(_tx.SqlTx)] for name in vars(kind_)}
    for mutant in python_mutants(kind, _tx):
        if mutant.function.__qualname__.removeprefix("SqlTx.") not in said:
            yield mutant


def hunt(
    bench: Bench,
    kind: str,
    mutants: Sequence[Mutant],
    found: Sequence[Trace],
    tell: Callable[[str], None] | None = None,
) -> Survivors:
    """Play what concerns each mutant until something goes wrong."""
    alive: list[str] = []
    killers: dict[str, str] = {}
    good: Counter[tuple[str, str]] = Counter()
    rig = bench.rig(kind, WORKERS)
    for mutant in mutants:
        rig = bench.renewed(rig)
        here = mutant.target
        probes = [t.probe for t in found if here in t.statements or here in t.places]
        probes.sort(key=lambda probe: -good[here, probe.name])  # what has killed its like
        killer = None
        with mutant.applied():
            model = Twin(rig)
            for n, probe in enumerate(probes):
                killer = _killed(probe, Scene(rig, model, f"tenant {n}"))
                if killer is not None:
                    break
        if killer is None:
            alive.append(mutant.name)
        else:
            killers[mutant.name] = killer
            good[here, killer] += 1
        if tell is not None:
            tell(f"{killer or 'ALIVE':50} {mutant.name}")
    rig.close()
    return Survivors(len(mutants), alive, killers)


class Endless(Exception):
    """A mutant went round in circles."""


@contextmanager
def _soon() -> Generator[None]:
    """Raise :class:`Endless` after a while; a timer that ran before goes on."""

    def over(*_: object) -> None:
        raise Endless

    before, (left, _) = signal.signal(signal.SIGALRM, over), signal.getitimer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)


def _killed(probe: Probe, scene: Scene) -> str | None:
    try:
        with _soon():
            probe.play(scene)
    except (Exception, pytest.fail.Exception) as error:
        if "syntax error" in str(error):
            raise
        return probe.name
    return None
