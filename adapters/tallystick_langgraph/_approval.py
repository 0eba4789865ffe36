"""A node for classic graphs that asks about the tool calls of the last message, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool
from langgraph.constants import END
from langgraph.types import Command

from tallystick import Effect, Ledger, Policy
from tallystick._faces import run_sync
from tallystick._flows import desk
from tallystick._keys import is_a
from tallystick._ports import Ports
from tallystick.errors import InvalidCall, InvalidPolicy, LedgerError
from tallystick_langchain._binding import binding_of
from tallystick_langchain._call import foresee
from tallystick_langchain._known import demand, tool_named
from tallystick_langchain._stops import translate
from tallystick_langgraph._asking import ROUNDS, Asker, pending, undecided


def approval_node(
    ledger: Ledger,
    *,
    policies: Mapping[str, Policy] | None = None,
    tools: Sequence[BaseTool] | None = None,
    then: str = "tools",
    otherwise: str = END,
    messages_key: str = "messages",
    by: str | None = None,
) -> Runnable[Any, Any]:
    """
    A node between a model and a ``ToolNode``, which asks before anything runs.

    It looks at the tool calls of the last message. Those whose policy needs a decision are
    recorded as pending, and one interrupt asks about all of them, in the shape of LangChain's
    ``HumanInTheLoopMiddleware``; then the graph goes on to *then*, or without any tool call to
    *otherwise*. Answers are ``{"decisions": […]}`` (approve, edit, reject) or Agent Inbox's
    responses. Decisions made elsewhere, on the command line or by another process, count: a run
    that is resumed with ``None`` finds them.

    The decision is bound to the effect and to the digest of its arguments, and what executes is
    checked against the ledger when it does: no route through the graph runs what was not approved.
    A call that was rejected is answered by its tool, with the words of the person who did.

    policies
        Approvals that this graph demands of tools, by name, beside those that the tools were
        wrapped with. From here on they hold for every call of these tools on *ledger*.
    tools
        The wrapped tools; by default those that ``wrap_tools`` made for *ledger*.
    by
        Who decides, where neither the answer (``"by"``) nor the run says it.

    Raises InvalidPolicy for a policy whose tool is not wrapped for *ledger*: its decision could
    not be enforced. AnswerRefused (a ``GraphBubbleUp``; the thread can be resumed) for an answer
    with the wrong number or kind of decisions, about another effect, or one that was decided
    before; also for a second answer in one turn that does not say what it answers.
    """
    if not is_a(ledger, Ledger):
        raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
    given = {tool.name: tool for tool in tools or ()}
    for name, tool in given.items():
        bound = binding_of(tool)
        if bound is None or bound.ledger is not ledger:
            raise InvalidPolicy(f"{name} is not wrapped for this ledger; use wrap_tools first")
    demand(ledger, policies or {})
    node = _Node(ledger, given, dict(policies or {}), messages_key, (then, otherwise), by)

    def approve(state: Any, config: RunnableConfig) -> Any:
        return run_sync(node.run(ledger._blocking, state, config, awaiting=False))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    async def aapprove(state: Any, config: RunnableConfig) -> Any:
        return await node.run(ledger._awaiting, state, config, awaiting=True)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    return RunnableLambda(approve, afunc=aapprove, name="approval")


_LIST: Any = list


class _Node:
    """What both faces of the node do."""

    def __init__(
        self,
        ledger: Ledger,
        tools: Mapping[str, BaseTool],
        policies: Mapping[str, Policy],
        messages_key: str,
        routes: tuple[str, str],
        by: str | None,
    ) -> None:
        self._ledger = ledger
        self._tools = tools
        self._policies = policies
        self._messages_key = messages_key
        self._routes = routes
        self._by = by

    async def run(
        self, p: Ports, state: Any, config: RunnableConfig, *, awaiting: bool
    ) -> Command[Any]:
        """Ask, until nothing is left to be decided; then route."""
        then, otherwise = self._routes
        calls = self._calls(state)
        if not calls:
            return Command(goto=otherwise)
        asker = Asker(self._ledger, config, self._by)
        try:
            effects = [await self._asked(p, call, config, awaiting=awaiting) for call in calls]
            await asker.reconcile(p, [one for one in effects if one is not None])
            for _ in range(ROUNDS):
                waiting = pending(effects)
                if not waiting:
                    return Command(goto=then)
                await asker.ask(p, waiting)
                keys = [effect.key for effect in waiting]
                effects = [await desk.get(p, self._ledger.tenant, key) for key in keys]
        except LedgerError as error:
            raise translate(error) from error.__cause__
        raise undecided(f"thread {asker.thread!r}")

    def _calls(self, state: Any) -> list[Mapping[str, Any]]:
        key = self._messages_key
        messages: Any = state if isinstance(state, _LIST) else getattr(state, key, None)
        if messages is None and hasattr(state, "get"):
            messages = state.get(key)
        if not messages:
            raise InvalidCall(f"the state has no {key}; name them in approval_node(messages_key=…)")
        last = messages[-1]
        return cast("Any", list(last.tool_calls)) if isinstance(last, AIMessage) else []

    async def _asked(
        self, p: Ports, call: Mapping[str, Any], config: RunnableConfig, *, awaiting: bool
    ) -> Effect | None:
        name = str(call["name"])
        tool = self._tools.get(name) or tool_named(self._ledger, name)
        if tool is None:
            if name in self._policies:
                raise InvalidPolicy(
                    f"{name} needs a decision and is not wrapped for this ledger, so that nothing "
                    "would keep to it; wrap it: wrap_tools(tools, ledger)"
                )
            return None
        try:
            foreseen = await foresee(p, tool, call, config, ahead=True, awaiting=awaiting)
        except LedgerError:
            raise
        except Exception:  # noqa: BLE001 - arguments that don't fit: the tool itself answers them
            return None
        if awaiting:
            return await self._ledger.aask(**foreseen)
        return self._ledger.ask(**foreseen)
