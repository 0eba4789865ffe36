"""While a workflow is undone nothing starts in it but what undoes."""

from __future__ import annotations

from tallystick import _acts as acts
from tallystick._model import Halt, at
from tallystick._ports import Ports

#: the reason of a workflow's containment while it is compensated
FROZEN = "the workflow is being compensated"


async def contain(p: Ports, tenant: str, workflow: str, *, by: str) -> None:
    """Let nothing start in the workflow but what undoes."""
    if await _contained(p, tenant, workflow) is None:
        halt = Halt(
            tenant=tenant, tool=None, workflow=workflow, mode="contain", by=by, reason=FROZEN,
            at=at(0),
        )  # fmt: skip
        await p.do(acts.PutHalt(halt=halt))


async def release(p: Ports, tenant: str, workflow: str, *, by: str) -> None:
    """Let the workflow go again, unless somebody contained it for a reason of their own."""
    halt = await _contained(p, tenant, workflow)
    if halt is not None and halt.reason == FROZEN:
        await p.do(
            acts.LiftHalt(
                tenant=tenant, tool=None, workflow=workflow, by=by, reason="", contain=True
            )
        )


async def _contained(p: Ports, tenant: str, workflow: str) -> Halt | None:
    for halt in await p.read(acts.Halts(tenant=tenant)):
        scope = (halt.tenant, halt.tool, halt.workflow, halt.mode)
        if scope == (tenant, None, workflow, "contain"):
            return halt
    return None
