"""Each named point once for real: a process exits there, and another one goes on."""

from __future__ import annotations

import functools
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import pytest

from tallystick import Guarantee, Ledger
from tallystick.testing import points

from ._matrix import Place, home, live, path, stories
from ._stage import Setting, Stage, Story, Way, flaws, make_world, recovered

pytestmark = pytest.mark.crash

ROOT = Path(__file__).parents[2]
#: reached on PostgreSQL only: SQLite looks without asking to be told
ELSEWHERE = {"Look.before", "Look.committed"}
#: what is killed on PostgreSQL, too
ALSO = {
    "Claim.applied", "Claim.committed", "Settle.applied", "Settle.committed", "Start.applied",
    "Ask.applied", "Adopt.applied", "Decide.committed", "Sweep.applied", "Reserve.applied",
    "Reserve.committed", "SettleHeld.applied", "Reckon.applied", "Turn.applied", "tool.before",
    "tool.after",
}  # fmt: skip


@functools.cache
def _reaching() -> dict[str, list[tuple[Guarantee, str]]]:
    """Which stories come by which point on SQLite."""
    found: dict[str, list[tuple[Guarantee, str]]] = {}
    logging.disable(logging.ERROR)
    for guarantee in Guarantee:
        with tempfile.TemporaryDirectory() as folder:
            place = Place("sqlite", "blocking", guarantee)
            with home(place, Path(folder)) as setting:
                for story in stories(setting):
                    for point in set(path(setting, story)):
                        found.setdefault(point, []).append((guarantee, story.name))
    logging.disable(logging.NOTSET)
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with empty tables, to be copied."""
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    Ledger(f"sqlite:///{path}").close()
    make_world(f"sqlite:///{path}")
    return path


def _tenant(setting: Setting) -> str:
    return setting.folder.name  # a test's own


def _kill(setting: Setting, story: Story, point: str) -> subprocess.CompletedProcess[str]:
    told = {
        "store": setting.store,
        "url": setting.url,
        "way": setting.way,
        "guarantee": setting.guarantee,
        "folder": str(setting.folder),
        "story": story.name,
        "tenant": _tenant(setting),
    }
    return subprocess.run(
        [sys.executable, "-m", "tests.crash._agent", json.dumps(told)],
        cwd=ROOT,
        env=os.environ | {"TALLYSTICK_CRASH_AT": point},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def _go_on(setting: Setting, story: Story) -> list[str]:
    stage = Stage(setting, story, _tenant(setting))
    stage.log.saw("died all")
    try:
        found = recovered(stage)
        outcome = live(stage)
        if outcome not in story.ends | story.also:
            found.append(f"it ended as {outcome}")
        return found + flaws(stage)
    finally:
        stage.close()


def _story(point: str, way: Way) -> tuple[Guarantee, str]:
    told = _reaching()[point]
    return told[zlib.crc32(f"{point} {way}".encode()) % len(told)]


@pytest.mark.parametrize("point", [p for p in points() if p not in ELSEWHERE])
def test_a_process_killed_there_is_gone_on_with_on_sqlite(
    point: str, empty: Path, tmp_path: Path
) -> None:
    way: Way = "awaiting" if zlib.crc32(point.encode()) % 2 else "blocking"
    guarantee, name = _story(point, way)
    shutil.copy(empty, tmp_path / "ledger.db")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    setting = Setting("sqlite", url, way, guarantee, tmp_path, url)
    _killed_and_gone_on_with(setting, name, point)


@pytest.mark.postgres
@pytest.mark.parametrize("point", sorted(ALSO | ELSEWHERE))
def test_a_process_killed_there_is_gone_on_with_on_postgresql(
    point: str, empty_postgres: str, tmp_path: Path
) -> None:
    chosen = (Guarantee.AT_MOST_ONCE, "a colleague is at it")
    guarantee, name = chosen if point in ELSEWHERE else _story(point, "blocking")
    with home(Place("postgres", "blocking", guarantee), tmp_path, empty_postgres) as setting:
        _killed_and_gone_on_with(setting, name, point)


def _killed_and_gone_on_with(setting: Setting, name: str, point: str) -> None:
    story = next(story for story in stories(setting) if story.name == name)
    dead = _kill(setting, story, point)
    assert dead.returncode == 137, f"{name} ({setting.guarantee}): {dead.stdout}{dead.stderr}"
    assert not _go_on(setting, story), f"{name} ({setting.guarantee}, {setting.way})"
