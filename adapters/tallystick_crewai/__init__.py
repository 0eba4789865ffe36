"""CrewAI's tools, agents and crews on the ledger: ``wrap_tools(tools, ledger)``."""

from __future__ import annotations

try:
    __import__("crewai.tools")
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "crewai":
        raise
    raise ImportError(
        'tallystick_crewai needs CrewAI: pip install "tallystick[crewai]"',
        name=error.name,
    ) from error

from tallystick_crewai import _scope
from tallystick_crewai._budget import Budgeted, budgeted
from tallystick_crewai._resuming import aresume_once, resume_once
from tallystick_crewai._steps import ledgered_step
from tallystick_crewai._tool import LedgeredTool
from tallystick_crewai._wrap import ledgered_tool, wrap_tool, wrap_tools

__all__ = [
    "Budgeted",
    "LedgeredTool",
    "aresume_once",
    "budgeted",
    "ledgered_step",
    "ledgered_tool",
    "resume_once",
    "wrap_tool",
    "wrap_tools",
]

_scope.join()
