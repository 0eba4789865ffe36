"""
Agents that run away: seen in the calls that a ledger has recorded anyway.

A :class:`Runaway` is a list of rules and what to do about their findings. Rules are frozen values
with a pure ``look`` over the last calls of one session; nothing here reads a clock or a database,
and nothing remembers what was found before: that a finding is told once per session and rule is
the ledger's promise, kept by a row in its database.

>>> stuck = [
...     Call(at=n, kind="tool", what="search", request=b"q", answer=b"nothing") for n in range(3)
... ]
>>> for finding in Runaway().look(stuck):
...     print(f"{finding.rule}, {finding.action}: {finding.message}")
repeats, warn: search was called 3 times in a row with the same arguments and gave the same \
answer; use that answer, change the arguments, or stop
"""

from __future__ import annotations

from tallystick.runaway._config import Runaway
from tallystick.runaway._pace import BurnRate, Growth
from tallystick.runaway._sameness import Cycles, NoProgress, Repeats
from tallystick.runaway._values import Action, Call, Finding, Kind, Rule

__all__ = [
    "Action",
    "BurnRate",
    "Call",
    "Cycles",
    "Finding",
    "Growth",
    "Kind",
    "NoProgress",
    "Repeats",
    "Rule",
    "Runaway",
]
