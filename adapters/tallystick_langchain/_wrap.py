"""Tools whose calls are effects of a ledger, and that are otherwise what they were."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast, overload

from langchain_core.tools import BaseTool
from langchain_core.tools import tool as to_tool

from tallystick import Ledger, Policy
from tallystick._wrapping import check_binding, check_names, check_same
from tallystick.errors import InvalidCall
from tallystick_langchain._binding import (
    BINDING,
    BY_COROUTINE,
    BY_FUNC,
    DEFAULT_ARUN,
    Binding,
    binding_of,
)
from tallystick_langchain._call import aperform, calling, entering, perform
from tallystick_langchain._graph import Fork, check_fork
from tallystick_langchain._known import remember
from tallystick_langchain._mcp import hinted

T = TypeVar("T", bound=BaseTool)
Function = Callable[..., Any]

_DEFAULT = Policy()


@overload
def wrap_tools(  # pyright: ignore[reportOverlappingOverload] - a list cannot say it
    tools: Sequence[BaseTool | Function],
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policies: Mapping[str, Policy] | None = None,
    default: Policy = _DEFAULT,
    on_fork: Fork = "replay",
) -> list[BaseTool]: ...
@overload
def wrap_tools(
    tools: Sequence[BaseTool | Function | dict[str, Any]],
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policies: Mapping[str, Policy] | None = None,
    default: Policy = _DEFAULT,
    on_fork: Fork = "replay",
) -> list[BaseTool | dict[str, Any]]: ...
def wrap_tools(
    tools: Sequence[BaseTool | Function | dict[str, Any]],
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policies: Mapping[str, Policy] | None = None,
    default: Policy = _DEFAULT,
    on_fork: Fork = "replay",
) -> list[Any]:
    """
    The same tools, every call of which is an effect of *ledger*.

    To model and framework they are what they were: name, description, schema, tags, metadata,
    callbacks, results and errors. A call that was recorded is not made again: its result comes
    from the ledger. Plain functions become tools; the dicts of provider tools stay as they are.

    workflow
        The unit of work whose retries must not repeat effects; without it the ambient one
        (``with ledger.workflow(…)``), else the run's ``thread_id``, else NoWorkflow.
    policies
        A policy for each tool by its name; InvalidPolicy for a name that no tool has.
    default
        The policy of the others. Where it declares no guarantee, the annotations of an MCP tool
        do: ``readOnlyHint`` is ``READ_ONLY``, ``idempotentHint`` is ``IDEMPOTENT`` (repeating is
        safe; no key is passed on), anything else ``AT_MOST_ONCE``. They are claims of the server:
        give a policy where you don't trust it. They never lift an approval.

    on_fork
        What a call means that a LangGraph thread makes once more on another branch, after time
        travel: ``"replay"`` (default) what is recorded on the first one, ``"run"`` a new intent,
        ``"ask"`` a person.

    The call's identity is the id of the tool call where there is one, else the arguments that the
    model chose; injected ones never count. On a LangGraph thread it holds within one turn, from an
    input to the next. There a tool waits until the checkpoint that asked for it is durable, and a
    call that comes again under a new id, because a crash, a retry or time travel lost the message
    that held the old one, is the recorded one. A second call of the same subgraph in one node can
    look like a retry of the first one: where nothing tells them apart a person is asked.

    What stops a run (in doubt, approval required, halted, still running, a result that was not
    kept) is a ``GraphBubbleUp`` too, so that no retry swallows it and no model is told to try
    again. A denial, an expired approval, a cancelled call and changed arguments are answers: the
    model gets an error message with the words of the person who decided, through the tool's
    ``handle_tool_error`` if it has one. Without a tool call to answer they are raised.
    """
    made = [_as_tool(tool) for tool in tools]
    names = [tool.name for tool in made if isinstance(tool, BaseTool)]
    check_names(policies or (), names)
    return [
        _wrapped(tool, ledger, workflow, (policies or {}).get(tool.name), default, on_fork)
        if isinstance(tool, BaseTool)
        else tool
        for tool in made
    ]


@overload
def wrap_tool(
    tool: T,
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policy: Policy | None = None,
    on_fork: Fork = "replay",
) -> T: ...
@overload
def wrap_tool(
    tool: Function,
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policy: Policy | None = None,
    on_fork: Fork = "replay",
) -> BaseTool: ...
def wrap_tool(
    tool: BaseTool | Function,
    ledger: Ledger,
    *,
    workflow: str | None = None,
    policy: Policy | None = None,
    on_fork: Fork = "replay",
) -> BaseTool:
    """
    The same tool, every call of which is an effect of *ledger*; see :func:`wrap_tools`.

    Without a *policy* it is the default one, or what the annotations of an MCP tool claim.
    """
    made = _as_tool(tool)
    if not isinstance(made, BaseTool):
        raise InvalidCall(f"{tool!r} runs at the provider; there is nothing here to wrap")
    return _wrapped(made, ledger, workflow, policy, _DEFAULT, on_fork)


def _as_tool(tool: Any) -> BaseTool | dict[str, Any]:
    if isinstance(tool, BaseTool | dict):
        return cast("BaseTool | dict[str, Any]", tool)
    if not callable(tool):
        raise InvalidCall(
            f"{tool!r} is no tool; give a BaseTool, a function, or a provider's tool as a dict"
        )
    made: BaseTool = to_tool(tool)
    return made


def _wrapped(
    tool: BaseTool,
    ledger: Ledger,
    workflow: str | None,
    policy: Policy | None,
    default: Policy,
    on_fork: Fork,
) -> BaseTool:
    check_binding(ledger, workflow, policy, default)
    check_fork(on_fork)
    bound = binding_of(tool)
    if bound is not None:
        check_same(tool.name, bound, ledger, workflow, policy)
        return tool
    chosen = policy if policy is not None else hinted(tool, default)
    copy = tool.model_copy()
    vars(copy)[BINDING] = Binding(
        copy, ledger=ledger, workflow=workflow, policy=chosen, on_fork=on_fork
    )
    object.__setattr__(copy, "__class__", _ledgered(type(tool)))
    remember(ledger, copy)
    return copy


@functools.cache
def _ledgered(cls: Any) -> type[BaseTool]:
    """The subclass whose ``_run`` and ``_arun`` go through the ledger; once for each class."""

    @functools.wraps(cls.run)
    def run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        with calling(self, tool_input, kwargs):
            return cls.run(self, tool_input, *args, **kwargs)

    @functools.wraps(cls.arun)
    async def arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        with calling(self, tool_input, kwargs):
            return await cls.arun(self, tool_input, *args, **kwargs)

    body, abody = cls._run, cls._arun

    @functools.wraps(body)
    def _run(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        # A tool that is only async says so itself, and nothing was attempted.
        absent = body in BY_FUNC and getattr(self, "func", None) is None
        call = None if absent else entering(self)
        return body(self, *args, **kwargs) if call is None else perform(call, args, kwargs)

    @functools.wraps(abody)
    async def _arun(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        # One that is only sync ends in ``_run``, on a thread.
        absent = abody in BY_COROUTINE and getattr(self, "coroutine", None) is None
        call = None if absent else entering(self)
        if call is None:
            return await abody(self, *args, **kwargs)
        return await aperform(call, args, kwargs)

    members: dict[str, Any] = {"run": run, "arun": arun, "_run": _run}
    if abody is not DEFAULT_ARUN:  # LangChain looks whether a class has its own
        members["_arun"] = _arun
    members |= {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    return cast("type[BaseTool]", type(cls)(cls.__name__, (cls,), members))
