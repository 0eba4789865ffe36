"""Who pays out of one purse: threads, tasks and processes that all want the only coin in it."""

from __future__ import annotations

import asyncio
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tallystick import Ledger
from tallystick.errors import BudgetExceeded
from tallystick.metering import Meter, ModelRequest
from tallystick.prices import Overrides, Usage
from tallystick.testing import Witness

#: a token costs a thousandth of a dollar, so a call costs one
BOOK = Overrides({"toy": {"input": "1000", "output": "1000"}})
ASKED = ModelRequest(model="toy", input_bound=400, output_bound=600)
USED = Usage(input=400, output=600)
#: by what is limited the budgets that pay; of the last ones one has room for many
KINDS: dict[str, tuple[str, ...]] = {
    "usd": ("usd",),
    "tokens": ("tokens",),
    "requests": ("requests",),
    "amount": ("amount",),
    "nested": ("everybody", "mine"),
}
#: what each budget has to say when one call was paid
PAID = {
    ("usd", "usd"): 1,
    ("tokens", "tokens"): 1000,
    ("requests", "requests"): 1,
    ("amount", "amount"): 500,
    ("everybody", "usd"): 1,
    ("everybody", "requests"): 1,
    ("mine", "tokens"): 1000,
}


def declare(ledger: Ledger) -> None:
    """A budget for one of each sort."""
    ledger.budget("usd", usd="1.00")
    ledger.budget("tokens", tokens=1000)
    ledger.budget("requests", requests=1)
    ledger.budget("amount", amount=500, of="args.eur", per="args.customer", tool="refund")
    ledger.budget("everybody", usd=1000, requests=1000)
    ledger.budget("mine", tokens=1999)


def _refund(n: int) -> dict[str, Any]:
    return {"customer": "c-1", "eur": 500, "order": n}


def pay(ledger: Ledger, kind: str, n: int, witness: Witness) -> str:
    """Try to; whether it was ``paid`` or ``refused``."""

    def refund(customer: str, eur: int, order: int) -> None:
        witness.saw(f"paid {kind}")
        time.sleep(0.01)

    try:
        if kind == "amount":
            ledger.call("refund", refund, _refund(n), workflow=f"w{n}")
            return "paid"
        call = Meter(ledger, *KINDS[kind], prices=BOOK).begin(ASKED)
    except BudgetExceeded:
        return "refused"
    witness.saw(f"paid {kind}")
    time.sleep(0.01)
    call.settle(USED)
    return "paid"


async def apay(ledger: Ledger, kind: str, n: int, witness: Witness) -> str:
    """As :func:`pay`, awaited."""

    async def refund(customer: str, eur: int, order: int) -> None:
        witness.saw(f"paid {kind}")
        await asyncio.sleep(0.01)

    try:
        if kind == "amount":
            await ledger.acall("refund", refund, _refund(n), workflow=f"w{n}")
            return "paid"
        call = await Meter(ledger, *KINDS[kind], prices=BOOK).abegin(ASKED)
    except BudgetExceeded:
        return "refused"
    witness.saw(f"paid {kind}")
    await asyncio.sleep(0.01)
    await call.asettle(USED)
    return "paid"


def at_once(ledger: Ledger, kind: str, first: int, times: int, witness: Witness) -> list[str]:
    """So many threads pay at one moment."""
    told: list[str] = []
    start = threading.Barrier(times)

    def run(n: int) -> None:
        start.wait()
        told.append(pay(ledger, kind, n, witness))

    threads = [threading.Thread(target=run, args=(first + n,)) for n in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def side_by_side(ledger: Ledger, kind: str, times: int, witness: Witness) -> list[str]:
    """So many tasks of one event loop."""

    async def main() -> list[str]:
        return await asyncio.gather(*(apay(ledger, kind, n, witness) for n in range(times)))

    return asyncio.run(main())


def process(pipe: Connection, url: str, path: Path, number: int, threads: int) -> None:
    """One of many processes: says that it is ready, and pays when it is told for what."""
    witness = Witness(path)
    with Ledger(url) as ledger:
        pipe.send("ready")
        while kind := pipe.recv():
            pipe.send(at_once(ledger, kind, number * threads, threads, witness))
