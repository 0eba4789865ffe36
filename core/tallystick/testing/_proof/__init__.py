"""A proof that a workflow can be undone: it fails at every step, and the world is compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from tallystick._faces import run_sync
from tallystick.errors import InvalidCall
from tallystick.ledger import Ledger
from tallystick.testing._proof._prover import prove
from tallystick.testing._proof._snapshots import Allow, Allowed
from tallystick.testing._proof._try import Stage
from tallystick.testing._proof._values import UndoDisproved, UndoProof, UndoStep, UndoTry
from tallystick.testing._proof._ways import Awaiting, Blocking

__all__ = ["UndoDisproved", "UndoProof", "UndoStep", "UndoTry", "aprove_undo", "prove_undo"]

_MEMORY = "memory://"


def prove_undo(
    workflow: Callable[[Ledger], Any],
    *,
    world: Callable[[], Any],
    ledger: Any = _MEMORY,
    reset: Callable[[], Any] | None = None,
    allow: Allow | None = None,
    kill: bool = False,
) -> UndoProof:
    """
    Let a workflow fail at every step, undo it, and compare the world: a lying undo is found.

    workflow
        Your code, sync or async. It gets a ledger, does its effects through it (in workflows that
        it names itself), and runs to its end when nothing fails. What is to be approved is.
    world
        What the effects change, as plain data: ``lambda: dict(accounts)``. It is compared with
        ``==`` before and after each try.
    ledger
        A URL, an ``Engine``, or a function that opens a ledger of the tenant it is given. Each try
        is a tenant of its own, so that nothing is replayed from another one.
    reset
        Puts the world back before each try. Without it a try begins with what the last one left,
        which is the same where undoing is right.
    allow
        What may differ: a function of the world before and after, or paths into it (``"mails"``,
        ``"orders.*.history"``). Whatever else stays is a finding, also of an effect that nothing
        undoes.
    kill
        Also let the process end before and after each step, as far as its ledger can tell.

    The workflow runs again and again, and is undone each time. First it fails right after the first
    step, right after the second (``after``), until it runs to its end (``end``); so the first
    finding is about the step whose undoing lies. Then each step is refused (``before``), or its
    answer is lost (``lost``, where the plan is to compensate what is in doubt). Last, each
    compensation is refused once and tried again (``refused``), and the process ends right after it
    and another one goes on (``stopped``). One proof at a time in a process, and nothing else on a
    ledger meanwhile.

    Returns what was tried. Raises UndoDisproved, an AssertionError that names the step, the point,
    the compensations that acted and the difference; InvalidCall where there is nothing to prove;
    and what the workflow itself raises when nothing was made to fail.

    >>> from tallystick import Policy
    >>> seats = {"12A": "free"}
    >>> def book(seat: str) -> None:
    ...     seats[seat] = "taken"
    >>> def trip(ledger: Ledger) -> None:
    ...     @ledger.compensation("unbook")
    ...     def unbook(seat: str) -> None:
    ...         seats[seat] = "free"
    ...     policy = Policy(compensate="unbook")
    ...     ledger.call("book", book, {"seat": "12A"}, workflow="trip", policy=policy)
    >>> proof = prove_undo(trip, world=lambda: seats)
    >>> proof.tried
    ((1, 'after'), (0, 'end'), (1, 'before'), (1, 'refused'), (1, 'stopped'))
    """
    stage = _stage(workflow, world, ledger, reset, allow, kill=kill)
    return run_sync(prove(Blocking(), stage))


async def aprove_undo(
    workflow: Callable[[Ledger], Any],
    *,
    world: Callable[[], Any],
    ledger: Any = _MEMORY,
    reset: Callable[[], Any] | None = None,
    allow: Allow | None = None,
    kill: bool = False,
) -> UndoProof:
    """As :func:`prove_undo`, awaited: *workflow*, *world* and *reset* may be async."""
    return await prove(Awaiting(), _stage(workflow, world, ledger, reset, allow, kill=kill))


def _stage(
    workflow: Any, world: Any, ledger: Any, reset: Any, allow: Allow | None, *, kill: bool
) -> Stage:
    for name, given in {"workflow": workflow, "world": world, "reset": reset}.items():
        if not (callable(given) or (name == "reset" and given is None)):
            raise InvalidCall(f"{name}={given!r}: give a function")
    return Stage(workflow, world, _opener(ledger), reset, Allowed(allow), kill)


def _opener(target: Any) -> Callable[[str], Ledger]:
    """How a ledger of one tenant is opened, and opened again."""
    if isinstance(target, Ledger):
        raise InvalidCall(
            "ledger=…: each try needs a ledger of its own; give the URL, or a function: "
            "lambda tenant: Ledger(url, tenant=tenant)"
        )
    if callable(target):
        return cast("Callable[[str], Ledger]", target)
    if target == _MEMORY:
        return lambda tenant: Ledger(f"{_MEMORY}{tenant}", tenant=tenant)
    return lambda tenant: Ledger(target, tenant=tenant)
