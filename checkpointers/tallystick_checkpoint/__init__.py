"""LangGraph's checkpoints in the ledger, beside its effects: ``LedgerSaver(ledger)``."""

from __future__ import annotations

try:
    __import__("langgraph.checkpoint.base")
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "langgraph":
        raise
    raise ImportError(
        'tallystick_checkpoint needs LangGraph: pip install "tallystick[langgraph]"',
        name=error.name,
    ) from error

from tallystick_checkpoint._saver import LedgerSaver

__all__ = ["LedgerSaver"]
