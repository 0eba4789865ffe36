"""Savers on every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import Ledger
from tallystick_checkpoint import LedgerSaver
from tests._sqlite import empty_database


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new place for a ledger."""
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    if request.param == "sqlite":
        return empty_database(tmp_path)
    return str(request.getfixturevalue("empty_postgres"))


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """A ledger there."""
    with Ledger(url, create=True) as ledger:
        yield ledger


@pytest.fixture
def saver(ledger: Ledger) -> LedgerSaver:
    """Its checkpointer."""
    return LedgerSaver(ledger)
