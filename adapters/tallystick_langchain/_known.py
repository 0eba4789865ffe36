"""Which tools are wrapped for a ledger in this process, and what graphs demand of them."""

from __future__ import annotations

from collections.abc import Mapping
from weakref import WeakKeyDictionary, WeakValueDictionary

from langchain_core.tools import BaseTool

from tallystick import Ledger, Policy

#: in a model's metadata: its answers are recorded, and replayed
RECORDED = "tallystick_recorded"
_TOOLS: WeakKeyDictionary[Ledger, WeakValueDictionary[str, BaseTool]] = WeakKeyDictionary()
_DEMANDS: WeakKeyDictionary[Ledger, dict[str, Policy]] = WeakKeyDictionary()


def remember(ledger: Ledger, tool: BaseTool) -> None:
    """A tool was wrapped; of two with one name the later one counts."""
    _TOOLS.setdefault(ledger, WeakValueDictionary())[tool.name] = tool


def tool_named(ledger: Ledger, name: str) -> BaseTool | None:
    """The tool of this name that was wrapped for the ledger last."""
    tools = _TOOLS.get(ledger)
    return None if tools is None else tools.get(name)


def demand(ledger: Ledger, policies: Mapping[str, Policy]) -> None:
    """From now on these tools ask as these policies say, where by their own they do not."""
    demands = _DEMANDS.setdefault(ledger, {})
    demands.update({name: p for name, p in policies.items() if p.approval is not False})


def demanded(ledger: Ledger, name: str, policy: Policy) -> Policy:
    """*policy* with the approval that a graph demands of the tool."""
    asks = _DEMANDS.get(ledger, {}).get(name)
    return (
        policy
        if asks is None or policy.approval is not False
        else policy.but(approval=asks.approval)
    )
