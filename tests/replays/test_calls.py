"""Which record answers a call of a replay, and as what."""

from __future__ import annotations

import asyncio
import copy
import pickle
from contextvars import copy_context
from typing import Any

import pytest

from tallystick import ApprovalDenied, ApprovalRequired, EffectFailed, Policy, Status
from tallystick.errors import ArgumentsChanged, Divergence, Halted, InvalidCall
from tests.conftest import Face, Place
from tests.replays._runs import DeclinedError, decline
from tests.replays._world import kept, same


def test_calls_under_new_ids_are_found_in_the_order_of_the_record(place: Place) -> None:
    """Frameworks make up call ids; equal calls are two intents, each with its own record."""
    ledger = place.open()
    count = iter(range(100))

    def run(*ids: str) -> list[int]:
        return [ledger.call("next", lambda: next(count), call_id=i) for i in ids]

    with ledger.workflow("w"):
        assert run("a", "b", "c") == [0, 1, 2]
    with ledger.replay("w"):
        assert run("x", "b", "y") == [0, 1, 2]
        assert run("y", "x", "b") == [2, 0, 1]
    with pytest.raises(Divergence, match="no such call"), ledger.replay("w"):
        run("p", "q", "r", "s")


def test_a_refusal_of_other_arguments_is_refused_again(place: Place) -> None:
    """The same key with other arguments was ArgumentsChanged, and is so again."""
    ledger, policy = place.open(), Policy(identity=("order",))

    def pay(cents: int) -> dict[str, Any]:
        about = {"order": 1, "cents": cents}
        return ledger.call("pay", same, about, policy=policy)

    def run() -> dict[str, Any]:
        first = pay(5)
        with pytest.raises(ArgumentsChanged):
            pay(6)
        return first

    with ledger.workflow("w"):
        first = run()
    with ledger.replay("w") as replay:
        assert run() == first
    assert replay.divergences == ()


def amount(cents: int) -> int:
    """A tool."""
    return cents


def test_what_a_person_decided_is_not_asked_again(place: Place, face: Face) -> None:
    """Approved, edited and denied calls; nobody is asked, and the inbox stays as it is."""
    ledger, asks = place.open(), Policy(approval=True)

    def pay(cents: int) -> Any:
        try:
            about = {"cents": cents}
            return face.do(ledger, "call", "pay", amount, about, policy=asks)
        except (ApprovalRequired, ApprovalDenied) as error:
            return type(error), str(error)

    with ledger.workflow("w"):
        assert [pay(cents)[0] for cents in (1, 2)] == [ApprovalRequired] * 2
        waiting = {item.effect.args["cents"]: item.effect.key for item in ledger.pending()}
        ledger.approve(waiting[1], by="ann", args={"cents": 100})
        ledger.deny(waiting[2], by="ann", reason="too much")
        first = [pay(1), pay(2)]
    assert first[0] == 100
    with ledger.replay("w"):
        asked = face.do(ledger, "ask", "pay", {"cents": 1}, policy=asks)
        assert (asked.status, asked.edited_args) == (Status.SUCCEEDED, {"cents": 100})
        assert face.do(ledger, "ask", "pay", {"cents": 3}, policy=asks) is None
        assert [pay(1), pay(2)] == first
    assert ledger.pending() == []


def test_a_claim_by_hand_is_never_fresh_in_a_replay(place: Place, face: Face) -> None:
    """It gets the recorded result, or what the recorded one raised."""
    ledger = place.open()

    def charge() -> tuple[bool, Any]:
        with ledger.claim("charge", {"cents": 1}) as claim:
            if claim.fresh:
                claim.succeed({"id": (1, 2)})
            return claim.fresh, claim.result

    async def acharge() -> tuple[bool, Any]:
        async with ledger.claim("charge", {"cents": 1}) as claim:
            return claim.fresh, claim.result

    def refund() -> None:
        with ledger.claim("refund") as claim:
            claim.fail(ValueError("no"))

    with ledger.workflow("w"):
        assert charge() == (True, {"id": (1, 2)})
        refund()
    with ledger.replay("w"):
        again = asyncio.run(acharge()) if face.awaiting else charge()
        assert again == (False, {"id": (1, 2)})
        with pytest.raises(ValueError, match=r"^no$"):
            refund()


def test_a_replayed_failure_is_of_its_class_and_travels(place: Place) -> None:
    """``except DeclinedError`` works, as does EffectFailed; copies and pickles are the same."""
    ledger = place.open()
    with ledger.workflow("w"), pytest.raises(DeclinedError):
        ledger.call("pay", decline, {"cents": 9})
    with ledger.replay("w"), pytest.raises(DeclinedError) as caught:
        ledger.call("pay", decline, {"cents": 9})
    error = caught.value
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert isinstance(one, EffectFailed)
        assert isinstance(one, DeclinedError)
        assert (type(one).__name__, str(one)) == ("DeclinedError", "9 declined by the bank")
        assert one.error_type.endswith("DeclinedError")
        assert (one.retryable, one.tool, one.workflow) == (False, "pay", "w")


def test_what_a_replay_cannot_do_is_refused_before_anything_happens(place: Place) -> None:
    """Nothing recorded, nonsense for a mode, entered twice, called when it is over."""
    ledger = place.open()
    with pytest.raises(InvalidCall, match="nothing is recorded"), ledger.replay("nowhere"):
        raise AssertionError("nobody gets here")
    with pytest.raises(InvalidCall, match="mode="):
        ledger.replay("w", mode="loose")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidCall, match="empty"):
        ledger.replay("")
    assert ledger.effects() == []
    ledger.call("send", lambda: 1, workflow="w")
    with ledger.replay("w") as replay:
        ledger.call("send", lambda: 2)
        late = copy_context()
    with pytest.raises(InvalidCall, match="is over"):
        late.run(ledger.call, "send", lambda: 3)
    with pytest.raises(InvalidCall, match="entered before"), replay:
        raise AssertionError("nobody gets here")
    assert [e.result for e in ledger.effects(workflow="w")] == [1]


def test_a_replay_that_is_killed_leaves_the_record_as_it_was(place: Place) -> None:
    """Its own is an abandoned one; nobody has to resolve anything, and the next replay works."""
    ledger, dying = place.open(), place.open()
    ledger.call("send", lambda: 1, workflow="w")
    rows = kept(place, ledger)
    context = copy_context()  # which ends with its process
    context.run(dying.replay("w").__enter__)
    assert context.run(dying.call, "send", lambda: 2) == 1
    place.crash(dying)
    ledger.recover()
    [own] = ledger.effects(workflow="replay:w")
    assert (own.status, own.result_stored) == (Status.FAILED, False)
    assert (kept(place, ledger), ledger.pending()) == (rows, [])
    with ledger.replay("w"):
        assert ledger.call("send", lambda: 3) == 1
    assert ledger.verify().sound


def test_where_nothing_may_start_no_replay_does(place: Place) -> None:
    ledger = place.open()
    ledger.call("send", lambda: 1, workflow="w")
    ledger.halt(everywhere=True, by="ann", reason="an incident")
    with pytest.raises(Halted, match="an incident"), ledger.replay("w"):
        raise AssertionError("nobody gets here")
    assert len(ledger.effects()) == 1
