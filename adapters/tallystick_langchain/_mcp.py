"""What an MCP server says about its tools, as a policy."""

from __future__ import annotations

from langchain_core.tools import BaseTool

from tallystick import Guarantee, Policy


def hinted(tool: BaseTool, default: Policy) -> Policy:
    """
    *default* with the guarantee that the MCP annotations in ``tool.metadata`` suggest.

    ``readOnlyHint`` gives ``READ_ONLY``. ``idempotentHint`` gives ``IDEMPOTENT``: the server says
    that repeating a call with the same arguments has no further effect, so that running it again
    after a crash is safe; no key is passed to it. ``destructiveHint``, no annotation, and
    annotations that contradict each other leave ``AT_MOST_ONCE``.

    The annotations are claims of the server, which nobody checks: they only fill what *default*
    leaves open. A guarantee or an approval that *default* asks for is never weakened.
    """
    if default.guarantee is not Guarantee.AT_MOST_ONCE:
        return default
    hints = tool.metadata or {}
    if hints.get("destructiveHint") is True:
        return default
    if hints.get("readOnlyHint") is True:
        return default.but(guarantee=Guarantee.READ_ONLY) if not default.approval else default
    if hints.get("idempotentHint") is True:
        return default.but(guarantee=Guarantee.IDEMPOTENT)
    return default
