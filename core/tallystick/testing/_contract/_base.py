"""What the parts of the contract share: ledgers on both faces, tools that count, deaths."""

from __future__ import annotations

import asyncio
import inspect
import time
import unittest
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import copy_context
from types import TracebackType
from typing import Any, ClassVar, Generic, TypeVar, cast

from tallystick._acts import Act, Look
from tallystick._model import Effect, Row
from tallystick._ports import AnyAct
from tallystick._scope import Claimed
from tallystick.ledger import Ledger
from tallystick.testing._crash import Crashed, crash_at
from tallystick.testing._time import turn_clock
from tallystick.testing._world import crash

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

#: seconds after which a thing that should have happened long ago counts as never
PATIENCE = 30.0


class raises(Generic[E]):  # noqa: N801 - it reads as a word, as everywhere
    """Expect an error of a kind: ``with raises(Halted) as caught: …``, then ``caught.error``."""

    def __init__(self, kind: type[E]) -> None:
        self._kind = kind
        self.error: E

    def __enter__(self) -> raises[E]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert error is not None, f"{self._kind.__name__} was not raised"
        if not isinstance(error, self._kind):
            return False
        self.error = error
        return True


class Tool:
    """
    A tool that counts its calls and does what it was told, one *outcome* per call.

    An outcome is a value to return, an exception to raise, or a function of the arguments; the
    last one goes for all further calls. ``fn`` is what the ledger gets.
    """

    def __init__(self, *outcomes: Any, awaited: bool = False) -> None:
        self.seen: list[dict[str, Any]] = []
        self._outcomes = outcomes or (None,)

        def fn(**args: Any) -> Any:
            return self._next(args)

        async def afn(**args: Any) -> Any:
            answer = self._next(args)
            return await answer if inspect.isawaitable(answer) else answer

        self.fn: Callable[..., Any] = afn if awaited else fn

    def _next(self, args: dict[str, Any]) -> Any:
        self.seen.append(args)
        outcome = self._outcomes[min(len(self.seen), len(self._outcomes)) - 1]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome(**args) if callable(outcome) else outcome

    @property
    def times(self) -> int:
        """How often it ran."""
        return len(self.seen)


class Faced:
    """One ledger through one face: ``faced.verb(…)`` calls the verb, or awaits its twin."""

    def __init__(self, ledger: Ledger, *, awaiting: bool) -> None:
        self.ledger = ledger
        self._awaiting = awaiting

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if not self._awaiting:
            return cast("Callable[..., Any]", getattr(self.ledger, verb))
        twin = getattr(self.ledger, f"a{verb}")
        return lambda *args, **options: run(twin(*args, **options))

    def apply(self, act: Act[T]) -> T:
        """Submit an act as a flow would: the answer of the store itself."""
        return cast("T", self.submit(act))

    def submit(self, act: AnyAct) -> Any:
        """As :meth:`apply`, for a claim or a settle."""
        return self.ledger._engine.journal.submit(act)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def read(self, act: Act[T]) -> T:
        """Let the store answer a reading act."""
        return self.ledger._engine.store.read(act)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def row(self, key: str) -> Row:
        """The row as the store has it."""
        row = self.read(Look(key=bytes.fromhex(key), tenant=self.ledger.tenant)).row
        assert row is not None, f"there is no row {key}"
        return row

    def only(self, **filters: Any) -> Effect:
        """The one effect that there is."""
        effects = self.effects(**filters)
        assert len(effects) == 1, f"{len(effects)} effects instead of one"
        return cast("Effect", effects[0])

    def kinds(self, key: str) -> list[str]:
        """The kinds of the events of an effect."""
        return [event.kind for event in self.history(key)]

    def inbox(self) -> list[tuple[str, str]]:
        """Kind and tool of what a person must see."""
        return [(item.kind, item.effect.tool) for item in self.pending()]

    def turn(self, seconds: float) -> None:
        """Let time pass for this ledger."""
        turn_clock(self.ledger, seconds)

    def hold(self, tool: str, args: dict[str, Any] | None = None, **options: Any) -> Held:
        """Enter a claim by hand."""
        return Held(self.ledger.claim(tool, args, **options), awaiting=self._awaiting)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own."""

    async def main() -> T:
        return await coroutine

    return asyncio.run(main())


class Held:
    """A claim by hand that was entered, through one face, in a context of its own."""

    def __init__(self, claim: Claimed, *, awaiting: bool) -> None:
        self.claim = claim
        self._awaiting = awaiting
        self._context = copy_context()
        if awaiting:
            self._await(claim.__aenter__())
        else:
            self._context.run(claim.__enter__)

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._context.run(run, coroutine)

    @property
    def key(self) -> str:
        """The effect's key."""
        return self.claim.key

    def succeed(self, result: Any = None) -> None:
        """It happened."""
        if self._awaiting:
            self._await(self.claim.asucceed(result))
        else:
            self.claim.succeed(result)

    def fail(self, error: BaseException | str, *, retryable: bool = False) -> None:
        """It did not."""
        if self._awaiting:
            self._await(self.claim.afail(error, retryable=retryable))
        else:
            self.claim.fail(error, retryable=retryable)

    def leave(self, error: BaseException | None = None) -> None:
        """Come to the end of the block, by *error* or without."""
        kind = type(error) if error is not None else None
        if self._awaiting:
            self._await(self.claim.__aexit__(kind, error, None))
        else:
            self._context.run(self.claim.__exit__, kind, error, None)


class Contract:
    """The abstract part of :class:`StoreContract`: how ledgers are opened, and how they die."""

    #: whether verbs are awaited (``acall``) instead of called (``call``)
    awaiting: ClassVar[bool] = False
    #: capability: the store lends connections, so ``TRANSACTIONAL`` effects are one commit
    transactional: ClassVar[bool] = False
    #: capability: what was recorded is still there when every ledger was closed
    durable: ClassVar[bool] = False
    #: capability: ``damage`` can spoil what is stored
    damageable: ClassVar[bool] = False
    #: seconds after its last sign of life at which a worker counts as dead; 0 where a lock tells
    lease: ClassVar[float] = 0.0

    def open(self, **options: Any) -> Ledger:
        """
        One more ledger on this test's database, as another process would open it.

        *options* go to :class:`~tallystick.Ledger`. A test starts with an empty database.
        """
        raise NotImplementedError("a contract needs a store: override open()")

    def crash(self, ledger: Ledger) -> None:
        """End *ledger* as a killed process ends."""
        crash(ledger)

    def damage(self, ledger: Ledger, key: bytes, what: str) -> None:
        """Spoil what is stored: *what* is ``result``, ``event`` or ``removed`` (its last event)."""
        raise NotImplementedError("damageable stores override damage()")

    def spoil(self, faced: Faced, key: str, what: str) -> None:
        """Damage what is stored of an effect; from then on the ledger is not sound."""
        self._spoilt = True
        self.damage(faced.ledger, bytes.fromhex(key), what)

    def transaction(self) -> AbstractContextManager[Any] | AbstractAsyncContextManager[Any]:
        """A connection of the caller's own, committed at the end, rolled back by an error."""
        raise NotImplementedError("transactional stores override transaction()")

    def write(self, connection: Any, text: str) -> Any:
        """Write *text* through a connection; an awaitable where that is an event loop's."""
        raise NotImplementedError("transactional stores override write()")

    def written(self) -> list[str]:
        """What was written and committed."""
        raise NotImplementedError("transactional stores override written()")

    @classmethod
    def capabilities(cls) -> dict[str, bool]:
        """What the store under test says it can do; the rest of the contract is skipped."""
        names = ("transactional", "durable", "damageable")
        return {name: bool(getattr(cls, name)) for name in names} | {"leased": cls.lease > 0}

    def needs(self, capability: str) -> None:
        """Skip the rest of a test where the store does not say that it can."""
        if not self.capabilities()[capability]:
            raise unittest.SkipTest(f"the store is not {capability}")

    # -- what the tests use -------------------------------------------------------------------

    def setup_method(self) -> None:
        """Start with no ledger."""
        self._ledgers: list[Faced] = []
        self._spoilt = False

    def teardown_method(self) -> None:
        """Whatever a test did, the ledger is sound and ends."""
        try:
            for faced in self._ledgers:
                assert self._spoilt or faced.ledger.verify().sound, faced.ledger.verify().damage
        finally:
            for faced in self._ledgers:
                faced.ledger.close()

    def ledger(self, **options: Any) -> Faced:
        """One more ledger, through the face under test; closed when the test ends."""
        faced = Faced(self.open(**options), awaiting=self.awaiting)
        self._ledgers.append(faced)
        return faced

    def die(self, faced: Faced) -> None:
        """Kill a ledger, and let the others see it."""
        self._ledgers.remove(faced)
        self.crash(faced.ledger)
        if self.lease:
            for other in self._ledgers:
                other.turn(self.lease + 0.1)

    def heir(self, faced: Faced, **options: Any) -> Faced:
        """Kill a ledger and open another one in its place, once it counts as dead."""
        other = self.ledger(**options)
        self.die(faced)
        return other

    def cut_off(self, faced: Faced, tool: Tool, args: dict[str, Any], **options: Any) -> Faced:
        """Run a tool and die before its outcome is recorded; the ledger of whoever comes next."""
        with crash_at("Settle.before") as death, raises(Crashed):
            faced.call("charge", tool.fn, args, workflow="w", **options)
        assert death.fired
        return self.heir(faced)

    def tool(self, *outcomes: Any, threaded: bool = False) -> Tool:
        """A tool of the face under test; *threaded*: a sync one also where callers await."""
        return Tool(*outcomes, awaited=self.awaiting and not threaded)

    def eventually(self, condition: Callable[[], bool]) -> None:
        """Wait for what happens by itself."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.005)

    def meanwhile(self, fn: Callable[[], T]) -> Future[T]:
        """Do something in a thread of its own."""
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(fn)
        finally:
            pool.shutdown(wait=False)
