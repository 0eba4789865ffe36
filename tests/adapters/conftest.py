"""What the tests of the adapters share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tallystick import Ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger of the test's own."""
    with Ledger("memory://") as ledger:
        yield ledger
