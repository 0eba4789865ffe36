"""The ledger: the one place where flows meet a store."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast, overload

from tallystick import _binding, _maintenance
from tallystick._codec import frozen_copy
from tallystick._context import CURRENT, WORKFLOW, CurrentEffect
from tallystick._desk import Desk
from tallystick._faces import Awaiting, Blocking, Engine, run_sync
from tallystick._flows.call import Call
from tallystick._flows.effects import ask, perform
from tallystick._flows.transactions import transact
from tallystick._hooks import Hook, Hooks
from tallystick._keys import check_name, identify, is_a
from tallystick._model import Effect, Guarantee
from tallystick._places import Place
from tallystick._policy import Policy
from tallystick._ports import Store
from tallystick._scope import Claimed, WorkflowScope
from tallystick._views import effect_of
from tallystick.errors import (
    ArgumentsTooLarge,
    AsyncTool,
    InvalidCall,
    InvalidPolicy,
    NoWorkflow,
)
from tallystick.stores import open_store

if TYPE_CHECKING:
    import sqlalchemy

P = ParamSpec("P")
R = TypeVar("R")

_DEFAULT = Policy()
#: seconds that a lease may last
_LEASE = (0.2, 86_400.0)
_OPEN: weakref.WeakSet[Ledger] = weakref.WeakSet()


class Ledger(Desk):
    """
    Effects that happen exactly as often as they were meant to.

    For one key every caller gets one outcome; a second attempt starts only if the first was rolled
    back, carries the same key to a downstream that still remembers it, was found not to have
    happened, or a person said so.

    *target* is ``sqlite:///file.db`` (made when it does not exist), ``memory://`` (forgotten at
    exit; ``memory://name`` is shared within the process), ``postgresql://user@host/database``, a
    SQLAlchemy ``Engine`` for one of these databases, or a store of your own.

    tenant
        Part of every key, query and decision: nothing of another tenant can be seen, replayed or
        approved through this ledger.
    create
        Make or upgrade PostgreSQL's tables; otherwise missing ones are a SchemaMismatch.
    lease
        Seconds after its last heartbeat at which a PostgreSQL worker counts as dead.
    hooks
        Listeners, see :mod:`tallystick.hooks`.
    max_arguments
        Bytes that the canonical arguments of a call may have.

    Any thread and any event loop may use one ledger. Close it, or use it in a ``with``; at exit it
    closes itself. Raises InvalidUrl, DriverMissing, SchemaMismatch or StoreUnavailable.

    >>> ledger = Ledger("memory://")
    >>> def charge(order: str, cents: int) -> str:
    ...     return f"charged {cents} for {order}"
    >>> ledger.call("charge", charge, {"order": "A-1", "cents": 500}, workflow="A-1")
    'charged 500 for A-1'
    >>> ledger.close()
    """

    def __init__(
        self,
        target: str | sqlalchemy.Engine | Store = "sqlite:///tallystick.db",
        *,
        tenant: str = "default",
        create: bool = False,
        lease: float = 15.0,
        hooks: Sequence[Hook] = (),
        max_arguments: int = 1 << 20,
    ) -> None:
        self.tenant = check_name(tenant, "tenant")
        if not is_a(lease, (int, float)) or not _LEASE[0] <= lease <= _LEASE[1]:
            raise InvalidCall(f"lease={lease!r}: give seconds between 0.2 and a day")
        if not is_a(max_arguments, int) or max_arguments < 1:
            raise InvalidCall(f"max_arguments={max_arguments!r}: give a number of bytes from 1")
        if not is_a(hooks, Sequence) or not all(map(callable, hooks)):
            raise InvalidCall(f"hooks={hooks!r}: give a list of functions, see tallystick.hooks")
        self._max_arguments = max_arguments
        self._engine = Engine(open_store(target, create=create, lease=lease), Hooks(hooks))
        self._blocking = Blocking(self._engine)
        self._awaiting = Awaiting(self._engine)
        self._keeper = _maintenance.Keeper(self._engine, self.tenant)
        self._nonces = _nonces()
        _OPEN.add(self)

    # -- calling ------------------------------------------------------------------------------

    def call(
        self,
        tool: str,
        fn: Callable[..., R],
        args: Mapping[str, Any] | None = None,
        *,
        workflow: str | None = None,
        call_id: str | None = None,
        occurrence: int = 0,
        policy: Policy | None = None,
        connection: Any = None,
        place: Place | None = None,
    ) -> R:
        """
        Perform ``fn(**args)`` as an effect, or return what became of it before.

        *workflow* names the unit of work whose retries must not repeat effects; without it the
        ambient one (``with ledger.workflow(…)``) is used. With *call_id* the same call id and
        arguments are the same intent; without, the same arguments are. *occurrence* tells intended
        repeats apart. *connection* is for ``TRANSACTIONAL`` tools: a SQLAlchemy or SQLModel
        ``Connection`` or ``Session`` in whose transaction effect and record are made; without one
        the ledger opens and commits its own. *place* comes from the adapter of a framework that
        runs steps again.

        Returns the result; a replayed one is equal and of the same type. Raises what *fn* raised
        when that certainly means that nothing happened, else EffectInDoubt; ApprovalRequired,
        ApprovalDenied, ApprovalExpired, EffectFailed (a recorded failure), ArgumentsChanged,
        Halted, StillRunning; InvalidCall for bad input, before anything is recorded.
        """
        call = self._call(tool, fn, args, workflow, call_id, occurrence, policy, connection, place)
        if call.is_async:
            raise AsyncTool(f"{tool} is async: use `await ledger.acall(…)`")
        if call.policy.guarantee is Guarantee.TRANSACTIONAL:
            return cast("R", run_sync(transact(self._blocking, call)))
        return cast("R", run_sync(perform(self._blocking, call)))

    @overload
    async def acall(
        self,
        tool: str,
        fn: Callable[..., Coroutine[Any, Any, R]],
        args: Mapping[str, Any] | None = None,
        *,
        workflow: str | None = None,
        call_id: str | None = None,
        occurrence: int = 0,
        policy: Policy | None = None,
        connection: Any = None,
        place: Place | None = None,
    ) -> R: ...

    @overload
    async def acall(
        self,
        tool: str,
        fn: Callable[..., R],
        args: Mapping[str, Any] | None = None,
        *,
        workflow: str | None = None,
        call_id: str | None = None,
        occurrence: int = 0,
        policy: Policy | None = None,
        connection: Any = None,
        place: Place | None = None,
    ) -> R: ...

    async def acall(
        self,
        tool: str,
        fn: Callable[..., Any],
        args: Mapping[str, Any] | None = None,
        *,
        workflow: str | None = None,
        call_id: str | None = None,
        occurrence: int = 0,
        policy: Policy | None = None,
        connection: Any = None,
        place: Place | None = None,
    ) -> Any:
        """As :meth:`call`, awaited; a sync *fn* runs in a thread, in the caller's context."""
        call = self._call(tool, fn, args, workflow, call_id, occurrence, policy, connection, place)
        if call.policy.guarantee is Guarantee.TRANSACTIONAL:
            return await transact(self._awaiting, call)
        return await perform(self._awaiting, call)

    def tool(
        self, *, policy: Policy | None = None, name: str | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """
        Make every call of a function, sync or async, an effect of the ambient workflow.

        >>> ledger = Ledger("memory://")
        >>> @ledger.tool()
        ... def send(to: str) -> str:
        ...     return f"sent to {to}"
        >>> with ledger.workflow("newsletter-7"):
        ...     send("ann"), send(to="ann")
        ('sent to ann', 'sent to ann')
        >>> len(ledger.effects())
        1
        """

        def decorate(fn: Callable[P, R]) -> Callable[P, R]:
            named = check_name(name or getattr(fn, "__name__", ""), "the tool's name")
            _binding.shape_of(fn)

            @functools.wraps(fn)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                given = _binding.bind_positional(fn, args, kwargs)
                return await self.acall(named, fn, given, policy=policy)

            @functools.wraps(fn)
            def called(*args: P.args, **kwargs: P.kwargs) -> R:
                given = _binding.bind_positional(fn, args, kwargs)
                return self.call(named, fn, given, policy=policy)

            if _binding.shape_of(fn).is_async:
                return cast("Callable[P, R]", awaited)
            return called

        return decorate

    def workflow(self, name: str) -> WorkflowScope:
        """
        A sync and async context manager: calls inside belong to the workflow *name*.

        Scopes nest; the innermost counts.
        """
        return WorkflowScope(check_name(name, "workflow"))

    def claim(
        self,
        tool: str,
        args: Mapping[str, Any] | None = None,
        *,
        workflow: str | None = None,
        call_id: str | None = None,
        occurrence: int = 0,
        policy: Policy | None = None,
        place: Place | None = None,
    ) -> Claimed:
        """
        Claim an effect by hand, as a sync or async context manager.

        ``claim.fresh`` says whether the effect is the caller's to perform; then it must call
        ``claim.succeed(result)`` or ``claim.fail(error)`` (async: ``asucceed``, ``afail``) before
        the block ends, or the effect is in doubt. Otherwise ``claim.result`` is the recorded one.
        """
        call = self._call(
            tool, _by_hand, args, workflow, call_id, occurrence, policy, None, place, bound=False
        )
        if call.policy.guarantee is Guarantee.TRANSACTIONAL:
            raise InvalidPolicy("TRANSACTIONAL effects need ledger.call(…, connection=…)")
        return Claimed(self._blocking, self._awaiting, call)

    def ask(
        self,
        tool: str,
        args: Mapping[str, Any] | None = None,
        *,
        workflow: str | None = None,
        call_id: str | None = None,
        occurrence: int = 0,
        policy: Policy | None = None,
        place: Place | None = None,
    ) -> Effect | None:
        """
        Ask for a decision about a call before it is made; nothing is started.

        The effect as it is recorded: pending if nobody decided yet, else with what became of it;
        ``None`` where *policy* needs no decision and nothing is recorded. The call itself, with
        the same identity, then finds the decision.

        >>> ledger = Ledger("memory://")
        >>> asked = ledger.ask("pay", {"cents": 5}, workflow="w", policy=Policy(approval=True))
        >>> asked.status
        <Status.PENDING: 'pending'>
        >>> ledger.close()
        """
        call = self._call(
            tool, _by_hand, args, workflow, call_id, occurrence, policy, None, place, bound=False
        )
        row = run_sync(ask(self._blocking, call))
        return None if row is None else effect_of(row)

    async def aask(
        self,
        tool: str,
        args: Mapping[str, Any] | None = None,
        *,
        workflow: str | None = None,
        call_id: str | None = None,
        occurrence: int = 0,
        policy: Policy | None = None,
        place: Place | None = None,
    ) -> Effect | None:
        """As :meth:`ask`, awaited."""
        call = self._call(
            tool, _by_hand, args, workflow, call_id, occurrence, policy, None, place, bound=False
        )
        row = await ask(self._awaiting, call)
        return None if row is None else effect_of(row)

    def _call(
        self,
        tool: str,
        fn: Callable[..., Any],
        args: Mapping[str, Any] | None,
        workflow: str | None,
        call_id: str | None,
        occurrence: int,
        policy: Policy | None,
        connection: Any,
        place: Place | None,
        *,
        bound: bool = True,
    ) -> Call:
        """Check everything before anything happens."""
        policy = _DEFAULT if policy is None else policy
        if not is_a(policy, Policy):
            raise InvalidPolicy(f"policy={policy!r}: give a tallystick.Policy")
        workflow = workflow if workflow is not None else WORKFLOW.get()
        if workflow is None:
            raise NoWorkflow(
                f"{tool} was called outside of a workflow; pass workflow=…, or wrap the run in "
                "`with ledger.workflow('order-42'):`, with a name that is the same when it is "
                "tried again"
            )
        check_name(tool, "tool")
        check_name(workflow, "workflow")
        if call_id is not None:
            check_name(call_id, "call_id")
        if type(occurrence) is not int or not 0 <= occurrence < 1 << 63:
            raise InvalidCall(f"occurrence={occurrence!r}: give a whole number from 0")
        if connection is not None and policy.guarantee is not Guarantee.TRANSACTIONAL:
            raise InvalidPolicy("connection=… goes with Policy(guarantee=TRANSACTIONAL)")
        given: Mapping[str, Any] = {} if args is None else args
        if not is_a(given, (dict, Mapping)):
            raise InvalidCall(f"args={args!r}: give a mapping of argument names to values")
        shape = _binding.shape_of(fn)
        frozen = frozen_copy(_binding.bind(fn, shape, given) if bound else given)
        nonce = self._nonces()
        read_only = policy.guarantee is Guarantee.READ_ONLY
        identity = identify(
            tenant=self.tenant,
            workflow=workflow,
            tool=tool,
            args=frozen,
            call_id=call_id,
            occurrence=occurrence,
            policy=policy,
            turn=turn_of(place, policy),
            nonce=nonce if read_only else None,
        )
        if identity.size > self._max_arguments:
            raise ArgumentsTooLarge(
                f"the arguments of {tool} are {identity.size:,} bytes; the limit is "
                f"{self._max_arguments:,}. Pass a reference instead, or raise "
                "Ledger(max_arguments=…)"
            )
        current = CURRENT.get()
        if current is not None and current.connection is not None and connection is None:
            connection = self._inherited(tool, policy, current)
        return Call(
            self.tenant,
            workflow,
            tool,
            call_id,
            fn,
            shape.is_async,
            frozen,
            identity,
            nonce,
            policy,
            current.within if current is not None else frozenset(),
            connection,
            place,
        )

    def _inherited(self, tool: str, policy: Policy, outer: CurrentEffect) -> Any:
        """The connection for a call from inside a TRANSACTIONAL effect, where it has to be that."""
        from tallystick.stores._lend import shares

        if not shares(self._engine.store, outer.connection):
            return None
        if policy.guarantee is Guarantee.TRANSACTIONAL:
            return outer.connection
        if self._blocking.local:
            raise InvalidCall(
                f"{tool} is called inside {outer.tool}, a TRANSACTIONAL effect that holds SQLite's "
                "only write lock, so it could not be recorded; call it before or after, make it "
                "TRANSACTIONAL too, or use PostgreSQL"
            )
        return None

    # -- life ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what waits, end the threads, release the database. Safe to call twice."""
        self._keeper.close()
        self._engine.close()
        _OPEN.discard(self)

    async def aclose(self) -> None:
        """As :meth:`close`."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _forked(self) -> None:
        """In a forked child: the same ledger, as another worker."""
        store: Any = self._engine.store
        if hasattr(store, "forked"):
            store.forked()
        self._engine = Engine(store, self._engine.hooks)
        self._blocking = Blocking(self._engine)
        self._awaiting = Awaiting(self._engine)
        self._keeper = _maintenance.Keeper(self._engine, self.tenant)
        self._nonces = _nonces()


def _nonces() -> Callable[[], bytes]:
    """Sixteen bytes that no other claim has: eight at random for this ledger, and a count."""
    mine, count = os.urandom(8), itertools.count()
    return lambda: mine + next(count).to_bytes(8, "big")


def turn_of(place: Place | None, policy: Policy) -> str | None:
    """The turn that is part of the key; a business identity is one in the whole workflow."""
    named = policy.identity is not None or policy.repeat == "same"
    return None if place is None or named else place.turn


def _by_hand(**_: Any) -> None:
    raise AssertionError("a claim by hand runs no function")


def _close_all() -> None:
    for ledger in list(_OPEN):
        ledger.close()


def _fork_all() -> None:
    for ledger in list(_OPEN):
        ledger._forked()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - our own


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork_all)
