"""What the agents of a storm mean to do: made up from a seed, known to everybody."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from tests.adapters.langchain_agents import Asked

#: tools by what they declare; ``refund`` needs a person, ``look`` has no effect and fails at times
TOOLS = ("charge", "wallet", "card", "book", "refund", "look")
SHAPES = ("agent", "middleware", "classic", "nested")
AMOUNTS = (100, 200)

Call = tuple[str, int]
Step = tuple[Call, ...]


class Intent(NamedTuple):
    """What a call is meant to do; several calls of one step may mean the same once more."""

    thread: str
    turn: int
    step: int
    tool: str
    cents: int


class Plan(NamedTuple):
    """The turns of a thread, each the steps of a model, each the calls that it asks for."""

    thread: str
    shape: str
    turns: tuple[tuple[Step, ...], ...]

    def intents(self) -> Counter[Intent]:
        """How often everything with an effect is meant to happen."""
        return Counter(
            Intent(self.thread, t, s, tool, cents)
            for t, steps in enumerate(self.turns)
            for s, step in enumerate(steps)
            for tool, cents in step
            if tool != "look"
        )

    def script(self, messages: Sequence[BaseMessage]) -> list[Asked] | str:
        """What the model says next, under new ids each time that it is asked."""
        turn, step = where(messages)
        steps = self.turns[turn]
        if step >= len(steps):
            return f"turn {turn} is done"
        return [(tool, {"item": self.thread, "cents": cents}) for tool, cents in steps[step]]


def where(messages: Sequence[Any]) -> tuple[int, int]:
    """The turn and the step that come after *messages*."""
    humans = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
    begun = messages[humans[-1] :]
    return len(humans) - 1, sum(isinstance(message, AIMessage) for message in begun)


def plan(seed: int, thread: str) -> Plan:
    """
    Two turns of a few steps.

    Arguments tell next to nothing apart, so that the place in the graph has to.
    """
    chance = random.Random(f"{seed}/{thread}")
    turns = [_turn(chance) for _ in range(2)]
    return Plan(thread, chance.choice(SHAPES), tuple(turns))


def _turn(chance: random.Random) -> tuple[Step, ...]:
    steps: list[Step] = []
    for _ in range(chance.randint(2, 4)):
        how = chance.random()
        if how < 0.25:
            steps.append((_call(chance),) * 3)
        elif steps and how < 0.5:  # an earlier one again, which is meant
            steps.append(chance.choice(steps))
        elif how < 0.75:
            steps.append((_call(chance), _call(chance)))
        else:
            steps.append((_call(chance),))
    return tuple(steps)


def _call(chance: random.Random) -> Call:
    weights = (4, 4, 4, 3, 1, 2)
    return chance.choices(TOOLS, weights)[0], chance.choice(AMOUNTS)
