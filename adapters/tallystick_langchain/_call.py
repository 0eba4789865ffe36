"""One call of a wrapped tool, as the ledger's effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.tools import BaseTool, ToolException

from tallystick import Guarantee, Policy
from tallystick._context import WORKFLOW, stated
from tallystick._faces import run_sync
from tallystick._ports import Ports
from tallystick.errors import EffectFailed, LedgerError, NotApplied, NoWorkflow
from tallystick_langchain._args import Arguments, Shape, arguments
from tallystick_langchain._binding import Binding, binding_of
from tallystick_langchain._graph import Spot, placed, spot_of
from tallystick_langchain._known import demanded
from tallystick_langchain._results import readdressed
from tallystick_langchain._stops import translate


@dataclass(slots=True, eq=False, kw_only=True)
class Call:
    """One ``run`` or ``arun`` of a tool."""

    tool: BaseTool
    binding: Binding
    id: str | None = None
    config: RunnableConfig | None = None
    #: the names that the model gave
    supplied: frozenset[str] = frozenset()
    begun: bool = False


_CALL: ContextVar[Call | None] = ContextVar("tallystick_langchain_call", default=None)


@contextmanager
def calling(tool: BaseTool, tool_input: Any, options: Mapping[str, Any]) -> Generator[None]:
    """Around ``run`` and ``arun``, which alone know the call's id and configuration."""
    call = Call(
        tool=tool,
        binding=cast("Binding", binding_of(tool)),
        id=options.get("tool_call_id") or None,  # an id that is left empty identifies nothing
        config=options.get("config"),
        supplied=frozenset(cast("Any", tool_input) if isinstance(tool_input, dict) else ()),
    )
    token = _CALL.set(call)
    try:
        yield
    finally:
        _CALL.reset(token)


def entering(tool: BaseTool) -> Call | None:
    """The call that begins with this ``_run`` or ``_arun``; none inside of one's own body."""
    call = _CALL.get()
    binding = cast("Binding", binding_of(tool))
    if call is None:
        # A body that went to a thread without its context, or somebody who calls ``_run``.
        return None if binding.running else Call(tool=tool, binding=binding)
    if call.tool is not tool:
        return Call(tool=tool, binding=binding, config=call.config)
    if call.begun:
        return None
    call.begun = True
    return call


def perform(call: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``_run(tool, *args, **kwargs)`` as an effect."""
    effect = _Effect(call, args, kwargs)

    def body(**recorded: Any) -> Any:
        again, named = effect.given.back(recorded)
        with effect.running():
            effect.value = effect.binding.body(call.tool, *again, **named)
        return effect.value

    body.__annotations__["return"] = effect.binding.returns
    ledger: Any = effect.binding.ledger
    try:
        where = run_sync(effect.where(ledger._blocking, awaiting=False))  # noqa: SLF001
        result = ledger.call(call.tool.name, body, **where, **effect.options())
    except LedgerError as error:
        return _told(call, translate(error))
    return effect.answer(result)


async def aperform(call: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """``await _arun(tool, *args, **kwargs)`` as an effect."""
    effect = _Effect(call, args, kwargs)

    async def body(**recorded: Any) -> Any:
        again, named = effect.given.back(recorded)
        with effect.running():
            effect.value = await cast("Any", effect.binding.abody)(call.tool, *again, **named)
        return effect.value

    body.__annotations__["return"] = effect.binding.returns
    ledger: Any = effect.binding.ledger
    try:
        where = await effect.where(ledger._awaiting, awaiting=True)  # noqa: SLF001
        result = await ledger.acall(call.tool.name, body, **where, **effect.options())
    except LedgerError as error:
        return _told(call, translate(error))
    return effect.answer(result)


class _Effect:
    """What both faces need of a call."""

    def __init__(self, call: Call, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.call = call
        self.binding = call.binding
        self.value: Any = self  # nothing that a tool returned
        self._shape = self.binding.shape(call.tool)
        self.given = arguments(call.tool, self._shape, args, kwargs)

    def options(self) -> dict[str, Any]:
        """What the ledger is told of the call."""
        return {
            "args": self.given.shown,
            "call_id": self.call.id,
            "policy": policy_of(self.call, self._shape, self.given),
        }

    async def where(self, p: Ports, *, awaiting: bool) -> dict[str, Any]:
        """The unit of work that the call belongs to, and where it stands in a graph."""
        return await where_of(p, self.call, awaiting=awaiting)

    @contextmanager
    def running(self) -> Generator[None]:
        """Around the tool's own body."""
        self.binding.running.append(self.call)
        try:
            yield
        finally:
            self.binding.running.remove(self.call)

    def answer(self, result: Any) -> Any:
        """What ``_run`` returns: the tool's own value, or a recorded one made to fit."""
        if result is self.value:
            return result
        if self.call.tool.response_format != "content_and_artifact":
            return readdressed(result, self.call.id)
        # A person who resolves a doubt says what the model should read, and has no artifact.
        content, artifact = cast("Any", result) if isinstance(result, tuple) else (result, None)
        return readdressed(content, self.call.id), artifact


def policy_of(call: Call, shape: Shape, given: Arguments) -> Policy:
    """The policy of one call: the tool's own, and the approval that a graph demands of it."""
    policy = call.binding.policy_for(shape, given, call.supplied)
    return demanded(call.binding.ledger, call.tool.name, policy)


async def foresee(
    p: Ports,
    tool: BaseTool,
    asked: Mapping[str, Any],
    config: RunnableConfig,
    *,
    ahead: bool,
    awaiting: bool,
) -> dict[str, Any]:
    """
    What the ledger will be told when *tool*, a wrapped one, gets the tool call *asked*.

    *ahead*: by another node, in a later step. Raises what LangChain raises for arguments that do
    not fit.
    """
    binding = cast("Binding", binding_of(tool))
    call_id = asked.get("id") or None
    given_args: dict[str, Any] = dict(asked["args"])
    call = Call(
        tool=tool,
        binding=binding,
        id=call_id,
        config=config,
        supplied=frozenset(given_args),
    )
    shape = binding.shape(tool)
    # what a graph injects is not there yet, and is not shown
    chosen: Any = tool.model_copy(update={"args_schema": tool.tool_call_schema})
    args, kwargs = chosen._to_args_and_kwargs(given_args, call_id)  # noqa: SLF001
    given = arguments(tool, shape, args, kwargs)
    where = await where_of(p, call, awaiting=awaiting)
    return {
        "tool": tool.name,
        "args": given.shown,
        "call_id": call_id,
        "policy": policy_of(call, shape, given),
        **(_asking(where) if ahead else where),
    }


def _asking(where: dict[str, Any]) -> dict[str, Any]:
    place = where.get("place")
    return where if place is None else {**where, "place": dataclasses.replace(place, asks=True)}


async def where_of(p: Ports, call: Call, *, awaiting: bool) -> dict[str, Any]:
    """
    The unit of work that a call belongs to: an explicit workflow, the ambient one, or the thread.

    In a graph also its place there, once what asked for the call is durable.
    """
    bound = call.binding
    explicit = bound.workflow if bound.workflow is not None else stated()
    config = call.config if call.config is not None else ensure_config()
    spot = spot_of(config)
    harmless = bound.policy.guarantee is Guarantee.READ_ONLY  # made each time that it is asked for
    if spot is not None and not harmless:
        place = await placed(
            p,
            bound.ledger,
            spot,
            explicit=explicit,
            call_id=call.id,
            fork=bound.on_fork,
            awaiting=awaiting,
        )
        if place is not None:
            return {"workflow": place.workflow, "place": place}
    thread = (config.get("configurable") or {}).get("thread_id")
    nowhere = thread is None or thread == "" or (_forgetful(spot) and not harmless)
    if explicit is None and nowhere and (assumed := WORKFLOW.get()) is not None:
        return {"workflow": assumed}
    if explicit is None and nowhere:
        raise NoWorkflow(
            f"{call.tool.name} was called outside of a workflow, so that nothing tells a retry "
            "from a new intent. Run the agent on a thread with a checkpointer (config="
            "{'configurable': {'thread_id': 'order-42'}}), or inside "
            "`with ledger.workflow('order-42'):`, or name it in "
            "wrap_tools(…, workflow='order-42')"
        )
    # savers do the same: 42 and "42" are one thread
    return {"workflow": explicit if explicit is not None else str(thread)}


def _forgetful(spot: Spot | None) -> bool:
    """Whether this is a graph without a checkpointer: its thread's id says nothing."""
    return spot is not None and (spot.saver is None or isinstance(spot.saver, bool))


def _told(call: Call, error: LedgerError) -> Any:
    """The message by which the model learns *error*; raises it where that is not for the model."""
    handler = call.tool.handle_tool_error
    own = isinstance(error, EffectFailed | NotApplied)  # the tool's failure, now or recorded
    if not isinstance(error, ToolException) or call.id is None or (own and not handler):
        raise error
    content: Any = str(error) or "Tool execution error"
    if isinstance(handler, str):
        content = handler
    elif callable(handler):
        try:
            content = handler(error)
        except Exception:  # noqa: BLE001 - it expects its own kind; the model still has to know
            content = str(error)
    message = ToolMessage(content, tool_call_id=call.id, name=call.tool.name, status="error")
    return (message, None) if call.tool.response_format == "content_and_artifact" else message
