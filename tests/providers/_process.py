"""A process that calls a model and is gone: ``_process.py url origin budget session calls``."""

from __future__ import annotations

import os
import sys

import openai

from tallystick import Ledger
from tallystick.clients import watch
from tallystick.errors import BudgetExceeded
from tests.providers._prices import PRICES
from tests.providers._stories import ASK, GPT


def main(url: str, origin: str, budget: str, session: str, calls: str) -> None:
    """Make the calls, tell how many were paid, and leave without a goodbye."""
    ledger = Ledger(url)
    bare = openai.OpenAI(base_url=f"{origin}/v1", api_key="none", max_retries=0)
    client = watch(bare, ledger, budget=budget, session=session, prices=PRICES)
    paid = 0
    for _ in range(int(calls)):
        try:
            client.chat.completions.create(model=GPT, messages=ASK, max_completion_tokens=100)
            paid += 1
        except BudgetExceeded:
            pass
    print(paid, flush=True)
    # no atexit, no close: what was paid must be written already
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
