"""approve, deny, resolve, cancel."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tallystick import Approval, ApprovalDenied, ApprovalRequired, Effect, Ledger, Policy, Status
from tallystick.errors import EffectCancelled

ASK = Policy(approval=Approval())


def pay(cents: int, to: str = "ann") -> str:
    return f"paid {cents} to {to}"


def test_an_approval_from_another_process_lets_a_waiting_caller_go_on(office: Any) -> None:
    patient = Policy(approval=Approval(wait=50))
    results: list[str] = []

    def caller() -> None:
        args = {"cents": 5}
        results.append(office.ledger.call("pay", pay, args, workflow="w", policy=patient))

    thread = threading.Thread(target=caller)
    thread.start()
    while not office.ledger.pending():
        assert thread.is_alive()
    key = office.ledger.pending()[0].effect.key
    said = office.shell("approve", key[:8], "--yes", "--by", "ann", "--reason", "fine", "--json")
    thread.join(30)
    assert results == ["paid 5 to ann"]
    assert said.code == 0
    assert said.json["status"] == "approved"
    approved = next(e for e in office.ledger.history(key) if e.kind == "approved")
    assert (approved.actor, approved.detail["reason"]) == ("ann", "fine")


def test_approve_shows_what_will_run_in_full_and_asks(office: Any) -> None:
    key = office.asked(cents=5, to="x" * 3000)
    effect = office.ledger.get(key)
    said = office.run("approve", key[:10], "--by", "ann", answer="y\n")
    for part in (key, "pay", effect.digest, '"cents": 5', "x" * 3000):
        assert part in said.out
    assert "Approve as ann?" in said.out + said.err
    assert office.ledger.get(key).status is Status.APPROVED


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_whoever_does_not_say_yes_has_decided_nothing(office: Any, answer: str) -> None:
    key = office.asked()
    office.run("approve", key, answer=answer, code=1)
    assert office.ledger.get(key).status is Status.PENDING


def test_json_cannot_ask_and_so_needs_yes(office: Any) -> None:
    key = office.asked()
    assert "--yes" in office.run("approve", key, "--json", code=2).err
    assert office.ledger.get(key).status is Status.PENDING


def test_the_approval_is_for_the_digest_that_was_shown(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = office.asked()
    given: dict[str, Any] = {}

    def approve(self: Ledger, key: str, **how: Any) -> Effect:
        given.update(how)
        return self.get(key)

    monkeypatch.setattr(Ledger, "approve", approve)
    office.run("approve", key, "--yes")
    assert given["digest"] == office.ledger.get(key).digest


def test_edited_arguments_are_shown_and_run(office: Any) -> None:
    key = office.asked(cents=500, to="ann")
    said = office.run("approve", key, "--yes", "--args", '{"cents": 50}')
    assert '"cents": 500' in said.out.partition("will run with")[0]
    assert '"cents": 50,' in said.out.partition("will run with")[2]
    args = {"cents": 500, "to": "ann"}
    assert office.ledger.call("pay", pay, args, workflow="w", policy=ASK) == "paid 50 to ann"
    assert office.ledger.get(key).args == args


@pytest.mark.parametrize("args", ["nonsense", "[1]", '{"what": 1}'])
def test_edited_arguments_must_be_arguments(office: Any, args: str) -> None:
    key = office.asked()
    office.run("approve", key, "--yes", "--args", args, code=2)
    assert office.ledger.get(key).status is Status.PENDING


def test_one_of_several_approvers_is_told_that_others_are_needed(office: Any) -> None:
    policy = Policy(approval=Approval(quorum=2))
    with pytest.raises(ApprovalRequired) as required:
        office.ledger.call("pay", pay, {"cents": 5}, workflow="w", policy=policy)
    key = str(required.value.key)
    assert "2 are needed" in office.run("approve", key, "--yes", "--by", "ann").out
    assert "ann" in office.run("approve", key, "--yes", "--by", "bob").out
    assert office.ledger.get(key).status is Status.APPROVED


def test_a_second_decision_is_refused(office: Any) -> None:
    key = office.asked()
    office.run("deny", key, "--by", "ann", "--reason", "too much")
    said = office.run("approve", key, "--yes", "--by", "bob", "--json", code=1)
    assert said.json["error"]["kind"] == "DecisionRefused"
    assert said.json["error"]["key"] == key
    with pytest.raises(ApprovalDenied, match="too much"):
        office.ledger.call("pay", pay, {"cents": 5}, workflow="w", policy=ASK)


def test_a_doubt_is_resolved_as_happened_and_retries_get_the_result(office: Any) -> None:
    key = office.doubtful()
    said = office.run("resolve", key[:9], "--happened", "--result", '{"id": "ch_1"}', "--json")
    assert said.json["status"] == "succeeded"
    result: Any = office.ledger.call("lost", lost_again, {"cents": 5}, workflow="w")
    assert result == {"id": "ch_1"}


def test_a_doubt_is_resolved_as_not_happened_and_may_be_tried_again(office: Any) -> None:
    key = office.doubtful()
    office.run("resolve", key, "--did-not-happen", "--reason", "no trace at the bank")
    assert office.ledger.history(key)[-1].detail["reason"] == "no trace at the bank"
    assert office.ledger.call("lost", lost_again, {"cents": 5}, workflow="w") == "this time"


def lost_again(cents: int) -> str:
    return "this time"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--happened", "--did-not-happen"],
        ["--did-not-happen"],
        ["--did-not-happen", "--reason", "x", "--result", "1"],
        ["--happened", "--result", "nonsense"],
    ],
)
def test_a_resolution_that_says_nothing_or_too_much_is_wrong_usage(
    office: Any, options: list[str]
) -> None:
    key = office.doubtful()
    office.run("resolve", key, *options, code=2)
    assert office.ledger.get(key).status is Status.IN_DOUBT


def test_what_is_not_in_doubt_cannot_be_resolved(office: Any) -> None:
    said = office.run("resolve", office.done().key, "--happened", code=1)
    assert "not in doubt" in said.err


def test_a_cancelled_effect_never_runs(office: Any) -> None:
    key = office.asked()
    assert "cancelled" in office.run("cancel", key, "--reason", "a mistake").out
    with pytest.raises(EffectCancelled):
        office.ledger.call("pay", pay, {"cents": 5}, workflow="w", policy=ASK)
    office.run("cancel", key, code=1)


def test_decisions_are_made_under_the_name_of_the_user_account(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "the user")
    key = office.asked()
    office.run("deny", key)
    assert office.ledger.history(key)[-1].actor == "the user"


def test_a_user_account_without_a_name_must_say_who_decides(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise OSError("no such uid")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert "--by" in office.run("deny", office.asked(), code=2).err


def test_a_decision_about_another_tenants_effect_is_impossible(office: Any) -> None:
    key = office.asked()
    office.run("approve", key, "--yes", "--tenant", "acme", code=2)
    assert office.ledger.get(key).status is Status.PENDING


def test_every_decision_answers_with_the_effect(office: Any) -> None:
    for command in ("deny", "cancel"):
        key = office.asked(command)
        effect = json.loads(office.run(command, key, "--json").out)
        assert effect["key"] == key
