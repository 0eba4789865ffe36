"""Undoing one effect: each compensation is an effect of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

from tallystick._acts import Found, Look
from tallystick._binding import Shape, shape_of
from tallystick._canonical import canonical, digest
from tallystick._codec import decode, encode, frozen_copy
from tallystick._flows import probing, stops
from tallystick._flows.call import Call, seen
from tallystick._flows.effects import perform
from tallystick._flows.transactions import transact
from tallystick._keys import Identity, identify
from tallystick._model import Guarantee, Row, Status
from tallystick._policy import Policy
from tallystick._ports import Ports
from tallystick._rules import dropped_at
from tallystick._undoing._acts import Turn
from tallystick._undoing._names import Names, Registered, Unfindable
from tallystick._undoing._plan import Plan, closes_at, part_text
from tallystick.errors import (
    ApprovalRequired,
    DamagedRecord,
    EffectInDoubt,
    Halted,
    LedgerError,
    StillRunning,
    StoreError,
)
from tallystick.redaction._rules import REDACTED

#: not about the compensation: whoever comes next tries again
_STOPS = (Halted, StillRunning, StoreError)


class House(NamedTuple):
    """What undoing needs of a ledger besides its store."""

    tenant: str
    names: Names
    nonces: Callable[[], bytes]


class Came(NamedTuple):
    """What came of one effect: a group of the report (none: it had not happened), and why."""

    group: str | None
    reason: str = ""


class Unusable(Exception):
    """A compensation cannot be called with what is recorded."""


class Undoing:
    """The way back of one effect."""

    def __init__(self, p: Ports, house: House, row: Row, plan: Plan, *, by: str, why: str) -> None:
        self._p = p
        self._house = house
        self._row = row
        self._plan = plan
        self._by = by
        self._why = why

    async def go(self, patience: float) -> Came:
        """Undo it, or say what is in the way; whatever that is, it is recorded."""
        if self._row.status == Status.IN_DOUBT:
            met = await self._resolved(patience)
            if met is not None:
                return met
        late = await self._too_late() or forgotten(self._row)
        if late:
            return await self._refused("failed", late)
        if self._row.status != Status.COMPENSATING:
            named = {"steps": list(self._plan.steps)}
            await self._turn(Status.COMPENSATING, self._why, detail=named)
        came = await self._steps()
        if came.group == "done":
            await self._turn(Status.COMPENSATED, self._why)
        elif came.group in {"failed", "missing"}:
            return await self._refused(came.group, came.reason)
        return came

    async def _steps(self) -> Came:
        for n, name in enumerate(self._plan.steps):
            try:
                known = self._house.names.find(name)
                await self._step(n, name, known)
            except Unfindable as error:
                return Came("missing", str(error))
            except _STOPS:
                raise
            except EffectInDoubt as error:
                return Came("in_doubt", f"its compensation is in doubt: {error}")
            except ApprovalRequired as error:
                return Came("waiting", str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, a person must see it
                return Came("failed", f"{name}: {type(error).__name__}: {error}"[:500])
        return Came("done")

    async def _step(self, n: int, name: str, known: Registered) -> None:
        shape = shape_of(known.fn)
        args = frozen_copy(self._arguments(name, shape))
        chance = 0
        call = self._call(name, known, shape, args, (n, chance))
        while await self._is_over(call):
            chance += 1
            call = self._call(name, known, shape, args, (n, chance))
        if call.policy.guarantee is Guarantee.TRANSACTIONAL:
            # a blocking function gets a blocking connection, also where others are awaited
            await self._p.enter(partial(transact, call=call), is_async=call.is_async, timeout=None)
        else:
            await perform(self._p, call)

    async def _is_over(self, call: Call) -> bool:
        """Whether it certainly did not happen: tried anew it is another intent."""
        row = (await self._p.read(Look(key=call.identity.key, tenant=call.tenant))).row
        return row is not None and row.status == Status.FAILED and row.result_note != "retryable"

    def _call(
        self,
        name: str,
        known: Registered,
        shape: Shape,
        args: dict[str, Any],
        which: tuple[int, int],
    ) -> Call:
        row, (n, chance) = self._row, which
        policy = self._plan.policy or known.policy or Policy()
        policy = policy.but(identity=partial(_step_of, row, n))
        identity = identify(
            tenant=row.tenant,
            workflow=row.workflow,
            tool=name,
            args=args,
            call_id=row.key.hex(),
            occurrence=chance,
            policy=policy,
        )
        return Call(
            row.tenant,
            row.workflow,
            name,
            row.key.hex(),
            known.fn,
            shape.is_async,
            args,
            identity,
            self._house.nonces(),
            policy,
            frozenset(),
            undo=part_text(row.key),
            undoing=True,
        )

    def _arguments(self, name: str, shape: Shape) -> dict[str, Any]:
        """What the compensation takes of the effect's arguments, its result and its image."""
        row = self._row
        offered = _recorded(row)
        if shape.open or "result" in shape.names:
            offered["result"] = self._result()
        if self._plan.before is not None:
            offered["before"] = self._plan.image
        taken = {n: v for n, v in offered.items() if shape.open or n in shape.names}
        lacking = ", ".join(sorted(shape.required - taken.keys()))
        if lacking:
            raise Unusable(f"{name} takes {lacking}, which the effect does not have")
        secret = ", ".join(n for n, v in taken.items() if REDACTED in encode(v, where=n))
        if secret:
            raise Unusable(f"{name} takes {secret}, which was redacted and so is not recorded")
        return taken

    def _result(self) -> Any:
        row = self._row
        if row.result_digest is None and row.result_note != "unstorable":
            return None  # of one that is in doubt nobody knows it
        return stops.replay(_forward(row), row)

    async def _resolved(self, patience: float) -> Came | None:
        """Whether an effect in doubt happened; ``None`` if it is to be undone."""
        why = "nobody knows whether it happened"
        if self._plan.probe is not None:
            try:
                await self._probe(patience)
            except (probing.Undecided, Unfindable) as undecided:
                why = str(undecided)
        if self._row.status == Status.FAILED:
            return Came(None)
        safe = self._plan.when_in_doubt == "compensate" and bool(self._plan.steps)
        return None if self._row.status != Status.IN_DOUBT or safe else Came("in_doubt", why)

    async def _probe(self, patience: float) -> None:
        row = self._row
        known = self._house.names.find(cast("str", self._plan.probe))
        policy = Policy(guarantee=Guarantee.RECONCILE, probe=known.fn, quiet=row.quiet / 1e6)
        call = _forward(row)._replace(policy=policy)
        found = await self._look()
        await probing.probe(self._p, call, found, row, patience)
        self._row = seen(await self._look())

    async def _look(self) -> Found:
        return await self._p.read(Look(key=self._row.key, tenant=self._row.tenant))

    async def _too_late(self) -> str:
        closes = closes_at(self._row, self._plan)
        late = closes is not None and (await self._look()).now > closes
        return f"it could be undone within {self._plan.window:g} s, which are over" if late else ""

    async def _refused(self, group: str, reason: str) -> Came:
        if self._row.status != Status.COMPENSATION_FAILED:
            await self._turn(Status.COMPENSATION_FAILED, reason, detail={"as": group})
        return Came(group, reason)

    async def _turn(self, to: Status, reason: str, **more: Any) -> None:
        row = self._row
        turned = await self._p.do(
            Turn(
                key=row.key,
                tenant=row.tenant,
                status=row.status,
                epoch=row.epoch,
                to=to.value,
                by=self._by,
                reason=reason,
                **more,
            )
        )
        if turned.refusal is not None or turned.row is None:
            raise Moved(f"{row.tool} in {row.workflow} {turned.refusal}")
        self._row = turned.row
        self._p.emit(to.value, turned.row, reason=reason)


def forgotten(row: Row) -> str:
    """Why an effect cannot be undone whose payload is gone; nothing where it is there."""
    if dropped_at(row) is None:
        return ""
    return (
        "its payload was dropped, so that nothing is known that its compensation could be "
        "given; undo it by hand, then `tallystick resolve` closes it"
    )


class Moved(LedgerError):
    """Somebody else changed the effect in the meantime: it has to be looked at again."""


def _forward(row: Row) -> Call:
    """The call that an effect was, as far as it is recorded."""
    args = cast("dict[str, Any]", decode(row.args))
    identity = Identity(row.key, row.digest, row.shown, b"", len(canonical(args)))
    return Call(
        row.tenant,
        row.workflow,
        row.tool,
        row.call_id,
        _nothing,
        False,
        args,
        identity,
        b"",
        Policy(),
        frozenset(),
    )


def _recorded(row: Row) -> dict[str, Any]:
    """What the effect ran with, and provably so where nothing was redacted or edited."""
    args = cast("dict[str, Any]", decode(row.args if row.edited is None else row.edited))
    if row.edited is None and REDACTED not in row.args and digest(args) != row.shown:
        raise DamagedRecord(
            f"the recorded arguments of {row.key.hex()[:12]} do not match their digest; nothing "
            "was undone with them; `tallystick verify` shows what else is damaged",
            key=row.key.hex(),
        )
    return args


def _step_of(row: Row, n: int, _: object) -> list[Any]:
    """What a compensation is called: the effect that it undoes, and which step of that it is."""
    return [row.key.hex(), n]


def _nothing(**_: Any) -> None:
    raise AssertionError("what is undone is not run")
