"""The stories about runs: whoever dies, what happened is undone once, and nothing else is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tallystick import Guarantee, NotApplied, Policy, current_effect
from tallystick.errors import (
    ApprovalRequired,
    CompensationIncomplete,
    EffectCompensated,
    EffectInDoubt,
    RunFinished,
)

from ._stage import PATIENCE, Stage, Story

ONE = frozenset({Guarantee.AT_MOST_ONCE})
Step = Callable[[Stage, Any], Awaitable[None]]


class Declined(Exception):
    """The last step of a run did not work out."""


async def book(stage: Stage, what: str, workflow: str = "saga") -> None:
    """A step of a run: it happens in the world, and says how it is undone."""
    options: dict[str, Any] = {"policy": Policy(compensate="unbook"), "call_id": what}
    tool = _tool(stage, "booked")
    await stage.do("call", "book", tool, {"what": what}, workflow=workflow, **options)


def _tool(stage: Stage, deed: str, *, fails_at: str = "") -> Callable[..., Any]:
    def do(what: str) -> str:
        if what == fails_at and stage.once("no room"):
            raise NotApplied("the hotel does not answer")
        key = current_effect().key
        stage.log.saw(f"did {key} {key}#{deed}-{what}")
        return f"{key}#{deed}-{what}"

    async def ado(what: str) -> str:
        return do(what)

    return ado if stage.setting.way == "awaiting" else do


async def _within(stage: Stage, block: Step, **options: Any) -> None:
    """Open the run until it has its outcome, as whoever is in charge of it would."""
    for _ in range(PATIENCE):
        stage.ledger.compensation("unbook")(_tool(stage, "unbooked", fails_at="hotel"))
        try:
            scope = stage.ledger.workflow("saga", input={"trip": 1}, **options)
            if stage.awaiting:
                async with scope:
                    await block(stage, scope)
            else:
                with scope:
                    await block(stage, scope)
        except (Declined, EffectInDoubt, CompensationIncomplete):
            await stage.resolve_all()
        except ApprovalRequired as asked:
            stage.log.saw(f"yes {asked.key}")
            await stage.do("approve", asked.key, by="ann")
        except RunFinished:
            break
    else:
        raise AssertionError(f"the run was opened {PATIENCE} times and has no outcome")


def _booked(stage: Stage, deed: str) -> list[str]:
    """What was booked, or unbooked, in the order in which it happened."""
    lines = [line for line in stage.log.counts().elements() if line.startswith("did ")]
    return [line.rpartition("-")[2] for line in lines if f"#{deed}-" in line]


def _expect(stage: Stage, *, status: str, undone: list[str]) -> None:
    """Each once; the order is another one where somebody had to say what became of a step."""
    run = stage.ledger.run("saga")
    if (run.status, sorted(_booked(stage, "unbooked"))) != (status, sorted(undone)):
        stage.log.saw(f"wrong run-{run.status} {_booked(stage, 'unbooked')}")
    if stage.ledger.halts():
        stage.log.saw("wrong still-contained")


async def _fails(stage: Stage, scope: Any) -> None:
    for what in ("flight", "hotel", "car"):
        await book(stage, what)
    raise Declined


async def _undone(stage: Stage) -> None:
    """The last of three steps fails; so does, at first, undoing the second one."""
    await _within(stage, _fails, compensate="on_error")
    _expect(stage, status="compensated", undone=["car", "flight", "hotel"])


async def _asked(stage: Stage) -> None:
    """The same, and a person is asked first."""
    await _within(stage, _fails, compensate="ask")
    _expect(stage, status="compensated", undone=["car", "flight", "hotel"])


async def _back_and_on(stage: Stage) -> None:
    """From a savepoint on another way is taken; later all of it is undone from elsewhere."""

    async def block(stage: Stage, scope: Any) -> None:
        twin = scope.asavepoint if stage.awaiting else None
        await book(stage, "flight")
        place = await twin("here") if twin is not None else scope.savepoint("here")
        try:
            await book(stage, "car")
        except EffectCompensated as gone:
            if gone.status != "compensated":
                raise
        else:
            if stage.awaiting:
                await scope.acompensate(to=place)
            else:
                scope.compensate(to=place)
        await book(stage, "train")
        scope.set_output("train")

    if not stage.log.times("once is on its way"):
        await _within(stage, block)
        _expect(stage, status="succeeded", undone=["car"])
        stage.log.saw("once is on its way")
    for _ in range(PATIENCE):
        stage.ledger.compensation("unbook")(_tool(stage, "unbooked", fails_at="hotel"))
        try:
            await stage.do("compensate", "saga", by="ann", wait=1.0)
            break
        except CompensationIncomplete:
            await stage.resolve_all()
    _expect(stage, status="compensated", undone=["car", "train", "flight"])


async def _contained(stage: Stage) -> None:
    """What a tool did in two workflows is contained, and later goes again."""
    if not stage.log.times("once all is booked"):
        for _ in range(PATIENCE):
            try:
                for workflow, what in (("one", "flight"), ("two", "hotel"), ("one", "car")):
                    await book(stage, what, workflow)
                break
            except EffectInDoubt:
                await stage.resolve_all()
        stage.log.saw("once all is booked")
    for _ in range(PATIENCE):
        stage.ledger.compensation("unbook")(_tool(stage, "unbooked", fails_at="hotel"))
        options: dict[str, Any] = {"by": "ann", "reason": "booked twice", "wait": 1.0}
        done = await stage.do("contain", tool="book", **options)
        if done.complete:
            break
        await stage.resolve_all()
    else:
        raise AssertionError(f"it was contained {PATIENCE} times and is not undone")
    undone, frozen = sorted(_booked(stage, "unbooked")), len(stage.ledger.halts())
    if (undone, len(done.done)) != (["car", "flight", "hotel"], 3):
        stage.log.saw(f"wrong contained {undone} {len(done.done)}")
    if stage.once("it is lifted") and frozen != len(("book", "one", "two")):
        stage.log.saw(f"wrong frozen {frozen}")
    await stage.do("unhalt", containment=done.key, by="ann")
    if stage.ledger.halts():
        stage.log.saw("wrong still-contained")


SAGAS: tuple[Story, ...] = (
    Story(name="a tool is contained", prelude=_contained, guarantees=ONE),
    Story(name="a run is undone", prelude=_undone, guarantees=ONE),
    Story(name="a run is undone when a person says so", prelude=_asked, guarantees=ONE),
    Story(name="a run goes back and on", prelude=_back_and_on, guarantees=ONE),
)
