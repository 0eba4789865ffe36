"""idemkit on PostgreSQL, its method surface with its own defaults (4 to 20 connections)."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from tests.bench import _measures as measure
from tests.bench._common import RESULT, Options, Report, options, quiet, scratch_database
from tests.bench._wire import Wire

MODULE = "tests.bench.subjects.peer_idemkit"

idemkit = import_module("idemkit")  # Any: the package is not in our environment
backends = import_module("idemkit.backends.postgres")


class Idemkit:
    """The decorator for functions of its README, keyed by one field."""

    def __init__(self, url: str) -> None:
        self._backend: Any = backends.PostgresBackend.from_url(url)
        config = idemkit.MethodConfig(key_fields=["key"])

        async def effect(*, key: str, tool: measure.Tool | None = None) -> object:
            return RESULT if tool is None else await tool()

        self._effect: Any = idemkit.idempotent(backend=self._backend, config=config)(effect)

    async def run(self, key: str, tool: measure.Tool | None = None) -> object:
        """One effect."""
        return await self._effect(key=key, tool=tool)

    async def close(self) -> None:
        """Done."""
        await self._backend.aclose()


async def repetition(asked: Options, report: Report) -> None:
    """Everything that the package can do, once."""
    with scratch_database() as url:
        await backends.init_pg(url)
        subject = Idemkit(url)
        again = Idemkit(url)
        keys = await measure.sequential(report, subject, asked.many(300))
        await measure.replays(report, again, keys)
        await measure.concurrent(report, subject, max(1, asked.many(500) // 100))
        await measure.herd(report, subject)
        await measure.writes(report, url, again, keys)
        asked.target = url
        await measure.followers(report, subject, MODULE, asked)
        with Wire(url) as wire:
            counted = Idemkit(wire.url)
            await measure.statements(report, wire, counted)
            await counted.close()
        await again.close()
        await subject.close()
    report.say("store", "async; forgets after 24 h and runs again after a crash; no approvals")


async def other_process(asked: Options) -> None:
    """A follower."""
    subject = Idemkit(asked.target)
    await measure.follow(subject, asked)
    await subject.close()


def main() -> None:
    """One repetition."""
    quiet()
    asked = options()
    if asked.role:
        asyncio.run(other_process(asked))
        return
    report = Report("idemkit", asked.store, ["idemkit", "asyncpg"])
    asyncio.run(repetition(asked, report))
    report.emit()


if __name__ == "__main__":
    main()
