"""Budgets for CrewAI: what a model call may cost, before it is made and after it was."""

from __future__ import annotations

from tallystick_crewai._budget._around import Budgeted, budgeted

__all__ = ["Budgeted", "budgeted"]
