"""What the parts of the contract share: how ledgers are opened, used, killed and inherited."""

from __future__ import annotations

import time
import unittest
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, ClassVar, TypeVar

from tallystick.ledger import Ledger
from tallystick.testing._contract._faced import PATIENCE, Faced, Tool, raises, run
from tallystick.testing._crash import Crashed, crash_at
from tallystick.testing._world import crash

__all__ = ["PATIENCE", "Contract", "Faced", "Tool", "raises", "run"]

T = TypeVar("T")


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

    def meanwhile(self, fn: Callable[..., T], *args: Any, **options: Any) -> Future[T]:
        """Do something in a thread of its own."""
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(fn, *args, **options)
        finally:
            pool.shutdown(wait=False)
