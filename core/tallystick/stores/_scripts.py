"""
Every act said once, as a function of a transaction.

A script reads, lets a pure rule decide, and writes what the rule said; the three stores differ only
in what a transaction is. The two acts of the straight path, claim and settle, are a transaction's
own methods, because each is a single statement there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from tallystick import _acts as acts
from tallystick import _changes as changes
from tallystick import _points
from tallystick import _rules as rules
from tallystick._budgets import _acts as spending
from tallystick._budgets._topups import RAISE
from tallystick._keys import halts_chain
from tallystick._model import Halt, Row, Status
from tallystick._places import Adopt, Neighbours, places_of, with_place
from tallystick._replay._records import ReadRecords
from tallystick._undoing import _acts as undoing
from tallystick._views import effect_of, event_of, item_of
from tallystick.stores import (
    _archive_scripts,
    _budget_limits,
    _budget_reckoning,
    _budget_scripts,
    _checkpoint_scripts,
    _retention_scripts,
    _till,
    _vault_scripts,
)
from tallystick.stores._budget_tx import SpendingTx as Tx
from tallystick.stores._budget_tx import Touched

_APPLIED = acts.Settled("applied")
_STRAIGHT = (acts.Claim, acts.Settle)


def apply(tx: Tx, row: Row, change: changes.Change, touched: Touched) -> Row:
    """Write a change: columns, event, inbox; the row as it is afterwards."""
    now = tx.now()
    columns = dict(change.columns)
    if "status" in columns:
        columns["changed_at"] = now
    event = changes.chained(row, change, now, columns.get("epoch", row.epoch))
    columns |= {"events": event.n, "head": event.hash}
    tx.change(row, columns)
    tx.append(event)
    tx.close_items(row.key, change.closes)
    after = row._replace(**columns)
    if change.opens is not None:
        tx.open_item(after, change.opens, change.note, now, change.due)
    if "status" in columns:
        touched.append((row.key, row.awaited))
        harmless = change.event == "abandoned"
        _budget_reckoning.follow(tx, row.key, row.tenant, columns["status"], harmless=harmless)
    return after


def ask(tx: Tx, act: acts.Ask, touched: Touched) -> acts.Found:
    found = tx.claim([act.claim])[0]
    row = tx.load(act.claim.tenant, act.claim.key) if found.fresh else None
    if row is None:
        return found
    if row.events:  # our own commit, whose answer was lost
        return acts.Found(False, row, True, found.now)
    change = changes.asked(act.actor, row.shown, act.kind, act.note, row.approval_until)
    return acts.Found(False, apply(tx, row, change, touched), True, found.now)


def start(tx: Tx, act: acts.Start, touched: Touched) -> acts.Found:
    before = tx.load(act.tenant, act.key)
    if before is not None and (before.nonce, before.status) == (act.nonce, "running"):
        return acts.Found(True, before, True, tx.now())  # our own commit, whose answer was lost
    row = tx.start(act)
    if row is None or before is None:
        return _refused(tx, act, before)
    row = apply(tx, row, changes.started(act.actor, before, act.reason, act.args), touched)
    touched.append((row.key, row.awaited))
    return acts.Found(True, row, True, tx.now())


def start_unpaid(tx: Tx, act: acts.Start, touched: Touched) -> acts.Found:
    """An attempt that no budget pays for; what an earlier one holds is not its to settle."""
    found = start(tx, act, touched)
    if found.fresh and found.row is not None and found.row.result_note == rules.UNSURE:
        _budget_reckoning.follow(tx, act.key, act.tenant, Status.IN_DOUBT)
    return found


def _refused(tx: Tx, act: acts.Start, row: Row | None) -> acts.Found:
    """Explain a refused start: a halt, other budgets, or that somebody was faster."""
    now = tx.now()
    if row is None:
        return acts.Found(False, None, False, now)
    alive = tx.alive(row.holder)
    if tx.standing(act.tenant) != act.standing:
        return acts.Found(False, None, alive, now, stale=True)
    as_seen = (row.status, row.epoch, row.shown) == (act.status, act.epoch, act.shown)
    free = row.status != "running" or not alive
    if as_seen and free and not rules.too_late(row, now):
        # its holder may also have died since the statement that refused looked at it
        halts = tx.halts(row.tenant)
        halted = any(rules.stops(halt, row, undoing=act.undoing) for halt in halts)
        if halted:
            return acts.Found(False, None, False, now, halted=True)
    return acts.Found(False, row, alive, now)


def settle(tx: Tx, act: acts.Settle, matched: bool | None, touched: Touched) -> acts.Settled:
    """Finish a settle whose statement matched (or did not match) a running row."""
    if matched is not None:
        touched.append((act.key, matched))
        return _APPLIED
    row = tx.load(act.tenant, act.key)
    if row is None:
        return acts.Settled("fenced")
    said = (act.status, act.epoch, act.nonce, act.result_digest)
    if (row.status, row.epoch, row.nonce, row.result_digest) == said:
        return acts.Settled("applied", row)  # our own commit, whose answer was lost
    change = changes.settle_late(row, act)
    late = "status" in change.columns
    return acts.Settled("late" if late else "fenced", apply(tx, row, change, touched))


def settle_apart(tx: Tx, act: acts.Settle, touched: Touched) -> acts.Settled:
    """As :func:`settle` where nothing matched, in a transaction that does nothing else."""
    settled = settle(tx, act, None, touched)
    _till.close(tx)
    return settled


def settle_held(tx: Tx, act: spending.SettleHeld, touched: Touched) -> acts.Settled:
    """Record an outcome and what becomes of the reservation, in one transaction."""
    _till.till_of(tx).lock(act.lines)
    settled = settle(tx, act.settle, tx.settle([act.settle])[0], touched)
    if settled is _APPLIED:
        _budget_reckoning.follow(tx, act.key, act.settle.tenant, act.settle.status)
    return settled


def reserve(tx: Tx, act: spending.Reserve, touched: Touched) -> spending.Reserved:
    return _budget_scripts.reserve(tx, act, touched, start)


def doubt(tx: Tx, act: acts.Doubt, touched: Touched) -> Row | None:
    row = tx.load(act.tenant, act.key)
    if row is None:
        return None
    change = changes.doubt(row, act, tx.alive(row.holder))
    return apply(tx, row, change, touched) if change else row


def release(tx: Tx, act: acts.Release, touched: Touched) -> bool:
    row = tx.load(act.tenant, act.key)
    change = changes.release(row, act) if row else None
    if row is None or change is None:
        return False
    apply(tx, row, change, touched)
    return True


def lapse(tx: Tx, act: acts.Lapse, touched: Touched) -> Row | None:
    row = tx.load(act.tenant, act.key)
    change = changes.lapse(row, act.actor, tx.now()) if row else None
    return apply(tx, row, change, touched) if row and change else row


def ask_again(tx: Tx, act: acts.AskAgain, touched: Touched) -> Row | None:
    row = tx.load(act.tenant, act.key)
    change = changes.ask_again(row, act, tx.now()) if row else None
    return apply(tx, row, change, touched) if row and change else None


def decide(tx: Tx, act: acts.Decide, touched: Touched) -> acts.Decided:
    row = lapse(tx, acts.Lapse(key=act.key, tenant=act.tenant, actor="clock"), touched)
    if row is None:
        return acts.Decided(None, "it does not exist")
    votes = tx.votes(row)
    change = changes.decide(row, act, votes, tx.now())
    if isinstance(change, str):
        again = not act.approve and _mine(tx, row, "denied", act.by, act.reason)
        return acts.Decided(row, None if again else change or None, len(votes))
    if act.approve:
        tx.put_vote(row, act.by, changes.bound(row, act), act.reason, tx.now())
    after = apply(tx, row, change, touched)
    if after.tool == RAISE and after.status == "approved":
        detail = _budget_limits.granted(tx, after, act.by, act.reason)
        after = apply(tx, after, changes.raised(after, act.by, detail), touched)
    return acts.Decided(after, None, len(votes) + 1)


def resolve(tx: Tx, act: acts.Resolve, touched: Touched) -> acts.Decided:
    row = tx.load(act.tenant, act.key)
    if row is None:
        return acts.Decided(None, "it does not exist")
    change = changes.resolve(row, act, tx.now())
    if isinstance(change, str):
        again = row.status == act.to and _mine(tx, row, "resolved", act.by, act.reason)
        return acts.Decided(row, None if again else change)
    return acts.Decided(apply(tx, row, change, touched))


def _mine(tx: Tx, row: Row, kind: str, by: str, reason: str) -> bool:
    """Whether the last thing that happened is this very deed, whose answer was lost."""
    last = tx.last_event(row.key)
    return (
        last is not None
        and (last.kind, last.actor) == (kind, by)
        and json.loads(last.detail).get("reason") == reason
    )


def turn(tx: Tx, act: undoing.Turn, touched: Touched) -> acts.Decided:
    row = tx.load(act.tenant, act.key)
    if row is None:
        return acts.Decided(None, "it does not exist")
    change = changes.turn(row, act)
    if isinstance(change, str):
        again = _mine(tx, row, act.to, act.by, act.reason)
        return acts.Decided(row, None if again else change)
    return acts.Decided(apply(tx, row, change, touched))


def cancel(tx: Tx, act: acts.Cancel, touched: Touched) -> acts.Decided:
    row = tx.load(act.tenant, act.key)
    if row is None:
        return acts.Decided(None, "it does not exist")
    change = changes.cancel(row, act)
    if isinstance(change, str):
        again = _mine(tx, row, "cancelled", act.by, act.reason)
        return acts.Decided(row, None if again else change)
    return acts.Decided(apply(tx, row, change, touched))


def observe(tx: Tx, act: acts.Observe, touched: Touched) -> None:
    row = tx.load(act.tenant, act.key)
    if row is not None:
        note = str(act.detail.get("reason", ""))
        change = changes.Change(
            event=act.kind, actor=act.actor, detail=act.detail, opens=act.inbox, note=note
        )
        apply(tx, row, change, touched)


def adopt(tx: Tx, act: Adopt, touched: Touched) -> bool:
    row = tx.load(act.tenant, act.key)
    if row is None:
        return False
    text = tx.place(act.key)
    if places_of(text) != act.seen:
        return False  # others were faster
    tx.put_place(act.key, with_place(text, act.place))
    detail = json.loads(act.place)
    apply(tx, row, changes.Change(event="placed", actor=act.actor, detail=detail), touched)
    return True


def notified(tx: Tx, act: acts.Notified, touched: Touched) -> None:
    tx.notified(act.key, act.kind)


def put_halt(tx: Tx, act: acts.PutHalt, touched: Touched) -> None:
    # read before the halts are: a rival's halt is among them, or clashes with our event
    last = tx.last_event(halts_chain(act.halt.tenant))
    if act.keep and any(_same(halt, act.halt) for halt in tx.halts(act.halt.tenant)):
        return
    tx.put_halt(act.halt, tx.now())
    scope = {k: v for k, v in asdict(act.halt).items() if k != "at"}
    _tell(tx, last, act.halt.tenant, act.halt.mode, act.halt.by, scope)


def _same(there: Halt, halt: Halt) -> bool:
    """Whether one would take the place of the other."""
    return (there.tenant, there.tool, there.workflow, there.mode == "contain") == (
        halt.tenant, halt.tool, halt.workflow, halt.mode == "contain",
    )  # fmt: skip


def lift_halt(tx: Tx, act: acts.LiftHalt, touched: Touched) -> int:
    lifted = tx.lift_halt(act.tenant, act.tool, act.workflow, contain=act.contain, only=act.only)
    if lifted:
        scope: dict[str, Any] = {"tool": act.tool, "workflow": act.workflow, "reason": act.reason}
        if act.contain:
            scope["mode"] = "contain"
        _tell(tx, tx.last_event(halts_chain(act.tenant)), act.tenant, "lifted", act.by, scope)
    return lifted


def _tell(
    tx: Tx, last: acts.EventRow | None, tenant: str | None, kind: str, by: str, detail: Any
) -> None:
    """Append to the chain of a tenant's halts, whose last event is *last*."""
    key = halts_chain(tenant)
    previous, n = (last.hash, last.n + 1) if last else (changes.GENESIS, 1)
    change = changes.Change(event=kind, actor=by)
    text = json.dumps(detail, sort_keys=True, separators=(",", ":"))
    tx.append(changes.link(previous, key, n, change, tx.now(), 0, text))


def sweep(tx: Tx, act: acts.Sweep, touched: Touched) -> int:
    found = 0
    for worker in tx.dead() if act.dead is None else act.dead:
        if found >= act.limit:
            break  # nobody is forgotten whose effects were not looked at
        rows = tx.held(worker, act.limit - found)
        for row in rows:
            change = changes.doubt(
                row,
                acts.Doubt(
                    key=row.key,
                    tenant=row.tenant,
                    epoch=row.epoch,
                    nonce=None,
                    actor=act.actor,
                    error=None,
                    reason=f"its worker {worker[:8]} died during attempt {row.attempt}",
                ),
                tx.alive(worker),
            )
            if change is not None:
                apply(tx, row, change, touched)
                found += 1
        held = _budget_reckoning.sweep(tx, worker, act.limit)
        found += held
        if not rows and not held and not tx.alive(worker):
            tx.bury(worker)
    return found + _budget_reckoning.sweep(tx, "", act.limit)


def look(tx: Tx, act: acts.Look) -> acts.Found:
    return tx.glance(act.tenant, act.key)


def await_(tx: Tx, act: acts.Look, touched: Touched) -> acts.Found:
    if act.await_:
        tx.await_(act.tenant, act.key)
    return look(tx, act)


_SCRIPTS: dict[type, Callable[[Tx, Any, Touched], Any]] = {
    acts.Ask: ask,
    acts.Start: start_unpaid,
    acts.Doubt: doubt,
    acts.Release: release,
    acts.Lapse: lapse,
    acts.AskAgain: ask_again,
    acts.Decide: decide,
    acts.Resolve: resolve,
    acts.Cancel: cancel,
    undoing.Turn: turn,
    acts.Observe: observe,
    acts.Notified: notified,
    Adopt: adopt,
    acts.PutHalt: put_halt,
    acts.LiftHalt: lift_halt,
    acts.Sweep: sweep,
    acts.Look: await_,
    spending.Reserve: reserve,
    spending.SettleHeld: settle_held,
    **_budget_scripts.SCRIPTS,
    **_checkpoint_scripts.SCRIPTS,
    **_retention_scripts.SCRIPTS,
    **_archive_scripts.SCRIPTS,
    **_vault_scripts.SCRIPTS,
}

_READS: dict[type, Callable[[Tx, Any], Any]] = {
    acts.Look: look,
    acts.Find: lambda tx, act: [effect_of(row) for row in tx.find(act)],
    acts.History: lambda tx, act: [event_of(e) for e in tx.history(act.tenant, act.key)],
    acts.Chain: lambda tx, act: tx.history(act.tenant, act.key),
    acts.Inbox: lambda tx, act: [
        item_of(*item) for item in tx.inbox(act.tenant, act.limit, unnotified=act.unnotified)
    ],
    acts.Halts: lambda tx, act: tx.halts(act.tenant),
    Neighbours: lambda tx, act: tx.neighbours(act),
    undoing.ReadPlans: lambda tx, act: tx.plans(act),
    ReadRecords: lambda tx, act: tx.recorded(act),
    acts.Page: lambda tx, act: tx.page(act),
    acts.Dead: lambda tx, act: tx.dead(),
    acts.Clock: lambda tx, act: tx.now(),
    **_budget_scripts.READS,
    **_checkpoint_scripts.READS,
    **_retention_scripts.READS,
    **_archive_scripts.READS,
    **_vault_scripts.READS,
}


def applied(act: Any) -> None:
    """The point at which an act is done and not committed."""
    if _points.armed:
        _points.reach(f"{type(act).__name__}.applied")


def script_of(act: object) -> Callable[[Tx, Any, Touched], Any]:
    """The function that applies acts of this kind."""
    return _SCRIPTS[type(act)]


def perform(tx: Tx, act: Any, touched: Touched) -> Any:
    """Apply one act."""
    answer = _perform(tx, act, touched)
    _till.close(tx)
    return answer


def _perform(tx: Tx, act: Any, touched: Touched) -> Any:
    if type(act) is acts.Claim:
        answer: Any = tx.claim([act])[0]
    elif type(act) is acts.Settle:
        answer = settle(tx, act, tx.settle([act])[0], touched)
    else:
        answer = script_of(act)(tx, act, touched)
    if _points.armed:
        applied(act)
    return answer


def perform_group(tx: Tx, group: Sequence[Any], touched: Touched) -> list[Any]:
    """
    Apply acts in one order everywhere: claims, settles, the rest, each sorted by key.

    Two processes that take their locks in the same order cannot deadlock.
    """
    answers: list[Any] = [None] * len(group)
    _till.lock(tx, group)
    order = sorted(range(len(group)), key=lambda i: getattr(group[i], "key", b""))
    claims = [i for i in order if isinstance(group[i], acts.Claim)]
    settles = [i for i in order if isinstance(group[i], acts.Settle)]
    if claims:
        for i, found in zip(claims, tx.claim([group[i] for i in claims]), strict=True):
            answers[i] = found
            applied(group[i])
    if settles:
        for i, ok in zip(settles, tx.settle([group[i] for i in settles]), strict=True):
            answers[i] = settle(tx, group[i], ok, touched)
            applied(group[i])
    for i in order:
        if not isinstance(group[i], _STRAIGHT):
            answers[i] = _perform(tx, group[i], touched)
    _till.close(tx)
    return answers


def answer(tx: Tx, act: Any) -> Any:
    """Answer a reading act."""
    return _READS[type(act)](tx, act)
