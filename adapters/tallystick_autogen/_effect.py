"""One call of a tool as the ledger's effect, which no cancellation can take the outcome of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autogen_core import CancellationToken

from tallystick import Guarantee, Ledger, Policy, current_effect
from tallystick._context import WORKFLOW
from tallystick._values import Value
from tallystick.errors import EffectStopped, LedgerError, NoWorkflow, StillRunning
from tallystick_autogen._recorded import MEMORY, MISSING, Memory
from tallystick_autogen._stops import ANSWERS, noted, worded

Body = Callable[..., Awaitable[Any]]
#: what a model is told of a result, as something that can be kept
Words = Callable[[Any], Any]

#: the loop itself remembers tasks only weakly
_running: dict[asyncio.Task[Any], tuple[Ledger, str | None]] = {}


class Binding(Value):
    """A tool's ledger, and how it is used."""

    ledger: Ledger
    policy: Policy
    workflow: str | None = None

    @property
    def where(self) -> str | None:
        """The unit of work that a call now belongs to."""
        return self.workflow if self.workflow is not None else WORKFLOW.get()


class Told(str):
    """What the model was told of a result, in the same words."""

    __slots__ = ()


class ToldError(Exception):
    """What the model was told of a call that failed, in the same words."""


class Escaped(Exception):
    """A tool raised what is no Exception; AutoGen would wait for the tool for ever."""


@dataclass(slots=True, eq=False, kw_only=True)
class Ongoing:
    """A call that has begun."""

    bound: Binding
    tool: str
    workflow: str | None
    task: asyncio.Task[Any]
    #: of its effect, once that is being performed
    key: list[str]


def begun(
    bound: Binding,
    tool: str,
    body: Body,
    args: Mapping[str, Any],
    token: CancellationToken,
    words: Words,
) -> Ongoing:
    """
    The effect, in a task of its own: whoever stops waiting does not stop it.

    The workflow is read here, on the event loop's side. Where *token* is cancelled already nothing
    begins.
    """
    workflow = bound.where
    if token.is_cancelled():
        told = f"the run was cancelled before {tool} was started; nothing was recorded"
        raise noted(bound.ledger, workflow, EffectStopped(told, tool=tool, workflow=workflow))
    key: list[str] = []
    task = asyncio.create_task(_performed(bound, tool, body, args, key, words))
    _running[task] = bound.ledger, workflow
    task.add_done_callback(_forgotten)
    return Ongoing(bound=bound, tool=tool, workflow=workflow, task=task, key=key)


async def outcome(call: Ongoing, token: CancellationToken) -> Any:
    """
    What the effect came to; as an Exception, too, where it was something else.

    When *token* is cancelled nobody waits any longer: StillRunning says so, and the effect goes on
    to its end and its record.
    """
    ended = asyncio.get_running_loop().create_future()
    _ = token.link_future(ended)
    try:
        await asyncio.wait({call.task, ended}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        # AutoGen cancels what it waits for, and then waits for ever: to be told so is better
        if not token.is_cancelled():
            raise
    finally:
        ended.cancel()
    if call.task.done():
        return call.task.result()
    error = StillRunning(
        f"the run was cancelled while {call.tool} was being performed; that goes on, and its "
        "outcome is recorded when it is there: run again to get it",
        key=call.key[0] if call.key else None,
        tool=call.tool,
        workflow=call.workflow,
    )
    raise noted(call.bound.ledger, call.workflow, error)


async def settled(ledger: Ledger, workflow: str) -> None:
    """Wait for the effects of a workflow that nobody waits for any longer."""
    loop = asyncio.get_running_loop()
    mine = [
        task
        for task, where in _running.items()
        if where == (ledger, workflow) and task.get_loop() is loop
    ]
    if mine:
        await asyncio.wait(mine)


async def _performed(
    bound: Binding, tool: str, body: Body, args: Mapping[str, Any], key: list[str], words: Words
) -> Any:
    ledger, workflow, memory = bound.ledger, bound.where, MEMORY.get()

    async def guarded(**recorded: Any) -> Any:
        key.append(current_effect().key)
        return await _without_escape(body(**recorded))

    guarded.__annotations__["return"] = body.__annotations__.get("return")
    try:
        if workflow is None:
            raise _nowhere(tool)

        async def perform() -> Any:
            return await ledger.acall(tool, guarded, args, workflow=workflow, policy=bound.policy)

        if memory is None:
            return await perform()
        reads = bound.policy.guarantee is Guarantee.READ_ONLY
        return await _remembered(memory, memory.call(tool, args), perform, words if reads else None)
    except LedgerError as error:
        raise noted(ledger, workflow, error)  # noqa: B904 - it is the same error


async def _remembered(
    memory: Memory,
    call: Mapping[str, Any],
    perform: Callable[[], Awaitable[Any]],
    words: Words | None,
) -> Any:
    """What the model was told of the call before the run broke off, or what it comes to now."""
    told = await memory.told(call)
    if told is not MISSING:
        if "error" in told:
            raise ToldError(told["error"])
        return Told(told["value"]) if isinstance(told["value"], str) else told["value"]
    try:
        value = await perform()
    except Exception as error:
        if not isinstance(error, LedgerError) or isinstance(error, ANSWERS):
            await memory.tell(call, {"error": str(worded(error))})
        raise
    if words is not None:
        await memory.tell(call, {"value": words(value)})
    return value


async def _without_escape(doing: Awaitable[Any]) -> Any:
    try:
        return await doing
    except BaseException as error:
        if isinstance(error, Exception) or _is_cancelled(error):
            raise
        raise Escaped(f"the tool raised {type(error).__name__}: {error}") from error


def _is_cancelled(error: BaseException) -> bool:
    """Whether somebody cancels this very task: the loop ends."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _forgotten(task: asyncio.Task[Any]) -> None:
    _running.pop(task, None)
    if not task.cancelled():
        task.exception()  # whoever waited has it; else it is in the ledger


def _nowhere(tool: str) -> NoWorkflow:
    return NoWorkflow(
        f"{tool} was called outside of a workflow, so that nothing tells a retry from a new "
        "intent. Run the agent or team inside `with ledger.workflow('order-42'):`, or name it in "
        "wrap_tools(…, workflow='order-42')"
    )
