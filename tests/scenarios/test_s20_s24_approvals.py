"""What was shown to a person is what runs, once, and nothing runs before (S20–S24)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from tallystick import (
    Approval,
    ApprovalDenied,
    ApprovalRequired,
    ArgumentsChanged,
    Ledger,
    Policy,
    Status,
)
from tallystick.errors import (
    ApprovalExpired,
    AsyncTool,
    DecisionRefused,
    InvalidCall,
    UnknownEffect,
)
from tallystick.testing import Witness, turn_clock
from tests.conftest import Face, Place
from tests.scenarios._processes import Child, durable

APPROVED = Policy(approval=True)


class Bank:
    """A tool that must not run before somebody said so, and a ledger to call it through."""

    def __init__(self, place: Place, face: Face) -> None:
        self.ran: list[dict[str, Any]] = []
        self.ledger = place.open()
        self._face = face

    def charge(self, order: str, cents: int, memo: str = "") -> str:
        self.ran.append({"order": order, "cents": cents, "memo": memo})
        return f"charged {cents}"

    def do(self, verb: str, *args: Any, **options: Any) -> Any:
        """A verb of the ledger, on this face."""
        return self._face.do(self.ledger, verb, *args, **options)

    def call(self, policy: Policy = APPROVED, cents: int = 10, **more: Any) -> Any:
        """Call the tool."""
        args = {"order": "A", "cents": cents, **more}
        return self.do("call", "charge", self.charge, args, workflow="w", policy=policy)

    def ask(self, policy: Policy = APPROVED, **args: Any) -> ApprovalRequired:
        """Call the tool, and be sent for an approval."""
        with pytest.raises(ApprovalRequired) as caught:
            self.call(policy, **args)
        return caught.value


@pytest.fixture
def bank(place: Place, face: Face) -> Bank:
    """Somewhere to charge, on every store and both faces."""
    return Bank(place, face)


# -- S20 ----------------------------------------------------------------------------------------

POINTS = ["Ask.before", "Ask.applied", "Ask.committed", "Notified.before", "Notified.committed"]


@durable
@pytest.mark.parametrize("point", POINTS)
def test_wherever_the_process_dies_while_asking_nothing_runs_unapproved(
    place: Place, witness: Witness, point: str
) -> None:
    """S20: the effect is inserted as pending, so no crash can leave it runnable."""
    with Child("ask", place, witness, crash_at=point) as child:
        assert child.end() == 137
    ledger = place.reopen()
    assert {e.status for e in ledger.effects()} <= {Status.PENDING}

    def charge(order: str) -> None:
        witness.saw("charge")

    def call() -> Any:
        return ledger.call("charge", charge, {"order": "A"}, workflow="w", policy=APPROVED)

    with pytest.raises(ApprovalRequired):
        call()
    with pytest.raises(ApprovalRequired) as caught:
        call()
    assert witness.times("charge") == 0
    ledger.approve(str(caught.value.key), by="ann")
    call()
    call()
    assert witness.times("charge") == 1
    assert [e.kind for e in ledger.history(str(caught.value.key))] == [
        "asked",
        "approved",
        "started",
    ]


def broken(args: Any) -> bool:
    """A policy service that is down."""
    raise ConnectionError("the policy service is down")


async def broken_too(args: Any) -> bool:
    """The same, awaited."""
    raise ConnectionError("the policy service is down")


async def no(args: Any) -> bool:
    """Nothing needs an approval."""
    return False


async def large(args: Any) -> bool:
    """Only large sums need an approval."""
    return bool(args["cents"] > 100)


def test_a_predicate_that_fails_asks(bank: Bank) -> None:
    """S20: nobody may act because a policy service was down."""
    asked = bank.ask(Policy(approval=broken))
    assert bank.ran == []
    bank.do("approve", asked.key, by="ann")
    assert bank.call(Policy(approval=broken)) == "charged 10"


async def test_an_async_predicate_that_fails_asks(place: Place) -> None:
    """S20: the same for one that is awaited."""
    ledger = place.open()
    with pytest.raises(ApprovalRequired):
        await ledger.acall(
            "charge", broken, {"args": 1}, workflow="w", policy=Policy(approval=broken_too)
        )


def test_predicates_decide_by_the_arguments(bank: Bank) -> None:
    """S20: only what the predicate says needs a person."""
    policy = Policy(approval=lambda args: args["cents"] > 100)
    assert bank.call(policy) == "charged 10"
    bank.ask(policy, cents=101)
    assert [ran["cents"] for ran in bank.ran] == [10]


async def test_async_predicates_are_awaited_and_never_taken_for_true(place: Place) -> None:
    """S20: a coroutine is not an answer."""
    ledger = place.open()

    def charge(cents: int) -> str:
        return f"charged {cents}"

    def call(policy: Policy, cents: int) -> Any:
        return ledger.acall("charge", charge, {"cents": cents}, workflow="w", policy=policy)

    assert await call(Policy(approval=no), 1) == "charged 1"
    assert await call(Policy(approval=large), 2) == "charged 2"
    with pytest.raises(ApprovalRequired):
        await call(Policy(approval=large), 101)


def test_an_async_predicate_on_the_blocking_face_is_refused(place: Place) -> None:
    """S20: nothing runs, nothing is recorded, and the error says which face to use."""
    ledger = place.open()
    with pytest.raises(AsyncTool, match="awaiting face"):
        ledger.call("charge", lambda: None, workflow="w", policy=Policy(approval=no))
    assert ledger.effects() == []


# -- S21 ----------------------------------------------------------------------------------------


def test_an_approval_of_ten_does_not_run_ten_thousand(bank: Bank) -> None:
    """S21: under a business identity other amounts are refused, before and after the approval."""
    policy = Policy(approval=True, identity=("order",))
    asked = bank.ask(policy, cents=10)
    with pytest.raises(ArgumentsChanged):
        bank.call(policy, cents=9999)
    bank.do("approve", asked.key, by="ann")
    with pytest.raises(ArgumentsChanged):
        bank.call(policy, cents=9999)
    assert bank.ran == []
    assert bank.call(policy, cents=10) == "charged 10"
    assert [ran["cents"] for ran in bank.ran] == [10]


def test_other_arguments_need_an_approval_of_their_own(bank: Bank) -> None:
    """S21: without a business identity another amount is another effect."""
    bank.do("approve", bank.ask(cents=10).key, by="ann")
    bank.ask(cents=9999)
    assert bank.ran == []


def test_an_approval_can_be_tied_to_what_the_approver_saw(bank: Bank) -> None:
    """S21: a decision about another digest is refused."""
    asked, other = bank.ask(cents=10), bank.ask(cents=11)
    with pytest.raises(DecisionRefused, match="look at it again"):
        bank.do("approve", asked.key, by="ann", digest=other.digest)
    assert bank.do("approve", asked.key, by="ann", digest=asked.digest).status is Status.APPROVED


# -- S22 ----------------------------------------------------------------------------------------


def test_arguments_changed_after_the_request_do_not_run(place: Place, face: Face) -> None:
    """S22: executed are the approved ones, which are the recorded ones."""
    ledger, ran, told = place.open(), list[Any](), threading.Event()
    args: dict[str, Any] = {"order": {"lines": [10]}}

    def charge(order: Any) -> str:
        ran.append(order)
        return "charged"

    def change_and_approve() -> None:
        while not ledger.pending():
            assert not told.wait(0.01)
        args["order"]["lines"][0] = 9999
        args["order"] = "something else"
        ledger.approve(ledger.pending()[0].effect.key, by="ann")

    approver = threading.Thread(target=change_and_approve)
    approver.start()
    try:
        waiting = Policy(approval=Approval(wait=20.0))
        assert (
            face.do(ledger, "call", "charge", charge, args, workflow="w", policy=waiting)
            == "charged"
        )
    finally:
        told.set()
        approver.join()
    assert ran == [{"lines": [10]}]
    assert ledger.effects()[0].args == {"order": {"lines": [10]}}


def test_a_tool_that_changes_its_arguments_changes_no_record(place: Place, face: Face) -> None:
    """S22: what the tool gets is a copy, and so is what ``current_effect`` shows."""
    ledger = place.open()

    def charge(lines: list[int]) -> None:
        lines.clear()

    face.do(ledger, "call", "charge", charge, {"lines": [1]}, workflow="w")
    assert ledger.effects()[0].args == {"lines": [1]}
    assert ledger.verify().sound


def test_edited_arguments_run_and_the_original_ones_are_kept(bank: Bank) -> None:
    """S22: an approver may put other values in place, and only of arguments that exist."""
    asked = bank.ask(cents=10)
    with pytest.raises(InvalidCall, match="must be among"):
        bank.do("approve", asked.key, by="ann", args={"amount": 5})
    effect = bank.do("approve", asked.key, by="ann", args={"cents": 5}, reason="too much")
    assert effect.edited_args == {"order": "A", "cents": 5, "memo": ""}
    assert bank.call(cents=10) == "charged 5"
    assert bank.call(cents=10) == "charged 5"
    assert [ran["cents"] for ran in bank.ran] == [5]
    assert bank.ledger.get(asked.key or "").args["cents"] == 10


def test_what_a_model_invents_anew_runs_as_it_was_shown(bank: Bank) -> None:
    """S22: volatile arguments may differ in the retry; the approved ones are what runs."""
    policy = Policy(approval=True, volatile=("memo",))
    asked = bank.ask(policy, memo="first")
    assert asked.arguments == {"order": "A", "cents": 10, "memo": "first"}
    bank.do("approve", asked.key, by="ann")
    bank.call(policy, memo="second")
    assert [ran["memo"] for ran in bank.ran] == ["first"]


def test_a_claim_by_hand_gets_the_approved_arguments(bank: Bank) -> None:
    """S22: who performs it himself is told with what."""
    asked = bank.ask(cents=10)
    bank.do("approve", asked.key, by="ann", args={"cents": 5})
    args = {"order": "A", "cents": 10, "memo": ""}
    with bank.ledger.claim("charge", args, workflow="w", policy=APPROVED) as claim:
        assert claim.args == {"order": "A", "cents": 5, "memo": ""}
        claim.succeed("charged by hand")
    assert bank.call(cents=10) == "charged by hand"


def test_facts_that_change_after_the_approval_void_it(bank: Bank) -> None:
    """S22: preconditions are taken again right before the effect, and the change is shown."""
    stock = [5]
    policy = Policy(approval=Approval(preconditions=lambda args: {"stock": stock[0]}))
    asked = bank.ask(policy)
    bank.do("approve", asked.key, by="ann")
    stock[0] = 4
    bank.ask(policy)
    (item,) = bank.do("pending")
    assert '"stock":5' in item.note.replace(" ", "")
    assert '"stock":4' in item.note.replace(" ", "")
    bank.do("approve", asked.key, by="ann")
    assert bank.call(policy) == "charged 10"
    assert len(bank.ran) == 1


# -- S23 ----------------------------------------------------------------------------------------


def test_the_first_decision_stands(bank: Bank) -> None:
    """S23: approving twice is once, and nobody can turn a decision round."""
    asked = bank.ask()
    for _ in range(2):
        assert bank.do("approve", asked.key, by="ann", reason="fine").status is Status.APPROVED
    with pytest.raises(DecisionRefused, match="first decision stands"):
        bank.do("approve", asked.key, by="bob")
    with pytest.raises(DecisionRefused, match="first decision stands"):
        bank.do("deny", asked.key, by="bob")
    assert bank.call() == "charged 10"
    with pytest.raises(DecisionRefused):
        bank.do("deny", asked.key, by="bob")
    approved = [e for e in bank.ledger.history(str(asked.key)) if e.kind == "approved"]
    assert [(e.actor, e.detail["reason"], e.detail["digest"]) for e in approved] == [
        ("ann", "fine", asked.digest)
    ]


def test_a_denied_effect_stays_denied(bank: Bank) -> None:
    """S23: who said no and why is in the error, every time."""
    asked = bank.ask()
    for _ in range(2):
        assert bank.do("deny", asked.key, by="bob", reason="too much").status is Status.DENIED
    with pytest.raises(DecisionRefused):
        bank.do("approve", asked.key, by="ann")
    for _ in range(2):
        with pytest.raises(ApprovalDenied, match="too much") as caught:
            bank.call()
        assert (caught.value.by, caught.value.reason) == ("bob", "too much")
    assert bank.ran == []
    assert bank.do("pending") == []


def test_of_ten_decisions_at_once_exactly_one_wins(place: Place) -> None:
    """S23: five approve and five deny, through two ledgers; what the winner said happens."""
    ledgers, gate = [place.open(), place.open()], threading.Barrier(10)

    def call() -> Any:
        return ledgers[0].call("charge", lambda: "charged", workflow="w", policy=APPROVED)

    with pytest.raises(ApprovalRequired) as caught:
        call()
    key = str(caught.value.key)

    def decide(n: int) -> str | None:
        gate.wait(10)
        ledger: Ledger = ledgers[n % 2]
        try:
            (ledger.approve if n < 5 else ledger.deny)(key, by=f"person {n}")
        except DecisionRefused:
            return None
        return f"person {n}"

    with ThreadPoolExecutor(10) as pool:
        (winner,) = [who for who in pool.map(decide, range(10)) if who is not None]
    decisions = [e for e in ledgers[0].history(key) if e.kind in {"approved", "denied"}]
    assert [e.actor for e in decisions] == [winner]
    if decisions[0].kind == "approved":
        assert call() == "charged"
    else:
        with pytest.raises(ApprovalDenied):
            call()


def test_a_quorum_counts_distinct_people_who_saw_the_same(bank: Bank) -> None:
    """S23: one person does not count twice, and another edit is another thing."""
    policy = Policy(approval=Approval(quorum=3))
    asked = bank.ask(policy)
    for by in ("ann", "ann", "bob"):
        assert bank.do("approve", asked.key, by=by).status is Status.PENDING
    with pytest.raises(DecisionRefused, match="other arguments"):
        bank.do("approve", asked.key, by="eve", args={"cents": 9999})
    bank.ask(policy)
    assert bank.do("approve", asked.key, by="cid").status is Status.APPROVED
    assert bank.call(policy) == "charged 10"
    voters = [
        e.actor for e in bank.ledger.history(str(asked.key)) if e.kind in {"voted", "approved"}
    ]
    assert voters == ["ann", "bob", "cid"]


def test_no_tenant_decides_for_another(place: Place, face: Face) -> None:
    """S23: another tenant's ledger does not know the key, nor show it."""
    ours, theirs = place.open(tenant="ours"), place.open(tenant="theirs")
    with pytest.raises(ApprovalRequired) as caught:
        face.do(ours, "call", "charge", lambda: None, workflow="w", policy=APPROVED)
    for verb in ("approve", "deny", "cancel"):
        with pytest.raises(UnknownEffect):
            face.do(theirs, verb, caught.value.key, by="eve")
    assert face.do(theirs, "pending") == face.do(theirs, "effects") == []
    assert len(face.do(ours, "pending")) == 1


# -- S24 ----------------------------------------------------------------------------------------


def test_an_approval_after_the_time_for_it_is_refused(bank: Bank) -> None:
    """S24: an expired request cannot be approved, and is not asked again by itself."""
    policy = Policy(approval=Approval(expires=timedelta(hours=1)))
    asked = bank.ask(policy)
    turn_clock(bank.ledger, 3599)
    bank.ask(policy)
    turn_clock(bank.ledger, 2)
    with pytest.raises(DecisionRefused, match="expired"):
        bank.do("approve", asked.key, by="ann")
    with pytest.raises(ApprovalExpired):
        bank.call(policy)
    assert bank.ran == []
    assert bank.do("pending") == []


def test_an_approval_that_is_not_used_in_time_expires(bank: Bank) -> None:
    """S24: the time bounds the use as well as the decision."""
    policy = Policy(approval=Approval(expires=3600))
    bank.do("approve", bank.ask(policy).key, by="ann")
    turn_clock(bank.ledger, 3601)
    with pytest.raises(ApprovalExpired):
        bank.call(policy)
    assert bank.ran == []


def test_a_policy_may_ask_again_after_expiry(bank: Bank) -> None:
    """S24: ``after_expiry="ask"`` opens a new round with a new time."""
    policy = Policy(approval=Approval(expires=3600, after_expiry="ask"))
    asked = bank.ask(policy)
    turn_clock(bank.ledger, 3601)
    assert bank.ask(policy).key == asked.key
    bank.do("approve", asked.key, by="ann")
    assert bank.call(policy) == "charged 10"
    kinds = [e.kind for e in bank.ledger.history(str(asked.key))]
    assert kinds == ["asked", "expired", "asked", "approved", "started"]


def test_an_approval_after_the_waiter_left_runs_on_the_next_call_once(bank: Bank) -> None:
    """S24: whoever asked may go; the decision waits for the next caller, and is used once."""
    waiting = Policy(approval=Approval(wait=0.05))
    asked = bank.ask(waiting)
    bank.do("approve", asked.key, by="ann")
    assert bank.ran == []
    assert [bank.call(waiting) for _ in range(3)] == ["charged 10"] * 3
    assert len(bank.ran) == 1


def test_two_who_wait_for_one_approval_run_it_once(place: Place, face: Face) -> None:
    """S24: both get the one result."""
    ledgers, ran = [place.open(), place.open()], list[int]()

    def charge() -> str:
        ran.append(1)
        return "charged"

    def call(ledger: Ledger) -> Any:
        waiting = Policy(approval=Approval(wait=20.0))
        return face.do(ledger, "call", "charge", charge, workflow="w", policy=waiting)

    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(call, ledger) for ledger in ledgers]
        while not ledgers[0].pending():
            assert not any(a.done() for a in answers)
        ledgers[1].approve(ledgers[1].pending()[0].effect.key, by="ann")
        assert [a.result() for a in answers] == ["charged", "charged"]
    assert ran == [1]
