"""While something is undone nothing starts there but what undoes."""

from __future__ import annotations

from tallystick import _acts as acts
from tallystick._model import Halt, at
from tallystick._ports import Ports
from tallystick._undoing._containment import Frozen

#: the reason of a workflow's containment while it is compensated
FROZEN = "the workflow is being compensated"
#: of the key of a containment, what its halts show
_SHOWN = 12


async def contain(p: Ports, tenant: str, workflow: str, *, by: str) -> None:
    """Let nothing start in the workflow but what undoes."""
    await freeze(p, tenant, Frozen(workflow=workflow), by=by, reason=FROZEN, keep=True)


async def release(p: Ports, tenant: str, workflow: str, *, by: str) -> None:
    """Let the workflow go again, unless somebody contained it for a reason of their own."""
    await p.do(
        acts.LiftHalt(
            tenant=tenant, tool=None, workflow=workflow, by=by, reason="", contain=True,
            only=FROZEN,
        )
    )  # fmt: skip


async def freeze(
    p: Ports, tenant: str, scope: Frozen, *, by: str, reason: str, keep: bool = False
) -> None:
    """Let nothing start in a scope but what undoes; *keep* the reason for which it is so."""
    halt = Halt(
        tenant=tenant,
        tool=scope.tool,
        workflow=scope.workflow,
        mode="contain",
        by=by,
        reason=reason,
        at=at(0),
    )
    await p.do(acts.PutHalt(halt=halt, keep=keep))


def told(key: str) -> str:
    """How the reasons of a containment's halts begin."""
    return f"contained by {key[:_SHOWN]}: "


async def frozen(p: Ports, tenant: str, key: str) -> list[Frozen]:
    """What is frozen by a containment."""
    return [
        Frozen(tool=halt.tool, workflow=halt.workflow)
        for halt in await _contained(p, tenant)
        if halt.reason.startswith(told(key))
    ]


async def thaw(p: Ports, tenant: str, key: str, *, by: str, reason: str) -> int:
    """Let everything go again that a containment froze; how many scopes that were."""
    lifted = 0
    for halt in await _contained(p, tenant):
        if halt.reason.startswith(told(key)):
            lifted += await p.do(
                acts.LiftHalt(
                    tenant=tenant, tool=halt.tool, workflow=halt.workflow, by=by, reason=reason,
                    contain=True, only=halt.reason,
                )
            )  # fmt: skip
    return lifted


async def _contained(p: Ports, tenant: str) -> list[Halt]:
    """What lets through what undoes, and nothing else."""
    halts = await p.read(acts.Halts(tenant=tenant))
    return [halt for halt in halts if (halt.tenant, halt.mode) == (tenant, "contain")]
