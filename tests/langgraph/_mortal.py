"""
An agent in a process of its own, which ends in the middle of its tool, right after the effect.

``python -m tests.langgraph._mortal URL FILE FACE``: the checkpoint that asks for the tool becomes
durable only while somebody waits for that; whoever does not wait acts, and dies before.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

from tallystick import Ledger
from tests.adapters.langchain_agents import said, thread

from ._slow import SlowSaver, eventually
from ._world import World, in_turn

PAY = ("pay", {"amount": 1})


def main(url: str, file: str, face: str) -> None:
    """Pay once, and be gone."""
    world = World(Ledger(url, create=True))
    saver = SlowSaver(world.ledger)

    def gone() -> None:
        Path(file).write_text("paid")
        os._exit(9)

    def open_once_awaited() -> None:
        eventually(lambda: saver.awaited)
        saver.gate.set()

    threading.Thread(target=open_once_awaited, daemon=True).start()
    world.before = gone
    agent: Any = world.agent(in_turn([PAY]), checkpointer=saver)
    if face == "awaiting":
        asyncio.run(agent.ainvoke(said(), thread(), durability="async"))
    else:
        agent.invoke(said(), thread(), durability="async")


if __name__ == "__main__":
    main(*sys.argv[1:])
