"""
AutoGen's tools, workbenches, models and teams on the ledger: ``wrap_tools(tools, ledger)``.

What stops a run is raised to whoever started it with ``raising_stops()``.
"""

from __future__ import annotations

try:
    __import__("autogen_core.tools")
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "autogen_core":
        raise
    raise ImportError(
        'tallystick_autogen needs AutoGen: pip install "tallystick[autogen]"',
        name=error.name,
    ) from error

from tallystick_autogen._client import BudgetedModelClient
from tallystick_autogen._input import recorded_input
from tallystick_autogen._session import TeamSession, team_session
from tallystick_autogen._stops import raising_stops
from tallystick_autogen._tool import LedgeredTool
from tallystick_autogen._workbench import LedgeredWorkbench, ToolReported
from tallystick_autogen._wrap import ledgered_tool, wrap_tool, wrap_tools

__all__ = [
    "BudgetedModelClient",
    "LedgeredTool",
    "LedgeredWorkbench",
    "TeamSession",
    "ToolReported",
    "ledgered_tool",
    "raising_stops",
    "recorded_input",
    "team_session",
    "wrap_tool",
    "wrap_tools",
]
