"""
The rules of an effect's life: pure functions of what is known, touching nothing.

``next_step`` says what a caller does about what its claim met; ``fresh_row`` and ``settled_row``
are what the straight path writes. What happens off it is in :mod:`tallystick._changes`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from tallystick._acts import (
    Claim,
    Found,
    Settle,
)
from tallystick._model import Guarantee, Halt, Row, Status
from tallystick._policy import REVERSIBILITIES, Approval, Policy
from tallystick.errors import DamagedRecord

#: the note of a repeated attempt: what became of an earlier one is not known either
UNSURE = "unsure"


class Step(Enum):
    """What a caller does next."""

    RUN = auto()  # the claim was granted
    AGAIN = auto()  # a rival's insert is in flight
    HALTED = auto()
    STALE = auto()  # budgets were declared meanwhile
    SUSPECT = auto()  # the same tool and arguments under another call id
    CHANGED = auto()  # the key is taken by a call with other arguments
    REPLAY = auto()
    FAILED = auto()
    START = auto()  # begin an attempt at what exists
    WAIT = auto()  # a live holder performs it
    DOUBT = auto()  # its holder died and nothing is known
    PROBE = auto()
    IN_DOUBT = auto()
    DECISION = auto()  # a person has to decide
    LAPSE = auto()  # the time for the decision is over
    ASK_AGAIN = auto()
    DENIED = auto()
    UNDONE = auto()  # it was compensated, or is about to be
    EXPIRED = auto()
    CANCELLED = auto()


def next_step(found: Found, digest: bytes, policy: Policy) -> Step:
    """What a call with these arguments and this policy does about what it found."""
    if found.fresh:
        return Step.RUN
    row = found.row
    if row is None:
        if found.halted:
            return Step.HALTED
        if found.stale:
            return Step.STALE
        return Step.SUSPECT if found.twin is not None else Step.AGAIN
    if row.digest != digest:
        return Step.CHANGED
    route = _ROUTES.get(row.status)
    if route is None:
        key = row.key.hex()
        raise DamagedRecord(f"the record of {key[:12]} is damaged: {row.status!r}", key=key)
    return route(found, row, policy)


def _pending(found: Found, row: Row, policy: Policy) -> Step:
    return Step.LAPSE if lapsed(row, found.now) else Step.DECISION


def _approved(found: Found, row: Row, policy: Policy) -> Step:
    return Step.LAPSE if lapsed(row, found.now) else Step.START


def _running(found: Found, row: Row, policy: Policy) -> Step:
    if found.alive:
        return Step.WAIT
    return Step.START if repeatable(row, policy, found.now) else Step.DOUBT


def _in_doubt(found: Found, row: Row, policy: Policy) -> Step:
    if repeatable(row, policy, found.now):
        return Step.START
    both = {row.guarantee, policy.guarantee.value}
    return Step.PROBE if both == {Guarantee.RECONCILE.value} else Step.IN_DOUBT


def _failed(found: Found, row: Row, policy: Policy) -> Step:
    if row.result_note != "retryable":
        return Step.FAILED
    return Step.LAPSE if lapsed(row, found.now) else Step.START


def _expired(found: Found, row: Row, policy: Policy) -> Step:
    approval = policy.approval
    again = getattr(approval, "after_expiry", "refuse") == "ask"
    return Step.ASK_AGAIN if again else Step.EXPIRED


_ROUTES: dict[str, Callable[[Found, Row, Policy], Step]] = {
    Status.PENDING.value: _pending,
    Status.APPROVED.value: _approved,
    Status.RUNNING.value: _running,
    Status.IN_DOUBT.value: _in_doubt,
    Status.FAILED.value: _failed,
    Status.EXPIRED.value: _expired,
    Status.SUCCEEDED.value: lambda _found, _row, _policy: Step.REPLAY,
    Status.DENIED.value: lambda _found, _row, _policy: Step.DENIED,
    Status.CANCELLED.value: lambda _found, _row, _policy: Step.CANCELLED,
    Status.COMPENSATING.value: lambda _found, _row, _policy: Step.UNDONE,
    Status.COMPENSATED.value: lambda _found, _row, _policy: Step.UNDONE,
    Status.COMPENSATION_FAILED.value: lambda _found, _row, _policy: Step.UNDONE,
}


def too_final(policy: Policy, *, undoing: bool) -> str:
    """Why a person is asked about an effect that cannot be taken back enough; else nothing."""
    least = policy.approval.min_reversibility if isinstance(policy.approval, Approval) else None
    if least is None or undoing or policy.guarantee is Guarantee.READ_ONLY:
        return ""
    enough = REVERSIBILITIES.index(policy.reversibility) >= REVERSIBILITIES.index(least)
    return "" if enough else f"{policy.reversibility}, and the policy asks for {least}"


def fresh_row(c: Claim, now: int) -> Row:
    """The row that a granted claim inserts."""
    running = c.status == "running"
    until = now + c.expires if c.expires is not None else None
    holder = c.holder if running else None
    begun = now if running else None
    return Row(
        c.key, c.tenant, c.workflow, c.tool, c.call_id, c.guarantee, c.status, 1, int(running),
        holder, c.nonce, c.digest, c.shown, c.args, None, c.quorum, until, c.facts,
        None, None, None, None, c.quiet, c.key_lifetime, now, begun, now, 0, None, False,
    )  # fmt: skip


def settled_row(row: Row, s: Settle, now: int) -> Row:
    """The row after an outcome that its holder recorded."""
    (key, tenant, workflow, tool, call_id, guarantee, _, epoch, attempt,
     holder, nonce, digest, shown, args, edited, quorum, until, facts,
     _, _, _, _, quiet, lifetime, created, started, _, events, head, awaited) = row  # fmt: skip
    return Row(
        key, tenant, workflow, tool, call_id, guarantee, s.status, epoch, attempt,
        holder, nonce, digest, shown, args, edited, quorum, until, facts,
        s.result, s.result_digest, s.note, s.error, quiet, lifetime, created, started, now, events,
        head, awaited,
    )  # fmt: skip


def dropped_at(row: Row) -> int | None:
    """When the row's payload was dropped, which is then what stands in its arguments' place."""
    return int(row.args) if row.args.isdigit() else None


def lapsed(row: Row, now: int) -> bool:
    """Whether the time to decide, or to use the decision, is over."""
    return row.approval_until is not None and row.approval_until <= now


def too_late(row: Row, now: int) -> bool:
    """Whether no attempt may begin any more; one with an unknown outcome may still be finished."""
    return row.status not in (Status.RUNNING, Status.IN_DOUBT) and lapsed(row, now)


def stops(halt: Halt, row: Row, *, undoing: bool = False) -> bool:
    """Whether *halt* forbids another attempt at an effect."""
    concerned = halt.tool in {None, row.tool} and halt.workflow in {None, row.workflow}
    return concerned and forbids(halt.mode, fresh=row.attempt == 0, undoing=undoing)


def forbids(mode: str, *, fresh: bool, undoing: bool) -> bool:
    """Draining lets go on what has begun; containing lets through what undoes."""
    return {"drain": fresh, "contain": not undoing}.get(mode, True)


def repeatable(row: Row, policy: Policy, now: int) -> bool:
    """
    Whether an attempt with an unknown outcome may simply be made again.

    Only if the attempt was recorded under the guarantee that the caller declares now; and under
    ``IDEMPOTENT`` only while the downstream still remembers the key.
    """
    if row.guarantee != policy.guarantee.value:
        return False
    if policy.guarantee is Guarantee.IDEMPOTENT:
        return now < (row.started_at or now) + (row.key_lifetime or 0)
    return policy.guarantee in (Guarantee.TRANSACTIONAL, Guarantee.READ_ONLY)


def quiet_until(row: Row) -> int:
    """When an old attempt can no longer arrive, in the database's microseconds."""
    return row.changed_at + row.quiet
