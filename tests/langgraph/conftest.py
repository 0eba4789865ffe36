"""Threads on every store, and on a checkpointer that is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import Ledger

from ._world import World


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        "foreign",
    ]
)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A ledger, a checkpointer and a bank."""
    kind = str(request.param)
    if kind == "postgres":
        url = str(request.getfixturevalue("empty_postgres"))
    else:
        url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path}/ledger.db"
    with Ledger(url, create=True) as ledger:
        yield World(ledger, foreign=kind == "foreign")
