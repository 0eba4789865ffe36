"""What is redacted is never stored, shown or told, wherever it stands; what runs is the truth."""

from __future__ import annotations

from typing import Any

from tallystick._model import Guarantee, Status
from tallystick._policy import Approval, Policy, ProbeAnswer
from tallystick.errors import (
    ApprovalRequired,
    ArgumentsChanged,
    EffectFailed,
    EffectInDoubt,
    InvalidCall,
    InvalidPolicy,
    NotApplied,
)
from tallystick.hooks import Details
from tallystick.redaction import Detector, Redact, Redaction
from tallystick.testing._contract._base import Contract, Faced, raises

CARD = "4111 1111 1111 1111"
MAIL = "ann@example.com"
KEY = "sk-ant-api03-" + "a1B2" * 10
ORDER: dict[str, Any] = {
    "customer": {"name": "Ann", "email": MAIL},
    "cards": [{"number": CARD, "left": 1}, {"number": "5555555555554444", "left": 2}],
}
PATHS = Policy(redact=("customer.email", "cards[].number"))
SHOWN: dict[str, Any] = {
    "customer": {"name": "Ann", "email": "[redacted]"},
    "cards": [{"number": "[redacted]", "left": 1}, {"number": "[redacted]", "left": 2}],
}
EVERYTHING = Redaction(detect=True)


def _kept(ledger: Faced) -> str:
    """All that the ledger knows, as text."""
    keys = [effect.key for effect in ledger.effects()]
    rows = [ledger.row(key) for key in keys]
    return repr([rows, ledger.effects(), [ledger.history(k) for k in keys], ledger.pending()])


class Redacted(Contract):
    """Paths, detectors, and rules for a whole ledger."""

    def test_a_path_leaves_out_what_it_leads_to(self) -> None:
        """In nested arguments; the rest is recorded, and the tool gets all of it."""
        ledger = self.ledger()
        charge = self.tool("done")
        assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=PATHS) == "done"
        assert (charge.seen, ledger.only().args) == ([ORDER], SHOWN)
        assert ledger.call("charge", charge.fn, ORDER, workflow="w", policy=PATHS) == "done"
        assert charge.times == 1

    def test_what_is_left_out_is_still_compared(self) -> None:
        """The hashes cover it: another card is another call, or a change of one."""
        ledger = self.ledger()
        charge = self.tool("done")
        ledger.call("charge", charge.fn, ORDER, workflow="w", policy=PATHS)
        other = {**ORDER, "cards": [{"number": "4012888888881881", "left": 1}]}
        ledger.call("charge", charge.fn, other, workflow="w", policy=PATHS)
        assert charge.times == 2
        fixed = PATHS.but(identity=())
        ledger.call("pay", charge.fn, ORDER, workflow="w", policy=fixed)
        with raises(ArgumentsChanged):
            ledger.call("pay", charge.fn, other, workflow="w", policy=fixed)

    def test_what_looks_like_a_secret_is_found_wherever_it_stands(self) -> None:
        """Arguments, results, facts, errors, doubts, and what people say of them."""
        heard: list[Details] = []
        ledger = self.ledger(redact=EVERYTHING, hooks=[heard.append])
        said = f"{MAIL} pays with {CARD} and {KEY}"
        facts = Approval(preconditions=lambda args: {"seen": said})
        charge = self.tool(ValueError(said), {"receipt": said})
        with raises(ApprovalRequired) as caught:
            ledger.call(
                "charge", charge.fn, {"memo": said}, workflow="w", policy=Policy(approval=facts)
            )
        ledger.approve(caught.error.key, by="ann", reason=f"ask {MAIL}")
        with raises(EffectInDoubt):
            ledger.call(
                "charge", charge.fn, {"memo": said}, workflow="w", policy=Policy(approval=facts)
            )
        ledger.resolve(caught.error.key, by="ann", failed=f"{MAIL} says no", reason=said)
        ledger.call(
            "charge", charge.fn, {"memo": said}, workflow="w", policy=Policy(approval=facts)
        )
        assert charge.seen == [{"memo": said}] * 2
        effect = ledger.only()
        left = "[redacted:email] pays with [redacted:card] and [redacted:token]"
        assert (effect.args, effect.result) == ({"memo": left}, {"receipt": left})
        assert effect.facts == {"seen": left}
        everything = _kept(ledger) + repr(heard)
        assert not [secret for secret in (CARD, MAIL, KEY) if secret in everything]

    def test_a_replay_returns_what_was_stored(self) -> None:
        """The first caller has the real result; whoever comes later has what is left of it."""
        ledger = self.ledger()
        policy = Policy(redact=Redact(result=("card.number",), detect=True))
        charge = self.tool({"card": {"number": 7, "kind": "x"}, "to": MAIL})
        first = ledger.call("charge", charge.fn, workflow="w", policy=policy)
        assert first == {"card": {"number": 7, "kind": "x"}, "to": MAIL}
        left = {"card": {"number": "[redacted]", "kind": "x"}, "to": "[redacted:email]"}
        assert ledger.call("charge", charge.fn, workflow="w", policy=policy) == left
        whole = Policy(redact=Redact(result=True))
        secret = self.tool("hush")
        assert ledger.call("tell", secret.fn, workflow="w", policy=whole) == "hush"
        assert ledger.call("tell", secret.fn, workflow="w", policy=whole) == "[redacted]"

    def test_a_ledgers_rules_and_a_policys_add_up(self) -> None:
        """For all tools, for one, and for one call's policy."""
        ticket = Detector("ticket", lambda text: [(0, 4)] if text.startswith("T-42") else [])
        rules = Redaction(
            args=("token",), detect=(ticket,), tools={"pay": Redact(args=("iban",), result=True)}
        )
        ledger = self.ledger(redact=rules)
        args = {"token": "t", "iban": "i", "memo": "m", "what": "T-42"}
        for tool in ("pay", "mail"):
            policy = Policy(redact=("memo",))
            ledger.call(tool, self.tool("done").fn, args, workflow="w", policy=policy)
        mail, pay = ledger.effects()
        gone = "[redacted]"
        assert mail.args == {"token": gone, "iban": "i", "memo": gone, "what": "[redacted:ticket]"}
        assert pay.args == {**mail.args, "iban": gone}
        assert (mail.result, pay.result) == ("done", gone)

    def test_what_was_approved_runs_with_the_values_that_nobody_saw(self) -> None:
        """An edit beside a mark; the marks themselves stand for what they stood for."""
        ledger = self.ledger()
        policy = PATHS.but(approval=True)
        charge = self.tool("done")
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert caught.error.arguments == SHOWN
        edited = {"customer": {"name": "Bob", "email": "[redacted]"}}
        ledger.approve(caught.error.key, by="ann", args=edited)
        ledger.call("charge", charge.fn, ORDER, workflow="w", policy=policy)
        assert charge.seen == [{**ORDER, "customer": {"name": "Bob", "email": MAIL}}]
        assert MAIL not in _kept(ledger)

    def test_a_mark_cannot_be_moved_or_written_over(self) -> None:
        """Nobody could tell what it stands for, and a new value would have to be stored."""
        ledger = self.ledger(redact=Redaction(detect=True))
        policy = PATHS.but(approval=True)
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", self.tool().fn, ORDER, workflow="w", policy=policy)
        edits: list[dict[str, Any]] = [
            {"cards": SHOWN["cards"][1:]},
            {"cards": [{"number": "1", "left": 1}]},
            {"customer": {"name": "[redacted]"}},
            {"customer": {"name": "Ann", "email": "bob"}},
            {"customer": {"name": f"Ann <{MAIL}>", "email": "[redacted]"}},
        ]
        for args in edits:
            with raises(InvalidCall):
                ledger.approve(caught.error.key, by="ann", args=args)
        assert ledger.only().status is Status.PENDING
        ledger.approve(caught.error.key, by="ann", args={"customer": {"name": "Ann"}})

    def test_a_person_records_no_secret_as_a_result(self) -> None:
        """Nor does a probe."""
        ledger = self.ledger(redact=True)
        with raises(EffectInDoubt) as caught:
            ledger.call("charge", self.tool(ValueError("?")).fn, workflow="w")
        ledger.resolve(str(caught.error.key), by="ann", succeeded={"to": MAIL})
        policy = Policy(guarantee=Guarantee.RECONCILE, probe=_found, quiet=0)
        with raises(EffectInDoubt):
            ledger.call("pay", self.tool(ValueError("?")).fn, workflow="w")
        ledger.call("send", self.tool(ValueError("?")).fn, workflow="w", policy=policy)
        assert MAIL not in _kept(ledger)
        assert "[redacted:email]" in _kept(ledger)

    def test_a_failure_is_recorded_without_what_it_quotes(self) -> None:
        """Values of redacted arguments, at the end of any path; and what detectors find."""
        ledger = self.ledger()
        policy = Policy(redact=Redact(args=("customer",), detect=True))
        words = NotApplied(f"Ann has no account at {MAIL}, only {CARD}")
        with raises(NotApplied):
            ledger.call("charge", self.tool(words).fn, ORDER, workflow="w", policy=policy)
        with raises(EffectFailed) as caught:
            ledger.call("charge", self.tool().fn, ORDER, workflow="w", policy=policy)
        assert not [secret for secret in (MAIL, CARD) if secret in _kept(ledger)]
        assert MAIL not in caught.error.error_message

    def test_rules_that_say_nothing_are_refused(self) -> None:
        """When they are made, and not when something leaks."""
        paths: list[Any] = ["token", ("",), ("a..b",), ("a[0]",), ("a[",), 7]
        for value in paths:
            with raises(InvalidPolicy):
                Policy(redact=value)
        wrong: list[dict[str, Any]] = [
            {"args": "x"},
            {"result": "x"},
            {"detect": ("card",)},
            {"tools": {"a": 1}},
        ]
        for options in wrong:
            with raises(InvalidPolicy):
                Redaction(**options)
        with raises(InvalidPolicy):
            self.open(redact="token")


def _found(_: object) -> ProbeAnswer:
    return ProbeAnswer.happened({"to": MAIL})
