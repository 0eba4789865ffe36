"""An agent's process that makes calls and ends without a goodbye."""

from __future__ import annotations

import os
import sys
from typing import Any

from tallystick import Ledger
from tallystick_langchain import BudgetCallback
from tests.adapters.budget_models import LINE, Talker


def main(url: str, calls: int) -> None:
    """Make so many calls, and end before anybody can tidy up."""
    ledger = Ledger(url)
    config: Any = {"callbacks": [BudgetCallback(ledger, LINE)]}
    model = Talker()
    for _ in range(calls):
        model.invoke("hi", config)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
