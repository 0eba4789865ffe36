"""Middleware for ``create_agent``: every tool call an effect, and a question where one is due."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import ToolMessage
from langchain_core.runnables import ensure_config
from langchain_core.tools import BaseTool
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from tallystick import Ledger, Policy
from tallystick._faces import run_sync
from tallystick._flows import desk
from tallystick._keys import check_name, is_a
from tallystick._ports import Ports
from tallystick.errors import ApprovalRequired, InvalidCall, LedgerError
from tallystick_langchain import wrap_tool
from tallystick_langchain._binding import binding_of
from tallystick_langchain._call import foresee
from tallystick_langchain._graph import Fork, check_fork
from tallystick_langchain._known import demand
from tallystick_langchain._mcp import hinted
from tallystick_langchain._stops import translate
from tallystick_langgraph._asking import ROUNDS, Asker, pending, undecided

Answer = ToolMessage | Command[Any]
_DEFAULT = Policy()
#: tools whose wrapped form is kept at hand
_TOOLS = 512


class LedgerMiddleware(AgentMiddleware[Any, Any, Any]):
    """
    Every tool call of an agent is an effect of *ledger*; where a person must decide, it asks.

    It wraps the tool of each call as :func:`tallystick_langchain.wrap_tools` does, also tools that
    other middleware adds while the agent runs; tools that are wrapped already stay as they are.
    It stands anywhere among other middleware: retries find the recorded outcome, limits count
    calls, and LangChain's own human in the loop may ask first. What executes is checked against
    the ledger then, so that no jump and no edit runs what was not approved.

    A call whose policy needs a decision interrupts with one question, in the shape of LangChain's
    ``HumanInTheLoopMiddleware`` with one action; see :func:`approval_node` for the answers. An
    edited call runs with the edited arguments; a rejected one is answered with the reason.

    policies
        A policy for each tool by its name.
    default
        The policy of the others; without one the annotations of MCP tools count.
    workflow, on_fork
        As for :func:`tallystick_langchain.wrap_tools`.
    by
        Who decides, where neither the answer nor the run says it.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        policies: Mapping[str, Policy] | None = None,
        default: Policy = _DEFAULT,
        workflow: str | None = None,
        on_fork: Fork = "replay",
        by: str | None = None,
    ) -> None:
        super().__init__()
        if not is_a(ledger, Ledger):
            raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
        if workflow is not None:
            check_name(workflow, "workflow")
        self.tools = []
        self._ledger = ledger
        self._policies = dict(policies or {})
        self._default = default
        self._workflow = workflow
        self._fork: Fork = check_fork(on_fork)
        self._by = by
        self._wrapped: dict[int, tuple[BaseTool, BaseTool]] = {}
        demand(ledger, self._policies)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Answer]
    ) -> Answer:
        """The call as an effect; asks, and makes it once it is decided."""
        if request.tool is None:
            return handler(request)
        ours = request.override(tool=self._ledgered(request.tool))
        asker = Asker(self._ledger, ensure_config(), self._by)
        if asker.resumed:
            p: Ports = self._ledger._blocking  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            run_sync(self._reconcile(p, asker, ours, awaiting=False))
        for _ in range(ROUNDS):
            try:
                return handler(ours)
            except ApprovalRequired as required:
                run_sync(self._ask(self._ledger._blocking, asker, required))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        raise undecided(request.tool_call["name"])

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Answer]]
    ) -> Answer:
        """As :meth:`wrap_tool_call`, awaited."""
        if request.tool is None:
            return await handler(request)
        ours = request.override(tool=self._ledgered(request.tool))
        asker = Asker(self._ledger, ensure_config(), self._by)
        if asker.resumed:
            p: Ports = self._ledger._awaiting  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            await self._reconcile(p, asker, ours, awaiting=True)
        for _ in range(ROUNDS):
            try:
                return await handler(ours)
            except ApprovalRequired as required:
                await self._ask(self._ledger._awaiting, asker, required)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        raise undecided(request.tool_call["name"])

    async def _reconcile(
        self, p: Ports, asker: Asker, request: ToolCallRequest, *, awaiting: bool
    ) -> None:
        """Before a call is made that was given an answer: look whether it is decided already."""
        config = ensure_config()
        try:
            tool = cast("BaseTool", request.tool)
            asked = await foresee(
                p, tool, request.tool_call, config, ahead=False, awaiting=awaiting
            )
        except LedgerError as error:
            raise translate(error) from error.__cause__
        except Exception:  # noqa: BLE001 - arguments that don't fit: the tool itself answers them
            return
        if asked["policy"].approval is False:
            return
        effect = await self._ledger.aask(**asked) if awaiting else self._ledger.ask(**asked)
        if effect is not None:
            await asker.reconcile(p, [effect])

    async def _ask(self, p: Ports, asker: Asker, required: ApprovalRequired) -> None:
        waiting = pending([await desk.get(p, self._ledger.tenant, required.key)])
        if waiting:  # else somebody decided meanwhile
            await asker.ask(p, waiting)

    def _ledgered(self, tool: BaseTool) -> BaseTool:
        bound = binding_of(tool)
        if bound is not None and bound.ledger is self._ledger:
            return tool
        known = self._wrapped.get(id(tool))
        if known is None or known[0] is not tool:
            policy = self._policies.get(tool.name)
            made = wrap_tool(
                tool,
                self._ledger,
                workflow=self._workflow,
                policy=policy if policy is not None else hinted(tool, self._default),
                on_fork=self._fork,
            )
            if len(self._wrapped) >= _TOOLS:
                self._wrapped.clear()
            known = self._wrapped[id(tool)] = (tool, made)
        return known[1]
