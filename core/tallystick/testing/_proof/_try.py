"""One try: the workflow runs, fails where it is told to, is undone, and the world is compared."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tallystick._model import Guarantee
from tallystick._undoing._report import OPEN, Compensation, Undone, UndoPlan
from tallystick._undoing._tools import PREFIX
from tallystick.errors import ApprovalRequired, CompensationIncomplete, InvalidCall, UnknownEffect
from tallystick.ledger import Ledger
from tallystick.testing._crash import Crashed, let_queue_die
from tallystick.testing._proof import _words
from tallystick.testing._proof._snapshots import Allowed, taken
from tallystick.testing._proof._values import UndoDisproved, UndoStep, UndoTry
from tallystick.testing._proof._watch import DEADLY, Cue, Mark, Watch, watched
from tallystick.testing._proof._ways import Way
from tallystick.testing._time import turn_clock
from tallystick.testing._world import crash

_WHO = "prove_undo"
_WHY = "to prove that it can be undone"
#: how often a person may be asked in one run
_ROUNDS = 50
#: effects that a workflow may have
_MANY = 1_000_000
#: microseconds after which a worker on a server counts as dead
_LEASE = 15_000_000
#: what a person says yes to
_ASKED = ("approval", "suspect")


class Stage(NamedTuple):
    """What is proven, and how its world is looked at."""

    workflow: Callable[[Ledger], Any]
    world: Callable[[], Any]
    opens: Callable[[str], Ledger]
    reset: Callable[[], Any] | None
    allowed: Allowed
    kill: bool


class Learned(NamedTuple):
    """A step, and by what it is known again."""

    step: UndoStep
    mark: Mark
    plan: UndoPlan


class Tried(NamedTuple):
    """What came of one try."""

    went: UndoTry
    finding: UndoDisproved | None
    #: whether it failed where it was told to
    fired: bool
    #: what it failed at
    mark: Mark | None
    #: the steps that were done in it, in the order in which they began
    learned: tuple[Learned, ...]
    #: how many outcomes of tools were recorded, those that only read included
    recorded: int
    #: what it failed at is no step: it only reads
    reads: bool
    #: the world showed that something was done, or all of it was undone when one could look
    shows: bool


class Try:
    """One run of the workflow on a ledger of its own."""

    def __init__(
        self,
        way: Way,
        stage: Stage,
        cue: Cue,
        *,
        known: Sequence[Learned] = (),
        loosely: bool = False,
    ) -> None:
        self._way = way
        self._stage = stage
        self._cue = cue
        self._known = known
        self._loosely = loosely
        self._watch = Watch(cue, loosely=loosely)
        self._ledgers: list[Ledger] = []
        self._helped = False
        self._steps: dict[str, Learned] = {}

    async def go(self) -> Tried:
        """Run, fail, undo, compare."""
        stage, meet = self._stage, self._way.meet
        if stage.reset is not None:
            await meet(stage.reset)
        before = taken(await meet(stage.world))
        with watched(self._watch):
            try:
                self._open()
                failure = await self._run()
                self._learn()
                undone = all(each.plan.reason == "it is undone" for each in self._steps.values())
                shows = undone or taken(await meet(stage.world)) != before
                reports = [await self._undo(name) for name in self._workflows()]
            finally:
                for ledger in self._ledgers:
                    ledger.close()
        difference = stage.allowed.difference(before, taken(await meet(stage.world)))
        return self._tried(failure, reports, difference, shows=shows)

    # -- running ------------------------------------------------------------------------------

    def _open(self) -> None:
        tenant = f"prove-{uuid.uuid4().hex}"
        for _ in range(1 + (self._cue.point in DEADLY)):  # the second one is whoever goes on
            ledger = self._stage.opens(tenant)
            self._ledgers.append(ledger)
            if ledger.tenant != tenant:
                raise InvalidCall(
                    f"ledger=… was called with {tenant!r} and opened a ledger of the tenant "
                    f"{ledger.tenant!r}; pass it on: lambda tenant: Ledger(url, tenant=tenant)"
                )
            ledger.learn_compensations()

    @property
    def _ledger(self) -> Ledger:
        return self._ledgers[0]

    async def _run(self) -> str:
        """Run the workflow, and say what left it."""
        for _ in range(_ROUNDS):
            try:
                await self._way.run(self._stage.workflow, self._ledger)
            except BaseException as error:
                if self._watch.dead:
                    break
                if isinstance(error, ApprovalRequired) and self._approve():
                    continue
                if not (self._watch.fired and isinstance(error, Exception)):
                    error.add_note("(prove_undo ran the workflow, and made nothing fail so far)")
                    raise
                return f"{type(error).__name__}: {error}"[:200]
            if not self._watch.dead:
                return ""
            break
        if self._watch.dead:
            self._bury()
            return "the process ended"
        raise InvalidCall(f"the workflow still waits for approval after {_ROUNDS} rounds of them")

    def _approve(self) -> bool:
        """Say yes to whatever is asked; whether anything was."""
        waiting = [item.effect for item in self._ledger.pending() if item.kind in _ASKED]
        for effect in waiting:
            for n in range(effect.quorum):
                self._ledger.approve(effect.key, by=f"{_WHO}-{n}")
        return bool(waiting)

    def _bury(self) -> None:
        """The dead process is gone, and another one goes on."""
        dead = self._ledgers.pop(0)
        let_queue_die(dead)
        heir = self._ledgers[0]
        heir._names.adopt(dead._names)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        crash(dead)
        self._watch.dead = False
        store: Any = heir._engine.store  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        if not store.local:
            turn_clock(heir, getattr(store, "_lease", _LEASE) / 1e6 + 1)

    def _learn(self) -> None:
        for key, mark in self._watch.calls.items():
            if key not in self._watch.recorded:
                continue
            try:
                effect = self._ledger.get(key)
            except UnknownEffect:  # rolled back with the caller's transaction
                continue
            if effect.guarantee is Guarantee.READ_ONLY:
                continue
            plan = self._ledger.undo_of(key)
            step = UndoStep(
                number=len(self._steps) + 1,
                tool=effect.tool,
                args=effect.args,
                reversibility=plan.reversibility,
                steps=plan.steps,
            )
            self._steps[key] = Learned(step, mark, plan)

    # -- undoing ------------------------------------------------------------------------------

    def _workflows(self) -> list[str]:
        """The workflows that did anything, the one that did so last first."""
        found = self._ledger.effects(limit=_MANY)
        return list(dict.fromkeys(e.workflow for e in found if not e.tool.startswith(PREFIX)))

    async def _undo(self, workflow: str) -> Compensation:
        for _ in range(_ROUNDS):
            try:
                return await self._way.compensate(self._ledger, workflow, by=_WHO, reason=_WHY)
            except Crashed:
                if not self._watch.dead:
                    raise
                self._bury()
            except CompensationIncomplete as left:
                report: Compensation = left.compensation
                if not self._goes_on(report):
                    return report
        raise InvalidCall(f"undoing {workflow} still waits for approval after {_ROUNDS} rounds")

    def _goes_on(self, report: Compensation) -> bool:
        """Do what a person would do now; whether that was anything."""
        if report.waiting:
            return self._approve()
        if self._helped or not self._watch.fired:
            return False
        self._helped = True
        key = self._watch.cued
        if self._cue.point == "killed_before" and key in report.keys("in_doubt"):
            self._ledger.resolve(key, failed="it had not begun to act", by=_WHO)
            return True
        return self._cue.point == "refused"

    # -- judging ------------------------------------------------------------------------------

    def _tried(
        self, failure: str, reports: list[Compensation], difference: str, *, shows: bool
    ) -> Tried:
        watch = self._watch
        fired = watch.fired
        kept = [one for report in reports for one in report.kept]
        went = UndoTry(
            step=self._step_of(watch.cued) if fired else None,
            point=self._cue.point if fired else "end",
            undone=tuple(one.name for one in watch.acted),
            kept=tuple(one.tool for one in kept),
            failure=failure,
        )
        return Tried(
            went=went,
            finding=self._finding(went, reports, kept, difference),
            fired=fired,
            mark=watch.calls.get(watch.cued),
            learned=tuple(self._steps.values()),
            recorded=len(watch.recorded),
            reads=fired and went.step is None,
            shows=shows,
        )

    def _finding(
        self, went: UndoTry, reports: list[Compensation], kept: list[Undone], difference: str
    ) -> UndoDisproved | None:
        left = [one for report in reports for name in OPEN for one in getattr(report, name)]
        if not (left or difference):
            return None
        text = _words.message(
            went,
            part=self._cue.part,
            undone=[f"{one.name} ({self._name(one.of)})" for one in self._watch.acted],
            left=[f"{self._name(one.key)}: {one.reason}" for one in left],
            kept=[self._kept(one) for one in kept],
            difference=difference,
        )
        guilty = self._step_of(left[0].key) if left and not difference else None
        return UndoDisproved(
            text,
            step=guilty or went.step,
            point=went.point,
            undone=went.undone,
            difference=difference,
        )

    def _step_of(self, key: str) -> UndoStep | None:
        """The step that an effect is, by its number in the whole workflow where that is known."""
        mark = self._watch.calls.get(key)
        for known in self._known:
            if mark is not None and mark.is_like(known.mark, loosely=self._loosely):
                return known.step
        return self._steps[key].step if key in self._steps else None

    def _name(self, key: str) -> str:
        step, mark = self._step_of(key), self._watch.calls.get(key)
        return str(step) if step else f"{mark.tool if mark else 'effect'} {key[:12]}"

    def _kept(self, one: Undone) -> str:
        step = self._step_of(one.key)
        words = step.reversibility if step else "irreversible"
        return f"{self._name(one.key)}: {words}, {one.reason}"
