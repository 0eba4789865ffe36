"""Methods of a flow that are effects: done once in a workflow, and found done after a crash."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from crewai.flow import Flow
from crewai.flow.async_feedback.types import HumanFeedbackPending
from crewai.flow.flow_wrappers import FlowMethod

from tallystick import Ledger, Policy
from tallystick._binding import bind_positional
from tallystick._canonical import canonical
from tallystick._context import WORKFLOW
from tallystick._keys import check_name, is_a
from tallystick.errors import BudgetError, EffectStopped, InvalidCall, NoWorkflow
from tallystick_crewai._given import meant, told
from tallystick_crewai._state import changes, redo, taken
from tallystick_crewai._stops import classifying

F = TypeVar("F", bound=Callable[..., Any])
Shown = Callable[[Any], Mapping[str, Any]]

_DEFAULT = Policy()
_FLOW: Any = Flow
#: how often the flow was resumed since it was kicked off
TURN: ContextVar[int] = ContextVar("tallystick_crewai_turn", default=0)


def ledgered_step(
    ledger: Ledger,
    *,
    policy: Policy = _DEFAULT,
    name: str | None = None,
    args: Shown | None = None,
) -> Callable[[F], F]:
    """
    Make a method of a flow, sync or async, an effect: once for each time that the flow means it.

    It goes below ``@start``, ``@listen``, ``@router`` and ``@human_feedback``. ``@persist`` keeps a
    flow's state and not how far it got; a step that completed in this workflow is not run again by
    another ``kickoff``, in whatever process: what it returned is returned, and what it changed in
    ``self.state`` is changed again, field by field. A method that a loop reaches several times is
    as many effects. Run the flow inside ``with ledger.workflow('order-42'):``.

    What the method is given by the one before identifies nothing, yet it is recorded, shown to
    approvers and compared: where it differs in another run, ArgumentsChanged is raised and nothing
    is done. So make steps of the methods before, too, where they do not say the same each time.
    *args* says what else of ``self`` the method depends on, in the place of what it is given.

    A flow that CrewAI restores from a checkpoint goes on likewise. Behind an ``or_`` CrewAI gives a
    method nothing then, which is refused as changed: kick off a new flow instead.

    Steps are for what has no ledger of its own. A crew in a step may have ledgered tools: where one
    of them stops (approval required, a budget that is spent), the step has not happened and runs
    again in the next ``kickoff``, so that whatever else it does should be an effect, too.

    The method must return what the ledger can store: plain data, pydantic models, a crew's output;
    and the state must be plain data or a pydantic model that its JSON makes again.

    >>> from crewai.flow import Flow, start
    >>> ledger = Ledger("memory://")
    >>> class Order(Flow):
    ...     @start()
    ...     @ledgered_step(ledger)
    ...     def charge(self):
    ...         print("charging")
    ...         self.state["paid"] = True
    ...         return "charged"
    >>> with ledger.workflow("order-42"):
    ...     Order(suppress_flow_events=True).kickoff()
    charging
    'charged'
    >>> again = Order(suppress_flow_events=True)
    >>> with ledger.workflow("order-42"):
    ...     again.kickoff(), again.state["paid"]
    ('charged', True)
    >>> ledger.close()
    """
    if not is_a(ledger, Ledger):
        raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
    if not is_a(policy, Policy):
        raise InvalidCall(f"policy={policy!r}: give a tallystick.Policy")

    def decorate(fn: F) -> F:
        if isinstance(fn, FlowMethod):
            raise InvalidCall(
                f"{fn.__name__}: put @ledgered_step below @start, @listen and @router, next to def"
            )
        return cast("F", _Step(ledger, fn, _interruptible(policy), name, args).wrapped())

    return decorate


class _Step:
    """A method whose calls are effects."""

    def __init__(
        self,
        ledger: Ledger,
        fn: Callable[..., Any],
        policy: Policy,
        name: str | None,
        args: Shown | None,
    ) -> None:
        self._ledger = ledger
        self._fn = fn
        self._policy = policy
        self._method = str(getattr(fn, "__name__", ""))
        self._name = None if name is None else check_name(name, "the step's name")
        self._args = args

    def wrapped(self) -> Any:
        """The method as a flow takes it: the same signature, the same colour."""
        fn: Any = self._fn

        @functools.wraps(fn)
        def called(flow: Any, *given: Any, **named: Any) -> Any:
            once = self._once(flow, given, named)

            def body(**recorded: Any) -> dict[str, Any]:
                before = taken(flow.state)
                args, kwargs = once.back(recorded)
                return _done(fn(flow, *args, **kwargs), before, flow)

            return once.result(self._ledger.call(once.name, body, **once.options))

        @functools.wraps(fn)
        async def awaited(flow: Any, *given: Any, **named: Any) -> Any:
            once = self._once(flow, given, named)

            async def body(**recorded: Any) -> dict[str, Any]:
                before = taken(flow.state)
                args, kwargs = once.back(recorded)
                return _done(await fn(flow, *args, **kwargs), before, flow)

            return once.result(await self._ledger.acall(once.name, body, **once.options))

        return awaited if inspect.iscoroutinefunction(fn) else called

    def _once(self, flow: Any, given: tuple[Any, ...], named: dict[str, Any]) -> _Once:
        if not isinstance(flow, _FLOW):
            raise InvalidCall(f"{self._method} is no method of a flow: ledgered_step is for those")
        name = self._name or f"{type(flow).__name__}.{self._method}"
        workflow = WORKFLOW.get()
        if workflow is None:
            raise NoWorkflow(
                f"{name} runs outside of a workflow, so that nothing tells a second run from a new "
                "intent. Kick the flow off inside `with ledger.workflow('order-42'):`, with a name "
                "that is the same when it is tried again"
            )
        given = meant(flow, self._method, given)
        bound = bind_positional(self._fn, (flow, *given), named)
        bound = {key: value for key, value in bound.items() if value is not flow}
        chosen = bound if self._args is None else dict(self._args(flow))
        shown = {key: told(value) for key, value in chosen.items()}
        policy = self._policy
        if policy.identity is None:
            policy = policy.but(identity=_at(TURN.get(), _times(flow, self._method)))
        options = {"args": shown, "workflow": workflow, "policy": policy}
        return _Once(flow, name, (given, named, bound), options)


class _Once:
    """One time that the flow means its method."""

    def __init__(
        self,
        flow: Any,
        name: str,
        given: tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]],
        options: dict[str, Any],
    ) -> None:
        self.name = name
        self.options = options
        self._flow = flow
        self._given = given
        self._ran = False

    def back(self, recorded: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments for the method, with what a person put in their place."""
        given, named, bound = self._given
        shown: Mapping[str, Any] = self.options["args"]
        edited = {name: value for name, value in recorded.items() if _differs(shown, name, value)}
        self._ran = True
        if not edited:
            return given, named
        if not set(edited) <= set(bound):
            raise InvalidCall(f"{', '.join(edited)} cannot be edited: {self.name} is not given it")
        return (), {**bound, **edited}

    def result(self, recorded: Mapping[str, Any]) -> Any:
        """What the method returned; the state is as it left it."""
        if not self._ran:
            redo(self._flow.state, recorded["put"], recorded["gone"])
        return recorded["result"]


def _differs(shown: Mapping[str, Any], name: str, value: Any) -> bool:
    return name not in shown or canonical(shown[name]) != canonical(value)


def _done(result: Any, before: dict[str, Any], flow: Any) -> dict[str, Any]:
    changed = changes(before, flow.state)
    return {"result": result, "put": changed.put, "gone": changed.gone}


def _times(flow: Any, method: str) -> int:
    """How often this run of the flow completed the method."""
    done: list[Any] = flow._method_outputs  # noqa: SLF001 - nobody else counts per run
    return sum(getattr(one, "get", str)("method") == method for one in done)


def _at(turn: int, times: int) -> Callable[[Any], list[int]]:
    """The identity of what stands there in a flow, whatever it is given."""

    def place(_: Any) -> list[int]:
        return [turn, times]

    return place


def _interruptible(policy: Policy) -> Policy:
    """*policy*, for which a step inside which something was stopped has not happened."""
    own: Any = classifying(policy).classify

    def classify(error: BaseException) -> Any:
        if isinstance(error, EffectStopped | BudgetError | HumanFeedbackPending):
            return "interrupted"
        return own(error)

    return policy.but(classify=classify)
