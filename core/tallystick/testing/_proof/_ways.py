"""The two faces of a proof: one that blocks and one that awaits."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from tallystick._undoing._report import Compensation
from tallystick.errors import InvalidCall
from tallystick.ledger import Ledger


class Blocking:
    """Calls what is to be called; what is async gets an event loop of its own each time."""

    def __init__(self) -> None:
        self._awaits = False

    async def meet(self, fn: Callable[..., Any], *args: Any) -> Any:
        """What *fn* returns."""
        value = fn(*args)
        return _run(value) if inspect.isawaitable(value) else value

    async def run(self, workflow: Callable[[Ledger], Any], ledger: Ledger) -> None:
        """Run the workflow to its end."""
        value = workflow(ledger)
        self._awaits = inspect.isawaitable(value)
        if self._awaits:
            _run(value)

    async def compensate(self, ledger: Ledger, workflow: str, **options: Any) -> Compensation:
        """Undo, on the face that the workflow is on."""
        if self._awaits:
            done: Compensation = _run(ledger.acompensate(workflow, **options))
            return done
        return ledger.compensate(workflow, **options)


class Awaiting:
    """Awaits what is async, and keeps a sync workflow out of the loop's way."""

    async def meet(self, fn: Callable[..., Any], *args: Any) -> Any:
        """What *fn* returns."""
        value = fn(*args)
        return await value if inspect.isawaitable(value) else value

    async def run(self, workflow: Callable[[Ledger], Any], ledger: Ledger) -> None:
        """Run the workflow to its end."""
        if inspect.iscoroutinefunction(workflow):
            await workflow(ledger)
            return
        value = await asyncio.to_thread(workflow, ledger)
        if inspect.isawaitable(value):
            await value

    async def compensate(self, ledger: Ledger, workflow: str, **options: Any) -> Compensation:
        """Undo, awaited."""
        return await ledger.acompensate(workflow, **options)


Way = Blocking | Awaiting


def _run(value: Awaitable[Any]) -> Any:
    async def main() -> Any:
        return await value

    coroutine = main()
    try:
        return asyncio.run(coroutine)
    except RuntimeError as error:
        if inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
            raise
        coroutine.close()
        if inspect.iscoroutine(value):
            value.close()
        raise InvalidCall(
            "prove_undo was called inside an event loop and has something to await: "
            "`await aprove_undo(…)`"
        ) from error
