"""
Every named crash point, five guarantees, three stores, both faces: enumerated, in one process.

``TALLYSTICK_MATRIX=full`` cuts at every position on the databases too (some 25,000). Without it the
stores, faces and guarantees share them: what one is not cut off at, another one is (``both``, as
in ``make crash``: each of them at all of these).
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tallystick import Guarantee, LedgerError, _changes, _rules
from tallystick import _acts as acts
from tallystick._model import Row
from tallystick.stores import _budget_reckoning, _budget_scripts
from tallystick.stores._memory import MemoryTx
from tallystick.stores._scripts import _READS, _SCRIPTS  # pyright: ignore[reportPrivateUsage]
from tallystick.testing import points

from . import _stage
from ._matrix import Place, chosen, cut, home, path, places, positions, stories
from ._stage import Setting, Story

pytestmark = [pytest.mark.crash, pytest.mark.timeout(300)]

MATRIX = os.environ.get("TALLYSTICK_MATRIX")
FULL = MATRIX == "full"
EVERYWHERE = os.environ.get("TALLYSTICK_STORES") == "all"
#: what is cut off there unless all stores are asked for
MARIADB = Place("mariadb", "blocking", Guarantee.AT_MOST_ONCE)


@pytest.fixture(autouse=True)
def _quiet() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """The deaf messenger's failures are logged, each with its traceback."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


def _silently(rule: Callable[..., Any], **changes: Any) -> Callable[..., Any]:
    """*rule*, with a part of what it says left out."""

    def faulty(*args: Any) -> Any:
        change = rule(*args)
        return replace(change, **changes) if isinstance(change, _changes.Change) else change

    return faulty


def _url(place: Place, request: pytest.FixtureRequest) -> str | None:
    server = {"postgres": "empty_postgres", "mariadb": "empty_mariadb"}.get(place.store)
    return None if server is None else str(request.getfixturevalue(server))


def _takes_turns(place: Place) -> bool:
    """Each guarantee is tried on one face of SQLite and on the other one of PostgreSQL."""
    if place.store == "mariadb":
        return EVERYWHERE or place == MARIADB
    if MATRIX or place.store == "memory" or place.way == "lent":
        return True
    turn = list(Guarantee).index(place.guarantee) + (place.store == "postgres")
    return turn % 2 == (place.way == "awaiting")


def _is_due(place: Place, n: int) -> bool:
    """
    In memory each way has every sixth position, two guarantees together every second one; each
    database has every eighth one.
    """
    if MATRIX:
        return True
    if place.store == "mariadb":
        return n % (4 if EVERYWHERE else 12) == 0
    turn = list(Guarantee).index(place.guarantee)
    if place.store == "memory":
        return n % 6 == ("blocking", "awaiting", "threaded").index(place.way) * 2 + turn % 2
    return n % 8 == (4 * (place.store == "postgres") + turn) % 8


@pytest.mark.parametrize("place", [p for p in places() if _takes_turns(p)], ids=str)
def test_every_story_keeps_its_promises_wherever_it_is_cut_off(
    place: Place, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    count, found = 0, list[str]()
    with home(place, tmp_path, _url(place, request)) as setting:
        for n, (story, position) in enumerate(chosen(setting, full=FULL)):
            if _is_due(place, n):
                count += 1
                found += cut(setting, story, position)
    print(f"{place}: {count} combinations")
    assert not found, "\n".join(found)
    assert count > (30 if MATRIX else 5)


@pytest.mark.parametrize("guarantee", [g for g in Guarantee if g is not Guarantee.TRANSACTIONAL])
def test_every_story_keeps_its_promises_when_the_next_process_dies_too(
    guarantee: Guarantee, tmp_path: Path
) -> None:
    chance, found = random.Random(guarantee), list[str]()
    with home(Place("memory", "blocking", guarantee), tmp_path) as setting:
        for story, first in chosen(setting):
            if chance.random() < (0.4 if MATRIX else 0.1):
                second = chance.choice(positions(path(setting, story, first)))
                found += cut(setting, story, first, second)
    assert not found, "\n".join(found)


def _always(answer: Any) -> Callable[..., Any]:
    def constant(*_: Any, **__: Any) -> Any:
        return answer

    return constant


def _unwritten(_: object, settles: Sequence[object]) -> list[bool]:
    return [False] * len(settles)


_approve = _changes._approve  # pyright: ignore[reportPrivateUsage]

#: what is wrong, and a story that shows it soon
FAULTS: dict[str, tuple[tuple[object, str, object], str]] = {
    "a doubtful effect is repeated": (
        (_rules, "repeatable", _always(True)),
        "it raises and is tried again inside the call",
    ),
    "a doubt is kept from people": (
        (_changes, "doubt", _silently(_changes.doubt, opens=None)),
        "it happens and raises",
    ),
    "a doubt stays open": (
        (_changes, "resolve", _silently(_changes.resolve, closes=())),
        "it happens and raises",
    ),
    "an approval stays open": (
        (_changes, "_approve", _silently(_approve, closes=())),
        "it is approved",
    ),
    "an outcome is not written": ((MemoryTx, "settle", _unwritten), "it succeeds"),
    "nobody ever dies": ((MemoryTx, "alive", _always(True)), "a colleague died before"),
    "everybody is dead": ((MemoryTx, "alive", _always(False)), "a colleague is at it"),
    "nobody stands beside": ((MemoryTx, "neighbours", _always([])), "it stands for another"),
    "one vote is enough": ((Row, "quorum", property(_always(1))), "it is approved by two"),
    "money does not follow its effect": (
        (_budget_reckoning, "follow", _always(None)),
        "a budget pays",
    ),
    "the money of the dead is forgotten": (
        (_budget_reckoning, "sweep", _always(0)),
        "money is held by hand",
    ),
    "everything fits": ((_budget_scripts, "refused", _always(None)), "a budget is topped up"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_ledger_is_found(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, shown = FAULTS[fault]
    monkeypatch.setattr(*wrong)
    monkeypatch.setattr(_stage, "WAIT", 0.05)
    with home(Place("memory", "blocking", Guarantee.AT_MOST_ONCE), tmp_path) as setting:
        assert _first_flaw(setting, [s for s in stories(setting) if s.name == shown]) is not None


def _first_flaw(setting: Setting, told: Sequence[Story]) -> object:
    try:
        for story, position in chosen(setting, told=told):
            if found := cut(setting, story, position):
                return found
    except (AssertionError, LedgerError) as error:
        return error
    return None


def test_no_named_point_is_left_out(
    postgres_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    reached: set[str] = set()
    for guarantee in (Guarantee.AT_MOST_ONCE, Guarantee.RECONCILE):
        place = Place("postgres", "blocking", guarantee)
        with home(place, tmp_path, _url(place, request)) as setting:
            for story in stories(setting):
                reached.update(path(setting, story))
    assert set(points()) - reached == set()


def test_every_act_that_can_change_something_has_its_points() -> None:
    kinds: list[type] = acts.Act.__subclasses__()  # pyright: ignore[reportUnknownVariableType]
    declared = {"Claim", "Settle", *(kind.__name__ for kind in kinds)}
    reading = {kind.__name__ for kind in set(_READS) - set(_SCRIPTS)}
    named = {point.partition(".")[0] for point in points()} - {"tool"}
    assert declared - reading == named
    assert not any(kind.__subclasses__() for kind in kinds)
