"""The rules as pure functions: what a caller does next, and what each deed does to a row."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tallystick import Approval, Guarantee, Policy, ProbeAnswer, Status
from tallystick import _acts as acts
from tallystick import _changes as changes
from tallystick import _rules as rules
from tallystick._changes import Change, Vote
from tallystick._model import Row
from tallystick._rules import Step
from tallystick.errors import DamagedRecord

NOW = 1_000_000_000
DIGEST = b"d" * 32
SHOWN = b"s" * 32
NONCE = b"n" * 16
EDITED = '{"cents":5}'
EDIT = hashlib.sha256(EDITED.encode()).digest()
SECOND = 1_000_000


CLAIM: dict[str, Any] = {
    "key": b"k" * 32,
    "tenant": "default",
    "workflow": "w",
    "tool": "charge",
    "call_id": None,
    "guarantee": "at_most_once",
    "holder": "me",
    "nonce": NONCE,
    "digest": DIGEST,
    "shown": SHOWN,
    "args": "{}",
    "scope": b"",
    "twin": b"",
    "suspect": "run",
    "quiet": 0,
    "key_lifetime": None,
}


def a_row(**changes: Any) -> Row:
    """A row as a claim leaves it, with some columns changed."""
    claim = acts.Claim(**CLAIM, status="running")
    return rules.fresh_row(claim, NOW)._replace(**changes)


def found(row: Row | None, **more: Any) -> acts.Found:
    """What a claim met: by default somebody else's row, whose holder is dead."""
    parts: dict[str, Any] = {"fresh": False, "row": row, "alive": False, "now": NOW, **more}
    return acts.Found(**parts)


def policy(guarantee: str) -> Policy:
    """The policy of a tool with this guarantee."""
    if guarantee == "reconcile":
        return Policy(guarantee=Guarantee.RECONCILE, probe=ProbeAnswer.unknown)
    return Policy(guarantee=Guarantee(guarantee))


# -- what a caller does next --------------------------------------------------------------------

NOTHING: dict[str, tuple[acts.Found, Step]] = {
    "granted": (found(a_row(), fresh=True), Step.RUN),
    "a rival's insert": (found(None), Step.AGAIN),
    "halted": (found(None, halted=True), Step.HALTED),
    "halted and a twin": (found(None, halted=True, twin=b"t"), Step.HALTED),
    "a twin": (found(None, twin=b"t"), Step.SUSPECT),
    "other arguments": (found(a_row(digest=b"x" * 32)), Step.CHANGED),
    "other arguments, done": (found(a_row(digest=b"x" * 32, status="succeeded")), Step.CHANGED),
}


@pytest.mark.parametrize("what", NOTHING)
def test_before_a_row_is_looked_at(what: str) -> None:
    """Granted, nothing there, or another call's: the row's state does not matter."""
    met, step = NOTHING[what]
    assert rules.next_step(met, DIGEST, Policy()) is step


SETTLED = {
    "succeeded": Step.REPLAY,
    "denied": Step.DENIED,
    "cancelled": Step.CANCELLED,
    "failed": Step.FAILED,
    "expired": Step.EXPIRED,
    "pending": Step.DECISION,
    "approved": Step.START,
    "compensating": Step.UNDONE,
    "compensated": Step.UNDONE,
    "compensation_failed": Step.UNDONE,
}


@pytest.mark.parametrize("status", SETTLED)
@pytest.mark.parametrize("guarantee", list(Guarantee))
@pytest.mark.parametrize("alive", [True, False])
def test_what_is_settled_or_with_people_depends_on_nothing_else(
    status: str, guarantee: str, alive: bool
) -> None:
    """No guarantee and no liveness changes what became of it."""
    met = found(a_row(status=status), alive=alive)
    assert rules.next_step(met, DIGEST, policy(guarantee)) is SETTLED[status]


def test_there_is_a_route_for_every_status() -> None:
    """A new status needs one."""
    unsettled = {"running", "in_doubt"}
    assert set(SETTLED) | unsettled == {status.value for status in Status}


def test_a_status_that_nobody_wrote_is_damage() -> None:
    """It is neither run nor replayed."""
    with pytest.raises(DamagedRecord, match="'sometimes'"):
        rules.next_step(found(a_row(status="sometimes")), DIGEST, Policy())


@pytest.mark.parametrize(
    ("status", "until", "step"),
    [
        ("pending", NOW + 1, Step.DECISION),
        ("pending", NOW, Step.LAPSE),
        ("approved", NOW + 1, Step.START),
        ("approved", NOW, Step.LAPSE),
        ("approved", None, Step.START),
    ],
)
def test_a_decision_has_its_time(status: str, until: int | None, step: Step) -> None:
    """Over is over in the very microsecond."""
    met = found(a_row(status=status, approval_until=until))
    assert rules.next_step(met, DIGEST, Policy()) is step


def test_a_failure_that_can_be_retried_is_started_again() -> None:
    """One that is not is final."""
    assert (
        rules.next_step(found(a_row(status="failed", result_note="retryable")), DIGEST, Policy())
        is Step.START
    )
    over = a_row(status="failed", result_note="retryable", approval_until=NOW)
    assert rules.next_step(found(over), DIGEST, Policy()) is Step.LAPSE
    assert rules.next_step(found(over._replace(result_note=None)), DIGEST, Policy()) is Step.FAILED
    assert rules.next_step(found(a_row(status="failed")), DIGEST, Policy()) is Step.FAILED


def test_an_expired_request_is_asked_again_where_the_policy_says_so() -> None:
    """By default it stays expired."""
    met, ask = found(a_row(status="expired")), Policy(approval=Approval(after_expiry="ask"))
    assert rules.next_step(met, DIGEST, ask) is Step.ASK_AGAIN
    assert rules.next_step(met, DIGEST, Policy(approval=True)) is Step.EXPIRED
    assert rules.next_step(met, DIGEST, Policy()) is Step.EXPIRED


RUNNING = {
    "at_most_once": (Step.DOUBT, Step.IN_DOUBT),
    "idempotent": (Step.START, Step.START),
    "reconcile": (Step.DOUBT, Step.PROBE),
    "transactional": (Step.START, Step.START),
    "read_only": (Step.START, Step.START),
}


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_what_the_guarantee_allows_after_a_death(guarantee: Guarantee) -> None:
    """A live holder is waited for; of a dead one's attempt each guarantee knows something else."""
    row = a_row(guarantee=guarantee.value, key_lifetime=10 * SECOND)
    dead, doubtful = RUNNING[guarantee.value]
    declared = policy(guarantee)
    assert rules.next_step(found(row, alive=True), DIGEST, declared) is Step.WAIT
    assert rules.next_step(found(row), DIGEST, declared) is dead
    assert rules.next_step(found(row._replace(status="in_doubt")), DIGEST, declared) is doubtful


@pytest.mark.parametrize("recorded", list(Guarantee))
@pytest.mark.parametrize("declared", list(Guarantee))
def test_a_guarantee_declared_later_excuses_nothing(recorded: str, declared: str) -> None:
    """An attempt is repeated, or probed, only under the guarantee that it was made with."""
    row = a_row(guarantee=recorded, status="in_doubt", key_lifetime=10 * SECOND)
    step = rules.next_step(found(row), DIGEST, policy(declared))
    same = recorded == declared
    assert step is (RUNNING[declared][1] if same else Step.IN_DOUBT)


@pytest.mark.parametrize(
    ("lifetime", "started", "again"),
    [
        (SECOND, NOW, True),
        (SECOND, NOW - SECOND + 1, True),
        (SECOND, NOW - SECOND, False),
        (None, NOW, False),
        (SECOND, None, True),
    ],
)
def test_a_key_is_repeated_only_while_it_lives(
    lifetime: int | None, started: int | None, again: bool
) -> None:
    """Counted from the first claim, to the microsecond."""
    row = a_row(guarantee="idempotent", key_lifetime=lifetime, started_at=started)
    assert rules.repeatable(row, policy("idempotent"), NOW) is again
    step = Step.START if again else Step.DOUBT
    assert rules.next_step(found(row), DIGEST, policy("idempotent")) is step


# -- what is inserted ---------------------------------------------------------------------------


def test_a_granted_claim_is_an_attempt_and_a_request_is_none() -> None:
    """Running rows have a holder, a start and one attempt; pending ones a time to decide."""
    running = a_row()
    assert (running.attempt, running.holder, running.started_at) == (1, "me", NOW)
    assert running.approval_until is None
    claim = acts.Claim(**CLAIM, status="pending", expires=5, quorum=2)
    pending = rules.fresh_row(claim, NOW)
    assert (pending.attempt, pending.holder, pending.started_at) == (0, None, None)
    assert (pending.approval_until, pending.quorum, pending.epoch) == (NOW + 5, 2, 1)


# -- events -------------------------------------------------------------------------------------


def test_each_field_of_an_event_is_under_its_hash() -> None:
    """Changing any of them changes the hash, and so does moving a letter to the next field."""
    base: dict[str, Any] = {
        "previous": changes.GENESIS,
        "key": b"k",
        "n": 1,
        "kind": "ab",
        "actor": "c",
        "at": 2,
        "epoch": 3,
        "detail": "{}",
    }
    others: list[dict[str, Any]] = [
        base | {"previous": b"p"},
        base | {"key": b"x"},
        base | {"n": 2},
        base | {"kind": "x"},
        base | {"actor": "x"},
        base | {"at": 3},
        base | {"epoch": 4},
        base | {"detail": "{ }"},
        base | {"kind": "a", "actor": "bc"},
        base | {"n": 12, "at": 2},
        base | {"n": 1, "at": 22},
    ]
    hashes = {changes.event_hash(**event) for event in [base, *others]}
    assert len(hashes) == len(others) + 1


def test_events_are_chained_to_the_head_of_their_row() -> None:
    """The first one to nothing, later ones to the one before."""
    change = Change(event="x", actor="ann", detail={"b": 1, "a": 2})
    first = changes.chained(a_row(), change, NOW, 1)
    assert (first.n, first.previous, first.detail) == (1, changes.GENESIS, '{"a":2,"b":1}')
    second = changes.chained(a_row(events=1, head=first.hash), change, NOW, 2)
    assert (second.n, second.previous, second.epoch) == (2, first.hash, 2)
    assert second.hash not in {first.hash, changes.GENESIS}


# -- deeds --------------------------------------------------------------------------------------


def test_a_request_says_what_was_shown_and_why() -> None:
    """A reason only where there is one."""
    plain = changes.asked("me", SHOWN, "approval", "", NOW)
    assert (plain.detail, plain.opens, plain.due) == ({"digest": SHOWN.hex()}, "approval", NOW)
    suspect = changes.asked("me", SHOWN, "suspect", "again", None)
    assert (suspect.detail["reason"], suspect.note, suspect.opens) == ("again", "again", "suspect")


def test_a_start_says_what_was_before() -> None:
    """The status, the dead holder where it was running, and the error of the earlier attempt."""
    error = json.dumps({"type": "E", "message": "m"})
    after_death = changes.started("me", a_row(holder="dead"), "again")
    assert after_death.detail == {
        "from": "running",
        "attempt": 2,
        "reason": "again",
        "from_holder": "dead",
    }
    after_failure = changes.started("me", a_row(status="failed", error=error), "again")
    assert after_failure.detail["error"] == {"type": "E", "message": "m"}
    assert "from_holder" not in after_failure.detail
    assert after_failure.closes == ("in_doubt", "conflict")


def a_doubt(**changes: Any) -> acts.Doubt:
    """The holder does not know what became of it."""
    parts: dict[str, Any] = {
        "key": b"k" * 32, "tenant": "default", "epoch": 1, "nonce": NONCE, "actor": "me",
        "error": '{"type":"E"}', "reason": "cut off", **changes,
    }  # fmt: skip
    return acts.Doubt(**parts)


@pytest.mark.parametrize(
    ("row", "doubt", "alive", "taken"),
    [
        (a_row(), a_doubt(), True, True),
        (a_row(), a_doubt(nonce=None), False, True),
        (a_row(), a_doubt(nonce=None), True, False),
        (a_row(), a_doubt(nonce=b"other"), True, False),
        (a_row(), a_doubt(epoch=2), False, False),
        (a_row(status="succeeded"), a_doubt(), True, False),
        (a_row(status="in_doubt"), a_doubt(), False, False),
    ],
)
def test_a_doubt_is_its_holders_own_or_a_dead_ones(
    row: Row, doubt: acts.Doubt, alive: bool, taken: bool
) -> None:
    """Nobody puts in doubt what a live holder may know."""
    change = changes.doubt(row, doubt, alive)
    assert (change is not None) is taken
    if change is not None:
        assert change.columns == {"status": "in_doubt", "error": doubt.error}
        assert (change.opens, change.note, change.event) == ("in_doubt", "cut off", "in_doubt")
        assert change.detail == {"reason": "cut off", "holder": "me", "attempt": 1}


def test_a_doubt_without_an_error_keeps_the_last_one() -> None:
    """A death explains nothing, so the error before it is still the best that is known."""
    change = changes.doubt(a_row(error="{}"), a_doubt(error=None), False)
    assert change is not None
    assert change.columns["error"] == "{}"


def test_a_reading_that_was_cut_off_is_no_doubt() -> None:
    """It has no effect; it may simply be made again, and nobody has to look."""
    change = changes.doubt(a_row(guarantee="read_only"), a_doubt(), True)
    assert change is not None
    assert (change.columns["status"], change.columns["result_note"]) == ("failed", "retryable")
    assert (change.event, change.opens) == ("abandoned", None)


def test_a_claim_that_is_left_without_a_word_is_a_doubt() -> None:
    """Its own, with the reason that is given, or the usual one."""
    left = changes.left_open(a_row(), "me", None)
    assert (left.nonce, left.epoch, left.actor) == (NONCE, 1, "me")
    assert "without saying" in left.reason
    assert changes.left_open(a_row(), "me", "{}", "because").reason == "because"


def a_release(**changes: Any) -> acts.Release:
    """A claim given back."""
    parts: dict[str, Any] = {
        "key": b"k" * 32,
        "tenant": "default",
        "nonce": NONCE,
        "actor": "me",
        "reason": "gone",
        **changes,
    }
    return acts.Release(**parts)


def test_a_claim_given_back_may_start_again() -> None:
    """Nothing failed; but a repeated attempt leaves the doubt about the earlier one."""
    change = changes.release(a_row(), a_release())
    assert change is not None
    assert (change.columns, change.event, change.opens) == (
        {"status": "approved"},
        "released",
        None,
    )
    unsure = changes.release(a_row(result_note=rules.UNSURE), a_release())
    assert unsure is not None
    assert (unsure.columns, unsure.opens) == ({"status": "in_doubt"}, "in_doubt")
    assert "an earlier attempt may have happened" in unsure.note


def test_only_the_holder_gives_a_claim_back() -> None:
    """And only while it runs."""
    assert changes.release(a_row(), a_release(nonce=b"other")) is None
    assert changes.release(a_row(status="succeeded"), a_release()) is None


def a_settle(**changes: Any) -> acts.Settle:
    """An outcome."""
    parts: dict[str, Any] = {
        "key": b"k" * 32,
        "tenant": "default",
        "epoch": 1,
        "nonce": NONCE,
        "status": "succeeded",
        "result": '"x"',
        "result_digest": b"r" * 32,
        **changes,
    }
    return acts.Settle(**parts)


def test_a_late_outcome_by_the_same_holder_resolves_the_doubt() -> None:
    """It is the best news there can be."""
    change = changes.settle_late(a_row(status="in_doubt"), a_settle())
    assert change.event == "settled_late"
    assert change.columns["status"] == "succeeded"
    assert (change.columns["result"], change.columns["result_digest"]) == ('"x"', b"r" * 32)
    assert change.closes == ("in_doubt", "conflict")


@pytest.mark.parametrize(
    ("row", "settle"),
    [
        (a_row(status="in_doubt", epoch=2), a_settle()),
        (a_row(status="in_doubt", nonce=b"other"), a_settle()),
        (a_row(status="succeeded"), a_settle()),
        (a_row(status="in_doubt"), a_settle(status="in_doubt")),
        (a_row(epoch=2, nonce=b"other"), a_settle()),
    ],
)
def test_every_other_late_outcome_is_only_observed(row: Row, settle: acts.Settle) -> None:
    """It changes no column, and is kept as evidence."""
    change = changes.settle_late(row, settle)
    assert (change.event, change.columns, change.closes) == ("observed", {}, ())
    assert change.detail["result_digest"] == (b"r" * 32).hex()
    assert change.detail["result"] == '"x"'


def test_evidence_is_not_unbounded() -> None:
    """A long result is kept as its digest, an error in full, and what is not there not at all."""
    row = a_row(status="succeeded")
    long = changes.settle_late(row, a_settle(result="x" * (changes.EVIDENCE + 1))).detail
    assert "result" not in long
    assert "result_digest" in long
    failed = changes.settle_late(
        row, a_settle(status="failed", result=None, result_digest=None, error='{"type":"E"}')
    ).detail
    assert failed["error"] == {"type": "E"}
    assert "result_digest" not in failed
    unstored = changes.settle_late(row, a_settle(result=None)).detail
    assert "result" not in unstored


@pytest.mark.parametrize(
    ("status", "note", "until", "lapses"),
    [
        ("pending", None, NOW, True),
        ("approved", None, NOW, True),
        ("pending", None, NOW + 1, False),
        ("pending", None, None, False),
        ("running", None, NOW, False),
        ("in_doubt", None, NOW, False),
        ("denied", None, NOW, False),
        ("failed", None, NOW, False),
        ("failed", "retryable", NOW, True),
        ("failed", "retryable", NOW + 1, False),
        ("failed", "retryable", None, False),
    ],
)
def test_only_what_waits_for_a_decision_or_its_use_lapses(
    status: str, note: str | None, until: int | None, lapses: bool
) -> None:
    """What runs has used its approval; what did not happen has not."""
    row = a_row(status=status, result_note=note, approval_until=until)
    change = changes.lapse(row, "clock", NOW)
    assert (change is not None) is lapses
    if change is not None:
        assert (change.columns, change.detail) == ({"status": "expired"}, {"was": status})
        assert change.closes == ("approval", "suspect", "budget")


def test_asking_again_opens_a_new_round() -> None:
    """Another epoch, another time, another quorum; earlier edits are gone."""
    act = acts.AskAgain(
        key=b"k" * 32, tenant="default", epoch=1, status="expired", expires=5, quorum=2,
        facts="{}", actor="me", reason="again", args="{}", shown=b"s" * 32,
    )  # fmt: skip
    change = changes.ask_again(a_row(status="expired", edited=EDITED), act, NOW)
    assert change is not None
    assert change.columns == {
        "status": "pending",
        "epoch": 2,
        "approval_until": NOW + 5,
        "quorum": 2,
        "facts": "{}",
        "edited": None,
    }
    assert (change.opens, change.due) == ("approval", NOW + 5)
    assert changes.ask_again(a_row(status="pending"), act, NOW) is None
    assert changes.ask_again(a_row(status="expired", epoch=2), act, NOW) is None


def a_decision(**changes: Any) -> acts.Decide:
    """Ann says yes."""
    parts: dict[str, Any] = {
        "key": b"k" * 32, "tenant": "default", "approve": True, "by": "ann", "reason": "fine",
        "args": None, "args_digest": None, "shown": None, **changes,
    }  # fmt: skip
    return acts.Decide(**parts)


PENDING = a_row(status="pending", quorum=1)
ANN = Vote(by="ann", digest=SHOWN)
BOB = Vote(by="bob", digest=SHOWN)


@pytest.mark.parametrize(
    ("row", "decision", "votes", "refusal"),
    [
        (a_row(status="approved"), a_decision(), [ANN], ""),
        (a_row(status="running"), a_decision(), [ANN], ""),
        (a_row(status="succeeded"), a_decision(), [ANN], ""),
        (a_row(status="approved"), a_decision(), [BOB], "approved already"),
        (a_row(status="approved"), a_decision(), [Vote(by="ann", digest=EDIT)], "approved already"),
        (a_row(status="approved"), a_decision(approve=False), [ANN], "approved already"),
        (a_row(status="denied"), a_decision(), [], "denied already"),
        (a_row(status="expired"), a_decision(approve=False), [], "expired already"),
        (a_row(status="failed"), a_decision(), [ANN], "failed already"),
        (PENDING, a_decision(shown=b"x" * 32), [], "look at it again"),
        (PENDING, a_decision(approve=False, shown=b"x" * 32), [], "look at it again"),
        (a_row(status="pending", edited=EDITED), a_decision(shown=SHOWN), [], "look at it again"),
        (PENDING._replace(quorum=2), a_decision(), [ANN], ""),
        (PENDING._replace(quorum=2), a_decision(args_digest=EDIT), [BOB], "saw other arguments"),
    ],
)
def test_decisions_that_change_nothing(
    row: Row, decision: acts.Decide, votes: list[Vote], refusal: str
) -> None:
    """Said before by the same person is no error; too late, or about something else, is one."""
    answer = changes.decide(row, decision, votes, NOW)
    assert isinstance(answer, str)
    assert refusal in answer
    assert bool(answer) is bool(refusal)


def test_a_denial_is_final_and_says_who_and_why() -> None:
    """It closes the request."""
    change = changes.decide(PENDING, a_decision(approve=False, shown=SHOWN), [BOB], NOW)
    assert isinstance(change, Change)
    assert change.columns["status"] == "denied"
    assert json.loads(change.columns["error"]) == {"by": "ann", "reason": "fine"}
    assert (change.event, change.closes) == ("denied", ("approval", "suspect", "budget"))


def test_an_approval_counts_towards_the_quorum() -> None:
    """The last vote that is needed approves; the ones before are recorded."""
    alone = changes.decide(PENDING, a_decision(), [], NOW)
    assert isinstance(alone, Change)
    assert (alone.event, alone.columns) == ("approved", {"status": "approved"})
    assert alone.detail["digest"] == SHOWN.hex()
    first = changes.decide(PENDING._replace(quorum=2), a_decision(), [], NOW)
    assert isinstance(first, Change)
    assert (first.event, first.columns, first.closes) == ("voted", {}, ())
    second = changes.decide(PENDING._replace(quorum=2), a_decision(), [BOB], NOW)
    assert isinstance(second, Change)
    assert (second.event, second.detail["votes"]) == ("approved", 2)


def test_an_edit_is_what_is_approved() -> None:
    """The digest is the edited arguments', also for those who approve them later."""
    edit = a_decision(args=EDITED, args_digest=EDIT)
    change = changes.decide(PENDING._replace(quorum=2), edit, [], NOW)
    assert isinstance(change, Change)
    assert change.columns == {"edited": EDITED}
    assert (change.detail["edited"], change.detail["digest"]) == (True, EDIT.hex())
    edited = PENDING._replace(quorum=2, edited=EDITED)
    later = changes.decide(
        edited, a_decision(by="bob", shown=EDIT), [Vote(by="ann", digest=EDIT)], NOW
    )
    assert isinstance(later, Change)
    assert later.detail["digest"] == EDIT.hex()
    assert changes.bound(edited, a_decision()) == changes.runs(edited) == EDIT
    assert changes.bound(PENDING, a_decision()) == changes.runs(PENDING) == SHOWN


def a_resolution(**changes: Any) -> acts.Resolve:
    """Bob looked: it happened."""
    parts: dict[str, Any] = {
        "key": b"k" * 32, "tenant": "default", "to": "succeeded", "by": "bob",
        "reason": "it is in the book", "kind": "person", "result": '"x"',
        "result_digest": b"r" * 32, **changes,
    }  # fmt: skip
    return acts.Resolve(**parts)


DOUBTFUL = a_row(status="in_doubt", quiet=60 * SECOND, changed_at=NOW)
NO: dict[str, Any] = {"to": "failed", "result": None, "result_digest": None, "note": "retryable"}


@pytest.mark.parametrize(
    ("row", "resolution", "at", "refusal"),
    [
        (a_row(), a_resolution(), NOW, "it is running, not in doubt"),
        (DOUBTFUL, a_resolution(epoch=2), NOW, "taken up again"),
        (DOUBTFUL, a_resolution(**NO), NOW, "for 60 s (its quiet period)"),
        (DOUBTFUL, a_resolution(**NO), NOW + 60 * SECOND - 1, "quiet period"),
    ],
)
def test_resolutions_that_are_refused(
    row: Row, resolution: acts.Resolve, at: int, refusal: str
) -> None:
    """No doubt, another attempt, or a no that comes too early."""
    answer = changes.resolve(row, resolution, at)
    assert isinstance(answer, str)
    assert refusal in answer


def test_a_yes_counts_at_once() -> None:
    """What happened cannot un-happen; the epoch moves on, so that no late outcome changes it."""
    change = changes.resolve(DOUBTFUL._replace(error='{"type":"E"}'), a_resolution(epoch=1), NOW)
    assert isinstance(change, Change)
    assert (change.columns["status"], change.columns["epoch"]) == ("succeeded", 2)
    assert change.columns["result"] == '"x"'
    assert change.columns["error"] is None
    assert change.detail == {"to": "succeeded", "reason": "it is in the book", "was": {"type": "E"}}
    assert (change.actor, change.closes) == ("bob", ("in_doubt", "conflict"))


@pytest.mark.parametrize(("early", "at"), [(True, NOW), (False, NOW + 60 * SECOND)])
def test_a_no_counts_after_the_quiet_period_or_when_told_to(early: bool, at: int) -> None:
    """Who said it and why is the recorded error."""
    change = changes.resolve(DOUBTFUL, a_resolution(**NO, early=early), at)
    assert isinstance(change, Change)
    assert (change.columns["status"], change.columns["result_note"]) == ("failed", "retryable")
    said = json.loads(change.columns["error"])
    assert (said["type"], said["by"], said["message"]) == ("person", "bob", "it is in the book")
    own = changes.resolve(DOUBTFUL, a_resolution(**NO, early=True, error='{"type":"E"}'), at)
    assert isinstance(own, Change)
    assert own.columns["error"] == '{"type":"E"}'


@pytest.mark.parametrize("status", list(Status))
def test_only_what_does_not_run_can_be_withdrawn(status: Status) -> None:
    """Pending, approved or doubtful; everything else says what it is."""
    act = acts.Cancel(key=b"k" * 32, tenant="default", by="ann", reason="not needed")
    change = changes.cancel(a_row(status=status.value), act)
    if status in {Status.PENDING, Status.APPROVED, Status.IN_DOUBT}:
        assert isinstance(change, Change)
        assert change.columns == {"status": "cancelled", "epoch": 2}
        assert change.detail == {"reason": "not needed", "was": status.value}
        assert set(change.closes) == {"approval", "suspect", "budget", "in_doubt", "conflict"}
    else:
        assert isinstance(change, str)
        assert change.startswith(f"it is {status.value};")
