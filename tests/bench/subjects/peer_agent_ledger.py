"""agent-ledger on PostgreSQL, with its own defaults and ten connections in its pool."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from typing import Any

from tests.bench import _measures as measure
from tests.bench._common import (
    RESULT,
    TOOL,
    Options,
    Report,
    arguments,
    options,
    quiet,
    scratch_database,
)
from tests.bench._wire import Wire

MODULE = "tests.bench.subjects.peer_agent_ledger"
POOL = 10

agent_ledger = import_module("agent_ledger")  # Any: the package is not in our environment
postgres = import_module("agent_ledger.stores.postgres")
psycopg_pool = import_module("psycopg_pool")


class AgentLedger:
    """The package as its README shows it: EffectLedger over PostgresStore."""

    def __init__(self, ledger: Any, pool: Any) -> None:
        self._ledger = ledger
        self._pool = pool
        self._hooks: Any = agent_ledger.LedgerHooks(requires_approval=_always)

    @classmethod
    async def open(cls, url: str, *, create: bool = False) -> AgentLedger:
        """Connect; `create` makes the table."""
        pool = psycopg_pool.AsyncConnectionPool(url, open=False, min_size=POOL, max_size=POOL)
        await pool.open(wait=True)
        if create:
            async with pool.connection() as conn:
                await conn.execute(postgres.SCHEMA_SQL)
        store = postgres.PostgresStore(pool=pool)
        return cls(agent_ledger.EffectLedger(agent_ledger.EffectLedgerOptions(store=store)), pool)

    async def run(self, key: str, tool: measure.Tool | None = None) -> object:
        """One effect; identity is the workflow, the tool and the arguments."""
        return await self._ledger.run(_call(key), _handler(tool))

    async def ask(self, key: str, tool: measure.Tool) -> object:
        """One effect that waits for an approval first."""
        return await self._ledger.run(_call(key), _handler(tool), hooks=self._hooks)

    async def approve(self, keys: Sequence[str]) -> Callable[[int], Awaitable[object]]:
        """Approve by the key that the package computes."""
        names = [self._ledger.idem_key(_call(key)) for key in keys]

        async def give(index: int) -> object:
            return await self._ledger.approve(names[index])

        return give

    async def close(self) -> None:
        """Done."""
        await self._pool.close()


def _always(call: object) -> bool:
    return True


def _call(key: str) -> Any:
    return agent_ledger.ToolCall(workflow_id="bench", tool=TOOL, args=arguments(key))


def _handler(tool: measure.Tool | None) -> Callable[[object], Awaitable[object]]:
    async def handler(effect: object) -> object:
        return RESULT if tool is None else await tool()

    return handler


async def repetition(asked: Options, report: Report) -> None:
    """Everything that the package can do, once."""
    with scratch_database() as url:
        subject = await AgentLedger.open(url, create=True)
        again = await AgentLedger.open(url)
        keys = await measure.sequential(report, subject, asked.many(300))
        await measure.replays(report, again, keys)
        await measure.concurrent(report, subject, max(1, asked.many(500) // 100))
        await measure.herd(report, subject)
        await measure.writes(report, url, again, keys)
        asked.target = url
        await measure.followers(report, subject, MODULE, asked)
        await measure.approvals(report, subject, MODULE, asked)
        with Wire(url) as wire:
            counted = await AgentLedger.open(wire.url)
            await measure.statements(report, wire, counted)
            await counted.close()
        await again.close()
        await subject.close()
    report.say("store", "async only; waiters poll every 50 ms, up to 1 s (its defaults)")


async def other_process(asked: Options) -> None:
    """A follower or an approver."""
    subject = await AgentLedger.open(asked.target)
    if asked.role == "follow":
        await measure.follow(subject, asked)
    else:
        await measure.give_approvals(subject, asked)
    await subject.close()


def main() -> None:
    """One repetition."""
    quiet()
    asked = options()
    if asked.role:
        asyncio.run(other_process(asked))
        return
    report = Report("agent-ledger", asked.store, ["agent-ledger", "psycopg", "psycopg-pool"])
    asyncio.run(repetition(asked, report))
    report.emit()


if __name__ == "__main__":
    main()
