"""Two faces, one meaning: every verb that touches the store has a twin that is awaited."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import Callable
from typing import Any

import pytest

from tallystick import Ledger, Policy
from tallystick._context import current_effect
from tallystick._running import RunScope
from tallystick._scope import Claimed, WorkflowScope
from tallystick.budgets import Budget, Reservation
from tallystick.errors import LedgerClosed
from tallystick.metering import Meter, Metered
from tallystick.prices import Overrides
from tallystick.replays import Replay

#: no store is touched before the object that they return is called or entered, on either face
LATER = {
    "claim", "compensation", "learn_compensations", "replay", "set_output", "tool", "workflow",
}  # fmt: skip


def public(kind: type) -> dict[str, Callable[..., Any]]:
    """The methods of a class that users see."""
    members = inspect.getmembers(kind, inspect.isfunction)
    return {name: method for name, method in members if not name.startswith("_")}


def twins(kind: type) -> list[tuple[str, str]]:
    """Each verb of a class, and the name that its twin should have."""
    awaited = {name for name, method in public(kind).items() if inspect.iscoroutinefunction(method)}
    return [(name, f"a{name}") for name in sorted(public(kind).keys() - awaited - LATER)]


FACED = (Ledger, Claimed, RunScope, Budget, Reservation, Meter, Metered)
PAIRS = [(kind, *pair) for kind in FACED for pair in twins(kind)]
NAMES = [f"{kind.__name__}.{verb}" for kind, verb, _ in PAIRS]


@pytest.mark.parametrize("kind", FACED)
def test_nothing_is_on_one_face_only(kind: type) -> None:
    """Verbs and twins are the same set; what is left touches no store."""
    names = {name for pair in twins(kind) for name in pair}
    assert public(kind).keys() - LATER == names


@pytest.mark.parametrize(("kind", "verb", "twin"), PAIRS, ids=NAMES)
def test_a_twin_takes_the_same_parameters(kind: type, verb: str, twin: str) -> None:
    """Names, order, kinds, defaults, types and answer; an awaited tool may be either kind."""
    ours = inspect.signature(getattr(kind, verb))
    theirs = inspect.signature(getattr(kind, twin))
    assert list(ours.parameters) == list(theirs.parameters)
    for name, parameter in ours.parameters.items():
        other = theirs.parameters[name]
        assert (parameter.kind, parameter.default) == (other.kind, other.default), name
        if name != "fn":
            assert parameter.annotation == other.annotation, name
    if "fn" not in ours.parameters:
        assert ours.return_annotation == theirs.return_annotation


@pytest.mark.parametrize(("kind", "verb", "twin"), PAIRS, ids=NAMES)
def test_a_twin_is_awaited_and_says_what_it_is(kind: type, verb: str, twin: str) -> None:
    """The verb's docstring states the promise; the twin's refers to it."""
    assert not inspect.iscoroutinefunction(getattr(kind, verb))
    assert inspect.iscoroutinefunction(getattr(kind, twin))
    assert inspect.getdoc(getattr(kind, verb))
    assert f":meth:`{verb}`" in (inspect.getdoc(getattr(kind, twin)) or "")


@pytest.mark.parametrize("kind", [Ledger, Claimed, Replay, Reservation, RunScope, WorkflowScope])
def test_what_is_entered_is_entered_on_both_faces(kind: type) -> None:
    """``with`` and ``async with``."""
    for way in ("__enter__", "__exit__"):
        twin = way.replace("__", "__a", 1)
        assert list(inspect.signature(getattr(kind, way)).parameters) == list(
            inspect.signature(getattr(kind, twin)).parameters
        )


GIVEN: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "approve": (("ab",), {"by": "ann"}),
    "budget": (("session:42",), {"usd": 1}),
    "budgets": ((), {}),
    "costs": ((), {}),
    "declared": ((), {}),
    "reconcile": (("ab",), {"by": "ann", "usd": 1}),
    "reprice": ((Overrides({}),), {}),
    "reservation": (("ab",), {}),
    "reservations": ((), {}),
    "session": (("42",), {}),
    "ask": (("charge",), {"workflow": "w", "policy": Policy(approval=True)}),
    "call": (("charge", dict), {"workflow": "w"}),
    "compensate": (("w",), {}),
    "contain": ((), {"workflow": "w", "by": "ann", "reason": "x"}),
    "run": (("w",), {}),
    "runs": ((), {}),
    "cancel": (("ab",), {"by": "ann"}),
    "deny": (("ab",), {"by": "ann"}),
    "effects": ((), {}),
    "export": ((io.BytesIO(),), {}),
    "get": (("ab",), {}),
    "halt": ((), {"by": "ann", "reason": "stop"}),
    "halts": ((), {}),
    "history": (("ab",), {}),
    "load": ((io.BytesIO(),), {}),
    "pending": ((), {}),
    "recover": ((), {}),
    "resolve": (("ab",), {"by": "ann", "failed": "no"}),
    "retain": ((), {"payloads": 0}),
    "rewrap": ((), {}),
    "shred": (("w",), {"by": "ann", "reason": "asked to"}),
    "undo_of": (("ab",), {}),
    "undone": (("w",), {}),
    "unhalt": ((), {"by": "ann"}),
    "verify": ((), {}),
}


def test_every_verb_reaches_the_store_on_both_faces() -> None:
    """A ledger that was closed refuses each of them; closing it again is harmless."""
    # what seals needs the file of a key, and is refused in tests/seals
    assert {verb for verb, _ in twins(Ledger)} == {*GIVEN, "close", "seal"}
    ledger = Ledger("memory://")
    ledger.close()
    for verb, (args, options) in GIVEN.items():
        with pytest.raises(LedgerClosed):
            getattr(ledger, verb)(*args, **options)
        with pytest.raises(LedgerClosed):
            asyncio.run(getattr(ledger, f"a{verb}")(*args, **options))
    ledger.close()
    asyncio.run(ledger.aclose())


def test_a_decorated_function_stays_what_it_was() -> None:
    """A sync tool is called and an async one awaited, with its name, its doc and its signature."""
    with Ledger("memory://") as ledger:

        @ledger.tool()
        def charge(order: str) -> str:
            """Charge an order."""
            return f"{order} in {current_effect().workflow}"

        @ledger.tool(name="charge")
        async def acharge(order: str) -> str:
            """Charge an order, awaited."""
            return f"{order} in {current_effect().workflow}, awaited"

        with ledger.workflow("v"):
            assert charge("A") == "A in v"

        async def awaited() -> str:
            async with ledger.workflow("w"):
                return await acharge(order="A")

        assert asyncio.run(awaited()) == "A in w, awaited"
        assert (charge.__name__, charge.__doc__) == ("charge", "Charge an order.")
        assert list(inspect.signature(acharge).parameters) == ["order"]
        assert inspect.iscoroutinefunction(acharge)
