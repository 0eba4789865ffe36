"""
A kill storm through crews; see :mod:`tests._mortals`.

    python -m tests.crewai.storm --kills 50 --store both
    python -m tests.crewai.storm --points --every 1

Every process runs a crew of two members on an order: calls side by side and one after the other,
an approval, a probe, a bank that goes by keys, and a guardrail that refuses the first answer, so
that its task runs twice each time.
"""

from __future__ import annotations

import logging
import sys

from tests._mortals import Mortals, main

from . import conftest as quiet  # CrewAI reads the environment as it is imported
from ._stormy import END, TOOLS, Mortal

CREWS = Mortals(
    live=lambda camp, order, seed: Mortal(camp, order, seed).live(),
    tools=TOOLS,
    by_key=("refund",),
    end=END,
)

if __name__ == "__main__":
    assert not quiet.collect_ignore_glob, "CrewAI is not installed"
    logging.disable(logging.ERROR)  # CrewAI tells each stop at length
    sys.exit(main(CREWS, "A kill storm through crews: see the module."))
