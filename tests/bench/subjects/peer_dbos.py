"""DBOS on SQLite (its default) and on PostgreSQL, with its own defaults.

Fresh is its cheapest effect: one more step in a workflow that is running already. A replay is the
call of a finished workflow of one step under the same workflow id.
"""

from __future__ import annotations

import statistics
from importlib import import_module
from typing import Any

from tests.bench._common import (
    RESULT,
    TOOL,
    Options,
    Report,
    arguments,
    fresh_orders,
    options,
    quiet,
    scratch_database,
    scratch_folder,
    tick,
    timed,
)
from tests.bench._wire import Wire

dbos = import_module("dbos")  # Any: the package is not in our environment
DBOS = dbos.DBOS


class Durable:
    """A step that does nothing, in a workflow of many steps and in a workflow of one."""

    def __init__(self) -> None:
        self.laps: list[float] = []

        def charge(order: str, to: str, amount: int, currency: str, memo: str) -> dict[str, Any]:
            return RESULT

        step = DBOS.step(name=TOOL)(charge)

        def many(orders: list[str]) -> int:
            for order in orders:
                start = tick()
                step(**arguments(order))
                self.laps.append(tick() - start)
            return len(orders)

        def one(order: str) -> dict[str, Any]:
            result: dict[str, Any] = step(**arguments(order))
            return result

        self.many = DBOS.workflow(name="many")(many)
        self.one = DBOS.workflow(name="one")(one)

    def under(self, order: str) -> object:
        """The one-step workflow, under this id."""
        with dbos.SetWorkflowID(order):
            return self.one(order)


def launch(url: str) -> None:
    """Its own defaults, without the server for administration and without its log."""
    config = {"name": "bench", "system_database_url": url}
    DBOS(config={**config, "log_level": "CRITICAL", "run_admin_server": False})


def repetition(asked: Options, report: Report, url: str) -> None:
    """Everything that can be compared, once."""
    launch(url)
    durable = Durable()
    DBOS.launch()
    try:
        durable.many(fresh_orders(20, "warm"))
        durable.laps.clear()
        durable.many(fresh_orders(asked.many(300)))
        report.samples("fresh", durable.laps)
        keys = fresh_orders(asked.many(100))
        workflows = timed(durable.under, keys)
        report.put("workflow_ms", 1e3 * statistics.median(workflows))
        report.samples("replay", timed(durable.under, keys))
        report.put("conc100_per_s", hundred(durable, asked))
    finally:
        DBOS.destroy()
    report.say("conc100_per_s", "steps per second of 100 workflows of 5 steps, all at once")
    report.say("herd_wall_s", "not measured: a workflow id is not an effect key")
    report.say("store", "fresh = a step in a running workflow; replay = call under a finished id")


def hundred(durable: Durable, asked: Options) -> float:
    """A hundred workflows at once, five steps each."""
    steps = 5
    start = tick()
    handles = [
        DBOS.start_workflow(durable.many, fresh_orders(steps))
        for _ in range(20 if asked.quick else 100)
    ]
    for handle in handles:
        handle.get_result()
    return len(handles) * steps / (tick() - start)


def count(report: Report, url: str) -> None:
    """Statements per step and per replay; means, because its own threads send some too."""
    with Wire(url) as wire:
        launch(wire.url)
        durable = Durable()
        DBOS.launch()
        try:
            durable.many(fresh_orders(10, "warm"))
            start = wire.total(), wire.trips()
            durable.many(fresh_orders(100))
            report.put("fresh_statements", (wire.total() - start[0]) / 100)
            report.put("fresh_trips", (wire.trips() - start[1]) / 100)
            key = fresh_orders(1)[0]
            durable.under(key)
            start = wire.total(), wire.trips()
            timed(durable.under, [key] * 50)
            report.put("replay_statements", (wire.total() - start[0]) / 50)
            report.put("replay_trips", (wire.trips() - start[1]) / 50)
        finally:
            DBOS.destroy()


def main() -> None:
    """One repetition."""
    quiet()
    asked = options()
    report = Report("DBOS", asked.store, ["dbos"])
    if asked.store == "sqlite":
        with scratch_folder() as folder:
            repetition(asked, report, f"sqlite:///{folder / 'dbos.sqlite'}")
    else:
        with scratch_database() as url:
            repetition(asked, report, url)
            count(report, url)
    report.emit()


if __name__ == "__main__":
    main()
