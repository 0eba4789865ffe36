"""Ledgers through one face, tools that count, and errors that are expected."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from tallystick._acts import Act, Look
from tallystick._model import Effect, Row
from tallystick._ports import AnyAct
from tallystick._scope import Claimed
from tallystick.testing._time import turn_clock

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

#: seconds after which a thing that should have happened long ago counts as never
PATIENCE = 30.0


class raises(Generic[E]):  # noqa: N801 - it reads as a word, as everywhere
    """Expect an error of a kind: ``with raises(Halted) as caught: …``, then ``caught.error``."""

    def __init__(self, *kinds: type[E]) -> None:
        self._kinds = kinds
        self.error: E

    def __enter__(self) -> raises[E]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        assert error is not None, (
            f"{' or '.join(kind.__name__ for kind in self._kinds)} was not raised"
        )
        if not isinstance(error, self._kinds):
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
    """
    A ledger, or what it gave, through one face: ``faced.verb(…)`` calls the verb, or awaits its
    twin.
    """

    def __init__(self, ledger: Any, *, awaiting: bool) -> None:
        self.ledger = ledger
        self._awaiting = awaiting

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        if not self._awaiting:
            return cast("Callable[..., Any]", getattr(self.ledger, verb))
        twin = getattr(self.ledger, f"a{verb}")
        return lambda *args, **options: run(twin(*args, **options))

    @property
    def engine(self) -> Any:
        """What is behind the ledger: its store, its journal, its waiters."""
        return self.ledger._engine  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def rounds(self) -> None:
        """Let the housekeeping go a round, long after whatever happened."""
        self.turn(60)
        self.ledger._keeper.round()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    def apply(self, act: Act[T]) -> T:
        """Submit an act as a flow would: the answer of the store itself."""
        return cast("T", self.submit(act))

    def submit(self, act: AnyAct) -> Any:
        """As :meth:`apply`, for a claim or a settle."""
        return self.engine.journal.submit(act)

    def read(self, act: Act[T]) -> T:
        """Let the store answer a reading act."""
        return cast("T", self.engine.store.read(act))

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

    def kinds(self, key: str | None) -> list[str]:
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
