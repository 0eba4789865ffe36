"""CrewAI's tools, agents and crews on the ledger: ``wrap_tools(tools, ledger)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from tallystick_crewai._resuming import aresume_once, resume_once
from tallystick_crewai._steps import ledgered_step
from tallystick_crewai._tool import LedgeredTool
from tallystick_crewai._wrap import ledgered_tool, wrap_tool, wrap_tools

if TYPE_CHECKING:
    from tallystick_crewai._budget import Budgeted, budgeted

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


def __getattr__(name: str) -> Any:
    """What meters models, and its half of the core: who only wraps tools does not pay for it."""
    if name not in {"Budgeted", "budgeted"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tallystick_crewai import _budget

    globals().update(Budgeted=_budget.Budgeted, budgeted=_budget.budgeted)
    return globals()[name]
