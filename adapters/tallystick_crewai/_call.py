"""One call of a wrapped tool, as the ledger's effect."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from crewai.tools.tool_failure import ToolFailure
from pydantic import BaseModel

from tallystick import Policy
from tallystick._context import WORKFLOW
from tallystick.errors import LedgerError, NotApplied, NoWorkflow
from tallystick_crewai._args import arguments
from tallystick_crewai._binding import Binding, Body
from tallystick_crewai._hooks import ASKED, asked, install, mark
from tallystick_crewai._stops import ANSWERS, Escaped, Reported, aborting, answered, stopped

#: the names of the arguments that the model gave
SUPPLIED: ContextVar[frozenset[str]] = ContextVar("tallystick_crewai_supplied", default=frozenset())


class Call:
    """One ``_run`` or ``_arun`` of a tool."""

    def __init__(
        self, name: str, binding: Binding, schema: type[BaseModel], kwargs: dict[str, Any]
    ) -> None:
        self.name = name
        self.binding = binding
        self.given = arguments(schema, kwargs)
        #: an agent hears what the tool returns; anybody else what it raises
        self.asked = asked(name) or not install()

    def perform(self) -> Any:
        """Call a sync tool, or return what became of it."""
        return self.binding.ledger.call(self.name, self._body(), **self._options())

    async def aperform(self) -> Any:
        """As :meth:`perform`, awaited; a sync tool runs in a thread."""
        body = self._body() if self.binding.abody is None else self._abody(self.binding.abody)
        return await self.binding.ledger.acall(self.name, body, **self._options())

    def _body(self) -> Body:
        run = self.binding.body
        assert run is not None

        def body(**recorded: Any) -> Any:
            again = self.given.back(recorded)
            with self._inside():
                value = run(**again)
                return _said(_finished(value) if asyncio.iscoroutine(value) else value)

        body.__annotations__["return"] = self.binding.returns
        return body

    def _abody(self, run: Body) -> Body:
        async def body(**recorded: Any) -> Any:
            again = self.given.back(recorded)
            with self._inside():
                return _said(await run(**again))

        body.__annotations__["return"] = self.binding.returns
        return body

    def _options(self) -> dict[str, Any]:
        policy: Policy = self.binding.policy_for(self.given.shown, SUPPLIED.get())
        return {"args": self.given.shown, "workflow": self._workflow(), "policy": policy}

    def _workflow(self) -> str:
        bound = self.binding.workflow
        workflow = bound if bound is not None else WORKFLOW.get()
        if workflow is None:
            raise NoWorkflow(
                f"{self.name} was called outside of a workflow, so that nothing tells a retry "
                "from a new intent. Kick off inside `with ledger.workflow('order-42'):`, with a "
                "name that is the same when it is tried again, or name it in "
                "wrap_tools(…, workflow='order-42')"
            )
        return workflow

    @contextmanager
    def _inside(self) -> Generator[None]:
        """Around the tool's own body: what it calls itself is not called by the agent."""
        token = ASKED.set(None)
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            if not self.asked or _is_cancelled(error):
                raise
            raise Escaped(f"{type(error).__name__}: {error}") from error
        finally:
            ASKED.reset(token)

    def told(self, error: Exception) -> ToolFailure:
        """What the agent gets instead of *error*; raises it where nobody else would hear of it."""
        stops = isinstance(error, LedgerError) and not isinstance(error, ANSWERS)
        if isinstance(error, LedgerError) and stops:
            error = aborting(error)
            mark(error)
        if isinstance(error, Reported):
            return answered(error)
        if not self.asked:
            raise error
        return stopped(error) if isinstance(error, LedgerError) and stops else answered(error)


def _said(value: Any) -> Any:
    """What a tool returned, unless it says with that that it did not happen."""
    if isinstance(value, ToolFailure):
        raise Reported(value)
    return value


def _finished(coroutine: Any) -> Any:
    """The result of a coroutine that a sync function returned, as CrewAI gets it."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    coroutine.close()
    raise NotApplied("a tool that returns a coroutine cannot be run inside an event loop")


def _is_cancelled(error: BaseException) -> bool:
    """Whether this is the cancellation of whoever awaits the tool, and not of the tool's making."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    cancelled = isinstance(error, asyncio.CancelledError)
    return cancelled and task is not None and task.cancelling() > 0
