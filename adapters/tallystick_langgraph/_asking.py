"""
Asking a person from inside a graph, and recording what was said.

The interrupt only carries the question out and the answer in. What counts is the ledger: a decision
is bound to an effect and to the digest of its arguments, the first one stands, and whoever executes
looks there. An answer is taken only if it is one to the question that is open.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import interrupt

from tallystick import Effect, Ledger
from tallystick._acts import Inbox, Observe
from tallystick._flows import desk
from tallystick._keys import scope_of
from tallystick._places import Neighbours
from tallystick._ports import Ports
from tallystick.errors import AnswerRefused, DecisionRefused, LedgerError, StoreBusy
from tallystick_langchain._stops import translate
from tallystick_langgraph._answers import (
    Decision,
    Unfit,
    conflict,
    decisions,
    looks_like_one,
    named,
    question,
)

#: who decides where neither the answer nor the run says it
SOMEBODY = "somebody in LangGraph"
#: how often one task may ask anew before something is wrong
ROUNDS = 50


class Asker:
    """One task of a graph that asks; made anew each time that the task runs."""

    def __init__(self, ledger: Ledger, config: RunnableConfig, by: str | None) -> None:
        self._ledger = ledger
        self._conf: Mapping[str, Any] = config.get("configurable") or {}
        self._by = by
        #: questions that this run of the task has put
        self.asked = 0

    @property
    def thread(self) -> str:
        """The thread that asks."""
        return str(self._conf.get("thread_id") or "")

    async def ask(self, p: Ports, effects: Sequence[Effect]) -> None:
        """
        Interrupt with a question about *effects*, all pending; record the answer to it.

        AnswerRefused for an answer that is none, or not to this question.
        """
        notes = await self._notes(p)
        asked = question(effects, notes)
        own, position = self._interrupt_id(self.asked), self.asked
        resumes: Mapping[str, Any] = self._conf.get("__pregel_resume_map") or {}
        if resumes and own not in resumes and position >= self._answered(own, resumes):
            await self._known_interrupt(p, effects, resumes, own)
        self.asked += 1
        answer = interrupt(asked)
        mark = _mark(own, answer)
        if await self._refused_before(p, effects, mark):
            return
        try:
            said = decisions(answer, effects)
            await self._fits(p, effects, said, bound=own in resumes)
            await self._record(p, effects, said)
        except Unfit as unfit:
            await self._refuse(p, effects, own, mark, str(unfit))

    # -- decided elsewhere ----------------------------------------------------------------------

    @property
    def resumed(self) -> bool:
        """Whether this task has been given an answer, now or before."""
        return bool(self._given())

    def _given(self) -> list[Any]:
        pad: Any = self._conf.get("__pregel_scratchpad")
        saved = list(getattr(pad, "resume", ()))
        look = getattr(pad, "get_null_resume", None)
        fresh = look(False) if look is not None and not saved else None
        return saved if fresh is None else [fresh]

    async def reconcile(self, p: Ports, effects: Sequence[Effect]) -> None:
        """
        Take answers to questions about *effects* that need not be asked any more.

        The first decision stands: AnswerRefused, once, for an answer that says otherwise. Taken
        they must be, for LangGraph counts them: the next one would be taken for one of these.
        """
        if not effects or pending(effects):
            return
        for answer in self._given():
            if not await self._take(p, effects, answer):
                return

    async def _take(self, p: Ports, effects: Sequence[Effect], answer: Any) -> bool:
        """Take *answer* to a question about *effects*, which are decided; False if it is none."""
        if not looks_like_one(answer):
            return False
        own = self._interrupt_id(self.asked)
        mark = _mark(own, answer)
        interrupt(question(effects, {}))
        self.asked += 1
        why = conflict(answer, effects)
        if why and not await self._refused_before(p, effects, mark):
            await self._refuse(p, effects, own, mark, why)
        return True

    # -- is it an answer to this question? ------------------------------------------------------

    async def _fits(
        self, p: Ports, effects: Sequence[Effect], said: Sequence[Decision], *, bound: bool
    ) -> None:
        names = [named(one, effect) for one, effect in zip(said, effects, strict=True)]
        for name, effect in zip(names, effects, strict=True):
            if name is False:
                raise Unfit(f"it names another effect than {effect.key[:12]}, or other arguments")
        if bound or all(names) or not await self._asked_before(p, effects):
            return
        raise Unfit(
            "a question was answered in this turn before, and nothing in the answer says that it "
            "is meant for this one: resume by the interrupt's id, Command(resume={interrupt.id: "
            "…}), or repeat the 'effect' of the action in each decision"
        )

    async def _asked_before(self, p: Ports, effects: Sequence[Effect]) -> bool:
        """Whether another question of the same turn was answered already."""
        scope = scope_of(self._ledger.tenant, effects[0].workflow)
        near = await p.read(Neighbours(scope=scope))
        mine = {effect.key for effect in effects}
        turns = {place.get("turn") for one in near if one.key.hex() in mine for place in one.places}
        return any(
            one.asked
            and one.status != "pending"
            and one.key.hex() not in mine
            and (not turns or any(place.get("turn") in turns for place in one.places))
            for one in near
        )

    async def _known_interrupt(
        self, p: Ports, effects: Sequence[Effect], resumes: Mapping[str, Any], own: str
    ) -> None:
        """An answer by an id that no open question of the thread has is refused, once."""
        open_ = await self._open(p)
        if not open_:
            return  # nothing was asked here before: the answer was to an earlier step
        unknown = [id_ for id_ in resumes if id_ not in open_]
        if len(unknown) < len(resumes):
            return  # it is for a task beside this one
        mark = _mark(unknown[0], resumes[unknown[0]])
        if not await self._refused_before(p, effects, mark):
            await self._refuse(
                p, effects, own, mark, f"no question with the id {unknown[0]} is open"
            )

    async def _open(self, p: Ports) -> set[str]:
        """The ids of the questions that the checkpoint of this step has."""
        saver: Any = self._conf.get("__pregel_checkpointer")
        levels: Mapping[str, str] = self._conf.get("checkpoint_map") or {}
        found: set[str] = set()
        for ns, id_ in levels.items():
            config = {
                "configurable": {
                    "thread_id": self.thread,
                    "checkpoint_ns": ns,
                    "checkpoint_id": id_,
                }
            }
            tuple_ = await _tuple(p, saver, config)
            for _, channel, value in getattr(tuple_, "pending_writes", None) or ():
                if channel == "__interrupt__":
                    found |= {one.id for one in value}
        return found

    def _answered(self, own: str, resumes: Mapping[str, Any]) -> int:
        """How many answers of this task were saved before."""
        pad: Any = self._conf.get("__pregel_scratchpad")
        saved = len(getattr(pad, "resume", ()))
        # by LangGraph's courtesy to its older versions the first id fits every later question
        first = self._interrupt_id(0)
        return saved - 1 if first in resumes and own not in resumes and saved else saved

    def _interrupt_id(self, nth: int) -> str:
        from langgraph.types import Interrupt

        ns = str(self._conf.get("checkpoint_ns") or "")
        return Interrupt.from_ns(None, f"{ns}|{nth}" if nth else ns).id

    # -- recording -------------------------------------------------------------------------------

    async def _record(self, p: Ports, effects: Sequence[Effect], said: Sequence[Decision]) -> None:
        """All of them, once it is clear that each one can be."""
        for one, effect in zip(said, effects, strict=True):
            unknown = set(one.args or {}) - set(effect.args)
            if unknown:
                raise Unfit(f"{effect.tool} has no argument {', '.join(sorted(unknown))}")
        for one, effect in zip(said, effects, strict=True):
            try:
                await desk.decide(
                    p,
                    self._ledger.tenant,
                    effect.key,
                    approve=one.kind != "reject",
                    by=one.by or self._decider(),
                    reason=one.reason,
                    args=one.args if one.kind == "edit" else None,
                    digest=effect.digest if one.kind != "reject" else None,
                    redaction=self._ledger._redaction,  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
                )
            except DecisionRefused as refused:
                raise Unfit(str(refused)) from refused
            except LedgerError as error:
                raise Unfit(f"it could not be recorded: {error}") from error

    def _decider(self) -> str:
        user = self._conf.get("langgraph_auth_user_id")
        return self._by or (user if isinstance(user, str) and user else SOMEBODY)

    async def _refuse(
        self, p: Ports, effects: Sequence[Effect], own: str, mark: str, why: str
    ) -> None:
        """Record that the answer was refused, so that it is told once, and say it."""
        first = effects[0]
        detail = {"answer": mark, "reason": why}
        await p.do(
            Observe(
                key=bytes.fromhex(first.key),
                tenant=first.tenant,
                kind="answer_refused",
                actor=self._decider(),
                detail=detail,
            )
        )
        keys = tuple(effect.key for effect in effects)
        which = ", ".join(f"{effect.tool} {effect.key[:12]}" for effect in effects)
        raise translate(
            AnswerRefused(
                f"thread {self.thread!r}, interrupt {own}: the answer was refused: {why}. Nothing "
                f"was decided about {which}; resume again with an answer, or decide with "
                f"`tallystick approve {first.key[:12]}`",
                thread=self.thread,
                interrupt=own,
                effects=keys,
            )
        )

    async def _refused_before(self, p: Ports, effects: Sequence[Effect], mark: str) -> bool:
        first = effects[0]
        events = await desk.history(p, first.tenant, first.key)
        return any(e.kind == "answer_refused" and e.detail.get("answer") == mark for e in events)

    async def _notes(self, p: Ports) -> dict[str, str]:
        items = await p.read(Inbox(tenant=self._ledger.tenant))
        return {item.effect.key: item.note for item in items if item.note}


async def _tuple(p: Ports, saver: Any, config: Any) -> Any:
    """A checkpoint, through the saver's method that does not suspend, on a thread if need be."""
    if saver is None or isinstance(saver, bool):
        return None
    return await p.ask(saver.get_tuple, config)


def _mark(id_: str, answer: Any) -> str:
    """What an answer to a question is known by when it is read again."""
    text = json.dumps([id_, answer], sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def undecided(what: str) -> StoreBusy:
    """What asks and asks and gets no further."""
    return StoreBusy(f"{what} was answered {ROUNDS} times and is not decided")


def pending(effects: Sequence[Effect | None]) -> list[Effect]:
    """Those that wait for a decision."""
    return [effect for effect in effects if effect is not None and effect.status == "pending"]
