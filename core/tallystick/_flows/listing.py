"""Runs as they are recorded, for whoever asks."""

from __future__ import annotations

from typing import Any

from tallystick._acts import Find
from tallystick._model import Effect, Status
from tallystick._ports import Ports
from tallystick._undoing._report import Run, RunStatus
from tallystick._undoing._tools import RUN
from tallystick.errors import InvalidCall, UnknownEffect

_STATUS: dict[Status, RunStatus] = {
    Status.RUNNING: RunStatus.RUNNING,
    Status.PENDING: RunStatus.STOPPED,
    Status.DENIED: RunStatus.CANCELLED,
    Status.APPROVED: RunStatus.STOPPED,
    Status.FAILED: RunStatus.FAILED,
    Status.SUCCEEDED: RunStatus.SUCCEEDED,
    Status.COMPENSATING: RunStatus.COMPENSATING,
    Status.COMPENSATED: RunStatus.COMPENSATED,
    Status.COMPENSATION_FAILED: RunStatus.COMPENSATION_FAILED,
    Status.CANCELLED: RunStatus.CANCELLED,
}
_RECORDED = {ours: theirs for theirs, ours in _STATUS.items()}


async def runs(p: Ports, tenant: str, *, status: Any, parent: str | None, limit: int) -> list[Run]:
    """Runs, newest first."""
    wanted: str | None = None
    if status is not None:
        try:
            wanted = _RECORDED[RunStatus(status)].value
        except ValueError:
            known = ", ".join(s.value for s in RunStatus)
            raise InvalidCall(f"{status!r} is no status of a run; one of {known}") from None
    find = Find(tenant=tenant, tool=RUN, status=wanted, call_id=parent, limit=limit)
    return [run_of(effect) for effect in await p.read(find)]


async def run(p: Ports, tenant: str, workflow: str) -> Run:
    """The run of a workflow; UnknownEffect where it is not recorded."""
    found = await p.read(Find(tenant=tenant, workflow=workflow, tool=RUN, limit=1))
    if not found:
        raise UnknownEffect(
            f"no run {workflow!r} is recorded; `with ledger.workflow(…, input=…)` records one"
        )
    return run_of(found[0])


def run_of(effect: Effect) -> Run:
    """An effect that is a run, as one."""
    # nothing but its life is known of one that lost its payload
    about: dict[str, Any] = effect.args.get("about", {})
    return Run(
        id=effect.workflow,
        key=effect.key,
        status=_STATUS[effect.status],
        input=effect.args.get("input"),
        output=effect.result if effect.status is Status.SUCCEEDED else None,
        error=effect.error,
        parent=effect.call_id,
        attempts=effect.attempt,
        kind=about.get("kind"),
        framework=about.get("framework"),
        version=about.get("version"),
        compensate=about.get("compensate", "never"),
        labels=about.get("labels", {}),
        budgets=tuple(about.get("budgets", ())),
        created_at=effect.created_at,
        changed_at=effect.changed_at,
        holder=effect.holder,
    )
