"""Tools whose calls are effects of a ledger."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autogen_core.code_executor import Import
from autogen_core.tools import BaseTool, FunctionTool

from tallystick import Ledger, Policy
from tallystick._wrapping import check_binding, check_names, check_same
from tallystick.errors import InvalidCall
from tallystick_autogen._effect import Binding
from tallystick_autogen._tool import LedgeredTool

Function = Callable[..., Any]
AnyTool = BaseTool[Any, Any] | Function

_DEFAULT = Policy()


def wrap_tools(
    tools: Sequence[AnyTool],
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policies: Mapping[str, Policy] | None = None,
    default: Policy = _DEFAULT,
) -> list[BaseTool[Any, Any]]:
    """
    The same tools, every call of which is an effect of *ledger*.

    To agents and models they are what they were: name, description, schema, results and their
    words. A call that was recorded is not made again: its result comes from the ledger. Plain
    functions become tools, as AssistantAgent makes them.

    workflow
        The unit of work whose retries must not repeat effects; without it the ambient one
        (``with ledger.workflow(…)``), else NoWorkflow.
    policies
        A policy for each tool by its name; InvalidPolicy for a name that no tool has.
    default
        The policy of the others.

    The call's identity is its arguments, as the tool's own model completes them: ids of tool calls
    are neither unique nor stable in AutoGen. So the same call is the same intent within the
    workflow, however often it is made; where it is meant anew, say in ``Policy(identity=…)`` what
    tells one from the other.

    What stops a run (in doubt, approval required, halted, still running, no workflow, a ledger that
    does not answer) reaches the model as an error of the tool, for AutoGen lets nothing else out.
    It is never asked what to do next, though: the agent's next question raises the stop instead.
    :func:`raising_stops` and :func:`team_session` raise it also where no question follows. A
    denial, an expired approval, a cancelled call and changed arguments are answers for the model.

    When the run is cancelled the effect goes on, and its outcome is recorded; the agent is told so,
    and does not hang.
    """
    made = [_as_tool(tool) for tool in tools]
    names = [tool.name for tool in made]
    check_names(policies or (), names)
    return [
        _wrapped(tool, ledger, workflow, (policies or {}).get(tool.name), default) for tool in made
    ]


def wrap_tool(
    tool: AnyTool, ledger: Ledger, *, workflow: str | None = None, policy: Policy | None = None
) -> BaseTool[Any, Any]:
    """The same tool, every call of which is an effect of *ledger*; see :func:`wrap_tools`."""
    return _wrapped(_as_tool(tool), ledger, workflow, policy, _DEFAULT)


def ledgered_tool(
    ledger: Ledger,
    *,
    policy: Policy | None = None,
    workflow: str | None = None,
    name: str | None = None,
    description: str | None = None,
    strict: bool = False,
    global_imports: Sequence[Import] = (),
) -> Callable[[Function], BaseTool[Any, Any]]:
    """
    Make a function, sync or async, a tool every call of which is an effect of *ledger*.

    *policy* and *workflow* are those of :func:`wrap_tool`, the others are FunctionTool's; without a
    *description* it is the docstring.

    >>> ledger = Ledger("memory://")
    >>> @ledgered_tool(ledger)
    ... def send(to: str) -> str:
    ...     "Send the newsletter."
    ...     return f"sent to {to}"
    >>> send.name, send.description
    ('send', 'Send the newsletter.')
    >>> ledger.close()
    """

    def decorate(function: Function) -> BaseTool[Any, Any]:
        tool = _function_tool(
            function,
            description=description,
            name=name,
            strict=strict,
            global_imports=list(global_imports),
        )
        return wrap_tool(tool, ledger, workflow=workflow, policy=policy)

    return decorate


def _as_tool(tool: Any) -> BaseTool[Any, Any]:
    if isinstance(tool, BaseTool):
        return tool  # pyright: ignore[reportUnknownVariableType]
    if not callable(tool):
        raise InvalidCall(f"{tool!r} is no tool; give an autogen_core.tools.BaseTool or a function")
    return _function_tool(tool)


def _function_tool(
    function: Function, *, description: str | None = None, **options: Any
) -> FunctionTool:
    told = description if description is not None else function.__doc__ or ""
    try:
        return FunctionTool(function, told, **options)
    except (KeyError, NameError, TypeError) as error:
        raise InvalidCall(
            f"{function!r} is no tool yet: AutoGen reads the arguments from annotations, and "
            f"something is missing there ({type(error).__name__}: {error})"
        ) from error


def _wrapped(
    tool: BaseTool[Any, Any],
    ledger: Ledger,
    workflow: str | None,
    policy: Policy | None,
    default: Policy,
) -> BaseTool[Any, Any]:
    check_binding(ledger, workflow, policy, default)
    if isinstance(tool, LedgeredTool):
        check_same(tool.name, tool.bound, ledger, workflow, policy)
        return tool
    chosen = policy if policy is not None else default
    return LedgeredTool(_in_context(tool), Binding(ledger=ledger, policy=chosen, workflow=workflow))


def _in_context(tool: BaseTool[Any, Any]) -> BaseTool[Any, Any]:
    """A blocking function is called in the caller's context, where it finds its effect."""
    if type(tool) is not FunctionTool:
        return tool
    made = copy.copy(tool)
    private: Any = made
    function: Function = private._func  # noqa: SLF001
    if not inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def called(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(function, *args, **kwargs)

        private._func = called  # noqa: SLF001
    return made
