"""
How a deed off the straight path changes an effect: pure functions of what is known.

Each says what becomes of the row, what event it leaves and what the inbox shows; ``None`` or a
sentence means that the deed is refused.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import field
from typing import Any

from tallystick._acts import (
    AskAgain,
    Cancel,
    Decide,
    Doubt,
    EventRow,
    Release,
    Resolve,
    Settle,
)
from tallystick._keys import hashed
from tallystick._model import Guarantee, Row, Status
from tallystick._rules import UNSURE, dropped_at, lapsed, quiet_until
from tallystick._undoing._acts import Turn
from tallystick._undoing._tools import RESUMABLE, RUN
from tallystick._values import Value
from tallystick._vault import is_sealed, sealed_digest

GENESIS = b"\0" * 32
#: how long a refused result may be to be kept as evidence in the event
EVIDENCE = 4096
#: what the inbox shows of an effect that waits for a decision
_ASKED = ("approval", "suspect", "budget")
#: the note of what could not be undone, and a person said that it stays
KEPT = "kept"
#: where an effect is on its way back
UNDOING = (
    Status.COMPENSATING,
    Status.COMPENSATED,
    Status.COMPENSATION_FAILED,
)
#: from where an effect gets to each of them
_BACK = {
    Status.COMPENSATING: (Status.SUCCEEDED, Status.IN_DOUBT, Status.COMPENSATION_FAILED),
    Status.COMPENSATED: (Status.COMPENSATING,),
    Status.COMPENSATION_FAILED: (Status.COMPENSATING, Status.SUCCEEDED),
}
_NULL = hashlib.sha256(b"null").digest()


class Change(Value):
    """How a deed changes a row: columns, one event, and the inbox."""

    columns: dict[str, Any] = field(default_factory=dict[str, Any])
    event: str
    actor: str
    detail: dict[str, Any] = field(default_factory=dict[str, Any])
    opens: str | None = None
    note: str = ""
    due: int | None = None
    closes: tuple[str, ...] = ()


def chained(row: Row, change: Change, now: int, epoch: int) -> EventRow:
    """The event that *change* appends to the chain of *row*."""
    detail = json.dumps(change.detail, sort_keys=True, separators=(",", ":"))
    return link(row.head or GENESIS, row.key, row.events + 1, change, now, epoch, detail)


def link(
    previous: bytes, key: bytes, n: int, change: Change, at: int, epoch: int, detail: str
) -> EventRow:
    """An event whose hash covers its content and the hash before it."""
    digest = event_hash(previous, key, n, change.event, change.actor, at, epoch, detail)
    return EventRow(key, n, change.event, change.actor, at, epoch, detail, previous, digest)


def event_hash(
    previous: bytes, key: bytes, n: int, kind: str, actor: str, at: int, epoch: int, detail: str
) -> bytes:
    """sha256 over the length-prefixed fields of an event."""
    numbers = (str(n).encode(), str(at).encode(), str(epoch).encode())
    return hashed(previous, key, kind.encode(), actor.encode(), *numbers, detail.encode())


def asked(actor: str, shown: bytes, kind: str, note: str, due: int | None) -> Change:
    """An effect was inserted as pending."""
    detail = {"digest": shown.hex(), "reason": note} if note else {"digest": shown.hex()}
    return Change(event="asked", actor=actor, detail=detail, opens=kind, note=note, due=due)


def started(actor: str, row: Row, reason: str, args: str | None = None) -> Change:
    """An attempt began at an effect that existed, *row* as it was; *args* if they were dropped."""
    detail: dict[str, Any] = {"from": row.status, "attempt": row.attempt + 1, "reason": reason}
    if row.holder is not None and row.status == Status.RUNNING:
        detail["from_holder"] = row.holder
    if row.error is not None:
        detail["error"] = json.loads(row.error)
    return Change(
        columns={} if args is None else {"args": args},
        event="started",
        actor=actor,
        detail=detail,
        closes=("in_doubt", "conflict"),
    )


def doubt(row: Row, act: Doubt, alive: bool) -> Change | None:
    """A running effect whose outcome nobody knows; refused while its holder may know."""
    mine = act.nonce is not None and act.nonce == row.nonce
    if row.status != Status.RUNNING or row.epoch != act.epoch or (alive and not mine):
        return None
    if row.tool in RESUMABLE:
        free = {"status": Status.APPROVED.value}
        return Change(columns=free, event="abandoned", actor=act.actor)
    if row.guarantee == Guarantee.READ_ONLY:
        columns = {"status": Status.FAILED.value, "result_note": "retryable", "error": act.error}
        return Change(columns=columns, event="abandoned", actor=act.actor)
    return Change(
        columns={"status": Status.IN_DOUBT.value, "error": act.error or row.error},
        event="in_doubt",
        actor=act.actor,
        detail={"reason": act.reason, "holder": row.holder, "attempt": row.attempt},
        opens="in_doubt",
        note=act.reason,
    )


def left_open(
    row: Row,
    holder: str,
    error: str | None,
    reason: str = "the claim was left without saying what became of it",
) -> Doubt:
    """What a claim by hand becomes when its holder leaves without a word."""
    return Doubt(
        key=row.key,
        tenant=row.tenant,
        epoch=row.epoch,
        nonce=row.nonce,
        actor=holder,
        error=error,
        reason=reason,
    )


def release(row: Row, act: Release) -> Change | None:
    """A claim given back: nothing failed, and the effect may start again as it might before."""
    if row.status != Status.RUNNING or row.nonce != act.nonce:
        return None
    if row.result_note == UNSURE and row.tool not in RESUMABLE:
        return Change(
            columns={"status": Status.IN_DOUBT.value},
            event="released",
            actor=act.actor,
            detail={"reason": act.reason},
            opens="in_doubt",
            note=f"{act.reason}; an earlier attempt may have happened",
        )
    return Change(
        columns={"status": Status.APPROVED.value},
        event="released",
        actor=act.actor,
        detail={"reason": act.reason},
    )


def settle_late(row: Row, act: Settle) -> Change:
    """A settle that met no running attempt of its own: a doubt resolved, or an observation."""
    mine = row.epoch == act.epoch and row.nonce == act.nonce
    if mine and row.status == Status.IN_DOUBT and act.status != Status.IN_DOUBT:
        return Change(
            columns=outcome(act),
            event="settled_late",
            actor="worker",
            detail={"status": act.status},
            closes=("in_doubt", "conflict"),
        )
    detail: dict[str, Any] = {"status": act.status, "epoch": act.epoch, "attempt": "refused"}
    gone = dropped_at(row) is not None  # nothing late brings back what retention dropped
    if act.result_digest is not None:
        detail["result_digest"] = act.result_digest.hex()
        if act.result is not None and len(act.result) <= EVIDENCE and not gone:
            detail["result"] = act.result
    if act.error is not None and not gone:
        detail["error"] = json.loads(act.error)
    return Change(event="observed", actor="worker", detail=detail)


def outcome(act: Settle | Resolve) -> dict[str, Any]:
    """The columns that hold an outcome."""
    return {
        "status": act.status if isinstance(act, Settle) else act.to,
        "result": act.result,
        "result_digest": act.result_digest,
        "result_note": act.note,
        "error": act.error,
    }


def lapse(row: Row, actor: str, now: int) -> Change | None:
    """
    The time for a decision, or for using one, is over.

    An attempt that did not happen has used nothing: what was approved waits for its next one. One
    whose outcome is not known is not undone by the clock, and may still be repeated or resolved.
    """
    waits = row.status in (Status.PENDING, Status.APPROVED) or (
        row.status == Status.FAILED and row.result_note == "retryable"
    )
    if not waits or not lapsed(row, now):
        return None
    return Change(
        columns={"status": Status.EXPIRED.value},
        event="expired",
        actor=actor,
        detail={"was": row.status},
        closes=_ASKED,
    )


def ask_again(row: Row, act: AskAgain, now: int) -> Change | None:
    """Back to pending, for a new round of decisions."""
    if row.status != act.status or row.epoch != act.epoch:
        return None
    until = now + act.expires
    columns: dict[str, Any] = {
        "status": Status.PENDING.value,
        "epoch": row.epoch + 1,
        "approval_until": until,
        "quorum": act.quorum,
        "facts": act.facts,
        "edited": None,
    }
    shown = row.shown
    if dropped_at(row) is not None:  # nobody approves what cannot be shown
        columns |= {"args": act.args, "shown": act.shown}
        shown = act.shown
    return Change(
        columns=columns,
        event="asked",
        actor=act.actor,
        detail={"digest": shown.hex(), "reason": act.reason},
        opens=act.kind,
        note=act.reason,
        due=until,
    )


class Vote(Value):
    """One person's approval in one round."""

    by: str
    digest: bytes


def decide(row: Row, act: Decide, votes: list[Vote], now: int) -> Change | str:
    """One more decision about *row*; *votes* are the approvals of this round so far."""
    if row.status in (Status.APPROVED, Status.RUNNING, Status.SUCCEEDED) and act.approve:
        if any(v.by == act.by and v.digest == bound(row, act) for v in votes):
            return ""  # the same person said the same thing before
    if row.status != Status.PENDING:
        return f"it is {row.status} already; the first decision stands"
    if act.shown is not None and act.shown != runs(row):
        return (
            f"the decision is about arguments {act.shown.hex()[:12]}, "
            f"the effect has {runs(row).hex()[:12]}; look at it again"
        )
    who = {"by": act.by, "reason": act.reason}
    if not act.approve:
        columns = {"status": Status.DENIED.value, "error": json.dumps(who)}
        return Change(
            columns=columns,
            event="denied",
            actor=act.by,
            detail=who,
            closes=_ASKED,
        )
    return _approve(row, act, votes, who)


def _approve(row: Row, act: Decide, votes: list[Vote], who: dict[str, Any]) -> Change | str:
    digest = bound(row, act)
    if any(v.digest != digest for v in votes):
        return "an earlier approver saw other arguments; deny it, or approve the same ones"
    if any(v.by == act.by for v in votes):
        return ""
    detail = {**who, "digest": digest.hex(), "votes": len(votes) + 1, "quorum": row.quorum}
    columns: dict[str, Any] = {}
    if act.args is not None:
        columns["edited"] = act.args
        detail["edited"] = True
    if len(votes) + 1 < row.quorum:
        return Change(columns=columns, event="voted", actor=act.by, detail=detail)
    columns["status"] = Status.APPROVED.value
    return Change(
        columns=columns,
        event="approved",
        actor=act.by,
        detail=detail,
        closes=_ASKED,
    )


def bound(row: Row, act: Decide) -> bytes:
    """The digest of the arguments that a decision is about."""
    if act.args_digest is not None:
        return act.args_digest
    return runs(row)


def runs(row: Row) -> bytes:
    """The digest of what would run: the edited arguments if there are any."""
    if not row.edited:
        return row.shown
    if row.edited.startswith('"'):  # the arguments were dropped and their digest was kept
        return bytes.fromhex(row.edited.strip('"'))
    if is_sealed(row.edited):
        return sealed_digest(row.edited)
    return hashlib.sha256(row.edited.encode()).digest()


def raised(row: Row, by: str, detail: dict[str, Any]) -> Change:
    """A top-up request was approved, and with it the limit raised: there is nothing else to do."""
    return Change(
        columns={"status": Status.SUCCEEDED.value, "result": "null", "result_digest": _NULL},
        event="raised",
        actor=by,
        detail=detail,
    )


def resolve(row: Row, act: Resolve, now: int) -> Change | str:
    """What became of an effect in doubt, said by a person or found by a probe."""
    if row.status == Status.COMPENSATION_FAILED:
        return undone_by_hand(row, act)
    if row.status != Status.IN_DOUBT:
        return f"it is {row.status}, not in doubt"
    if act.epoch is not None and act.epoch != row.epoch:
        return "it was taken up again in the meantime"
    if act.to == Status.FAILED and not act.early and now < quiet_until(row):
        left = (quiet_until(row) - now) / 1e6
        return (
            f"an old attempt may still arrive for {left:.0f} s (its quiet period); "
            "say that it did not happen only after that"
        )
    detail = {"to": act.to, "reason": act.reason, "was": row.error and json.loads(row.error)}
    columns = {**outcome(act), "epoch": row.epoch + 1}
    if act.to == Status.FAILED:
        said = {"type": act.kind, "message": act.reason, "traceback": "", "by": act.by}
        columns["error"] = act.error or json.dumps(said)
    return Change(
        columns=columns,
        event="resolved",
        actor=act.by,
        detail=detail,
        closes=("in_doubt", "conflict"),
    )


def undone_by_hand(row: Row, act: Resolve) -> Change | str:
    """A person undid what no compensation could, or says that it stays as it is."""
    if row.result_note == KEPT and act.to == Status.FAILED:
        return "somebody said already that it stays"
    undone = act.to == Status.SUCCEEDED
    return Change(
        columns={"status": Status.COMPENSATED.value} if undone else {"result_note": KEPT},
        event="resolved",
        actor=act.by,
        detail={"to": "compensated" if undone else "kept", "reason": act.reason},
        closes=("compensation",),
    )


def turn(row: Row, act: Turn) -> Change | str:
    """
    One step back on an effect's way.

    The epoch of a running effect ends with it, so that a holder who still believes in it is refused
    like any other that was overtaken.
    """
    own = row.tool == RUN and act.to == Status.COMPENSATING
    allowed = row.status != Status.COMPENSATED if own else row.status in _BACK[Status(act.to)]
    if not allowed or (row.status, row.epoch) != (act.status, act.epoch):
        return f"it is {row.status} meanwhile"
    columns: dict[str, Any] = {"status": act.to, "epoch": row.epoch + 1}
    if act.error is not None:
        columns["error"] = act.error
    failed = act.to == Status.COMPENSATION_FAILED
    done = {"completed": row.changed_at} if row.status not in UNDOING else {}
    return Change(
        columns=columns,
        event=act.to,
        actor=act.by,
        detail={"reason": act.reason, **done, **act.detail},
        opens="compensation" if failed and row.tool != RUN else None,
        note=act.reason,
        closes=("compensation", "in_doubt", "conflict"),
    )


def cancel(row: Row, act: Cancel) -> Change | str:
    """Withdraw what has not started, or what nobody will resolve."""
    if row.status not in (Status.PENDING, Status.APPROVED, Status.IN_DOUBT):
        return f"it is {row.status}; only pending, approved or doubtful effects can be cancelled"
    return Change(
        columns={"status": Status.CANCELLED.value, "epoch": row.epoch + 1},
        event="cancelled",
        actor=act.by,
        detail={"reason": act.reason, "was": row.status},
        closes=(*_ASKED, "in_doubt", "conflict"),
    )
