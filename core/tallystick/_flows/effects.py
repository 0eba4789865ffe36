"""
The protocol of an effect: claim it, or follow what became of it.

For one key every caller gets one outcome. A second attempt starts only if the first was rolled
back, carries the same key to a downstream that still remembers it, was found not to have happened,
or a person said so.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tallystick import _rules as rules
from tallystick._acts import Claim, Doubt, Found, Lapse, Look, Settle, Start
from tallystick._flows import approvals, budgets, imaging, placing, probing, stops
from tallystick._flows.attempt import Outcome, attempt, settle
from tallystick._flows.call import (
    Call,
    claim_of,
    describe,
    recorded_args,
    refuse_closed,
    seen,
    summary,
)
from tallystick._model import Guarantee, Row, Status
from tallystick._policy import in_seconds
from tallystick._ports import Ports
from tallystick._rules import Step
from tallystick.errors import CalledFromItself, EffectInDoubt, StoreBusy

#: how often a claim or a start may lose against what is not seen before something is wrong
_RIVALS = 200
#: how often it is claimed again without a pause
_AT_ONCE = 3


async def perform(p: Ports, call: Call) -> Any:
    """The outcome of this call: by performing the effect, or by following who did."""
    refuse_itself(call)
    walk = Walk(p, call)
    found = await walk.open()
    while True:
        step = rules.next_step(found, call.identity.digest, call.policy)
        if step is Step.RUN:
            outcome = await walk.run(seen(found))
            if outcome.kind == "value":
                p.remember(call.identity.key)
                return outcome.value
            found = await walk.after(outcome)
        elif step is Step.REPLAY:
            row = seen(found)
            p.emit("replayed", row)
            p.remember(row.key)
            return stops.replay(walk.call, row)
        else:
            found = await walk.take(step, found)


def refuse_itself(call: Call) -> None:
    """An effect that is being performed by the caller itself would wait for itself."""
    if call.identity.key in call.within:
        raise CalledFromItself(
            f"{call.tool} in {call.workflow} calls itself with the same arguments and would wait "
            "for itself; give the inner call another identity (a call id, or other arguments)"
        )


async def ask(p: Ports, call: Call) -> Row | None:
    """Put the question to a person before anybody wants to start; what is recorded of it."""
    return await Walk(p, call).ask()


async def until_ours(p: Ports, call: Call) -> tuple[Step, Row, Call]:
    """For a claim by hand: walk until the effect is the caller's, or its result is there."""
    refuse_itself(call)
    walk = Walk(p, call)
    found = await walk.open()
    while True:
        step = rules.next_step(found, call.identity.digest, call.policy)
        if step in (Step.RUN, Step.REPLAY):
            return step, seen(found), walk.call
        found = await walk.take(step, found)


async def settle_by_hand(p: Ports, call: Call, act: Settle | Doubt) -> None:
    """Record what the holder of a claim says; refused once another holder took over."""
    if isinstance(act, Doubt):
        await p.do(act)
        return
    settled = await settle(p, call, act)
    if settled.how == "fenced":
        raise call.error(
            EffectInDoubt,
            f"{call.tool} in {call.workflow} was taken over by another holder meanwhile; what you "
            f"observed is kept in its history: `tallystick show {call.hex[:12]}`",
        )


class Walk:
    """One caller's way through an effect's life."""

    def __init__(self, p: Ports, call: Call) -> None:
        self.p = p
        self.call = call
        self._tries = 0
        self._rivals = 0
        self._error: BaseException | None = None
        self._began = p.monotonic()

    # -- the first step -----------------------------------------------------------------------

    async def open(self) -> Found:
        """Look, where that is cheap or where a person may have to be asked; else claim at once."""
        p, call = self.p, self.call
        if call.placed:
            return await self._open_placed()
        known = p.local or p.remembers(call.identity.key)
        if known or call.around.closed or imaging.wanted(call) or call.policy.approval is not False:
            found = await self.look()
            if found.row is not None:
                return found
        if call.policy.approval is not False and await approvals.required(p, call):
            return await approvals.ask(p, call)
        return await self.claim()

    async def _open_placed(self) -> Found:
        """Claim where nothing has to be asked first; what was there before is looked at."""
        place = self.call.place
        careful = self.call.policy.on_suspect != "run" or (place is not None and place.questions)
        careful = careful or self.call.around.closed or imaging.wanted(self.call)
        if self.call.policy.approval is False and not careful:
            found = await self.claim()
            if found.fresh or (found.row is None and found.twin is None):
                return found
        return await self._resolve()

    async def _resolve(self) -> Found:
        """Follow the effect that this call stands for, or begin one of its own."""
        for _ in range(_RIVALS):
            self.call, found, unclear = await placing.resolve(self.p, self.call)
            refuse_itself(self.call)
            if found is None:
                found = await self._begin(unclear)
                if found.row is not None and found.row.nonce != self.call.nonce:
                    continue  # a call beside this one was faster
                if found.twin is not None and not found.fresh:
                    continue
            return found
        raise StoreBusy(f"others are faster each time with {self.call.hex[:12]}; try later")

    async def ask(self) -> Row | None:
        """The effect's row, inserted as pending if a person must decide; ``None`` if not."""
        if self.call.placed:
            await self.settle_place()
        policy = self.call.policy
        for _ in range(_RIVALS):
            found = await self.look()
            asks = policy.approval is not False and await approvals.required(self.p, self.call)
            if found.row is not None or not asks:
                return found.row
            found = await approvals.ask(self.p, self.call)
            if found.row is not None and found.row.nonce == self.call.nonce:
                return found.row
            if self.call.placed:  # a call beside this one was faster
                await self.settle_place()
        raise StoreBusy(f"others are faster each time with {self.call.hex[:12]}; try later")

    async def settle_place(self) -> None:
        """Learn which effect this call stands for, and begin nothing."""
        self.call, found, unclear = await placing.resolve(self.p, self.call)
        refuse_itself(self.call)
        if found is None and unclear:
            await approvals.ask(self.p, self.call, kind="suspect", note=unclear)

    async def _begin(self, unclear: str) -> Found:
        p, call = self.p, self.call
        if unclear:
            return await approvals.ask(p, call, kind="suspect", note=unclear)
        if call.policy.approval is not False and await approvals.required(p, call):
            return await approvals.ask(p, call)
        return await self.claim()

    async def claim(self) -> Found:
        """Try to become the one who performs it."""
        self.call = await imaging.imaged(self.p, self.call)
        act = claim_of(self.call, self.p.holder)
        if not self.p.listening:
            return await self._claimed(act)
        with self.p.around("claim", rules.fresh_row(act, 0), call_id=self.call.call_id):
            return await self._claimed(act)

    async def _claimed(self, act: Claim) -> Found:
        found, held = await budgets.begin(self.p, self.call, act)
        self._hold(held)
        return found

    def _hold(self, lines: tuple[bytes, ...] | None) -> None:
        """Remember which lines of budgets pay for the attempt."""
        if lines != self.call.held:
            self.call = self.call._replace(held=lines)

    async def look(self) -> Found:
        """Read the effect as it is now."""
        return await self.p.read(Look(key=self.call.identity.key, tenant=self.call.tenant))

    # -- attempts -----------------------------------------------------------------------------

    async def run(self, row: Row) -> Outcome:
        """Make one attempt at an effect that is ours."""
        self._tries += 1
        call = self.call
        args = call.args if row.attempt == 1 and not row.events else recorded_args(call, row)
        run = partial(attempt, call=call, row=row, args=args)
        try:
            return await self.p.enter(
                run,
                is_async=call.is_async,
                timeout=call.timeout,
            )
        except TimeoutError as late:
            return await self._timed_out(row, late)

    async def _timed_out(self, row: Row, late: TimeoutError) -> Outcome:
        """The tool goes on in its thread; what it settles later resolves the doubt."""
        reason = f"it took longer than {self.call.policy.timeout:g} s"
        doubt = Doubt(
            key=row.key,
            tenant=row.tenant,
            epoch=row.epoch,
            nonce=row.nonce,
            actor=self.p.holder,
            error=describe(late, self.call),
            reason=reason,
        )
        after = await self.p.do(doubt)
        if after is not None and after.status == Status.IN_DOUBT:
            self.p.emit("in_doubt", after, reason=reason)
        harmless = self.call.policy.guarantee is Guarantee.READ_ONLY
        return Outcome("retryable" if harmless else "unknown", error=TimeoutError(reason))

    async def after(self, outcome: Outcome) -> Found:
        """What follows an attempt that brought no value: another look, or the error."""
        error = outcome.error
        if outcome.kind == "again" or error is None:
            return await self.look()
        self._error = error
        found = await self.look()
        row = seen(found)
        if outcome.kind == "failed":
            raise error
        if outcome.kind == "retryable":
            await self._pause_or(error, found, row)
            return await self.look()
        guarantee = self.call.policy.guarantee
        if row.status != Status.IN_DOUBT:
            return found  # resolved meanwhile, by a late settle or a person
        if guarantee is Guarantee.RECONCILE:
            return found
        repeatable = rules.repeatable(row, self.call.policy, found.now)
        doubt = stops.in_doubt(self.call, row, summary(error, self.call), repeatable=repeatable)
        doubt.__cause__ = error
        if not repeatable:
            raise doubt
        await self._pause_or(doubt, found, row)
        return await self.look()

    async def _pause_or(self, error: BaseException, found: Found, row: Row) -> None:
        """Wait for the next attempt as the policy says; raise *error* when there is none."""
        retry = self.call.policy.retrying
        if retry is None or self._tries >= retry.attempts:
            raise error
        pause = retry.pause(self._tries)
        spent = (found.now - (row.started_at or found.now)) / 1e6
        if retry.within is not None and spent + pause > in_seconds(retry.within):
            raise error
        await self.p.pause(pause)

    # -- everything else ----------------------------------------------------------------------

    async def take(self, step: Step, found: Found) -> Found:
        """Do what *step* says and report what is there afterwards, or raise."""
        handler = getattr(self, f"_{step.name.lower()}")
        result: Found = await handler(found)
        return result

    async def give_way(self) -> None:
        """Let a rival go first; StoreBusy when there is one each time."""
        self._rivals += 1
        if self._rivals > _RIVALS:
            raise StoreBusy(
                f"{self.call.hex[:12]} can neither be begun nor seen in other hands: another "
                f"transaction holds it uncommitted; try later"
            )
        if self._rivals > _AT_ONCE:
            await self.p.pause(min(0.001 * self._rivals, 0.1))

    async def _again(self, found: Found) -> Found:
        await self.give_way()
        return await (self._resolve() if self.call.placed else self.claim())

    async def _stale(self, found: Found) -> Found:
        await self.give_way()
        await budgets.learn(self.p, self.call.tenant)
        if self.call.placed:
            return await self._resolve()
        looked = await self.look()
        return looked if looked.row is not None else await self.claim()

    async def _halted(self, found: Found) -> Found:
        self._tell("halted", found)
        raise await stops.halted(self.p, self.call)

    def _tell(self, kind: str, found: Found, **facts: Any) -> None:
        """Tell the hooks of a call for which nothing was recorded."""
        if self.p.listening:
            row = rules.fresh_row(claim_of(self.call, self.p.holder), found.now)
            self.p.emit(kind, row._replace(status="", attempt=0), **facts)

    async def _changed(self, found: Found) -> Found:
        row = seen(found)
        self.p.emit("arguments_changed", row)
        raise stops.changed(self.call, row)

    async def _suspect(self, found: Found) -> Found:
        if self.call.placed:
            return await self._resolve()
        twin = found.twin
        assert twin is not None
        self._tell("suspect", found, twin=twin.hex(), call_id=self.call.call_id)
        if self.call.policy.on_suspect == "ask":
            return await approvals.ask(
                self.p,
                self.call,
                kind="suspect",
                note=f"the same tool and arguments as {twin.hex()[:12]} under another call id",
            )
        identity = self.call.identity._replace(key=twin)
        self.call = self.call._replace(identity=identity)
        refuse_itself(self.call)
        return await self.look()

    async def _start(self, found: Found) -> Found:
        row = seen(found)
        args = stops.restored(self.call, row)
        if row.status in (Status.APPROVED, Status.FAILED):  # a retry is bound to the same facts
            asked = await approvals.recheck(self.p, self.call, row)
            if asked is not None:
                return asked
            self.call = await imaging.imaged(self.p, self.call)
        refuse_closed(self.call)
        act = Start(
            key=row.key,
            tenant=row.tenant,
            status=row.status,
            epoch=row.epoch,
            shown=row.shown,
            nonce=self.call.nonce + self._tries.to_bytes(4, "big"),
            holder=self.p.holder,
            actor=self.p.holder,
            reason=REASONS.get(row.status, "again"),
            undoing=self.call.undoing,
            undo=imaging.news_of(self.call, row),
            args=args,
        )
        started, held = await budgets.begin(self.p, self.call, act)
        self._hold(held)
        if started.fresh and started.row is not None:
            self.p.emit("started", started.row, was=row.status)
        elif started.row is not None and started.row.epoch == row.epoch:
            await self.give_way()  # refused, and nobody else has begun it: what refused it may end
        return started

    def _patience(self) -> float:
        """Seconds that this caller still has for others."""
        return in_seconds(self.call.policy.wait) - (self.p.monotonic() - self._began)

    async def _wait(self, found: Found) -> Found:
        row = seen(found)
        left = self._patience()
        changed = await self.p.wait(row, left) if left > 0 else None
        if changed is None:
            raise stops.still_running(self.call, row)
        return changed

    async def _doubt(self, found: Found) -> Found:
        row = seen(found)
        doubt = Doubt(
            key=row.key,
            tenant=row.tenant,
            epoch=row.epoch,
            nonce=None,
            actor=self.p.holder,
            error=None,
            reason=f"its worker {(row.holder or '?')[:8]} died during attempt {row.attempt}",
        )
        after = await self.p.do(doubt)
        if after is not None and after.status == Status.IN_DOUBT:
            self.p.emit("in_doubt", after, reason=doubt.reason)
        return await self.look()

    async def _probe(self, found: Found) -> Found:
        try:
            await probing.probe(self.p, self.call, found, seen(found), self._patience())
        except probing.Undecided as undecided:
            error = stops.in_doubt(self.call, seen(found), str(undecided))
            raise error from (undecided.__cause__ or self._error)
        after = await self.look()
        if self._error is not None and seen(after).status == Status.FAILED:
            await self._pause_or(self._error, after, seen(after))  # an attempt of this very call
        return after

    async def _in_doubt(self, found: Found) -> Found:
        raise stops.in_doubt(self.call, seen(found)) from self._error

    async def _decision(self, found: Found) -> Found:
        return await approvals.decision(self.p, self.call, seen(found), self._began)

    async def _lapse(self, found: Found) -> Found:
        row = seen(found)
        await self.p.do(Lapse(key=row.key, tenant=row.tenant, actor=self.p.holder))
        return await self.look()

    async def _ask_again(self, found: Found) -> Found:
        await approvals.ask_again(self.p, self.call, seen(found), "it expired and was called again")
        return await self.look()

    async def _failed(self, found: Found) -> Found:
        raise stops.failed(self.call, seen(found)) from self._error

    async def _denied(self, found: Found) -> Found:
        raise stops.denied(self.call, seen(found))

    async def _expired(self, found: Found) -> Found:
        raise stops.expired(self.call, seen(found))

    async def _cancelled(self, found: Found) -> Found:
        raise stops.cancelled(self.call, seen(found))

    async def _undone(self, found: Found) -> Found:
        raise stops.undone(self.call, seen(found))


REASONS = {
    Status.APPROVED.value: "approved",
    Status.FAILED.value: "tried again: it did not happen",
    Status.RUNNING.value: "its worker died; the guarantee allows to repeat it",
    Status.IN_DOUBT.value: "the guarantee allows to repeat it",
}
