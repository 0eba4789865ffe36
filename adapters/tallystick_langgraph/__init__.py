"""
LangGraph on the ledger: approvals, middleware, budgets, nodes, and runs that happen once.

Tools are wrapped with :func:`tallystick_langchain.wrap_tools`, checkpoints kept with
:class:`tallystick_checkpoint.LedgerSaver`.
"""

from __future__ import annotations

try:
    __import__("langgraph.types")
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langgraph":
        raise
    raise ImportError(
        'tallystick_langgraph needs LangGraph: pip install "tallystick[langchain]"',
        name=error.name,
    ) from error

from tallystick_langgraph._advice import Advice
from tallystick_langgraph._approval import approval_node
from tallystick_langgraph._budgeting import BudgetMiddleware
from tallystick_langgraph._middleware import LedgerMiddleware
from tallystick_langgraph._nodes import ledgered_node, ledgered_task
from tallystick_langgraph._resuming import Resumed, aresume_approved, resume_approved
from tallystick_langgraph._runs import ainvoke_once, invoke_once

__all__ = [
    "Advice",
    "BudgetMiddleware",
    "LedgerMiddleware",
    "Resumed",
    "ainvoke_once",
    "approval_node",
    "aresume_approved",
    "invoke_once",
    "ledgered_node",
    "ledgered_task",
    "resume_approved",
]
