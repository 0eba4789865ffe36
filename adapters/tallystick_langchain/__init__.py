"""
LangChain tools, agents and MCP servers on the ledger: ``wrap_tools(tools, ledger)``.

What their models cost stays within budgets with ``BudgetCallback(ledger, "a budget")``; what they
answer is replayed with ``recorded(model, ledger)``.
"""

from __future__ import annotations

try:
    __import__("langchain_core.tools")
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langchain_core":
        raise
    raise ImportError(
        'tallystick_langchain needs LangChain: pip install "tallystick[langchain]"',
        name=error.name,
    ) from error

from tallystick_langchain._budget import BudgetCallback
from tallystick_langchain._recorded import recorded
from tallystick_langchain._wrap import wrap_tool, wrap_tools

__all__ = ["BudgetCallback", "recorded", "wrap_tool", "wrap_tools"]
