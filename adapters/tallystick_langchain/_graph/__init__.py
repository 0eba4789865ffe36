"""Calls inside a LangGraph run: which of them are the same, and when one may act."""

from __future__ import annotations

from tallystick_langchain._graph._place import Fork, GraphPlace, check_fork, placed
from tallystick_langchain._graph._spot import Spot, spot_of

__all__ = ["Fork", "GraphPlace", "Spot", "check_fork", "placed", "spot_of"]
