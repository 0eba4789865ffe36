"""
Group commit: acts from all threads, loops and tasks, one transaction per group.

One writer thread per ledger and process takes whatever waits in a bounded queue, applies it in one
transaction, commits, and then answers. Waiters are raw locks for threads and futures for tasks, so
no event loop is tied to the journal. A failing group is applied again act by act, so that one
poisonous act fails alone. A claim granted to somebody who has gone is given back.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from tallystick import _points
from tallystick._acts import Claim, Doubt, Found, Release, Settle, Start
from tallystick._budgets._acts import Reckon, Reserve, Reserved, SettleHeld
from tallystick._budgets._rules import State
from tallystick._ports import AnyAct, Applied, Store
from tallystick.errors import (
    LedgerClosed,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

_log = logging.getLogger("tallystick")

#: acts in one transaction
GROUP = 512
#: acts that may wait; beyond it a caller is refused at once
QUEUE = 100_000
#: what concerns a whole group: to try its acts one by one would only take longer
_FOR_ALL = (StoreUnavailable, StoreBusy, StoreFull, LedgerClosed)
#: seconds a blocking caller waits for its answer
PATIENCE = 120.0

#: what has to be recorded however long it takes
_OUTCOMES = (Settle, SettleHeld, Doubt, Release, Reckon)

#: what makes somebody the holder of something, and what says that it did
_GRANTED = (Claim, Start, Reserve)
_ANSWERS = (Found, Reserved)

#: what a store makes of acts: ``apply`` always does them, ``attempt`` may not
G = TypeVar("G", bound=Applied | None)
Announce = Callable[[Sequence[tuple[bytes, bool]]], None]


class Ticket:
    """One act on its way, and where its answer goes."""

    __slots__ = ("abandoned", "act", "answer", "delivered", "error", "future", "lock")

    def __init__(self, act: AnyAct, future: asyncio.Future[Any] | None = None) -> None:
        self.act = act
        self.answer: Any = None
        self.error: BaseException | None = None
        self.abandoned = False
        self.delivered = False
        self.future = future
        self.lock = allocate_lock()
        if future is None:
            self.lock.acquire()

    @property
    def granted(self) -> bool:
        """Whether somebody now holds an effect because of this act."""
        fresh = isinstance(self.answer, _ANSWERS) and self.answer.fresh
        return fresh and isinstance(self.act, _GRANTED)


class Journal:
    """The way from flows to a store; see the module for what it promises."""

    def __init__(self, store: Store, announce: Announce) -> None:
        self._store = store
        self._announce = announce
        self._queue: SimpleQueue[Ticket | None] = SimpleQueue()
        self._starting = threading.Lock()
        #: whose turn it is at the store: the writer's, or a lone caller's
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._broken: BaseException | None = None
        self._ended = False
        self._owed: deque[AnyAct] = deque(maxlen=QUEUE)

    # -- callers ------------------------------------------------------------------------------

    def submit(self, act: AnyAct) -> Any:
        """Apply *act* and return its answer; blocks this thread."""
        if self._store.immediate:
            return self._at_once(act)
        if self._queue.empty() and self._turn.acquire(blocking=False):
            try:
                applied = self._directly(act)
            finally:
                self._turn.release()
            if applied is not None:
                self._tell(applied)
                return applied.answers[0]
        ticket = Ticket(act)
        try:
            self._enqueue(ticket)
            answered = ticket.lock.acquire(timeout=PATIENCE)
        except BaseException:
            self._abandon(ticket)
            raise
        if not answered:
            self._abandon(ticket)
            raise StoreBusy(
                f"the database did not answer for {PATIENCE:.0f} s; if the act still happens it is "
                "given back; look for a process that is stopped inside a transaction"
            )
        if ticket.error is not None:
            raise ticket.error
        return ticket.answer

    async def asubmit(self, act: AnyAct) -> Any:
        """Apply *act* and return its answer; the event loop goes on."""
        if self._store.immediate:
            return self._at_once(act)
        ticket = Ticket(act, asyncio.get_running_loop().create_future())
        self._enqueue(ticket)
        assert ticket.future is not None
        try:
            return await ticket.future
        except asyncio.CancelledError:
            ticket.abandoned = True  # delivery happens on this loop, so there is no race
            if ticket.future.done() and not ticket.future.cancelled():
                self._give_back(ticket)
            raise

    def post(self, act: AnyAct) -> None:
        """Apply *act* soon, without waiting for it."""
        if self._store.immediate:
            self._at_once(act)
        else:
            self._enqueue(Ticket(act))

    def owe(self, act: AnyAct) -> None:
        """Apply *act* once the database answers again; the oldest of too many is dropped."""
        self._owed.append(act)

    def pay(self) -> None:
        """
        Apply what is owed since the database did not answer; raises what it says now.

        Outcomes that could not be recorded are recorded, and claims that nobody was told of are
        given back, if they were made at all.
        """
        for _ in range(len(self._owed)):
            self.submit(self._owed.popleft())  # owed again if this fails too

    def close(self, timeout: float = 30.0) -> None:
        """Apply what waits, then stop the writer; later acts are refused."""
        with self._starting:
            self._closed = True
            thread = self._thread
        if thread is not None and thread.is_alive():
            self._queue.put(None)
            thread.join(timeout)

    # -- delivery -----------------------------------------------------------------------------

    def _at_once(self, act: AnyAct) -> Any:
        if self._closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        try:
            applied = self._committed((act,), self._store.apply)
        except StoreError:
            self._owe(act)
            raise
        if applied.touched:
            self._tell(applied)
        return applied.answers[0]

    def _directly(self, act: AnyAct) -> Applied | None:
        """
        Apply *act* on the caller's thread, while nobody else wants anything; ``None`` if they do.

        Saves a lone caller the way to the writer and back. If the caller is interrupted in the
        middle (Ctrl-C), the writer finishes the act, or gives back what it granted.
        """
        if self._closed or self._broken is not None:
            return None
        try:
            return self._committed((act,), self._store.attempt)
        except StoreError:
            self._owe(act)
            raise
        except Exception:
            raise
        except BaseException:
            rescue = Ticket(act)
            rescue.abandoned = True
            with suppress(StoreError):
                self._enqueue(rescue)
            raise

    def _committed(self, acts: Sequence[AnyAct], apply: Callable[[Sequence[AnyAct]], G]) -> G:
        """The answers of the store, once what they say is durable."""
        if not _points.armed:
            return apply(acts)
        for act in acts:
            _points.reach(f"{type(act).__name__}.before")
        applied = apply(acts)
        for act in acts if applied is not None else ():
            _points.reach(f"{type(act).__name__}.committed")
        return applied

    def _enqueue(self, ticket: Ticket) -> None:
        if self._closed:
            raise LedgerClosed("this ledger was closed; open a new one")
        if self._broken is not None:
            raise _died() from self._broken
        if self._queue.qsize() >= QUEUE and not isinstance(ticket.act, _OUTCOMES):
            raise StoreBusy(f"{QUEUE:,} acts are waiting for the database; nothing was started")
        self._queue.put(ticket)
        if self._thread is None:
            self._begin()
        if self._ended:  # between the looks above and now: the writer will not see this ticket
            self._refuse_rest()

    def _begin(self) -> None:
        with self._starting:
            if self._closed:
                self._ended = True
            elif self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="tallystick-journal", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        group: list[Ticket] = []
        try:
            while (first := self._queue.get()) is not None:
                group = [first]
                last = self._gather(group)
                self._apply(group)
                if last:
                    return
        except BaseException as error:  # noqa: BLE001 - every waiter has to hear of it
            self._broken = error
            self._refuse([ticket for ticket in group if not ticket.delivered])
        finally:
            self._ended = True
            self._refuse_rest()

    def _gather(self, group: list[Ticket]) -> bool:
        """Add what waits to *group*; whether that was the last of all."""
        try:
            while len(group) < GROUP:
                ticket = self._queue.get_nowait()
                if ticket is None:
                    return True
                group.append(ticket)
        except Empty:
            pass
        return False

    def _apply(self, group: list[Ticket]) -> None:
        try:
            acts = [ticket.act for ticket in group]
            with self._turn:
                applied = self._committed(acts, self._store.apply)
        except BaseException as error:  # noqa: BLE001 - the error belongs to the waiters
            if len(group) == 1 or self._concerns_all(error):
                self._fail(group, error)
            else:
                for ticket in group:
                    self._apply([ticket])
            return
        for ticket, answer in zip(group, applied.answers, strict=True):
            ticket.answer = answer
        self._deliver(group)
        self._tell(applied)

    def _concerns_all(self, error: BaseException) -> bool:
        """A file is busy for everybody; on a server one act may wait for somebody's row."""
        one_row = isinstance(error, StoreBusy) and not self._store.local
        return isinstance(error, _FOR_ALL) and not one_row

    def _fail(self, group: list[Ticket], error: BaseException) -> None:
        for ticket in group:
            ticket.error = copy(error) if len(group) > 1 else error
            ticket.error.__cause__ = error.__cause__
            if isinstance(error, StoreError):
                self._owe(ticket.act)
        self._deliver(group)

    def _owe(self, act: AnyAct) -> None:
        """Remember what has to be done about an act of which nobody knows whether it was done."""
        if isinstance(act, Reserve) and act.force:
            self._owed.append(act)
        elif isinstance(act, _GRANTED):
            self._owed.append(_release(act, "its caller was told that the database did not answer"))
        elif isinstance(act, _OUTCOMES):
            self._owed.append(act)

    def _tell(self, applied: Applied) -> None:
        if not applied.touched:
            return
        try:
            self._announce(applied.touched)
        except Exception:  # noqa: BLE001 - a hint: waiters look by themselves too
            _log.exception("waiters could not be told of a change; they will see it a little later")

    def _deliver(self, group: list[Ticket]) -> None:
        loops: dict[asyncio.AbstractEventLoop, list[Ticket]] = {}
        for ticket in group:
            ticket.delivered = True
            if ticket.future is None:
                ticket.lock.release()
                if ticket.abandoned and ticket.lock.acquire(blocking=False):
                    self._give_back(ticket)
            else:
                loops.setdefault(ticket.future.get_loop(), []).append(ticket)
        for loop, tickets in loops.items():
            try:
                loop.call_soon_threadsafe(self._resolve, tickets)
            except RuntimeError:  # the loop is closed: its tasks are gone
                for ticket in tickets:
                    self._give_back(ticket)

    def _resolve(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            future = ticket.future
            assert future is not None
            if ticket.abandoned or future.done():
                self._give_back(ticket)
            elif ticket.error is not None:
                future.set_exception(ticket.error)
            else:
                future.set_result(ticket.answer)

    def _abandon(self, ticket: Ticket) -> None:
        ticket.abandoned = True
        if ticket.lock.acquire(blocking=False):
            self._give_back(ticket)

    def _give_back(self, ticket: Ticket) -> None:
        """Release what was granted to a caller who no longer waits for it."""
        if not ticket.granted or not isinstance(ticket.act, _GRANTED):
            return
        try:
            self.post(_release(ticket.act, "its caller was cancelled before the tool started"))
        except StoreError:
            return  # the row stays with a worker that is about to be dead: in doubt, not lost

    def _refuse_rest(self) -> None:
        while True:
            try:
                ticket = self._queue.get_nowait()
            except Empty:
                return
            if ticket is not None:
                self._refuse([ticket])

    def _refuse(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            if self._broken is None:
                ticket.error = LedgerClosed("this ledger was closed; open a new one")
            else:
                ticket.error = _died()
                ticket.error.__cause__ = self._broken
        self._deliver(tickets)


def _release(act: Claim | Start | Reserve, reason: str) -> Release | Reckon:
    if isinstance(act, Reserve):
        begun = act.claim or act.start
        if begun is not None:
            return _release(begun, reason)
        released = State.RELEASED.value
        return Reckon(key=act.key, tenant=act.row.tenant, state=released, note=reason)
    return Release(
        key=act.key, tenant=act.tenant, nonce=act.nonce, actor=act.holder or "", reason=reason
    )


def _died() -> StoreUnavailable:
    return StoreUnavailable("the journal's writer died; close the ledger and open it again")
