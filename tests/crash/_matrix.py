"""
Every story cut off at every point that it reaches, and gone on with by a new process.

``python -m tests.crash._matrix`` tells all of them and counts; ``--full`` cuts at every position on
the databases too, where a test run cuts each story at each point once (SQLite) and each way of
coming to a point once (PostgreSQL).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import sqlite3
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
import sqlalchemy
from psycopg import sql

from tallystick import Guarantee, Ledger, _points
from tallystick.stores import _engine  # pyright: ignore[reportPrivateUsage]
from tallystick.testing import Crashed, crash_at
from tests._sqlite import empty_database

from ._stage import Outcome, Setting, Stage, Story, Way, flaws, make_world, recovered
from ._stories import STORIES

_STORES = ("memory", "sqlite", "postgres", "mariadb")
_WAYS: tuple[Way, ...] = ("blocking", "awaiting", "threaded", "lent")
#: nothing here needs a disk that survives
_MEMORY = Path("/dev/shm")  # noqa: S108


class Position(NamedTuple):
    """The *nth* time that a story reaches a point."""

    point: str
    nth: int


class Place(NamedTuple):
    """A store, a face and a guarantee that go together."""

    store: str
    way: Way
    guarantee: Guarantee

    def __str__(self) -> str:
        return "-".join(self)


def places() -> Iterator[Place]:
    """All of them; the sync tool on the awaiting face is the same code on every store."""
    for place in itertools.starmap(Place, itertools.product(_STORES, _WAYS, Guarantee)):
        if place.guarantee is Guarantee.TRANSACTIONAL:
            fits = place.store != "memory" and place.way != "threaded"
        else:
            fits = place.way != "lent" and (place.way != "threaded" or place.store == "memory")
        if fits:
            yield place


@contextlib.contextmanager
def home(place: Place, folder: Path, server_url: str | None = None) -> Generator[Setting]:
    """A store to tell stories in, empty and kept open so that no ledger is ever the last."""
    engine: sqlalchemy.Engine | None = None
    with contextlib.ExitStack() as stack:
        if place.store == "memory":
            url = f"memory://{uuid.uuid4().hex}"
            stack.enter_context(Ledger(url))
        elif place.store == "sqlite":
            parent = _MEMORY if _MEMORY.is_dir() else folder
            path = stack.enter_context(tempfile.TemporaryDirectory(dir=parent))
            url = empty_database(Path(path))
            keep = stack.enter_context(contextlib.closing(sqlite3.connect(f"{path}/ledger.db")))
            keep.execute("SELECT count(*) FROM tallystick_effect").fetchall()
        else:
            assert server_url is not None
            url, engine = server_url, _engine(server_url, server_url.partition("://")[0])
            stack.callback(engine.dispose)
            if place.store == "postgres":
                stack.enter_context(_forgetful(server_url))
        if place.store != "memory":
            make_world(url)
        yield Setting(place.store, url, place.way, place.guarantee, folder, engine or url)


@contextlib.contextmanager
def _forgetful(url: str) -> Generator[None]:
    """A database that does not wait for its disk: it is the processes that die here."""
    name = sqlalchemy.make_url(url).database
    assert name is not None
    with psycopg.connect(url, autocommit=True) as admin:
        database = sql.Identifier(name)
        off = sql.SQL("ALTER DATABASE {} SET synchronous_commit = off")
        admin.execute(off.format(database))
        yield
        admin.execute(sql.SQL("ALTER DATABASE {} RESET synchronous_commit").format(database))


def stories(setting: Setting) -> list[Story]:
    """The stories that can be told there."""
    return [story for story in STORIES if story.fits(setting)]


def path(setting: Setting, story: Story, *deaths: Position) -> list[str]:
    """
    The points that the story comes by after these deaths, to its good end.

    That it is told as promised when nobody dies is asserted here.
    """
    stage = Stage(setting, story, uuid.uuid4().hex)
    reached: list[str] = []
    try:
        found = [flaw for death in deaths for flaw in _die(stage, death)]
        _points.arm(reached.append)
        try:
            outcome = live(stage)
        finally:
            _points.arm(None)
        found += flaws(stage)
    finally:
        stage.close()
    assert deaths or outcome in story.ends, f"{story.name}: {outcome}"
    assert not found, f"{story.name}: {found}"
    return reached


def positions(reached: Sequence[str]) -> list[Position]:
    """The same with their numbers."""
    seen: Counter[str] = Counter()
    result: list[Position] = []
    for point in reached:
        seen[point] += 1
        result.append(Position(point, seen[point]))
    return result


def chosen(
    setting: Setting, *, full: bool = False, told: Sequence[Story] | None = None
) -> Iterator[tuple[Story, Position]]:
    """
    Where to die: everywhere in memory; on the databases wherever the way there is another.

    All stories that can be *told* there, or these.
    """
    met: set[tuple[str, ...]] = set()
    for story in stories(setting) if told is None else told:
        reached = path(setting, story)
        for n, position in enumerate(positions(reached)):
            way = {
                "memory": (story.name, str(n)),
                "sqlite": (story.name, position.point),
            }.get(setting.store, tuple(reached[max(n - 2, 0) : n + 1]))
            if full or way not in met:
                met.add(way)
                yield story, position


def cut(setting: Setting, story: Story, *deaths: Position) -> list[str]:
    """
    Tell the story, die at the first position; go on as a new process, die at the next; …

    What was not as promised at the end, or in between.
    """
    stage = Stage(setting, story, uuid.uuid4().hex)
    found: list[str] = []
    try:
        for death in deaths:
            found += _die(stage, death)
        found += recovered(stage)
        outcome = live(stage)
        if outcome not in story.ends | story.also:
            found.append(f"it ended as {outcome}")
        found += flaws(stage)
    finally:
        stage.close()
    where = " then ".join(f"{point}#{nth}" for point, nth in deaths)
    return [f"{story.name}, cut off at {where}: {flaw}" for flaw in found]


def live(stage: Stage) -> Outcome:
    """What a process does from its first to its last moment."""
    stage.ledger.recover()
    outcome = stage.play()
    stage.ledger.recover()  # whatever was posted before is written now
    return outcome


def _die(stage: Stage, death: Position) -> list[str]:
    outcome = None
    with crash_at(death.point, nth=death.nth) as crash, contextlib.suppress(Crashed):
        outcome = live(stage)
    stage.die()
    return [] if crash.fired else [f"it was never reached; the story ended as {outcome}"]


def main() -> None:
    """Tell them all, count, and print what was not as promised."""
    from tests._mariadb import scratch_mariadb
    from tests._postgres import scratch_database

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--store", default="memory,sqlite,postgres")
    options = parser.parse_args()
    logging.disable(logging.ERROR)  # the deaf messenger's
    total, began = 0, time.monotonic()
    asked = options.store.split(",")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        urls = {
            name: stack.enter_context(made())
            for name, made in (("postgres", scratch_database), ("mariadb", scratch_mariadb))
            if name in asked
        }
        for url in urls.values():
            Ledger(url, create=True).close()
        for place in places():
            if place.store not in asked:
                continue
            started, count, reached = time.monotonic(), 0, set[str]()
            with home(place, Path(folder), urls.get(place.store)) as setting:
                for story, position in chosen(setting, full=options.full):
                    count += 1
                    reached.add(position.point)
                    for flaw in cut(setting, story, position):
                        print(f"  {flaw}")
            seconds = time.monotonic() - started
            told = f"{len(reached)} points, {count} combinations, {seconds:.1f} s"
            print(f"{place}: {told}", flush=True)
            total += count
    print(f"{total:,} combinations in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
