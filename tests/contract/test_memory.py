"""The contract on the memory store, both faces."""

from __future__ import annotations

import uuid
from typing import Any

from tallystick import Ledger
from tallystick.testing import StoreContract


class TestMemory(StoreContract):
    """Ledgers that share one shelf."""

    def setup_method(self) -> None:
        super().setup_method()
        self.url = f"memory://{uuid.uuid4().hex}"
        self.keep = self.ledger()  # a shelf lives as long as somebody uses it

    def open(self, **options: Any) -> Ledger:
        return Ledger(self.url, **options)


class TestMemoryAwaited(TestMemory):
    """The same, awaited."""

    awaiting = True
