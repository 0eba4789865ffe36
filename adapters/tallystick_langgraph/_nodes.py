"""Plain nodes and tasks whose bodies are effects."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig, ensure_config
from langgraph.func import task  # pyright: ignore[reportMissingTypeStubs]

from tallystick import Ledger, Policy
from tallystick._binding import bind_positional
from tallystick._context import WORKFLOW, stated
from tallystick._faces import run_sync
from tallystick._flows import desk
from tallystick._keys import check_name, is_a
from tallystick._ports import Ports
from tallystick.errors import ApprovalRequired, InvalidCall, LedgerError, NoWorkflow
from tallystick_langchain._args import plain
from tallystick_langchain._graph import Fork, check_fork, placed, spot_of
from tallystick_langchain._stops import classifying, translate
from tallystick_langgraph._asking import ROUNDS, Asker, pending, undecided

F = TypeVar("F", bound=Callable[..., Any])
_DEFAULT = Policy()


def ledgered_node(
    ledger: Ledger,
    *,
    policy: Policy = _DEFAULT,
    name: str | None = None,
    args: Callable[[Any], Mapping[str, Any]] | None = None,
    on_fork: Fork = "replay",
    by: str | None = None,
) -> Callable[[F], F]:
    """
    Make the body of a node, sync or async, an effect: once for each time that the graph means it.

    Run again by a retry, a resume or time travel the node returns what is recorded; a later step
    of the same turn, or another task of a fan-out, is another effect. Where *policy* needs a
    decision it interrupts and asks, as :class:`LedgerMiddleware` does.

    *args* says what of the state identifies the effect, is shown to approvers and recorded; by
    default all of it. A person may edit these arguments where they are keys of the state.

    The node must return what the ledger can store: plain data, messages, pydantic models, Command.
    Arguments besides the state (config, runtime, store, writer) are passed on and never recorded.

    >>> from tallystick import Ledger
    >>> ledger = Ledger("memory://")
    >>> @ledgered_node(ledger, args=lambda state: {"order": state["order"]})
    ... def charge(state: dict) -> dict:
    ...     return {"receipt": f"charged {state['order']}"}
    >>> with ledger.workflow("order-42"):
    ...     charge({"order": "A-1"})
    {'receipt': 'charged A-1'}
    >>> ledger.close()
    """
    _checked(ledger, policy)

    def shown(fn: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        chosen = args(given[0]) if args is not None else _whole(given[0])
        return {key: plain(value) for key, value in dict(chosen).items()}

    def edited(
        given: tuple[Any, ...], named: Mapping[str, Any], changes: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not changes:
            return given, dict(named)
        if not isinstance(given[0], dict) or not set(changes) <= set(cast("Any", given[0])):
            raise InvalidCall(f"{', '.join(changes)} cannot be edited: the state has no such key")
        return ({**cast("Any", given[0]), **changes}, *given[1:]), dict(named)

    def decorate(fn: F) -> F:
        body = _Body(ledger, fn, policy, name, check_fork(on_fork), by, shown, edited)
        return cast("F", body.wrapped())

    return decorate


def ledgered_task(
    ledger: Ledger,
    *,
    policy: Policy = _DEFAULT,
    name: str | None = None,
    on_fork: Fork = "replay",
    by: str | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], Any]:
    """
    LangGraph's ``@task`` for the functional API, whose body is an effect.

    *options* are those of ``@task`` (``retry_policy``, ``cache_policy``, …). A task that LangGraph
    remembers is not run again; one whose outcome it lost, the ledger remembers.
    """
    _checked(ledger, policy)

    def shown(fn: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        bound = bind_positional(fn, given, dict(named))
        return {key: plain(value) for key, value in bound.items()}

    def edited(
        given: tuple[Any, ...], named: Mapping[str, Any], changes: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (given, dict(named)) if not changes else ((), {**named, **changes})

    def decorate(fn: Callable[..., Any]) -> Any:
        def all_of(
            given: tuple[Any, ...], named: Mapping[str, Any], changes: Mapping[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]]:
            whole = bind_positional(fn, given, dict(named)) if changes else named
            return edited(given, whole, changes)

        body = _Body(ledger, fn, policy, name, check_fork(on_fork), by, shown, all_of).wrapped()
        return cast("Any", task)(body, name=name or getattr(fn, "__name__", None), **options)

    return decorate


def _checked(ledger: Any, policy: Any) -> None:
    if not is_a(ledger, Ledger):
        raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
    if not is_a(policy, Policy):
        raise InvalidCall(f"policy={policy!r}: give a tallystick.Policy")


def _whole(state: Any) -> Mapping[str, Any]:
    data = plain(state)
    return cast("Mapping[str, Any]", data) if isinstance(data, dict) else {"state": data}


class _Body:
    """A function whose calls are effects of where they are made."""

    def __init__(
        self,
        ledger: Ledger,
        fn: Callable[..., Any],
        policy: Policy,
        name: str | None,
        fork: Fork,
        by: str | None,
        shown: Callable[..., dict[str, Any]],
        edited: Callable[..., tuple[tuple[Any, ...], dict[str, Any]]],
    ) -> None:
        self._ledger = ledger
        self._fn = fn
        self._policy = classifying(policy, None)
        self._name = check_name(name or getattr(fn, "__name__", ""), "the node's name")
        self._fork: Fork = fork
        self._by = by
        self._shown = shown
        self._edited = edited

    def wrapped(self) -> Any:
        """The function as a graph takes it: the same signature, the same colour."""
        fn: Any = self._fn

        @functools.wraps(fn)
        def called(*given: Any, **named: Any) -> Any:
            return self._call(given, named)

        @functools.wraps(fn)
        async def awaited(*given: Any, **named: Any) -> Any:
            return await self._acall(given, named)

        return awaited if inspect.iscoroutinefunction(fn) else called

    def _call(self, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        ledger, config = self._ledger, ensure_config()
        shown = self._shown(self._fn, given, named)

        def body(**recorded: Any) -> Any:
            args, kwargs = self._edited(given, named, _changes(shown, recorded))
            return self._fn(*args, **kwargs)

        asker = Asker(ledger, config, self._by)
        p = ledger._blocking  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        try:
            for _ in range(ROUNDS):
                where = run_sync(self._where(p, config, awaiting=False))
                if asker.resumed and not asker.asked and self._asks:
                    effect = ledger.ask(self._name, shown, policy=self._policy, **where)
                    run_sync(asker.reconcile(p, [effect] if effect else []))
                try:
                    return ledger.call(self._name, body, shown, policy=self._policy, **where)
                except ApprovalRequired as required:
                    run_sync(self._ask(p, asker, required))
        except LedgerError as error:
            raise translate(error) from error.__cause__
        raise undecided(self._name)

    async def _acall(self, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        ledger, config = self._ledger, ensure_config()
        shown = self._shown(self._fn, given, named)

        async def body(**recorded: Any) -> Any:
            args, kwargs = self._edited(given, named, _changes(shown, recorded))
            return await self._fn(*args, **kwargs)

        asker = Asker(ledger, config, self._by)
        p = ledger._awaiting  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        try:
            for _ in range(ROUNDS):
                where = await self._where(p, config, awaiting=True)
                if asker.resumed and not asker.asked and self._asks:
                    effect = await ledger.aask(self._name, shown, policy=self._policy, **where)
                    await asker.reconcile(p, [effect] if effect else [])
                try:
                    return await ledger.acall(self._name, body, shown, policy=self._policy, **where)
                except ApprovalRequired as required:
                    await self._ask(p, asker, required)
        except LedgerError as error:
            raise translate(error) from error.__cause__
        raise undecided(self._name)

    async def _where(self, p: Ports, config: RunnableConfig, *, awaiting: bool) -> dict[str, Any]:
        spot, explicit = spot_of(config), stated()
        if spot is not None:
            place = await placed(
                p,
                self._ledger,
                spot,
                explicit=explicit,
                call_id=None,
                fork=self._fork,
                awaiting=awaiting,
            )
            if place is not None:
                return {"workflow": place.workflow, "place": place}
        explicit = WORKFLOW.get()
        if explicit is None:
            raise NoWorkflow(
                f"{self._name} runs in a graph without a checkpointer or outside of any, so that "
                "nothing tells a retry from a new intent: compile the graph with one, or run it "
                "inside `with ledger.workflow('order-42'):`"
            )
        return {"workflow": explicit}

    @property
    def _asks(self) -> bool:
        return self._policy.approval is not False

    async def _ask(self, p: Ports, asker: Asker, required: ApprovalRequired) -> None:
        waiting = pending([await desk.get(p, self._ledger.tenant, required.key)])
        if waiting and not asker.thread:
            raise required
        if waiting:
            await asker.ask(p, waiting)


def _changes(shown: Mapping[str, Any], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What a person put in the place of what was shown."""
    return {name: value for name, value in recorded.items() if shown.get(name) != value}
