"""The providers on loopback, a ledger, and the providers' own clients under its budgets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tallystick import Ledger
from tests.providers._server import Provider
from tests.providers._watched import Desk


@pytest.fixture
def provider() -> Iterator[Provider]:
    """The providers' APIs on loopback."""
    with Provider() as provider:
        yield provider


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger of the test's own."""
    with Ledger("memory://") as ledger:
        yield ledger


@pytest.fixture
def desk(ledger: Ledger, provider: Provider) -> Iterator[Desk]:
    """Clients of the loopback providers, watched."""
    with Desk(ledger, provider.origin) as desk:
        yield desk
