"""Tools whose calls are effects of a ledger, and that are otherwise what they were."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crewai.tools import BaseTool
from crewai.tools import tool as to_tool
from pydantic import BaseModel

from tallystick import Ledger, Policy
from tallystick._wrapping import check_binding, check_names, check_same
from tallystick.errors import InvalidCall
from tallystick_crewai._binding import Binding
from tallystick_crewai._tool import LedgeredTool, never_cache

Function = Callable[..., Any]

_DEFAULT = Policy()
#: what a wrapped tool has of the plain one
_KEPT = (
    "name", "description", "env_vars", "args_schema", "result_schema", "description_updated",
    "result_as_answer", "max_usage_count", "tool_failure_policy", "current_usage_count",
)  # fmt: skip


def wrap_tools(
    tools: Sequence[BaseTool | Function],
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policies: Mapping[str, Policy] | None = None,
    default: Policy = _DEFAULT,
    inputs: Sequence[str] = (),
) -> list[LedgeredTool]:
    """
    The same tools, every call of which is an effect of *ledger*.

    To model and framework they are what they were: name, description, schemas, results, limits. A
    call that was recorded is not made again: its result comes from the ledger, and reads the same.
    Plain functions become tools as with CrewAI's own ``@tool``.

    workflow
        The unit of work whose retries must not repeat effects; without it the ambient one (``with
        ledger.workflow(…)`` around ``kickoff``, which CrewAI then calls its execution, too), else
        NoWorkflow.
    policies
        A policy for each tool by its name; InvalidPolicy for a name that no tool has.
    default
        The policy of the others.
    inputs
        Names of the kickoff's inputs that tell units of work apart within a workflow, for
        ``kickoff_for_each``: ``("order",)``. Name none that another attempt would not repeat.

    CrewAI tells no tool the id of its call, and asks for it again after a guardrail, an error of
    the model, a replay or a restored checkpoint. So within a workflow the same tool with the same
    arguments is one effect, whichever task or agent asks for it: a task's id is another one in the
    next process, and its text may be edited in between. Where a second one is meant, let an
    argument say so (``instalment=2``), or an input, or name another workflow.

    What stops a run (approval required, in doubt, halted, still running, a budget that is spent, a
    result that was not kept, bad input) leaves ``kickoff`` as the ledger's own error, which also is
    a ``HookAborted``: nothing retries it, and no boss hears of it instead of the caller. The next
    ``kickoff`` of the same workflow goes on where it was. A denial, an expired approval, a
    cancelled call, changed arguments and a tool's own failure are answers for the model, as
    ``ToolFailure``. Whoever calls ``tool.run(…)`` without an agent gets all of them raised.
    """
    made = [_as_tool(tool) for tool in tools]
    names = [tool.name for tool in made]
    check_names(policies or (), names)
    return [
        _wrapped(tool, ledger, workflow, (policies or {}).get(tool.name), default, inputs)
        for tool in made
    ]


def wrap_tool(
    tool: BaseTool | Function,
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policy: Policy | None = None,
    inputs: Sequence[str] = (),
) -> LedgeredTool:
    """The same tool, every call of which is an effect of *ledger*; see :func:`wrap_tools`."""
    return _wrapped(_as_tool(tool), ledger, workflow, policy, _DEFAULT, inputs)


def ledgered_tool(
    ledger: Ledger,
    *,
    policy: Policy | None = None,
    name: str | None = None,
    workflow: str | None = None,
    inputs: Sequence[str] = (),
    result_schema: type[BaseModel] | None = None,
    result_as_answer: bool = False,
    max_usage_count: int | None = None,
) -> Callable[[Function], LedgeredTool]:
    """
    CrewAI's ``@tool``, every call of which is an effect of *ledger*; see :func:`wrap_tools`.

    Functions may be sync or async. Every parameter needs an annotation: without one CrewAI takes
    whatever the model writes, and ``5`` and ``"5"`` would be two effects.
    """

    def decorate(function: Function) -> LedgeredTool:
        options: dict[str, Any] = {
            "result_schema": result_schema,
            "result_as_answer": result_as_answer,
            "max_usage_count": max_usage_count,
        }
        made = _made(function, name, options)
        return wrap_tool(made, ledger, workflow=workflow, policy=policy, inputs=inputs)

    return decorate


def _as_tool(tool: Any) -> BaseTool:
    if isinstance(tool, BaseTool):
        return tool
    if not callable(tool):
        raise InvalidCall(f"{tool!r} is no tool; give a BaseTool or a function")
    return _made(tool, None, {})


def _made(function: Function, name: str | None, options: Mapping[str, Any]) -> BaseTool:
    named = name or getattr(function, "__name__", type(function).__name__)
    if not function.__doc__:
        raise InvalidCall(f"{named} has no docstring, by which a model knows what it is for")
    bare = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.annotation is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if bare:
        raise InvalidCall(
            f"{named}: say what {', '.join(bare)} is, with an annotation; without one a model may "
            "send 5 or '5', which would be two effects"
        )
    decorate: Any = to_tool
    made: BaseTool = decorate(named, **options)(function)
    return made


def _wrapped(
    tool: BaseTool,
    ledger: Ledger,
    workflow: str | None,
    policy: Policy | None,
    default: Policy,
    inputs: Sequence[str],
) -> LedgeredTool:
    check_binding(ledger, workflow, policy, default)
    if isinstance(inputs, str):
        raise InvalidCall(f"inputs={inputs!r}: give a tuple of names")
    if isinstance(tool, LedgeredTool):
        check_same(tool.name, tool.binding(), ledger, workflow, policy)
        return tool
    chosen = policy if policy is not None else default
    binding = Binding(tool, ledger=ledger, workflow=workflow, policy=chosen, inputs=tuple(inputs))
    made = LedgeredTool(
        target=binding.target,
        cache_function=never_cache,
        **{field: getattr(tool, field) for field in _KEPT},
    )
    made.bind(binding)
    return made
