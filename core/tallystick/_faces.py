"""
Crossing between blocking and awaiting code, once, here.

A flow is an ``async def`` over ports. :class:`Blocking` is a set of ports that never suspend, so
stepping the coroutine once (:func:`run_sync`) runs it to its end on the caller's thread;
:class:`Awaiting` is the same set for an event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
)
from contextvars import copy_context
from typing import Any, TypeVar, cast

from tallystick._acts import Act, Claim, Clock, Found, Look, Settle, Settled
from tallystick._budgets._register import Register
from tallystick._hooks import Details, Hooks, details_of
from tallystick._journal import Journal
from tallystick._model import Row
from tallystick._ports import Lent, Ports, Store
from tallystick._waiters import Waiter, Waiters
from tallystick.errors import AsyncTool, LedgerClosed, LedgerError, NotApplied

T = TypeVar("T")
A = TypeVar("A")

#: sync tools that may run at once for awaiting callers, and sync tools with a timeout
THREADS = 128
#: readings of a remote database that may be under way at once for awaiting callers
ERRANDS = 8


#: microseconds that a reading of the database's clock is gone on from
CLOCK_HOLDS = 60_000_000

#: outcomes whose keys a ledger on a remote database remembers
REMEMBERED = 10_000


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine that never suspends, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise LedgerError("the blocking face met something that suspends; please report this")


class Engine:
    """What both faces share: the journal, the waiters, the hooks, the threads for tools."""

    def __init__(self, store: Store, hooks: Hooks) -> None:
        self.store = store
        self.hooks = hooks
        self.closed = False
        self.waiters = Waiters(store)
        self.journal = Journal(store, self.waiters.announce)
        #: keys of effects that were seen to have an outcome, the oldest first
        self.outcomes: dict[bytes, None] = {}
        #: how far the database's clock is ahead of ours, and until when that is believed
        self.clock: tuple[int, int] = (0, 0)
        #: what is known of the budgets
        self.budgets = Register()
        #: for tools that must not run on the caller's thread
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="tallystick-tool")
        #: for the ledger's own short errands, which no number of slow tools may hold up
        self.errands = ThreadPoolExecutor(ERRANDS, thread_name_prefix="tallystick-errand")

    def close(self) -> None:
        """End everything that was started here, in the order that loses nothing."""
        self.closed = True
        self.waiters.close()
        self.threads.shutdown(wait=False)
        self.errands.shutdown(wait=False)
        self.journal.close()
        self.store.close()


class _Face:
    """The ports that are the same on both faces."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._store = engine.store
        self._journal = engine.journal
        self.hooks = engine.hooks
        self.listening = engine.hooks.listening
        self.budgets = engine.budgets
        self.local = engine.store.local and not engine.store.immediate

    @property
    def holder(self) -> str:
        """The worker under which this process holds effects."""
        return self._store.worker()

    def monotonic(self) -> float:
        """Seconds of a clock that only goes forward."""
        return time.monotonic()

    def remember(self, key: bytes) -> None:
        """This effect has an outcome; next time it is worth to look before claiming."""
        if not self._store.immediate:
            outcomes = self._engine.outcomes
            outcomes[key] = None
            if len(outcomes) > REMEMBERED:
                outcomes.pop(next(iter(outcomes)), None)

    def remembers(self, key: bytes) -> bool:
        """Whether this process saw an outcome of the effect not long ago."""
        return key in self._engine.outcomes

    def tell(self, details: Details) -> bool:
        """Tell the hooks a fact that is about no effect; whether all of them took it."""
        return self.hooks.tell(details) if self.hooks.listening else True

    async def clock(self) -> int:
        """The database's clock in microseconds, as it was read a minute ago, and gone on."""
        here = time.monotonic_ns() // 1000
        ahead, until = self._engine.clock
        if here >= until:
            ahead = await self.read(Clock()) - here
            self._engine.clock = (ahead, here + CLOCK_HOLDS)
        return here + ahead

    async def read(self, act: Act[A]) -> A:
        """Answer a reading act."""
        raise NotImplementedError

    def owe(self, act: Act[Any]) -> None:
        """Submit as soon as the database answers again."""
        self._journal.owe(act)

    def emit(self, kind: str, row: Row, **facts: Any) -> bool:
        """Tell the hooks a fact; whether all of them took it."""
        return self.hooks.tell(details_of(kind, row, facts)) if self.hooks.listening else True

    def around(self, kind: str, row: Row, **facts: Any) -> AbstractContextManager[None]:
        """Let the hooks stand around a moment that lasts."""
        if not self.hooks.listening:
            return nullcontext()
        return self.hooks.around(details_of(kind, row, facts))

    def _remote(self, row: Row) -> bool:
        """Whether another process may be the one that changes *row*."""
        return row.status != "running" or row.holder != self._store.worker()

    def _news(self, found: Found | None) -> Found | None:
        """What a waiter was woken with; nothing at all when the ledger is being closed."""
        if found is None and self._engine.closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        return found

    def _glance(self, row: Row) -> Look:
        return Look(
            key=row.key, tenant=row.tenant, await_=not self._store.local and self._remote(row)
        )


class Blocking(_Face):
    """Ports that do their work before they return."""

    async def claim(self, act: Claim) -> Found:
        return cast("Found", self._journal.submit(act))

    async def settle(self, act: Settle) -> Settled:
        return cast("Settled", self._journal.submit(act))

    async def do(self, act: Act[A]) -> A:
        return cast("A", self._journal.submit(act))

    async def read(self, act: Act[A]) -> A:
        return self._store.read(act)

    def post(self, act: Settle | Act[Any]) -> None:
        self._journal.submit(act)

    async def wait(self, row: Row, timeout: float) -> Found | None:
        waiter, remote = Waiter(row), self._remote(row)
        waiters = self._engine.waiters
        waiters.join(waiter, remote=remote)
        try:
            found = await (self.read if self._store.local else self.do)(self._glance(row))
            return found if waiter.changed(found) else self._news(waiter.block(timeout))
        finally:
            waiters.leave(waiter, remote=remote)

    async def until(self, done: Future[T], timeout: float) -> T:
        return done.result(timeout)

    async def lively(self) -> bool:
        if self._store.lively():
            return True
        self._store.beat()
        return False

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - blocking is what this face does

    async def ask(self, fn: Callable[..., Any], *args: Any) -> Any:
        answer = fn(*args)
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            raise AsyncTool(f"{fn!r} is async: use the awaiting face (acall, @tool on async def)")
        return answer

    @asynccontextmanager
    async def lend(self, connection: Any) -> AsyncGenerator[Lent]:
        with self._store.lend(connection) as lent:
            yield lent

    async def invoke(
        self, fn: Callable[..., Any], args: dict[str, Any], timeout: float | None
    ) -> Any:
        answer = fn(**args)
        if inspect.iscoroutine(answer):
            answer.close()
            raise _NotAwaitedError(f"{fn!r} is async in disguise: call it from an `async def` tool")
        return answer

    async def enter(
        self,
        attempt: Callable[[Ports], Coroutine[Any, Any, T]],
        *,
        is_async: bool,
        timeout: float | None,
    ) -> T:
        if timeout is None:
            return await attempt(self)
        return _in_thread(self._engine, attempt).result(timeout)


class _NotAwaitedError(AsyncTool, NotApplied):
    """A tool returned a coroutine that nobody will await: it has not begun."""

    def __init__(self, message: str) -> None:
        NotApplied.__init__(self, message, retryable=True)


class Awaiting(_Face):
    """The same ports for an event loop."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        # a look would make the loop compete with the writer for the interpreter
        self.local = False

    async def claim(self, act: Claim) -> Found:
        return cast("Found", await self._journal.asubmit(act))

    async def settle(self, act: Settle) -> Settled:
        return cast("Settled", await self._journal.asubmit(act))

    async def do(self, act: Act[A]) -> A:
        return cast("A", await self._journal.asubmit(act))

    async def read(self, act: Act[A]) -> A:
        if self._store.local:
            return self._store.read(act)
        return cast("A", await self._errand(self._store.read, act))

    async def _errand(self, fn: Callable[..., Any], *args: Any) -> Any:
        try:
            running = self._engine.errands.submit(fn, *args)
        except RuntimeError as error:
            raise LedgerClosed("this ledger was closed; open a new one") from error
        return await asyncio.wrap_future(running)

    def post(self, act: Settle | Act[Any]) -> None:
        self._journal.post(act)

    async def wait(self, row: Row, timeout: float) -> Found | None:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiter, remote = Waiter(row, future), self._remote(row)
        waiters = self._engine.waiters
        waiters.join(waiter, remote=remote)
        try:
            found = await (self.read if self._store.local else self.do)(self._glance(row))
            return found if waiter.changed(found) else self._news(await waiter.wait(timeout))
        finally:
            waiters.leave(waiter, remote=remote)

    async def until(self, done: Future[T], timeout: float) -> T:
        async with asyncio.timeout(timeout):
            # others wait for the same: whoever goes takes it from nobody
            return await asyncio.shield(asyncio.wrap_future(done))

    async def lively(self) -> bool:
        if self._store.lively():
            return True
        await self._errand(self._store.beat)
        return False

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def ask(self, fn: Callable[..., Any], *args: Any) -> Any:
        if inspect.iscoroutinefunction(fn):
            return await fn(*args)
        context = copy_context()
        answer = await asyncio.get_running_loop().run_in_executor(
            self._engine.threads, lambda: context.run(fn, *args)
        )
        return await answer if inspect.isawaitable(answer) else answer

    def lend(self, connection: Any) -> AbstractAsyncContextManager[Lent]:
        return self._store.alend(connection)

    async def invoke(
        self, fn: Callable[..., Any], args: dict[str, Any], timeout: float | None
    ) -> Any:
        if timeout is None:
            answer = fn(**args)
            return await answer if inspect.isawaitable(answer) else answer
        async with asyncio.timeout(timeout):
            answer = fn(**args)
            return await answer if inspect.isawaitable(answer) else answer

    async def enter(
        self,
        attempt: Callable[[Ports], Coroutine[Any, Any, T]],
        *,
        is_async: bool,
        timeout: float | None,
    ) -> T:
        if is_async:
            return await attempt(self)
        running = asyncio.wrap_future(_in_thread(self._engine, attempt))
        async with asyncio.timeout(timeout):
            # whoever stops waiting does not stop the tool, nor the record of its outcome
            return await asyncio.shield(running)


def _in_thread(engine: Engine, attempt: Callable[[Ports], Coroutine[Any, Any, T]]) -> Future[T]:
    """Run an attempt to its end in a worker thread, in the caller's context."""
    context = copy_context()
    ports = Blocking(engine)
    return engine.threads.submit(lambda: context.run(lambda: run_sync(attempt(ports))))
