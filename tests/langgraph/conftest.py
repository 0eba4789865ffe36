"""Threads on every store, and on a checkpointer that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger
from tests._sqlite import empty_database

from ._world import World

EVERY = ("memory", "sqlite", "postgres", "foreign")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On every store, or on those that a module names: its tests are about other things."""
    if "world" in metafunc.fixturenames:
        given: Any = metafunc
        stores: tuple[str, ...] = getattr(given.module, "STORES", EVERY)
        marks = {"postgres": [pytest.mark.postgres]}
        kinds = [pytest.param(kind, marks=marks.get(kind, [])) for kind in stores]
        metafunc.parametrize("world", kinds, indirect=True)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A ledger, a checkpointer and a bank."""
    kind = str(request.param)
    if kind == "postgres":
        url = str(request.getfixturevalue("empty_postgres"))
    else:
        url = "memory://" if kind == "memory" else empty_database(tmp_path)
    with Ledger(url, create=True) as ledger:
        yield World(ledger, foreign=kind == "foreign")
