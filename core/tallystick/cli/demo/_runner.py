"""The demo from beginning to end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Self
from uuid import uuid4

from tallystick.cli._target import file_of
from tallystick.cli.demo import _pages
from tallystick.cli.demo._bank_process import BankProcess
from tallystick.cli.demo._count import Charges, Doubts, charges, doubts
from tallystick.cli.demo._lane import Lane, Shop, person
from tallystick.cli.demo._processes import DemoFailed, Ended, Processes
from tallystick.cli.demo._story import NAMES, Story
from tallystick.ledger import Ledger

#: the charges after which an agent is killed, on either side
KILLED = ("order-03", "order-05", "order-06", "order-11", "order-13", "order-16")
#: the order whose money is given back
REFUNDED = "order-02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of the demo."""

    orders: list[str]
    kills: dict[str, int]
    charges: dict[str, Charges]
    doubts: Doubts

    @property
    def exact(self) -> bool:
        """Whether the ledger kept its promise: each order charged once."""
        ours = self.charges["with"]
        return ours.total == len(self.orders) and not ours.repeated


class Demo:
    """Two times the same agents, the same orders and the same kills: with the ledger, without."""

    def __init__(self, ledger: str, book: Path, story: Story) -> None:
        self.run = f"demo-{uuid4().hex[:6]}"
        self.ledger = ledger
        self.book = book
        self.batches = _pages.batches()
        self._stack = ExitStack()
        self._folder = TemporaryDirectory(prefix="tallystick-demo-")
        self._refund = f"{self.run}/refund"
        self._asking: Future[Ended]
        processes = Processes(Path(self._folder.name))
        self._shop = Shop(run=self.run, ledger=ledger, processes=processes, story=story)
        self._lanes = {
            (side, batch): Lane(shop=self._shop, side=side, batch=batch, orders=orders)
            for batch, orders in self.batches.items()
            for side in NAMES
        }

    def __enter__(self) -> Self:
        """Open the ledger, the bank, and places for agents to work."""
        with ExitStack() as stack:
            self._stopped = stack.enter_context(_told_to_end())
            stack.enter_context(self._folder)
            with Ledger(self.ledger, create=True):
                pass  # its tables are there now, before many ask for them at once
            bank = stack.enter_context(BankProcess(self.book, KILLED, self._heard))
            self._shop.bank = bank.url
            # Two more than there are processors: an agent also waits, for the bank and for its end.
            workers = min(6, (os.cpu_count() or 1) + 1)
            self._pool = stack.enter_context(ThreadPoolExecutor(workers))
            stack.enter_context(self._shop.processes)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *failure: object) -> None:
        """End every process."""
        self._stack.close()

    def charge(self) -> Outcome:
        """Have all orders charged on both sides, and count."""
        # The longest first, so that no processor is idle at the end.
        lanes = sorted(self._lanes.values(), key=lambda lane: -_kills_in(lane.orders))
        works = [self._pool.submit(lane.work) for lane in lanes]
        self._asking = self._pool.submit(self._ask)  # ready to ask when the others are done
        self._all_done(works)
        workflows = sorted({lane.workflow for lane in lanes})
        with Ledger(self.ledger) as ledger:
            found = doubts(ledger, workflows)
        return Outcome(
            orders=[order for orders in self.batches.values() for order in orders],
            kills={side: sum(lane.kills for lane in lanes if lane.side == side) for side in NAMES},
            charges={side: charges(self.book, self._shop.account(side)) for side in NAMES},
            doubts=found,
        )

    def refund(self) -> str:
        """Let an agent ask for an approval, and grant it from another process; the key."""
        key = self._asked()
        why = "the customer sent it back"
        self._shop.tallystick("approve", key, "--yes", "--by", person(), "--reason", why)
        ended = self._asking.result()
        if ended.code != 0:
            raise DemoFailed(f"the refund failed:\n{ended.err[-2000:]}")
        return key

    def _ask(self) -> Ended:
        """Have an agent ask for an approval, and wait for it."""
        agent = self._shop.agent("with", self._refund, "--refund", REFUNDED)
        return self._shop.processes.ended(agent)

    def _asked(self) -> str:
        """Wait until the agent asks, and return the key of what it asks for."""
        with Ledger(self.ledger) as ledger:
            while not self._asking.done():
                self._go_on()
                for effect in ledger.effects(workflow=self._refund, status="pending"):
                    return effect.key
                time.sleep(0.05)
        raise DemoFailed(f"no agent asked for an approval:\n{self._asking.result().err[-2000:]}")

    def _all_done(self, futures: list[Future[None]]) -> None:
        """Wait for all, or for the first that fails; Ctrl-C is heard meanwhile."""
        while True:
            done, rest = wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION)
            self._go_on()
            for future in done:
                future.result()
            if not rest:
                return

    def _go_on(self) -> None:
        """Raise what a signal raised and a finalizer swallowed, in which it happened to arrive."""
        if self._stopped.is_set():
            raise KeyboardInterrupt

    def _heard(self, fact: dict[str, Any]) -> None:
        """Pass what the bank says on to the agent that it is about."""
        side = fact["account"].removeprefix(f"{self.run}-")
        for batch, orders in self.batches.items():
            if fact["kind"] == "charges" and fact["order"] in orders:
                self._lanes[side, batch].heard(fact)


def _kills_in(orders: list[str]) -> int:
    return sum(order in KILLED for order in orders)


@contextmanager
def _told_to_end() -> Generator[threading.Event]:
    """Make SIGTERM end the demo as Ctrl-C does, so that nothing is left running; and remember."""
    told = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        told.set()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield told
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def places(given: str | None) -> tuple[str, Path]:
    """
    Where the ledger and the bank's book go: into new files of the current folder, or as *given*.

    Nothing is removed: a second run in the same folder makes a second ledger.
    """
    if given is None:
        n = 1
        while (path := Path(f"tallystick-demo{f'-{n}' if n > 1 else ''}.db")).exists():
            n += 1
        return f"sqlite:///{path}", path.with_name(f"{path.stem}-bank.db")
    url = given if "://" in given else f"sqlite:///{given}"
    file = file_of(url) or Path("tallystick-demo.db")
    return url, file.with_name(f"{file.stem}-bank.db")
