"""agent-runtime-governance on its durable SQLite store, with its own defaults."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from tests.bench import _measures as measure
from tests.bench._common import (
    RESULT,
    Options,
    Report,
    arguments,
    options,
    quiet,
    scratch_folder,
)

governance = import_module("agent_runtime_governance")  # Any: not in our environment


class Governance:
    """A runtime with an idempotent tool and the SQLite idempotency store; no other middleware."""

    def __init__(self, path: str) -> None:
        self._tools: dict[str, measure.Tool] = {}
        store = governance.SQLiteIdempotencyStore(path)
        self._runtime: Any = governance.Runtime(idempotency_store=store)
        mode = governance.ExecutionMode.IDEMPOTENT

        async def charge(
            order: str, to: str, amount: int, currency: str, memo: str
        ) -> dict[str, Any]:
            tool = self._tools.get(order)
            if tool is not None:
                await tool()
            return RESULT

        self._charge: Any = self._runtime.tool(execution_mode=mode)(charge)

    async def run(self, key: str, tool: measure.Tool | None = None) -> object:
        """One effect under the caller's own key."""
        if tool is not None:
            self._tools[key] = tool
        wanted = governance.InvocationOptions(idempotency_key=key)
        return await self._charge.ainvoke(**arguments(key), _governance=wanted)

    async def close(self) -> None:
        """Done."""
        await self._runtime.aclose()


async def repetition(asked: Options, report: Report) -> None:
    """Everything that the package can do, once."""
    with scratch_folder() as folder:
        path = str(folder / "governance.db")
        subject = Governance(path)
        again = Governance(path)
        keys = await measure.sequential(report, subject, asked.many(150))
        await measure.replays(report, again, keys)
        await measure.concurrent(report, subject, max(1, asked.many(200) // 100))
        await measure.herd(report, subject)
        report.say("herd_wall_s", "a second caller is refused while the first runs (its design)")
        report.say("follower_p50_ms", "refuses to wait, by design")
        await again.close()
        await subject.close()
    capabilities = governance.sqlite_journal_capabilities()
    mode = capabilities.selected_mode.upper()
    report.say("store", f"journal_mode={mode} (its choice for this SQLite), synchronous=FULL")


def main() -> None:
    """One repetition."""
    quiet()
    asked = options()
    report = Report("agent-runtime-governance", asked.store, ["agent-runtime-governance"])
    asyncio.run(repetition(asked, report))
    report.emit()


if __name__ == "__main__":
    main()
