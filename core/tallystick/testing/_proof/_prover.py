"""The protocol of a proof: learn the steps by failing after each of them, then fail elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tallystick.errors import InvalidCall
from tallystick.testing._proof._try import Learned, Stage, Tried, Try
from tallystick.testing._proof._values import Point, UndoDisproved, UndoProof
from tallystick.testing._proof._watch import Cue, Mark
from tallystick.testing._proof._ways import Way
from tallystick.testing._proof._words import unreached


async def prove(way: Way, stage: Stage) -> UndoProof:
    """What was tried; UndoDisproved with the first finding."""
    begun = await _through(way, stage)
    learned = begun[-1].learned
    tries = [each.went for each in begun]
    after = [each.mark for each in begun if each.mark is not None]
    for cue in _cues(learned, after, kill=stage.kill):
        tried = await _at(way, stage, cue, learned)
        if not tried.fired and cue.step is not None:
            raise UndoDisproved(unreached(cue.step, cue.point), step=cue.step, point=cue.point)
        if tried.finding is not None:
            raise tried.finding
        tries.append(tried.went)
    return UndoProof(steps=tuple(each.step for each in learned), tries=tuple(tries))


async def _through(way: Way, stage: Stage) -> list[Tried]:
    """
    Fail right after the first thing that is done, after the second, until all of it is done.

    So each step is undone for the first time when all before it are known to be undone well, and
    the first finding is about the step that lies.
    """
    found: list[Tried] = []
    for nth in range(1, 1_000_000):
        tried = await Try(way, stage, Cue("after", nth=nth)).go()
        if not tried.fired:
            last = found[-1].went.step if found else None
            if last is not None and tried.recorded < nth - 1:
                raise UndoDisproved(unreached(last, "end"), step=last)
            break
        if tried.finding is not None:
            raise tried.finding
        found += [] if tried.reads else [tried]
    else:
        raise InvalidCall("the workflow does something else each time, and comes to no end")
    if not tried.learned:
        raise InvalidCall(
            "the workflow did nothing through the ledger it was given, so there is nothing to "
            "prove; call its tools with that ledger"
        )
    if not tried.shows:
        raise UndoDisproved(
            "world() is the same before and after the workflow, so that it cannot show whether "
            "anything was undone; let it return what the workflow's effects change"
        )
    if tried.finding is not None:
        raise tried.finding
    return [*found, tried]


async def _at(way: Way, stage: Stage, cue: Cue, known: Sequence[Learned]) -> Tried:
    """Fail there; where the arguments are others each time, at the same call of the tool."""
    tried = await Try(way, stage, cue, known=known).go()
    if tried.fired or tried.finding is not None:
        return tried
    return await Try(way, stage, cue, known=known, loosely=True).go()


def _cues(learned: Sequence[Learned], after: Sequence[Mark], *, kill: bool) -> Iterator[Cue]:
    """Where else to fail; *after* these calls it has failed already."""
    marks = [each.mark for each in learned]
    for step, mark, plan in learned:
        points: dict[Point, bool] = {
            "after": not _is_among(mark, after, marks),
            "before": True,
            "lost": bool(plan.steps) and plan.when_in_doubt == "compensate",
            "killed_before": kill,
            "killed_after": kill,
        }
        yield from (Cue(point, step, mark) for point, wanted in points.items() if wanted)
    for step, mark, plan in learned:
        for part in range(len(plan.steps)):
            if not plan.one_shot:
                yield Cue("refused", step, mark, part=part)
            yield Cue("stopped", step, mark, part=part)


def _is_among(mark: Mark, tried: Sequence[Mark], known: Sequence[Mark]) -> bool:
    """Whether a call was one of those; one whose arguments are made up each time by its number."""
    if any(mark.is_like(each, loosely=False) for each in tried):
        return True
    made_up = [e for e in tried if not any(e.is_like(each, loosely=False) for each in known)]
    return any(mark.is_like(each, loosely=True) for each in made_up)
