"""A checkpointer whose database is slow at the moment that matters."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

from tallystick_checkpoint import LedgerSaver

#: seconds after which a thing that should have happened long ago counts as never
PATIENCE = 20.0


def eventually(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.002)


class SlowSaver(LedgerSaver):
    """Keeps the first checkpoint that asks for a tool only once the gate is open."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.gate = threading.Event()

    @property
    def awaited(self) -> bool:
        """Whether somebody waits at the barrier."""
        return bool(self._memory._awaited)  # pyright: ignore[reportPrivateUsage]

    def _pass(self, metadata: Any) -> None:
        if metadata["step"] == 1:
            assert self.gate.wait(PATIENCE), "nobody opened the gate"

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        self._pass(metadata)
        return super().put(config, checkpoint, metadata, new_versions)

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        await asyncio.to_thread(self._pass, metadata)
        return await super().aput(config, checkpoint, metadata, new_versions)
