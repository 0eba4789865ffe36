"""What other processes do in the tests of the journal: fork, or leave without closing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from typing import Any

from tallystick import EffectInDoubt, Ledger, Policy


def fork(url: str) -> dict[str, Any]:
    """Use a ledger, fork in the middle of a tool, and use it in both processes."""
    ledger = Ledger(url, create=True)
    before = ledger._engine.store.worker()  # pyright: ignore[reportPrivateUsage]
    entered, leave = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert leave.wait(30)
        return "by the parent"

    ledger.call("first", lambda: "by the parent", workflow="w")
    asyncio.run(ledger.acall("second", lambda: "by the parent", workflow="w"))
    thread = threading.Thread(target=ledger.call, args=("slow", slow), kwargs={"workflow": "w"})
    thread.start()
    assert entered.wait(10)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, json.dumps(in_child(ledger)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told: dict[str, Any] = json.load(pipe)
    _, status = os.waitpid(child, 0)
    leave.set()
    thread.join()
    told["status"] = status
    told["parent"] = [before, ledger._engine.store.worker()]  # pyright: ignore[reportPrivateUsage]
    told["slow"] = ledger.call("slow", lambda: "again", workflow="w")
    told["late"] = ledger.call("late", lambda: "by the parent", workflow="w")
    told["effects"] = {e.tool: [e.status.value, e.holder] for e in ledger.effects()}
    told["sound"] = ledger.verify().sound
    ledger.close()
    return told


def in_child(ledger: Ledger) -> dict[str, Any]:
    """The same ledger, as another worker."""
    try:
        answer: Any = ledger.call(
            "slow", lambda: "by the child", workflow="w", policy=Policy(wait=0.2)
        )
    except Exception as error:  # noqa: BLE001 - told to the test
        answer = type(error).__name__
    return {
        "child": ledger._engine.store.worker(),  # pyright: ignore[reportPrivateUsage]
        "first": ledger.call("first", lambda: "by the child", workflow="w"),
        "third": asyncio.run(ledger.acall("third", lambda: "by the child", workflow="w")),
        "slow in the child": answer,
    }


def leave(url: str) -> dict[str, Any]:
    """Cancel many effects in the middle, and end the interpreter at once without closing."""
    ledger = Ledger(url, create=True)

    begun, left = asyncio.Semaphore(0), [300]

    async def slow(n: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            begun.release()
        await asyncio.sleep(30)

    async def main() -> None:
        calls = [ledger.acall("slow", slow, {"n": n}, workflow="w") for n in range(300)]
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.wait_for(begun.acquire(), 30)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    with contextlib.suppress(EffectInDoubt):
        ledger.call("quick", lambda: 1 / 0, workflow="w")
    threading.Thread(target=late, args=(ledger,)).start()
    return {}


def late(ledger: Ledger) -> None:
    """A thread that is still at work when the main one ends."""
    time.sleep(0.3)
    ledger.call("late", lambda: "done", workflow="w")


if __name__ == "__main__":
    print(json.dumps({"fork": fork, "leave": leave}[sys.argv[1]](sys.argv[2])))
