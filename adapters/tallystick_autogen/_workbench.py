"""A workbench whose calls are effects, whatever it is: static, an MCP server's, one's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, cast

from autogen_core import CancellationToken
from autogen_core.tools import TextResultContent, ToolResult, ToolSchema, Workbench
from autogen_core.tools._workbench import StreamWorkbench

from tallystick import Ledger, Policy
from tallystick._keys import is_a
from tallystick._wrapping import check_binding, check_names
from tallystick.errors import InvalidCall, InvalidPolicy
from tallystick_autogen._component import Bound
from tallystick_autogen._effect import Binding, Body, Ongoing, begun, outcome
from tallystick_autogen._relay import Relay
from tallystick_autogen._stops import about_to_ask, gate, noted

_DEFAULT = Policy()


class ToolReported(Exception):
    """
    A workbench's tool answered with an error; ``result`` is the answer.

    For the rules of ``Policy(classify={ToolReported: "failed"})``.
    """

    def __init__(self, result: ToolResult) -> None:
        super().__init__(result.to_text(replace_image="[image]"))
        self.result = result


class LedgeredWorkbench(Bound, StreamWorkbench):
    """
    A workbench over *workbench*, every call of which is an effect of *ledger*.

    Its tools are the ones of *workbench*, with their schemas; starting, stopping, resetting and the
    state are that one's, too. *workflow*, *policies* and *default* are those of
    :func:`wrap_tools`, and so is what identifies a call: its arguments, completed by the defaults
    in the tool's schema. InvalidPolicy, when the tools are listed, for a policy that no tool has.

    AutoGen's workbenches make the same answer of a tool that said no, of a connection that broke
    and of a time that ran out. So an answer that is an error leaves the effect *in doubt*, which
    stops the run, unless the tool is ``READ_ONLY``; where its tools are known to answer so only
    when nothing happened, say ``Policy(classify={ToolReported: "failed"})``. What an MCP server
    claims about its tools (``readOnlyHint`` and the like) is not visible here: without a policy
    they are ``AT_MOST_ONCE``.

    No error of the ledger leaves ``call_tool``, since an agent would hang: it is the answer, and is
    raised as for :func:`wrap_tools`.
    """

    def __init__(
        self,
        workbench: Workbench,
        ledger: Ledger,
        *,
        workflow: str | None = None,
        policies: Mapping[str, Policy] | None = None,
        default: Policy = _DEFAULT,
    ) -> None:
        if not is_a(workbench, Workbench) or is_a(workbench, LedgeredWorkbench):
            raise InvalidCall(f"{workbench!r}: give an autogen_core.tools.Workbench, wrapped once")
        check_binding(ledger, workflow, default, *(policies or {}).values())
        self._inner = workbench
        self._ledger = ledger
        self._default = Binding(ledger=ledger, policy=default, workflow=workflow)
        self._bound = {
            name: Binding(ledger=ledger, policy=policy, workflow=workflow)
            for name, policy in (policies or {}).items()
        }
        self._known: dict[str, ToolSchema] | None = None

    @property
    def inner(self) -> Workbench:
        """The workbench that is wrapped."""
        return self._inner

    async def list_tools(self) -> list[ToolSchema]:
        """The wrapped ones; raises what stopped the run where a model would be asked."""
        gate(self._ledger, self._default.where)
        try:
            return await self._listed()
        except Exception:
            # an agent also lists them to find the tool of a call, and hangs on what is raised there
            if self._known is None or about_to_ask() is not None:
                raise
            return [*self._known.values()]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        """Perform the call as an effect, or return what became of it before."""

        async def body(**recorded: Any) -> Any:
            return _kept(await self._inner.call_tool(name, recorded, CancellationToken(), call_id))

        token = cancellation_token or CancellationToken()
        try:
            call = await self._begun(name, arguments, body, token)
        except Exception as error:  # noqa: BLE001 - an agent hangs on whatever it is
            return _refused(name, error)
        answer: ToolResult = await _answer(name, lambda: outcome(call, token))
        return answer

    async def call_tool_stream(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> AsyncGenerator[Any, None]:
        """As :meth:`call_tool`, with the events on the way; a recorded call has none."""
        inner, token = self._inner, cancellation_token or CancellationToken()
        if not isinstance(inner, StreamWorkbench):
            yield await self.call_tool(name, arguments, token, call_id)
            return
        relay = Relay()

        async def kept(recorded: dict[str, Any]) -> AsyncGenerator[Any, None]:
            stream = inner.call_tool_stream(name, recorded, CancellationToken(), call_id)
            async for event in stream:
                yield _kept(event) if isinstance(event, ToolResult) else event

        try:
            call = await self._begun(name, arguments, relay.body(kept), token)
        except Exception as error:  # noqa: BLE001 - as above
            yield _refused(name, error)
            return
        heard = relay.heard(call, token)
        while True:
            answer = await _answer(name, lambda: anext(heard))
            yield answer
            if isinstance(answer, ToolResult):
                return

    async def start(self) -> None:
        """As the wrapped one."""
        await self._inner.start()

    async def stop(self) -> None:
        """As the wrapped one."""
        await self._inner.stop()

    async def reset(self) -> None:
        """As the wrapped one; what is recorded stays recorded."""
        await self._inner.reset()

    async def save_state(self) -> Mapping[str, Any]:
        """The wrapped one's; nothing of the ledger is in it."""
        return await self._inner.save_state()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """As the wrapped one."""
        await self._inner.load_state(state)

    async def _begun(
        self,
        name: str,
        arguments: Mapping[str, Any] | None,
        body: Body,
        token: CancellationToken,
    ) -> Ongoing:
        """The effect; none for a tool that is not listed, of which nothing is known."""
        if self._known is None or name not in self._known:
            try:
                await self._listed()
            except InvalidPolicy as error:
                raise noted(self._ledger, self._default.where, error)  # noqa: B904 - the same
        schema = (self._known or {}).get(name)
        if schema is None:
            raise LookupError(f"Tool {name} not found.")
        bound = self._bound.get(name, self._default)
        return begun(bound, name, body, _completed(schema, arguments or {}), token, _as_it_is)

    async def _listed(self) -> list[ToolSchema]:
        """The tools as they are now; InvalidPolicy at first, for a policy that none of them has."""
        tools = await self._inner.list_tools()
        known = {tool["name"]: tool for tool in tools}
        if self._known is None:
            check_names(self._bound, [*known])
        self._known = known
        return tools


def _completed(schema: ToolSchema, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """*arguments*, and the defaults of the others."""
    known: Mapping[str, Any] = schema.get("parameters", {}).get("properties", {})
    defaults = {name: of["default"] for name, of in known.items() if "default" in of}
    return {**defaults, **arguments}


def _as_it_is(kept: Any) -> Any:
    return kept


def _kept(result: ToolResult) -> dict[str, Any]:
    if result.is_error:
        raise ToolReported(result)
    return result.model_dump(mode="json")


async def _answer(name: str, doing: Callable[[], Awaitable[Any]]) -> Any:
    """What the agent gets, which is never an exception: the next event, or the result."""
    try:
        answer = await doing()
    except ToolReported as error:
        return error.result
    except Exception as error:  # noqa: BLE001 - an agent hangs on whatever it is
        return _refused(name, error)
    return ToolResult.model_validate(answer) if _is_result(answer) else answer


def _is_result(answer: Any) -> bool:
    return type(answer) is dict and cast("Any", answer).get("type") == "ToolResult"


def _refused(name: str, error: Exception) -> ToolResult:
    return ToolResult(name=name, result=[TextResultContent(content=str(error))], is_error=True)
