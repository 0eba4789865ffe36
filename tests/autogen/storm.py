"""
A kill storm through teams; see :mod:`tests._mortals`.

    python -m tests.autogen.storm --kills 50 --store both
    python -m tests.autogen.storm --points --every 1

Every process runs a team of two agents on an order: calls side by side and one after the other,
an approval, a probe, a bank that goes by keys, and models that mint a new memo each time that they
are asked.
"""

from __future__ import annotations

import logging
import sys

from tests._mortals import Mortals, main

from ._mortal import END, TOOLS, Mortal

TEAMS = Mortals(
    live=lambda camp, order, seed: Mortal(camp, order, seed).live(),
    tools=TOOLS,
    by_key=("refund",),
    end=END,
    pace=0.3,
)

if __name__ == "__main__":
    logging.disable(logging.ERROR)  # AutoGen tells each stop at length
    sys.exit(main(TEAMS, "A kill storm through teams: see the module."))
