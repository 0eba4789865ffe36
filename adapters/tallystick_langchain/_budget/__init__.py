"""Budgets for LangChain: what a model call may cost, before it is made and after it was."""

from __future__ import annotations

from tallystick_langchain._budget._callback import BudgetCallback

__all__ = ["BudgetCallback"]
