"""What the tests of the adapters share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tallystick import Ledger
from tests.providers._server import Provider


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger of the test's own."""
    with Ledger("memory://") as ledger:
        yield ledger


@pytest.fixture
def provider() -> Iterator[Provider]:
    """The providers' APIs on loopback."""
    with Provider() as provider:
        yield provider
