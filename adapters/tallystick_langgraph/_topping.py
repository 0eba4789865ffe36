"""
Asking a person for more, where a budget has no room for the next model call.

One request may keep many threads waiting: it is about a line of a budget, not about a thread. So
each thread that waits is written down beside it, and is found again when somebody decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig

from tallystick import Effect, Event, Ledger
from tallystick._acts import Observe
from tallystick._budgets._topups import RAISE
from tallystick._flows import desk
from tallystick._ports import Ports
from tallystick.errors import BudgetError, BudgetExceeded
from tallystick_langgraph._asking import Asker, pending

#: the event that says which thread waits for a request
WAITS = "thread_waits"


class TopUpAsker(Asker):
    """One model call that asks for more; made anew each time that its task runs."""

    def __init__(
        self, ledger: Ledger, config: RunnableConfig, by: str | None, messages: Sequence[Any]
    ) -> None:
        super().__init__(ledger, config, by)
        self._tenant = ledger.tenant
        self._task = str(self._conf.get("checkpoint_ns") or "")
        #: where the thread was, as far as a double answer could tell
        self._turn = sum(isinstance(m, BaseMessage) and m.type == "human" for m in messages)

    async def settle(self, p: Ports) -> None:
        """Take the answers that this task was given to questions that are decided by now."""
        given = self._given()
        if not given:
            return
        mine = [
            (place["nth"], request)
            for request, place in await self._asked_here(p)
            if place["task"] == self._task
        ]
        for answer, (_, request) in zip(given, sorted(mine, key=_nth), strict=False):
            if pending([request]) or not await self._take(p, [request], answer):
                return

    async def more(self, p: Ports, exceeded: BudgetError) -> None:
        """Ask for what *exceeded* lacks; raise it if nobody can be asked, or said no before."""
        if not isinstance(exceeded, BudgetExceeded) or exceeded.request is None:
            raise exceeded
        request = await desk.get(p, self._tenant, exceeded.request)
        if not pending([request]):
            raise exceeded  # decided, and there is no room all the same
        await self._wait(p, request)
        await self.ask(p, [request])

    async def _wait(self, p: Ports, request: Effect) -> None:
        """Write down that this thread waits for *request*."""
        place = {
            "thread": self.thread,
            "turn": self._turn,
            "task": self._task,
            "nth": self.asked,
        }
        events = await desk.history(p, self._tenant, request.key)
        if self.thread and place not in _places(events):
            await p.do(
                Observe(
                    key=bytes.fromhex(request.key),
                    tenant=self._tenant,
                    kind=WAITS,
                    actor=self.thread,
                    detail=place,
                )
            )

    async def _asked_before(self, p: Ports, effects: Sequence[Effect]) -> bool:
        """Whether this thread was answered another request in the same turn."""
        mine = {effect.key for effect in effects}
        return any(
            place["turn"] == self._turn and request.key not in mine and not pending([request])
            for request, place in await self._asked_here(p)
        )

    async def _asked_here(self, p: Ports) -> list[tuple[Effect, Mapping[str, Any]]]:
        """The newest requests that this thread waits for, or waited."""
        found: list[tuple[Effect, Mapping[str, Any]]] = []
        for request in await desk.find(p, self._tenant, tool=RAISE, limit=_RECENT):
            places = _places(await desk.history(p, self._tenant, request.key))
            found += [(request, place) for place in places if place["thread"] == self.thread]
        return found


#: requests among which a thread's own are looked for
_RECENT = 50


def _nth(one: tuple[int, Effect]) -> int:
    return one[0]


def _places(events: Sequence[Event]) -> list[Mapping[str, Any]]:
    return [event.detail for event in events if event.kind == WAITS]


def waiting(events: Sequence[Event]) -> list[str]:
    """The threads that wait, or waited, for a request with these *events*."""
    return list(dict.fromkeys(str(place["thread"]) for place in _places(events)))
