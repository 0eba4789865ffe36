"""
A kill storm for money: many processes spend from budgets that are nearly empty, and are killed.

    python -m tests.budgets.storm --kills 200 --store both --processes 6

Every process calls models (money, tokens and requests of two nested budgets), pays refunds (a value
among the arguments, for each customer), and holds amounts by hand; whoever finds no room raises the
limit a little, so that all the time most are refused. Processes are killed with ``kill -9`` or
stopped, on PostgreSQL for longer than their lease; one more only looks at the figures all the time.

The witness is a set of append-only files: a line before a limit is raised, and a line in the moment
in which something is paid. At the end everything is killed, a new process recovers, and for each
line of each budget must hold: what was paid ≤ what is charged ≤ the limit ≤ what it was raised to.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from tallystick import Ledger, NotApplied
from tallystick.errors import BudgetError, BudgetExceeded, EffectStopped
from tallystick.metering import Meter, ModelRequest
from tallystick.prices import Overrides, Usage
from tests._pack import Pack, forked
from tests._storms import StoreName, arguments, chosen, ground, kill, table
from tests._urls import LEASED

Place = tuple[str, str, str]

LEASE = 1.0
THREADS = 3
CUSTOMERS = 3
#: a token costs a thousandth of a dollar
BOOK = Overrides({"toy": {"input": "1000", "output": "1000"}})
ASKED = ModelRequest(model="toy", input_bound=400, output_bound=600)
#: what limits begin with: nothing fits without a raise for long
FIRST = 3000


class Camp(NamedTuple):
    """Where a storm takes place."""

    store: StoreName
    url: str
    folder: Path
    until: float

    def saw(self, name: str, *words: object) -> None:
        """One line in one write; it stays when the process is killed right after."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        fd = os.open(self.folder / name, flags, 0o600)
        os.write(fd, (" ".join(map(str, words)) + "\n").encode())
        os.close(fd)

    def died(self, error: BaseException) -> None:
        """A process ended that should not have."""
        self.saw("odd", "process", type(error).__name__, *str(error).split()[:25])

    def lines(self, name: str) -> Iterator[list[str]]:
        """All lines of a file."""
        with contextlib.suppress(FileNotFoundError), (self.folder / name).open() as file:
            for line in file:
                yield line.split()


def declare(ledger: Ledger) -> None:
    """The budgets; every process does so, and keeps what is charged to them."""
    ledger.budget("everybody", usd=FIRST // 1000, tokens=FIRST, requests=FIRST // 1000)
    ledger.budget("mine", tokens=FIRST, soft=(0.5, 0.9))
    ledger.budget(
        "refunds", amount=FIRST, of="args.eur", per="args.customer", tool="refund", soft=(0.9,)
    )
    ledger.budget("hand", tokens=FIRST)


# -- one process --------------------------------------------------------------------------------


class Worker:
    """Everything that one process does until it is killed."""

    def __init__(self, camp: Camp, seed: int) -> None:
        self.camp = camp
        self.chance = random.Random(seed)
        self.ledger = Ledger(camp.url, lease=LEASE)
        self.parent = os.getppid()
        self.numbers = iter(range(1 << 40))

    def run(self) -> None:
        """Spend on several threads."""
        declare(self.ledger)
        for _ in range(THREADS - 1):
            threading.Thread(target=self._spend, daemon=True).start()
        self._spend()

    def _spend(self) -> None:
        deeds: list[Callable[[], None]] = [self._model, self._refund, self._hand]
        while self._going():
            try:
                self.chance.choice(deeds)()
            except BudgetExceeded as no:
                self.camp.saw("refused", no.budget)
                if self.chance.random() < 0.3:
                    self._raise(no)
                else:
                    self._pause()
            except (EffectStopped, BudgetError, NotApplied) as error:
                self.camp.saw("stopped", type(error).__name__)
            except RuntimeError:
                self.camp.saw("stopped", "RuntimeError")
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told at the end
                self.camp.saw("odd", type(error).__name__, *str(error).split()[:25])

    def _going(self) -> bool:
        if os.getppid() != self.parent or time.monotonic() > self.camp.until:
            os._exit(0)
        return True

    def _pause(self) -> None:
        time.sleep(self.chance.random() * 0.004)

    def _paid(self, *lines: tuple[str, str, str, int]) -> None:
        """The thing itself: what it cost, by budget, metric and customer, in one line."""
        self.camp.saw("paid", json.dumps(lines, separators=(",", ":")))

    def _model(self) -> None:
        call = Meter(self.ledger, "everybody", "mine", prices=BOOK, session="s").begin(ASKED)
        self._pause()
        if self.chance.random() < 0.1:
            call.release(reason="it was refused")
            return
        usage = Usage(input=self.chance.randrange(401), output=self.chance.randrange(601))
        tokens = usage.total
        self._paid(
            ("everybody", "tokens", "", tokens),
            ("everybody", "requests", "", 1),
            ("everybody", "usd", "", tokens),
            ("mine", "tokens", "", tokens),
        )
        self._pause()
        if self.chance.random() < 0.05:
            call.leave(Usage(input=usage.input), reason="the stream was left")
        else:
            call.settle(usage)

    def _refund(self) -> None:
        customer = f"c-{self.chance.randrange(CUSTOMERS)}"
        eur = self.chance.randrange(1, 500)
        outcome = self.chance.random()
        number = f"{os.getpid()}-{time.monotonic_ns()}-{next(self.numbers)}"

        def refund(customer: str, eur: int, order: str) -> str:
            self._pause()
            if outcome < 0.1:
                raise NotApplied("declined", retryable=outcome < 0.05)
            self._paid(("refunds", "amount", customer, eur))
            self.camp.saw("refunded", order)
            self._pause()
            if outcome < 0.12:
                raise RuntimeError("no answer")
            return order

        args = {"customer": customer, "eur": eur, "order": number}
        for _ in range(2):  # the second one is told what became of the first
            self.ledger.call("refund", refund, args, workflow="refunds")

    def _hand(self) -> None:
        budget = self.ledger.budget("hand")
        bound = self.chance.randrange(1, 1000)
        with budget.reserve(tokens=bound) as held:
            self._pause()
            outcome = self.chance.random()
            if outcome < 0.1:
                held.release(reason="not needed")
                return
            tokens = self.chance.randrange(bound + 1)
            self._paid(("hand", "tokens", "", tokens))
            if outcome > 0.15:
                held.settle(tokens=tokens)

    def _raise(self, no: BudgetExceeded) -> None:
        """A little more, for good; the witness hears of it before."""
        more = {"usd": 2, "requests": 2}.get(no.metric, 2000)
        customer = no.per.get("args.customer", "")
        self.camp.saw("raised", no.budget, no.metric, customer or "-", more)
        given: dict[str, Any] = {no.metric: more}
        self.ledger.budget(no.budget).raise_limit(by="ann", per=no.per, lasting=True, **given)


class Auditor:
    """A process that looks at the figures all the time, as they are in between."""

    def __init__(self, camp: Camp) -> None:
        self.camp = camp
        self.parent = os.getppid()

    def run(self) -> None:
        """Until the storm is over."""
        with Ledger(self.camp.url, lease=LEASE) as ledger:
            while os.getppid() == self.parent and time.monotonic() < self.camp.until:
                for line in ledger.budgets():
                    total = line.spent + line.reserved + line.unreconciled
                    if total > line.limit:
                        self.camp.saw("over", line.budget, line.metric, total, line.limit)
                self.camp.saw("looked")
                time.sleep(0.02)


# -- the storm ----------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class Report:
    """What a storm did, and what is true afterwards."""

    store: StoreName
    processes: int
    seconds: float = 0.0
    kills: int = 0
    stops: int = 0
    #: things that were paid according to the witness, and wishes that were refused
    paid: int = 0
    refused: int = 0
    raises: int = 0
    looks: int = 0
    #: sums over all lines, in thousandths of a dollar, tokens, requests and euros together
    witnessed: int = 0
    charged: int = 0
    limit: int = 0
    #: the figures that have to be zero
    overspent: int = 0
    overspent_meanwhile: int = 0
    uncharged: int = 0
    paid_twice: int = 0
    raised_twice: int = 0
    held: int = 0
    lost: int = 0
    unsound: int = 0
    #: reservations of which nobody knows what they cost
    unreconciled: int = 0
    odd: int = 0
    errors: dict[str, int] = field(default_factory=dict[str, int])

    ZEROES: ClassVar = (
        "overspent", "overspent_meanwhile", "uncharged", "paid_twice", "raised_twice", "held",
        "lost", "unsound",
    )  # fmt: skip

    def broken(self) -> list[str]:
        """The promises that were not kept."""
        found = [f"{name}: {getattr(self, name)}" for name in self.ZEROES if getattr(self, name)]
        if not self.looks or not self.paid or not self.refused:
            found.append("nobody looked, paid or was refused")
        return found


class Storm:
    """One storm on one store."""

    def __init__(self, camp: Camp, kills: int, processes: int, seed: int) -> None:
        self.camp = camp
        self.chance = random.Random(seed)
        self.report = Report(store=camp.store, processes=processes)
        self._kills = kills

    def rage(self) -> Report:
        """All of it: the storm, the recovery, the verdict."""
        report, began = self.report, time.monotonic()
        auditor = forked(lambda: Auditor(self.camp).run(), self.camp.died)
        pack = Pack(
            self._worker, report.processes, self.chance,
            stops=0.15, store=self.camp.store, lease=LEASE,
        )  # fmt: skip
        try:
            time.sleep(1.0)
            while pack.kills < self._kills:
                time.sleep(0.05 + self.chance.random() * 0.4)
                pack.strike()
        finally:
            pack.end()
            kill(auditor)
        report.kills, report.stops = pack.kills, pack.stops
        report.seconds = round(time.monotonic() - began, 1)
        judge(self.camp, report)
        return report

    def _worker(self) -> int:
        seed = self.chance.getrandbits(32)
        return forked(lambda: Worker(self.camp, seed).run(), self.camp.died)


# -- afterwards ---------------------------------------------------------------------------------


def judge(camp: Camp, report: Report) -> None:
    """A new process recovers; what the ledger says is held against what was seen."""
    if camp.store in LEASED:
        time.sleep(LEASE + 0.2)
    paid, limits = _witnessed(camp, report)
    with Ledger(camp.url, lease=LEASE) as ledger:
        ledger.recover()
        for line in ledger.budgets():
            place = (line.budget, line.metric, line.per.get("args.customer", ""))
            _judge(report, line, paid.pop(place, 0), FIRST + limits[place])
        report.uncharged += len(paid)
        # model calls have no effect beside them, refunds do
        report.held = len(ledger.reservations(state="held"))
        report.unreconciled = len(ledger.reservations(state="unreconciled", limit=1_000_000))
        report.unsound = len(ledger.verify().damage)
        known = {effect.args["order"] for effect in ledger.effects(tool="refund", limit=1_000_000)}
    refunds = Counter(order for (order,) in camp.lines("refunded"))
    report.paid_twice = sum(times - 1 for times in refunds.values())
    report.lost = len(set(refunds) - known)
    report.refused = sum(1 for _ in camp.lines("refused"))
    report.looks = sum(1 for _ in camp.lines("looked"))
    report.overspent_meanwhile = sum(1 for _ in camp.lines("over"))
    for words in camp.lines("odd"):
        said = " ".join(words[:4])
        report.errors[said] = report.errors.get(said, 0) + 1
    report.odd = sum(report.errors.values())


def _witnessed(camp: Camp, report: Report) -> tuple[dict[Place, int], Counter[Place]]:
    """What was paid and what was raised, by line."""
    paid: dict[Place, int] = {}
    for (said,) in camp.lines("paid"):
        report.paid += 1
        for budget, metric, customer, amount in json.loads(said):
            place = (budget, metric, customer)
            paid[place] = paid.get(place, 0) + amount
    raised: Counter[Place] = Counter()
    for budget, metric, customer, amount in camp.lines("raised"):
        report.raises += 1
        unit = 1000 if metric in {"usd", "requests"} else 1
        raised[budget, metric, "" if customer == "-" else customer] += int(amount) * unit
    return paid, raised


def _judge(report: Report, line: Any, paid: int, most: int) -> None:
    """One line; dollars and requests count in thousandths."""
    unit = 1000 if line.metric in {"usd", "requests"} else 1
    total = int(Decimal(line.spent + line.reserved + line.unreconciled) * unit)
    limit = int(Decimal(line.limit) * unit)
    if line.metric == "requests":
        paid *= 1000
    report.witnessed += paid
    report.charged += total
    report.limit += limit
    report.overspent += max(0, total - limit)
    report.uncharged += max(0, paid - total)
    report.raised_twice += max(0, limit - most)


# -- the table ----------------------------------------------------------------------------------

_SAID = {
    "seconds": "seconds",
    "processes": "processes, three threads each",
    "kills": "kills (`kill -9`)",
    "stops": "stops (`SIGSTOP`, `SIGCONT`)",
    "paid": "calls paid, according to the witness",
    "refused": "calls refused",
    "raises": "limits raised",
    "witnessed": "paid, according to the witness (units of all limits)",
    "charged": "charged",
    "limit": "limit",
    "overspent": "**overspent: charged above the limit**",
    "overspent_meanwhile": "**… at any moment in between**",
    "uncharged": "**paid and not charged**",
    "paid_twice": "**paid twice**",
    "raised_twice": "**raised twice**",
    "lost": "**lost: paid, and no record**",
    "held": "**held in nobody's hands after recovery**",
    "unsound": "**lines charged otherwise than their reservations weigh (`verify`)**",
    "looks": "times that all figures were looked at meanwhile",
    "unreconciled": "reservations left unreconciled, charged and visible",
    "odd": "errors of the database passed to callers",
}


@contextlib.contextmanager
def camps(store: StoreName, seconds: float) -> Generator[Camp]:
    """A fresh database and a folder for the witness."""
    with ground(store) as (url, folder):
        with Ledger(url, create=True) as ledger:
            declare(ledger)
        yield Camp(store, url, folder, time.monotonic() + seconds)


def storm(store: StoreName, kills: int, processes: int, seed: int) -> Report:
    """A storm of so many kills."""
    with camps(store, 30 + kills * 2) as camp:
        return Storm(camp, kills, processes, seed).rage()


def main() -> int:
    """Storm, print, and fail if a promise was broken."""
    parser = arguments("A kill storm for money: see the module.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--processes", type=int, default=6)
    options = parser.parse_args()
    stores, seed = chosen(options)
    reports = [storm(store, options.kills, options.processes, seed) for store in stores]
    broken = [f"{report.store}: {flaw}" for report in reports for flaw in report.broken()]
    if options.json:
        said = [asdict(report) for report in reports]
        print(json.dumps({"seed": seed, "storms": said, "broken": broken}))
    else:
        print(table(reports, _SAID))
        print(f"\nseed {seed}; errors: " + json.dumps([report.errors for report in reports]))
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
