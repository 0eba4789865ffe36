"""What a model would say that hands off by itself, when a call waits for a person."""

from __future__ import annotations

from collections.abc import Sequence

from autogen_core import FunctionCall
from autogen_core.models import CreateResult, RequestUsage
from autogen_core.tools import Tool, ToolSchema

from tallystick.errors import ApprovalRequired, LedgerError
from tallystick_autogen._stops import passed


def handed_off(
    error: LedgerError, target: str | None, tools: Sequence[Tool | ToolSchema], n: int
) -> CreateResult | None:
    """
    The call of the handoff to *target* among *tools*, as the *n*-th message.

    None where it is not there, or *error* waits for nobody. No model was asked, nothing was used.
    """
    names = [tool.name if isinstance(tool, Tool) else tool["name"] for tool in tools]
    wanted = {target, f"transfer_to_{target}".lower()}
    name = next((name for name in names if target and name in wanted), None)
    if name is None or not isinstance(error, ApprovalRequired):
        return None
    passed(error)
    call = FunctionCall(id=f"handoff_{error.key[:12]}_{n}", name=name, arguments="{}")
    usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
    return CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=True)
