"""
Was that history possible? Wing and Gong's search with Lowe's memory, for one effect at a time.

A history is linearizable if its operations can be put into one order that respects their times and
in which the sequential model (``_spec``) gives every answer that was given. An operation whose
answer was dropped may have happened at any time after it began, or never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tallystick import _acts as acts
from tallystick._ports import AnyAct
from tests.model import _spec


class Crash(NamedTuple):
    """A worker dies: it concerns all effects, like a halt."""

    worker: str


class Operation(NamedTuple):
    """Something that was asked for, when, and what was answered when; ``None``: never."""

    act: AnyAct | Crash
    invoked: int
    returned: int | None = None
    answer: _spec.Answer = None


class State(NamedTuple):
    """What the model says at some point of an order."""

    world: _spec.World
    effect: _spec.Eff | None = None


def advance(state: State, act: AnyAct | Crash) -> tuple[State, _spec.Answer]:
    """The state after one operation, and its answer."""
    world, effect = state
    if isinstance(act, Crash):
        return State(world._replace(living=world.living - {act.worker}), effect), None
    if isinstance(act, acts.PutHalt):
        h = act.halt
        rest = {s for s in world.halts if s[:3] != (h.tenant, h.tool, h.workflow)}
        halts = frozenset(rest | {(h.tenant, h.tool, h.workflow, h.mode)})
        return State(world._replace(halts=halts), effect), _spec.NOTHING
    if isinstance(act, acts.LiftHalt):
        rest = {s for s in world.halts if s[:3] != (act.tenant, act.tool, act.workflow)}
        lifted = len(world.halts) - len(rest)
        return State(world._replace(halts=frozenset(rest)), effect), lifted
    after, answer = _spec.step(world, effect, act)
    return State(world, after), answer


def linearizable(history: Sequence[Operation], start: State) -> bool:
    """Whether some order of *history* explains every answer in it."""
    ops = sorted(history, key=lambda op: op.invoked)
    answered = sum(1 << i for i, op in enumerate(ops) if op.returned is not None)
    stack: list[tuple[int, State]] = [(0, start)]
    known = set(stack)
    while stack:
        done, state = stack.pop()
        if done & answered == answered:
            return True
        for i in _next(ops, done):
            after, answer = advance(state, ops[i].act)
            if ops[i].returned is not None and answer != ops[i].answer:
                continue
            there = (done | 1 << i, after)
            if there not in known:
                known.add(there)
                stack.append(there)
    return False


def _next(ops: Sequence[Operation], done: int) -> list[int]:
    """Which operations may come next: those that began before any open one was answered."""
    waiting = [i for i in range(len(ops)) if not done >> i & 1]
    ends = [end for i in waiting if (end := ops[i].returned) is not None]
    horizon = min(ends)
    return [i for i in reversed(waiting) if ops[i].invoked <= horizon]


def explain(history: Sequence[Operation]) -> str:
    """A history as a table to read."""
    lines: list[str] = []
    for op in sorted(history, key=lambda op: op.invoked):
        words: Any = op.act
        if not isinstance(words, Crash):
            hide = ("key", "tenant", "args", "scope", "twin", "digest", "shown")
            fields = getattr(words, "_fields", None) or words.__slots__
            words = {n: getattr(words, n) for n in fields if n not in hide}
        name = type(op.act).__name__
        lines.append(f"{op.invoked:>12} {op.returned or '-':>12} {name} {words}\n    → {op.answer}")
    return "\n".join(lines)
