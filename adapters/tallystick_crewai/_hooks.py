"""
What CrewAI tells us, and where a run that was stopped ends.

The hooks are registered for the process, and once more for whoever enters a workflow: an agent
that ran before has a copy of the list of then.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

from crewai.context import get_current_task_id
from crewai.hooks.dispatch import (
    InterceptionPoint,
    get_global_hook_list,
    get_scoped_hooks,
    scoped_hooks,
)
from crewai.utilities.string_utils import sanitize_tool_name

from tallystick.errors import LedgerError
from tallystick_crewai._stops import Stopped

Hook = Callable[[Any], None]
Scope = dict[InterceptionPoint, list[Any]]

#: the name of the tool that an agent calls right now
ASKED: ContextVar[str | None] = ContextVar("tallystick_crewai_asked", default=None)

#: called once before each call of a model; what stops the run raises a ``HookAborted``
BEFORE_MODEL: list[Hook] = []

_SEEN = "_tallystick_seen"


@dataclass(slots=True, eq=False, kw_only=True)
class Run:
    """A crew's kickoff, or a task that runs outside of one (a replay)."""

    crew: object = None
    task: str | None = None
    inputs: dict[str, Any] | None = None
    outer: Run | None = None
    stop: LedgerError | None = None


_RUN: ContextVar[Run | None] = ContextVar("tallystick_crewai_run", default=None)


def running() -> Run | None:
    """The run that the caller is part of."""
    run = _RUN.get()
    if run is None or run.crew is not None:
        return run
    return run if run.task == get_current_task_id() else None


def kickoff_inputs() -> dict[str, Any]:
    """What the innermost crew was kicked off with, and what only the crews around it were."""
    found: dict[str, Any] = {}
    run = running()
    while run is not None:
        found = {**(run.inputs or {}), **found}
        run = run.outer
    return found


def mark(error: LedgerError) -> None:
    """The run stops with *error*, whoever swallows it on the way."""
    run = running()
    if run is not None and run.stop is None:
        run.stop = error


def asked(name: str) -> bool:
    """Whether it is an agent that calls the tool of this name, and hears what it returns."""
    return ASKED.get() == sanitize_tool_name(name)


def execution_start(context: Any) -> None:
    """A crew starts."""
    if context.crew is not None:
        _RUN.set(Run(crew=context.crew, inputs=context.inputs, outer=_RUN.get()))


def execution_end(context: Any) -> None:
    """A crew ended. Where one of its tools stopped it, the crew whose tool ran it stops, too."""
    run = _RUN.get()
    if run is None or context.crew is None or run.crew is not context.crew:
        return
    _RUN.set(run.outer)
    if run.stop is not None and run.outer is not None:
        run.outer.stop = run.outer.stop or run.stop


def pre_step(context: Any) -> None:
    """A task starts; a replayed one does without the start of a crew."""
    run = _RUN.get()
    if context.kind == "task" and (run is None or run.crew is None):
        _RUN.set(Run(task=get_current_task_id()))


def pre_tool_call(context: Any) -> None:
    """An agent is about to call a tool."""
    ASKED.set(context.tool_name)


def post_tool_call(context: Any) -> None:
    """A tool was called: end the run here if it, or a worker further down, stopped it."""
    ASKED.set(None)
    result = context.raw_tool_result
    if isinstance(result, Stopped):
        raise result.error
    _end_if_stopped()


def pre_model_call(context: Any) -> None:
    """A model is about to be called, twice told where the hook is registered twice."""
    if getattr(context, _SEEN, False):
        return
    setattr(context, _SEEN, True)
    _end_if_stopped()
    for before in BEFORE_MODEL:
        before(context)


def _end_if_stopped() -> None:
    run = running()
    if run is not None and run.stop is not None:
        # One without a cause: inside a call of a model CrewAI reads that for a reason to retry.
        raise copy.copy(run.stop)


HOOKS: dict[InterceptionPoint, Hook] = {
    InterceptionPoint.EXECUTION_START: execution_start,
    InterceptionPoint.EXECUTION_END: execution_end,
    InterceptionPoint.PRE_STEP: pre_step,
    InterceptionPoint.PRE_TOOL_CALL: pre_tool_call,
    InterceptionPoint.POST_TOOL_CALL: post_tool_call,
    InterceptionPoint.PRE_MODEL_CALL: pre_model_call,
}


def install() -> bool:
    """Register the hooks, where somebody cleared them again; whether all of them were there."""
    complete = True
    for point, hook in HOOKS.items():
        hooks = get_global_hook_list(point)
        if hook not in hooks:
            hooks.append(hook)
            complete = False
    return complete


def scoped() -> Scope:
    """The hooks of the scope around the caller, and with them the one that old agents lack."""
    scope: Scope = {point: get_scoped_hooks(point) for point in InterceptionPoint}
    before_model = scope[InterceptionPoint.PRE_MODEL_CALL]
    if pre_model_call not in before_model:
        before_model.append(pre_model_call)
    return scope


def enter(scope: Scope) -> Callable[[], None]:
    """
    As ``scoped_hooks(scope)``; returns what leaves it.

    CrewAI's own scope is a generator: one that is never left, the collector ends in somebody
    else's context, where that is an error. This one is forgotten with its context.
    """
    token = _SCOPE.set(scope)
    return lambda: _SCOPE.reset(token)


def _variable() -> ContextVar[Any]:
    """Where ``scoped_hooks`` keeps its scope."""
    mark: Scope = {}
    with scoped_hooks(mark):
        return next(one for one, value in copy_context().items() if value is mark)


_SCOPE = _variable()
