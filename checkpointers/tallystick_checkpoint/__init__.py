"""LangGraph's checkpoints in the ledger, beside its effects: ``LedgerSaver(ledger)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tallystick_checkpoint._copying import Copied, copy_threads
    from tallystick_checkpoint._pruning import Retained
    from tallystick_checkpoint._saver import LedgerSaver

__all__ = ["Copied", "LedgerSaver", "Retained", "copy_threads"]

_WHERE = {
    "Copied": "_copying",
    "LedgerSaver": "_saver",
    "Retained": "_pruning",
    "copy_threads": "_copying",
}


def __getattr__(name: str) -> Any:
    """LangGraph is imported by whoever uses it: the command line only names these commands."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from tallystick_checkpoint._extra import required

    with required():
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
