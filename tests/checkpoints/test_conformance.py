"""LangGraph's own suite: all eight capabilities, on every store, on both faces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest
from langgraph.checkpoint.conformance import (  # pyright: ignore[reportMissingTypeStubs]
    checkpointer_test,
    validate,
)
from langgraph.checkpoint.conformance.capabilities import (  # pyright: ignore[reportMissingTypeStubs]
    Capability,
)

from tallystick import Ledger
from tallystick_checkpoint import LedgerSaver

_TENANTS = count()


class Blocking(LedgerSaver):
    """A saver whose awaited methods are the blocking ones, for a suite that only awaits."""

    async def aget_tuple(self, config: Any) -> Any:
        return self.get_tuple(config)

    async def alist(self, config: Any, **asked: Any) -> AsyncIterator[Any]:
        for found in self.list(config, **asked):
            yield found

    async def aput(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        return self.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: Any, writes: Any, task_id: str, task_path: str = ""
    ) -> None:
        self.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        self.delete_thread(thread_id)

    async def adelete_for_runs(self, run_ids: Any) -> None:
        self.delete_for_runs(run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        self.copy_thread(source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Any, *, strategy: str = "keep_latest") -> None:
        self.prune(thread_ids, strategy=strategy)


@pytest.mark.parametrize("kind", [LedgerSaver, Blocking], ids=["awaiting", "blocking"])
async def test_every_capability_is_there_and_passes(
    ledger: Ledger, url: str, kind: Callable[..., LedgerSaver]
) -> None:
    """``passed_all()`` would not count what is missing, and so is not asked."""

    @checkpointer_test(name="LedgerSaver")
    async def savers() -> AsyncGenerator[LedgerSaver]:
        with Ledger(url, tenant=f"suite {next(_TENANTS)}") as own:  # nothing of others is there
            yield kind(own)

    report = await validate(savers)
    found = {c: report.results[c.value] for c in Capability}
    assert {c.value: r.failures for c, r in found.items() if not r.passed} == {}
    assert all(r.detected for r in found.values())
    assert sum(r.tests_passed for r in found.values()) == 81
