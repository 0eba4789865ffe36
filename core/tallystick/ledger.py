"""The ledger: the one place where flows meet a store."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, cast, overload

from tallystick import _binding, _maintenance
from tallystick._archiving import Archiving
from tallystick._budgets._topups import ANSWER, REPLAY, reserved
from tallystick._codec import frozen_copy
from tallystick._containments import Containing
from tallystick._context import AROUND, CURRENT, REPLAYS, WORKFLOW, CurrentEffect
from tallystick._desk import Desk
from tallystick._faces import Awaiting, Blocking, Engine, run_sync
from tallystick._flows.call import Call
from tallystick._flows.effects import ask, perform
from tallystick._flows.replaying import asked, serve
from tallystick._flows.transactions import transact
from tallystick._hooks import Hook, Hooks
from tallystick._keeping import Keeping
from tallystick._keys import check_name, identify, is_a
from tallystick._model import Effect, Guarantee
from tallystick._places import Place
from tallystick._policy import Classifier, Policy, Seconds, Verdict
from tallystick._ports import Store
from tallystick._replay._play import Play, play_of
from tallystick._running import RunScope
from tallystick._saga import Saga
from tallystick._scope import Claimed
from tallystick._treasury import Treasury
from tallystick._undoing._names import Names
from tallystick._undoing._plan import plan_text
from tallystick._views import effect_of
from tallystick._wanted import UNSET, OnFailure, OnFinished, Rival, Wanted
from tallystick.encryption import Keyring
from tallystick.errors import (
    ArgumentsTooLarge,
    AsyncTool,
    InvalidCall,
    InvalidPolicy,
    NoWorkflow,
)
from tallystick.redaction import Redact, Redaction
from tallystick.redaction._rules import redaction_of
from tallystick.replays import Replay
from tallystick.stores import open_store
from tallystick.stores._sealing._store import sealed

if TYPE_CHECKING:
    import sqlalchemy

P = ParamSpec("P")
R = TypeVar("R")

_DEFAULT = Policy()
#: tools and policies whose rules are remembered together
_RULES = 4096
#: a replay changes nothing, and each one is its own
_LOOKING = Policy(guarantee=Guarantee.READ_ONLY)
Mode = Literal["strict", "lenient"]
#: seconds that a lease may last
_LEASE = (0.2, 86_400.0)
_OPEN: weakref.WeakSet[Ledger] = weakref.WeakSet()


class Ledger(Desk, Treasury, Keeping, Saga, Containing, Archiving):
    """
    Effects that happen exactly as often as they were meant to.

    For one key every caller gets one outcome; a second attempt starts only if the first was rolled
    back, carries the same key to a downstream that still remembers it, was found not to have
    happened, or a person said so.

    *target* is ``sqlite:///file.db`` (made when it does not exist), ``memory://`` (forgotten at
    exit; ``memory://name`` is shared within the process), ``postgresql://user@host/database``,
    ``mariadb://user@host/database`` (or ``mysql://``), a SQLAlchemy ``Engine`` for one of these
    databases, or a store of your own.

    tenant
        Part of every key, query and decision: nothing of another tenant can be seen, replayed or
        approved through this ledger.
    create
        Make or upgrade a server's tables; otherwise missing ones are a SchemaMismatch.
    lease
        Seconds after its last heartbeat at which a worker on a server counts as dead.
    hooks
        Listeners, see :mod:`tallystick.hooks`.
    max_arguments
        Bytes that the canonical arguments of a call may have.
    redact
        What is left out of everything that is recorded, see :mod:`tallystick.redaction`; ``True``
        for what looks like a key, a card, an IBAN or an e-mail address.
    cipher
        The key that payloads are encrypted with, see :mod:`tallystick.encryption`.

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
        redact: Redaction | Redact | Sequence[str] | bool | None = None,
        cipher: Keyring | None = None,
    ) -> None:
        self.tenant = check_name(tenant, "tenant")
        if not is_a(lease, (int, float)) or not _LEASE[0] <= lease <= _LEASE[1]:
            raise InvalidCall(f"lease={lease!r}: give seconds between 0.2 and a day")
        if not is_a(max_arguments, int) or max_arguments < 1:
            raise InvalidCall(f"max_arguments={max_arguments!r}: give a number of bytes from 1")
        if not is_a(hooks, Sequence) or not all(map(callable, hooks)):
            raise InvalidCall(f"hooks={hooks!r}: give a list of functions, see tallystick.hooks")
        self._max_arguments = max_arguments
        self._redaction = redaction_of(redact)
        self._left_out: dict[tuple[str, Redact], Redact | None] = {}
        if cipher is not None and not is_a(cipher, Keyring):
            raise InvalidCall(f"cipher={cipher!r}: give a tallystick.encryption.Keyring")
        self._cipher = cipher
        store = sealed(open_store(target, create=create, lease=lease), cipher, self.tenant)
        self._engine = Engine(store, Hooks(hooks))
        self._blocking = Blocking(self._engine)
        self._awaiting = Awaiting(self._engine)
        self._keeper = _maintenance.Keeper(self._engine, self.tenant)
        self._nonces = _nonces()
        self._names = Names()
        #: the replays of this ledger that are under way
        self._plays: list[Play] = []
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
        ``Connection`` or ``Session`` in whose transaction effect and record are made, on MariaDB
        and MySQL one at READ COMMITTED; without one the ledger opens and commits its own. *place*
        comes from the adapter of a framework that runs steps again.

        Returns the result; a replayed one is equal and of the same type. Raises what *fn* raised
        when that certainly means that nothing happened, else EffectInDoubt; ApprovalRequired,
        ApprovalDenied, ApprovalExpired, EffectFailed (a recorded failure), ArgumentsChanged,
        Halted, StillRunning; InvalidCall for bad input, before anything is recorded.
        """
        call = self._call(tool, fn, args, workflow, call_id, occurrence, policy, connection, place)
        if call.is_async:
            raise AsyncTool(f"{tool} is async: use `await ledger.acall(…)`")
        if (play := self._play(call.workflow)) is not None:
            return cast("R", run_sync(serve(self._blocking, play, call)))
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
        if (play := self._play(call.workflow)) is not None:
            return await serve(self._awaiting, play, call)
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

    def workflow(
        self,
        name: str,
        *,
        input: Any = UNSET,  # noqa: A002 - the word for it
        budget: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        compensate: OnFailure | None = None,
        rival: Rival | None = None,
        wait: Seconds = 600.0,
        finished: OnFinished | None = None,
        kind: str | None = None,
        framework: str | None = None,
        version: str | None = None,
        classify: Mapping[type[BaseException], Verdict] | Classifier | None = None,
    ) -> RunScope:
        """
        A sync and async context manager: calls inside belong to the workflow *name*.

        *budget* names what pays for the tools and models inside, besides what their policies name
        and what concerns everything; *labels* (``{"user": "ann"}``) are facts that budgets may be
        split by. Scopes nest: the innermost name counts, budgets and labels add up.

        With any of the following it is recorded as a run, whose id is *name*; then entering and
        leaving it write to the ledger:

        input
            What the run is about, as plain data. Another input under the same name is
            ArgumentsChanged; left out when it is opened again it is the recorded one.
        compensate
            What an error that leaves the block does: ``"never"`` (the default) lets the run be
            opened again, ``"on_error"`` undoes what was done in it, ``"ask"`` asks a person whether
            to. What stops a run (an approval, a doubt, a halt, a budget, a cancellation) undoes
            nothing: whoever opens it goes on.
        rival
            What happens while another process has it open: ``"wait"`` as long as *wait* seconds,
            ``"join"`` it, or ``"refuse"``.
        finished
            What happens where it has succeeded: ``"raise"`` RunFinished, with the output, or
            ``"replay"``: the block is entered, what is recorded replays and nothing begins. By
            default it replays inside of another run, which is gone on with, and raises elsewhere.
        kind, framework, version
            What kind of run it is, and what it runs on, for whoever looks at it.
        classify
            As ``Policy(classify=…)``: exceptions that are ``"interrupted"`` stop the run.

        A run whose process died is gone on with by whoever opens it; one that was undone is
        RunFinished. Also raises StillRunning for a rival that outlasts the
        wait, CompensationIncomplete where undoing needs a person.

        >>> ledger = Ledger("memory://")
        >>> with ledger.workflow("order-42", input={"sku": "A-1"}) as run:
        ...     run.set_output(f"shipped {run.input['sku']}")
        >>> ledger.run("order-42").output
        'shipped A-1'
        >>> ledger.close()
        """
        wanted = Wanted(
            input=input,
            compensate=compensate,
            rival=rival,
            wait=wait,
            finished=finished,
            kind=kind,
            framework=framework,
            version=version,
            classify=classify,
        )
        return RunScope(
            check_name(name, "workflow"),
            self._house,
            (self._blocking, self._awaiting),
            wanted,
            budget=budget,
            labels=labels,
        )

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
        return Claimed(self._blocking, self._awaiting, call, self._play(call.workflow))

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
        play, p = self._play(call.workflow), self._blocking
        row = run_sync(ask(p, call) if play is None else asked(p, play, call))
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
        play, p = self._play(call.workflow), self._awaiting
        row = await (ask(p, call) if play is None else asked(p, play, call))
        return None if row is None else effect_of(row)

    def replay(self, workflow: str, *, mode: Mode = "strict") -> Replay:
        """
        A sync and async context manager: calls inside are answered from the record of *workflow*.

        No tool runs, nothing is claimed, charged or asked, and the recorded rows stay as they are;
        results and errors are equal to the recorded ones, and of the same type. A call is found by
        its key, or, where its framework made up other ids, by its tool and arguments in the order
        of the record. ``with ledger.workflow(…)`` inside brings the records of other workflows.

        ``strict``: a call with other arguments, one that is not recorded, and at the end one that
        was not made, is a Divergence, which shows the difference. ``lenient``: a call with other
        arguments gets what its tool gave at that step, and is noted in ``replay.divergences``, as
        is one that was not made; there is nothing to give to a call that is not recorded.

        The replay is itself recorded, as an effect of ``tallystick.replay`` in the workflow
        ``replay:`` and the replayed one's name. Raises InvalidCall where nothing is recorded, and
        Halted where nothing may start.

        >>> ledger = Ledger("memory://")
        >>> def run() -> str:
        ...     return ledger.call("charge", lambda cents: print("!") or "ok", {"cents": 5})
        >>> with ledger.workflow("A-1"):
        ...     run()
        !
        'ok'
        >>> with ledger.replay("A-1") as replay:
        ...     run(), replay.served
        ('ok', 1)
        >>> ledger.close()
        """
        check_name(workflow, "workflow")
        if mode not in ("strict", "lenient"):
            raise InvalidCall(f"mode={mode!r}: 'strict' or 'lenient'")
        about, name = {"workflow": workflow, "mode": mode}, f"replay:{workflow}"
        call = self._call(
            REPLAY, _by_hand, about, name, None, 0, _LOOKING, None, None, bound=False, ours=True
        )
        play = Play(self, workflow, strict=mode == "strict")
        return Replay(self._blocking, self._awaiting, play, self._plays, call)

    def _answer(self, workflow: str, about: Mapping[str, Any]) -> Call:
        """A model's answer as an effect of the ledger's own; each one is another."""
        nothing = (None, 0, _LOOKING, None, None)
        return self._call(ANSWER, _by_hand, about, workflow, *nothing, bound=False, ours=True)

    def _play(self, workflow: str) -> Play | None:
        """The replay that answers a call: the innermost one around it, or the only one of it."""
        if not REPLAYS.get() and not self._plays:
            return None
        if (around := play_of(self)) is not None:
            return around
        found = [play for play in self._plays if play.records(workflow) is not None]
        if len(found) > 1:
            raise InvalidCall(
                f"{workflow} is being replayed {len(found)} times, and this thread was not told by "
                "which replay it was started; start it with contextvars.copy_context().run"
            )
        return found[0] if found else None

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
        ours: bool = False,
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
        workflow = str(check_name(workflow, "workflow"))
        if reserved(tool) and not ours:
            raise InvalidCall(f"{tool} is the ledger's own; give the tool another name")
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
        undoing = None if current is None else current.undoing
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
            around=AROUND.get(),
            undo=self._planned(policy) if undoing is None else undoing,
            undoing=undoing is not None,
            redact=self._leaving_out(tool, policy),
        )

    def _planned(self, policy: Policy) -> str | None:
        """How an effect under *policy* is undone, as it is recorded with it."""
        undo = policy.undo
        return None if undo is None else plan_text(policy, undo, self._names)

    def _leaving_out(self, tool: str, policy: Policy) -> Redact | None:
        """What the ledger and the policy leave out together; ``None`` for nothing."""
        place = (tool, policy.redacting)
        if place not in self._left_out:
            if len(self._left_out) > _RULES:
                self._left_out.clear()
            both = self._redaction.of(tool).and_(policy.redacting)
            self._left_out[place] = both or None
        return self._left_out[place]

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

    def learn_compensations(self) -> None:
        """Go by the compensations that other ledgers of this process registered, too."""
        for other in list(_OPEN):
            if other is not self:
                self._names.adopt(other._names)  # noqa: SLF001 - our own

    # -- life ---------------------------------------------------------------------------------

    def close(self) -> None:
        """
        Write what waits, close the hooks, end the threads, release the database.

        Safe to call twice.
        """
        self._keeper.close()
        self._keeper.close_hooks()
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
        self._engine.hooks.forked()
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
