"""
Effects that are writes in the ledger's own database: effect and record are one commit.

Claim, tool and settle happen on one connection, inside a savepoint: whatever the tool raises takes
both back. Committing is the caller's, or the ledger's where nobody lent a connection.
"""

from __future__ import annotations

from typing import Any

from tallystick import _points
from tallystick import _rules as rules
from tallystick._acts import Claim, Found, Look, Settle, Start
from tallystick._budgets._acts import Alert, Reserve
from tallystick._budgets._rules import Refusal
from tallystick._classify import classify
from tallystick._context import CURRENT, CurrentEffect
from tallystick._flows import approvals, budgets, stops
from tallystick._flows.attempt import held, success
from tallystick._flows.call import Call, claim_of, recorded_args, refuse_closed, seen
from tallystick._flows.effects import REASONS, Walk, refuse_itself
from tallystick._flows.imaging import imaged, news_of
from tallystick._model import Row, Status
from tallystick._ports import Lent, Ports
from tallystick._rules import Step
from tallystick.errors import EffectStopped, InvalidCall, InvalidPolicy, StoreBusy

_OURS = (Step.RUN, Step.START)
#: these write outside of the lent transaction, or wait for somebody who does
_ELSEWHERE = (
    Step.ASK_AGAIN, Step.DECISION, Step.DOUBT, Step.LAPSE, Step.PROBE, Step.SUSPECT, Step.WAIT,
)  # fmt: skip
#: passes that may find another state each time before something is wrong
_PASSES = 200


async def transact(p: Ports, call: Call) -> Any:
    """The outcome of this call, performed inside a transaction or recorded by an earlier one."""
    refuse_itself(call)
    if call.timeout is not None and not call.is_async:
        raise InvalidPolicy(
            f"Policy(timeout=…): {call.tool} is blocking and TRANSACTIONAL; a thread that uses a "
            "connection cannot be left behind. Set the database's statement_timeout, or make the "
            "tool async"
        )
    walk = Walk(p, call)
    tries = passes = 0
    while passes < _PASSES:
        if call.placed:
            await walk.settle_place()
        tries += 1
        attempt = _Attempt(p, walk.call, tries)
        try:
            async with p.lend(call.connection) as lent:
                step, found = await attempt.enter(lent)
                if step in _OURS:
                    await attempt.run(lent, seen(found))
        except _NoRoom as no:  # nothing is asked while SQLite's only write lock is held
            raise await budgets.refused(p, walk.call, no.refusal, asks=no.asks) from None
        except Exception as error:  # noqa: BLE001 - it was rolled back; the policy decides
            if attempt.settled is not None:
                return await attempt.committed_anyway(error)
            await _retry_or(p, call, error, tries)
            continue
        if attempt.settled is not None:
            return await attempt.answer()
        if step is Step.REPLAY:
            p.emit("replayed", seen(found))
            return stops.replay(walk.call, seen(found))
        passes += 1
        await attempt.elsewhere(walk, step, found, exclusive=lent.exclusive)
    raise StoreBusy(
        f"the transaction that was lent to {call.tool} does not see what others committed "
        f"about {call.hex[:12]}; end it, and call in a new one"
    )


class _NoRoom(Exception):
    """A budget does not pay; what follows is done when the transaction is over."""

    def __init__(self, refusal: Refusal, *, asks: bool) -> None:
        super().__init__()
        self.refusal = refusal
        self.asks = asks


class _Attempt:
    """One pass through one transaction."""

    def __init__(self, p: Ports, call: Call, tries: int) -> None:
        self.p = p
        self.call = call
        self.value: Any = None
        #: the row that was settled in the transaction; it counts once that is committed
        self.settled: Row | None = None
        self._news: approvals.News | None = None
        self._alerts: tuple[Alert, ...] = ()
        self._nonce = call.nonce + tries.to_bytes(4, "big")

    async def enter(self, lent: Lent) -> tuple[Step, Found]:
        """Claim, or begin what exists, on the lent connection."""
        p, call = self.p, self.call
        found = await lent.do(Look(key=call.identity.key, tenant=call.tenant))
        if found.row is None:
            if call.policy.approval is not False and await approvals.required(p, call):
                return Step.DECISION, found
            call = self.call = await imaged(p, call)
            found = await self._begun(lent, claim_of(call._replace(nonce=self._nonce), p.holder))
        step = rules.next_step(found, call.identity.digest, call.policy)
        if step is not Step.START:
            return step, found
        row = seen(found)
        if row.status in (Status.APPROVED, Status.FAILED):  # a retry is bound to the same facts
            self._news = await approvals.changed(p, call, row)
            if self._news is not None:
                return Step.DECISION, found
            call = self.call = await imaged(p, call)
        started = await self._begun(lent, self._start(row))
        return rules.next_step(started, call.identity.digest, call.policy), started

    async def _begun(self, lent: Lent, act: Claim | Start) -> Found:
        doing = await budgets.paid(self.p, self.call, act)
        if isinstance(doing, Reserve):
            return await self._reserved(lent, doing)
        return await (lent.claim(doing) if isinstance(doing, Claim) else lent.do(doing))

    async def _reserved(self, lent: Lent, act: Reserve) -> Found:
        reserved = await lent.do(act)
        if reserved.refusal is not None:
            raise _NoRoom(reserved.refusal, asks=not lent.exclusive)
        found, held = budgets.taken(self.p, act, reserved)
        self._alerts = reserved.alerts
        self.call = self.call._replace(held=held)
        return found

    async def answer(self) -> Any:
        """What the tool returned, when it is recorded."""
        await self.announce()
        if _points.armed:
            _points.reach("tool.recorded")
        return self.value

    async def announce(self) -> None:
        """
        Tell of thresholds that were passed, after our own commit.

        Before somebody else's nothing is certain, so the keeper tells of them when it is.
        """
        if self.call.connection is None:
            await budgets.announce(self.p, self._alerts)

    def _start(self, row: Row) -> Start:
        refuse_closed(self.call)
        return Start(
            key=row.key,
            tenant=row.tenant,
            status=row.status,
            epoch=row.epoch,
            shown=row.shown,
            nonce=self._nonce,
            holder=self.p.holder,
            actor=self.p.holder,
            reason=REASONS.get(row.status, "again"),
            undoing=self.call.undoing,
            undo=news_of(self.call, row),
            args=stops.restored(self.call, row),
        )

    async def elsewhere(self, walk: Walk, step: Step, found: Found, *, exclusive: bool) -> None:
        """Do what *step* says, outside of the transaction that was lent; or raise."""
        p, call = self.p, walk.call
        replayed = step is Step.SUSPECT and call.policy.on_suspect == "replay"
        if exclusive and step in _ELSEWHERE and not replayed:
            waiting = step is Step.DECISION and found.row is not None and self._news is None
            raise stops.approval_required(call, seen(found)) if waiting else _locked_out(call)
        if self._news is not None:
            reason, facts = self._news
            await approvals.ask_again(p, call, seen(found), reason, facts=facts)
        elif call.placed and step in (Step.SUSPECT, Step.AGAIN):
            return  # a call beside this one was faster: the next pass sees it
        elif step is Step.STALE:
            await budgets.learn(p, call.tenant)
        elif step is Step.DECISION and found.row is None:
            found = await approvals.ask(p, call)
            if rules.next_step(found, call.identity.digest, call.policy) is Step.DECISION:
                await walk.take(Step.DECISION, found)
        elif step is Step.AGAIN or (step is Step.SUSPECT and call.placed):
            await walk.give_way()
            if call.placed:  # a claim out here would be committed without its effect
                await walk.settle_place()
        else:
            await walk.take(step, found)

    async def run(self, lent: Lent, row: Row) -> None:
        """The tool, between claim and settle."""
        call = self.call
        args = call.args if row.attempt == 1 and not row.events else recorded_args(call, row)
        current = CurrentEffect(
            key=row.key.hex(),
            tool=call.tool,
            workflow=call.workflow,
            attempt=row.attempt,
            epoch=row.epoch,
            args=args,
            connection=lent.connection,
            within=call.within | {row.key},
            undoing=call.undo if call.undoing else None,
        )
        token = CURRENT.set(current)
        try:
            with self.p.around("call", row, call_id=call.call_id):
                if _points.armed:
                    _points.reach("tool.before")
                self.value = await self.p.invoke(call.fn, args, call.timeout)
                if _points.armed:
                    _points.reach("tool.after")
        finally:
            CURRENT.reset(token)
        done = held(call, success(call, row, self.value))
        settled = await (lent.settle(done) if isinstance(done, Settle) else lent.do(done))
        if settled.how != "applied":
            raise StoreBusy(
                f"the database took back the transaction of {call.tool} in {call.workflow} while "
                "the tool went on (a deadlock whose error it caught?), and the claim with it: roll "
                "back, and call again in a new one"
            )
        self.settled = row

    async def committed_anyway(self, error: Exception) -> Any:
        """The answer to COMMIT was lost: read back whether it was ours."""
        assert self.settled is not None
        row = (await self.p.read(Look(key=self.settled.key, tenant=self.settled.tenant))).row
        if row is not None and row.nonce == self.settled.nonce and row.status == Status.SUCCEEDED:
            return self.value
        raise error


def _locked_out(call: Call) -> InvalidCall:
    return InvalidCall(
        f"{call.tool} in {call.workflow} needs something recorded or decided by others first, "
        "while the transaction that was lent holds SQLite's only write lock: call it before the "
        "first write of that transaction, or commit first"
    )


async def _retry_or(p: Ports, call: Call, error: Exception, tries: int) -> None:
    """It was rolled back; in a transaction of our own the policy may try again."""
    retry = call.policy.retrying
    ours = isinstance(error, EffectStopped | InvalidCall)
    final = ours or classify(error, call.policy.classify) == "failed"
    if call.connection is not None or retry is None or tries >= retry.attempts or final:
        raise error
    await p.pause(retry.pause(tries))
