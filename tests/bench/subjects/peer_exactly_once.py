"""exactly-once on SQLite and on PostgreSQL, with its own defaults."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from tests.bench import _measures as measure
from tests.bench._common import (
    RESULT,
    Options,
    Report,
    fresh_orders,
    options,
    quiet,
    scratch_database,
    scratch_folder,
    timed,
)
from tests.bench._wire import Wire

exactly_once = import_module("exactly_once")  # Any: the package is not in our environment


class ExactlyOnce:
    """The decorator of its README around a function, blocking and awaited."""

    def __init__(self, store: Any) -> None:
        self.store = store

        def named(key: str, tool: measure.Tool | None = None) -> str:
            return f"charge:{key}"

        async def effect(key: str, tool: measure.Tool | None = None) -> object:
            return RESULT if tool is None else await tool()

        def blocking(key: str) -> object:
            return RESULT

        self._effect: Any = exactly_once.once(store, key=named)(effect)
        self.blocking: Any = exactly_once.once(store, key=named)(blocking)

    @classmethod
    def open(cls, kind: str, target: str) -> ExactlyOnce:
        """Its own factory for the store."""
        store = exactly_once.Store
        return cls(store.sqlite(target) if kind == "sqlite" else store.postgres(target))

    async def run(self, key: str, tool: measure.Tool | None = None) -> object:
        """One effect under the caller's own key; arguments are not recorded."""
        return await self._effect(key, tool)

    async def close(self) -> None:
        """Done, on both faces."""
        await self.store.aclose()
        self.store.close()


async def repetition(asked: Options, report: Report, target: str) -> None:
    """Everything that the package can do, once."""
    subject = ExactlyOnce.open(asked.store, target)
    again = ExactlyOnce.open(asked.store, target)
    timed(subject.blocking, fresh_orders(20, "warm"))
    keys = fresh_orders(asked.many(300))
    report.samples("fresh", timed(subject.blocking, keys))
    report.samples("replay", timed(again.blocking, keys))
    await subject.run(fresh_orders(1)[0])  # else concurrent first calls race for the connection
    await measure.concurrent(report, subject, max(1, asked.many(500) // 100))
    await measure.herd(report, subject)
    report.say("herd_wall_s", "a second caller is refused at once (quarantine, its default)")
    report.say("follower_p50_ms", "refuses to wait by default")
    if asked.store == "postgres":
        await measure.writes(report, target, again, keys)
        with Wire(target) as wire:
            counted = ExactlyOnce.open(asked.store, wire.url)
            await measure.statements(report, wire, counted)
            await counted.close()
        report.say("store", "one connection, SERIALIZABLE; no approvals")
    else:
        report.say("store", "synchronous=NORMAL: a commit does not reach the disk; no approvals")
    await again.close()
    await subject.close()


def main() -> None:
    """One repetition."""
    quiet()
    asked = options()
    report = Report("exactly-once", asked.store, ["exactly-once"])
    if asked.store == "sqlite":
        with scratch_folder() as folder:
            asyncio.run(repetition(asked, report, str(folder / "once.db")))
    else:
        with scratch_database() as url:
            asyncio.run(repetition(asked, report, url))
    report.emit()


if __name__ == "__main__":
    main()
