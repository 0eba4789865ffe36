"""Resuming the threads whose decisions were made elsewhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tallystick import Effect, Ledger, Status
from tallystick._budgets._topups import RAISE
from tallystick._keys import is_a
from tallystick._values import Value
from tallystick.errors import InvalidCall
from tallystick_langgraph._topping import waiting

#: what a decision, or the time for one, leaves
_DECIDED = (Status.APPROVED, Status.DENIED, Status.EXPIRED)
#: budgets that were raised, among which those are looked for that something waits for
_RAISED = 100


class Resumed(Value):
    """A thread that went on."""

    thread: str
    #: the effects whose decisions it had waited for
    effects: tuple[str, ...]
    result: Any = None
    #: what stopped it again, if it did
    error: Exception | None = None


def resume_approved(
    graph: Any,
    ledger: Ledger,
    *,
    every: float | None = None,
    stop: threading.Event | None = None,
    limit: int = 1000,
) -> list[Resumed]:
    """
    Go on with the threads of *graph* whose approvals were decided elsewhere.

    Looks at the newest *limit* effects of *ledger* that are approved, denied or expired, and
    invokes each thread that stands waiting for one of them with ``None``; also those that wait for
    a budget to be raised. A thread that raises is
    reported and does not keep the others waiting. With *every* it looks again after that many
    seconds, until *stop* is set, and returns what the last look found.

    Several watchers do no harm to effects; a thread that two of them resume at once may ask its
    model twice.
    """
    _checked(graph, ledger, every, stop)
    while True:
        found = [
            _resume(graph, thread, effects)
            for thread, effects in _by_thread(_named(ledger, _decided(ledger, limit))).items()
            if _waits(graph.get_state(_config(thread)), effects)
        ]
        if every is None or stop is None or stop.wait(every):
            return found


async def aresume_approved(
    graph: Any,
    ledger: Ledger,
    *,
    every: float | None = None,
    stop: asyncio.Event | None = None,
    limit: int = 1000,
) -> list[Resumed]:
    """As :func:`resume_approved`, awaited."""
    _checked(graph, ledger, every, stop)
    while True:
        found: list[Resumed] = []
        looks = _looks(limit)
        effects = [one for look in looks for one in await ledger.aeffects(**look)]
        named = [(thread, e) for e in effects for thread in await _athreads(ledger, e)]
        for thread, mine in _by_thread(named).items():
            if _waits(await graph.aget_state(_config(thread)), mine):
                found.append(await _aresume(graph, thread, mine))
        if every is None or stop is None:
            return found
        try:
            await asyncio.wait_for(stop.wait(), every)
        except TimeoutError:
            continue
        return found


def _checked(graph: Any, ledger: Any, every: float | None, stop: Any) -> None:
    if not is_a(ledger, Ledger):
        raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
    if getattr(graph, "checkpointer", None) is None or isinstance(graph.checkpointer, bool):
        raise InvalidCall("resume_approved needs a graph that is compiled with a checkpointer")
    if every is not None and (every <= 0 or stop is None):
        raise InvalidCall("every=… needs a number of seconds above 0, and stop=Event() to end it")


def _decided(ledger: Ledger, limit: int) -> list[Effect]:
    return [one for look in _looks(limit) for one in ledger.effects(**look)]


def _looks(limit: int) -> list[dict[str, Any]]:
    """Where decisions are found; a budget that was raised is done with as it is approved."""
    raised = {"tool": RAISE, "status": Status.SUCCEEDED, "limit": min(limit, _RAISED)}
    return [*({"status": status, "limit": limit} for status in _DECIDED), raised]


def _named(ledger: Ledger, effects: Iterable[Effect]) -> Iterator[tuple[str, Effect]]:
    """Each of *effects* with each thread that waits for it."""
    for effect in effects:
        if effect.tool == RAISE:
            yield from ((thread, effect) for thread in waiting(ledger.history(effect.key)))
        else:
            yield effect.workflow, effect


async def _athreads(ledger: Ledger, effect: Effect) -> list[str]:
    if effect.tool == RAISE:
        return waiting(await ledger.ahistory(effect.key))
    return [effect.workflow]


def _by_thread(named: Iterable[tuple[str, Effect]]) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = {}
    for thread, effect in named:
        found.setdefault(thread, []).append(effect)
    return found


def _waits(state: Any, effects: Sequence[Effect]) -> bool:
    """Whether a thread stands where one of *effects* keeps it."""
    if not state.tasks:  # not `next`: a kill may have come when all of them were done
        return False
    asked = [i.value for task in state.tasks for i in task.interrupts if hasattr(i.value, "get")]
    if asked:
        keys = {effect.key for effect in effects}
        return any(_keys(value) & keys for value in asked)
    return any(effect.status == Status.APPROVED for effect in effects)


def _keys(value: Any) -> set[str]:
    """The effects that a question of ours is about."""
    asked: list[Any] = value.get("action_requests") or []
    return {str(one.get("effect")) for one in asked if hasattr(one, "get")}


def _config(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


def _resume(graph: Any, thread: str, effects: Sequence[Effect]) -> Resumed:
    keys = tuple(effect.key for effect in effects)
    try:
        return Resumed(thread=thread, effects=keys, result=graph.invoke(None, _config(thread)))
    except Exception as error:  # noqa: BLE001 - told to whoever watches; others are waiting too
        return Resumed(thread=thread, effects=keys, error=error)


async def _aresume(graph: Any, thread: str, effects: Sequence[Effect]) -> Resumed:
    keys = tuple(effect.key for effect in effects)
    try:
        result = await graph.ainvoke(None, _config(thread))
    except Exception as error:  # noqa: BLE001 - told to whoever watches; others are waiting too
        return Resumed(thread=thread, effects=keys, error=error)
    return Resumed(thread=thread, effects=keys, result=result)
