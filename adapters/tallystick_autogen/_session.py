"""A team, or an agent, that goes on where it was: after a crash, an approval, a doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from autogen_core import CancellationToken

from tallystick import Ledger
from tallystick._context import WORKFLOW
from tallystick._keys import check_name, is_a
from tallystick._policy import Seconds
from tallystick.errors import InvalidCall
from tallystick_autogen._effect import settled
from tallystick_autogen._recorded import MEMORY, MISSING, RUN, Memory, Shelf
from tallystick_autogen._runs import about_run, ended
from tallystick_autogen._sole import Sole
from tallystick_autogen._stops import raising_stops

if TYPE_CHECKING:
    from autogen_agentchat.base import ChatAgent, TaskResult, Team
    from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage

    Who = Team | ChatAgent
    Task = str | BaseChatMessage | Sequence[BaseChatMessage] | None
    Message = BaseAgentEvent | BaseChatMessage

_END = object()


def team_session(
    team: Who,
    ledger: Ledger,
    workflow: str,
    *,
    wait: Seconds = 60.0,
    message_types: Sequence[type[Any]] = (),
) -> TeamSession:
    """
    Run *team*, a team or an agent, so that it goes on where it was whatever happened.

    ::

        async with team_session(team, ledger, "order-42") as session:
            result = await session.run(task="refund order 42")

    The program is run again after a crash, with a team made anew, and says the same: a run that had
    ended returns its result, one that had not goes on. What its models had answered is not asked
    again, what its tools had done is not done again, and what they had read is told again. For that
    the models are given to the agents as :class:`BudgetedModelClient`; an agent with the ledger's
    tools and another client is refused (InvalidCall). A UserProxyAgent asks its person again,
    unless that is asked by a :func:`recorded_input`. The state is the one at the end of the last
    run that ended, together with each answer and each effect since, all in the ledger: one row for
    each.

    Inside of a run the workflow is *workflow*. What stops a run is raised as itself: decide or
    resolve, and run again. Only one session of a workflow is open at a time, over all processes:
    another one waits for *wait* seconds (after a crash on PostgreSQL, at least the ledger's
    ``lease``) and is StillRunning then.

    ``message_types``
        Message types of your own that a recorded result may hold.
    """
    return TeamSession(team, ledger, workflow, wait=wait, message_types=message_types)


class TeamSession:
    """What :func:`team_session` opens."""

    def __init__(
        self,
        team: Who,
        ledger: Ledger,
        workflow: str,
        *,
        wait: Seconds,
        message_types: Sequence[type[Any]],
    ) -> None:
        if not is_a(ledger, Ledger):
            raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
        self.workflow = check_name(workflow, "workflow")
        self._team: Any = team
        self._shelf = Shelf(ledger, workflow)
        self._sole = Sole(self._shelf, wait)
        self._types = message_types
        self._state: Mapping[str, Any] = {}
        self._runs = 0
        self._running = False
        self._dead: str | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._sole.enter()
            last = await self._shelf.newest(RUN)
            self._runs = 0 if last is MISSING else last["n"]
            self._state = await self._team.save_state() if last is MISSING else last["state"]
        except BaseException:
            await self._sole.leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await settled(self._shelf.ledger, self.workflow)
        finally:
            await self._sole.leave()

    async def run(
        self,
        *,
        task: Task = None,
        key: str | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> TaskResult:
        """
        What ``team.run`` would return; recorded, if the same run has ended before.

        The same run is the one with the same *key*, else with the same *task*; without either it
        goes on with the conversation. Give a *key*, like a message's id, where the same task may be
        meant anew. Raises what stopped the run.
        """
        return await self._run(task, key, cancellation_token, lambda _: None)

    async def run_stream(
        self,
        *,
        task: Task = None,
        key: str | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[Any, None]:
        """As :meth:`run`, with the messages on the way; those of a recorded run come again."""
        events: asyncio.Queue[Any] = asyncio.Queue()
        running = asyncio.create_task(self._run(task, key, cancellation_token, events.put_nowait))
        running.add_done_callback(lambda _: events.put_nowait(_END))
        try:
            while (event := await events.get()) is not _END:
                yield event
            yield await running
        finally:
            running.cancel()
            await asyncio.wait({running})

    async def _run(
        self,
        task: Task,
        key: str | None,
        token: CancellationToken | None,
        emit: Callable[[Any], None],
    ) -> TaskResult:
        self._check()
        self._running = True
        try:
            about = about_run(task, key, self._runs)
            known = await self._shelf.get(RUN, about)
            if known is not MISSING:
                again = ended(known, self._types, self.workflow)
                for message in again.messages:
                    emit(message)
                return again
            result = await self._live(task, about, token, emit)
            await self._end(about, result)
        finally:
            self._running = False
        return result

    async def _end(self, about: Mapping[str, Any], result: TaskResult) -> None:
        """Keep the state and what was said."""
        messages = [message.dump() for message in result.messages]
        self._state = await self._team.save_state()
        self._runs += 1
        kept = {"n": self._runs, "state": self._state, "messages": messages}
        await self._shelf.put(RUN, about, {**kept, "stop_reason": result.stop_reason})

    async def _live(
        self,
        task: Task,
        about: Mapping[str, Any],
        token: CancellationToken | None,
        emit: Callable[[Any], None],
    ) -> TaskResult:
        """The run itself, from the last state on."""
        from autogen_agentchat.base import TaskResult, Team

        await self._team.load_state(self._state)
        result: TaskResult | None = None
        here = WORKFLOW.set(self.workflow)
        remembering = MEMORY.set(Memory(self._shelf, str(sorted(about.items()))))
        try:
            with raising_stops():
                stream = self._team.run_stream(task=task, cancellation_token=token)
                async with aclosing(stream):
                    async for event in stream:
                        if isinstance(event, TaskResult):
                            result = event
                        else:
                            emit(event)
        except BaseException as error:
            if isinstance(self._team, Team):
                self._dead = type(error).__name__
            raise
        finally:
            MEMORY.reset(remembering)
            WORKFLOW.reset(here)
        assert result is not None, "a stream of AutoGen ends with its result"
        return result

    def _check(self) -> None:
        if not self._sole.held:
            raise InvalidCall("open the session first: `async with team_session(…) as session:`")
        if self._running:
            raise InvalidCall(
                f"a run of {self.workflow} goes on in this session; await it before the next one"
            )
        if self._dead is not None:
            raise InvalidCall(
                f"this team was ended by {self._dead}, and AutoGen would hang if it ran again: "
                f"make it anew, and open another session of {self.workflow}"
            )
