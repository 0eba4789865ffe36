"""What the tests of AutoGen's adapter share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import Ledger
from tests._sqlite import empty_database


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger of the test's own."""
    with Ledger("memory://") as ledger:
        yield ledger


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database that outlives a ledger."""
    return empty_database(tmp_path)
