"""A person who decides during a storm, and the verdict afterwards."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from tallystick import Guarantee, Ledger
from tallystick._model import InboxItem
from tallystick.errors import DecisionRefused
from tests._storms import StoreName
from tests._urls import engine_on

from ._storm_agents import Agents, finished
from ._storm_plan import Intent, Plan, plan
from ._storm_world import LEASE, ROWS, Camp, Seen, World


class Person:
    """Approves, and resolves what is in doubt by looking at the witness."""

    def __init__(self, camp: Camp) -> None:
        self.camp = camp
        self.world = World(camp)
        self.ledger = Ledger(camp.url, lease=LEASE)
        self.parent = os.getppid()

    def run(self) -> None:
        """Look into the inbox until the storm is over."""
        while os.getppid() == self.parent and time.monotonic() < self.camp.until:
            for item in self.ledger.pending():
                try:
                    self._decide(item)
                except DecisionRefused:
                    continue  # it is decided already
            time.sleep(0.02)

    def _decide(self, item: InboxItem) -> None:
        effect = item.effect
        if item.kind == "approval":
            self.ledger.approve(effect.key, by="ann")
        elif item.kind != "in_doubt":
            self.world.note("asked-person", item.kind, effect.workflow, effect.key, item.note)
        elif effect.guarantee is Guarantee.AT_MOST_ONCE and self._over(effect.key, effect.holder):
            tokens = [s.token for s in self.world.seen(effect.args["item"]) if s.key == effect.key]
            if tokens:
                self.ledger.resolve(effect.key, by="ann", succeeded=tokens[-1])
            else:
                self.ledger.resolve(effect.key, by="ann", failed="the witness saw nothing")

    def _over(self, key: str, holder: str | None) -> bool:
        """Whether the attempt cannot act any more: it said so itself, or its process is gone."""
        doubts = [one for one in self.ledger.history(key) if one.kind == "in_doubt"]
        if doubts and doubts[-1].actor == holder:
            return True
        pids = {str(name): int(pid) for name, pid in self.world.notes("holders")}
        if holder not in pids:
            return False
        try:
            os.kill(pids[holder], 0)
        except ProcessLookupError:
            return True
        return False


@dataclass(slots=True, kw_only=True)
class Report:
    """What a storm did, and what is true afterwards."""

    store: StoreName
    kills: int = 0
    seconds: float = 0.0
    threads: int = 0
    intended: int = 0
    resumed: int = 0
    #: the figures that have to be zero
    twice: int = 0
    lost: int = 0
    unfinished: int = 0
    wrong: int = 0
    open_effects: int = 0
    damaged: int = 0
    suspected: int = 0
    odd: int = 0
    #: the figures that tell what was cut off
    asked_again: int = 0
    adopted: int = 0
    approved: int = 0
    in_doubt: int = 0
    resolved: int = 0
    sent_again: int = 0
    shapes: dict[str, int] = field(default_factory=dict[str, int])
    flaws: list[str] = field(default_factory=list[str])

    ZEROES = (
        "twice", "lost", "unfinished", "wrong", "open_effects", "damaged", "suspected", "odd",
    )  # fmt: skip

    def broken(self) -> list[str]:
        """The promises that were not kept."""
        return [f"{name}: {getattr(self, name)}" for name in self.ZEROES if getattr(self, name)]


class Judge:
    """Holds what was seen against what was meant, and every thread against both."""

    def __init__(self, camp: Camp, report: Report, ledger: Ledger) -> None:
        self.camp = camp
        self.report = report
        self.ledger = ledger
        self.world = World(camp)
        self.agents = Agents(self.world, ledger)

    def run(self) -> None:
        """Fill the report."""
        report = self.report
        files = self.camp.folder.glob("begun-*")
        begun = [str(line[0]) for file in files for line in self.world.notes(file.name)]
        plans = [plan(self.camp.seed, name) for name in begun]
        rows = self._rows()
        report.threads = len(plans)
        report.shapes = dict(Counter(one.shape for one in plans))
        for one in plans:
            self._thread(one, [*self.world.seen(one.thread), *rows.get(one.thread, [])])
        self._effects()
        told = Counter(tuple(line) for line in self.world.notes("asked"))
        report.asked_again = told.total() - len(told)
        report.resumed = sum(1 for _ in self.world.notes("resumed"))
        sent = [str(line[0]) for line in self.world.notes("sent")]
        report.sent_again = len(sent) - len(set(sent))
        for name in ("odd", "asked-person"):
            found = sorted({" ".join(map(str, line)) for line in self.world.notes(name)})
            report.flaws += [f"{name}: {line}" for line in found]
            counted = "odd" if name == "odd" else "suspected"
            setattr(report, counted, len(found))

    def _rows(self) -> dict[str, list[Seen]]:
        engine, found = engine_on(self.camp.url), dict[str, list[Seen]]()
        with engine.connect() as db:
            for (line,) in db.execute(sqlalchemy.select(ROWS.c.line)):
                intent, token, key = json.loads(line)
                found.setdefault(intent[0], []).append(Seen(Intent(*intent), token, key))
        engine.dispose()
        return found

    def _thread(self, mine: Plan, seen: list[Seen]) -> None:
        report, meant = self.report, mine.intents()
        did = Counter(one.intent for one in seen)
        report.intended += meant.total()
        report.twice += self._told(mine, "twice", did - meant)
        report.lost += self._told(mine, "lost", meant - did)
        state = self.agents.graph(mine).get_state({"configurable": {"thread_id": mine.thread}})
        if not finished(state, mine):
            report.unfinished += 1
            report.flaws.append(f"{mine.thread} ({mine.shape}) unfinished, next {state.next}")
            return
        wrong = _unlike(mine, state.values["messages"], seen)
        report.wrong += bool(wrong)
        report.flaws += [f"{mine.thread} ({mine.shape}) wrong: {wrong}"] if wrong else []

    def _told(self, mine: Plan, what: str, which: Counter[Intent]) -> int:
        self.report.flaws += [
            f"{mine.thread} ({mine.shape}) {what} {n}: {intent}" for intent, n in which.items()
        ]
        return which.total()

    def _effects(self) -> None:
        report = self.report
        report.damaged = len(self.ledger.verify().damage)
        for effect in self.ledger.effects(limit=1_000_000):
            if effect.status != "succeeded" and effect.guarantee is not Guarantee.READ_ONLY:
                report.open_effects += 1
                report.flaws.append(f"{effect.workflow} open: {effect.tool} is {effect.status}")
            happened = self.ledger.history(effect.key)
            kinds = Counter(event.kind for event in happened)
            once = effect.guarantee is Guarantee.AT_MOST_ONCE
            report.in_doubt += kinds["in_doubt"] if once else 0
            report.resolved += sum(e.kind == "resolved" and e.actor == "ann" for e in happened)
            report.approved += kinds["approved"]
            calls = [event.detail.get("call") for event in happened if event.kind == "placed"]
            report.adopted += any(call != effect.call_id for call in calls)


def _unlike(mine: Plan, messages: list[Any], seen: list[Seen]) -> str:
    """How the end of a thread differs from what was meant and done; nothing if it does not."""
    receipts = {one.token: one.intent for one in seen}
    begun = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
    used: Counter[str] = Counter()
    for turn, steps in enumerate(mine.turns):
        end = begun[turn + 1] if turn + 1 < len(begun) else len(messages)
        rest = messages[begun[turn] + 1 : end]
        for number, step in enumerate(steps):
            asked, answers, rest = rest[0], rest[1 : len(step) + 1], rest[len(step) + 1 :]
            if not isinstance(asked, AIMessage) or len(asked.tool_calls) != len(step):
                return f"turn {turn}, step {number} does not ask for {step}: {asked}"
            said = {a.tool_call_id: a for a in answers if isinstance(a, ToolMessage)}
            for (tool, cents), call in zip(step, asked.tool_calls, strict=True):
                answer = said.pop(str(call["id"]), None)
                if answer is None or (call["name"], call["args"]["cents"]) != (tool, cents):
                    return f"turn {turn}, step {number}: {call} is not answered"
                used[str(answer.content)] += tool != "look"
                intent = Intent(mine.thread, turn, number, tool, cents)
                if tool != "look" and receipts.get(str(answer.content)) != intent:
                    return f"{intent} has the receipt {answer.content}"
        if [message.content for message in rest] != [f"turn {turn} is done"]:
            return f"turn {turn} ends with {rest}"
    again = [token for token, n in used.items() if n > 1]
    return f"receipts of several calls: {again}" if again else ""
