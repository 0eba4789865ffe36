"""budgets, budgets set, raise, unreconciled and reconcile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tallystick import BudgetExceeded, EffectInDoubt, Ledger
from tallystick.budgets import Reservation
from tallystick.testing import turn_clock

HOLD = """
import sys, time
from tallystick import Ledger
Ledger(sys.argv[1]).budget("purse").reserve(usd="0.5")
print("held", flush=True)
time.sleep(60)
"""


def refunds(office: Any, **terms: Any) -> None:
    """A budget that is split by customer, and what two of them got."""
    given = {"amount": 500, "of": "args.eur", "per": "args.customer", "tool": "refund", **terms}
    office.ledger.budget("refunds", **given)
    for customer, eur in (("c-1", 450), ("c-2", 20)):
        refund(office, customer, eur)


def refund(office: Any, customer: str, eur: int) -> None:
    args = {"customer": customer, "eur": eur}
    office.ledger.call("refund", paid, args, workflow="w")


def paid(customer: str, eur: int) -> str:
    return f"paid {eur} to {customer}"


def lost(office: Any, usd: str = "0.5", **amounts: Any) -> str:
    """A reservation that nobody knows the cost of; its key."""
    held: Reservation = office.ledger.budget("purse").reserve(usd=usd, **amounts)
    with pytest.raises(RuntimeError), held:
        raise RuntimeError
    return held.key


@contextmanager
def shifted(office: Any, seconds: float) -> Generator[None]:
    """Let time pass in every ledger that the command line opens."""
    opened = Ledger.__init__

    def init(self: Ledger, *args: Any, **options: Any) -> None:
        opened(self, *args, **options)
        turn_clock(self, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "__init__", init)
        yield


# -- looking --------------------------------------------------------------------------------------


def test_every_line_of_every_budget_is_shown(office: Any) -> None:
    office.ledger.budget("purse", usd="2", window="day", zone="Europe/Berlin").reserve(usd="0.5")
    refunds(office)
    lines = office.run("budgets", "--json").json
    resets_at = datetime.fromisoformat(lines[0].pop("resets_at"))
    assert timedelta(0) < resets_at - datetime.now(UTC) <= timedelta(days=1)
    assert lines[0] == {
        "budget": "purse", "metric": "usd", "per": {}, "limit": "2.00", "spent": "0.00",
        "reserved": "0.50", "unreconciled": "0.00", "remaining": "1.50", "window": "day",
        "charged": "0.50", "exceeded": False,
    }  # fmt: skip
    assert [(x["per"], x["spent"], x["resets_at"]) for x in lines[1:]] == [
        ({"args.customer": "c-1"}, "450.00", None),
        ({"args.customer": "c-2"}, "20.00", None),
    ]
    out = office.run("budgets").out
    for part in ("purse", "args.customer c-1", "500.00", "450.00", "90%", "25%", "(day)", "never"):
        assert part in out
    assert [x["budget"] for x in office.run("budgets", "--name", "purse", "--json").json] == [
        "purse"
    ]


def test_a_ledger_without_budgets_says_how_to_declare_one(office: Any) -> None:
    assert "tallystick budgets set" in office.run("budgets").out
    assert office.run("budgets", "--json").json == []


def test_a_budget_that_nobody_has_drawn_on_is_shown_by_its_terms(office: Any) -> None:
    office.ledger.budget("refunds", amount=500, of="args.eur", per="args.customer", tool="refund")
    assert (
        "refunds: amount 500.00, per args.customer: nobody has drawn on it"
        in office.run("budgets").out
    )
    (value,) = office.run("budgets", "--json").json
    assert (value["budget"], value["per"]) == ("refunds", None)
    assert value["terms"]["where"] == {"tool": "refund"}
    refund(office, "c-1", 5)
    assert [x["per"] for x in office.run("budgets", "--json").json] == [{"args.customer": "c-1"}]


def test_a_budget_that_is_exceeded_or_used_up_is_marked(office: Any) -> None:
    purse = office.ledger.budget("purse", usd=1)
    purse.reserve(usd=1).settle()
    assert "used up" in office.run("budgets").out
    assert office.run("budgets", "--json").json[0]["exceeded"] is False
    office.ledger.budget("purse", usd="0.75")
    said = office.run("budgets")
    assert "EXCEEDED" in said.out
    assert "133%" in said.out
    assert "Next: tallystick budgets raise purse --usd" in said.out
    assert office.run("budgets", "--json").json[0]["exceeded"] is True


def test_what_nobody_knows_is_marked_and_listed(office: Any) -> None:
    office.ledger.budget("purse", usd=1)
    key = lost(office)
    said = office.run("budgets")
    assert "UNRECONCILED" in said.out
    assert "Next: tallystick budgets unreconciled" in said.out
    (row,) = office.run("budgets", "unreconciled", "--json").json
    assert (row["key"], row["what"], row["bound"], row["note"]) == (
        key, "purse", "0.50", "left by RuntimeError",
    )  # fmt: skip
    out = office.run("budgets", "unreconciled").out
    assert f"tallystick budgets reconcile {key[:12]} --usd" in out
    assert "left by RuntimeError" in out


def test_an_effect_in_doubt_is_resolved_and_not_reconciled(office: Any) -> None:
    office.ledger.budget("calls", requests=5, tool="lost")
    key = office.doubtful()
    assert f"tallystick resolve {key[:12]}" in office.run("budgets", "unreconciled").out


def test_nothing_unknown_says_so(office: Any) -> None:
    assert "cost of everything is known" in office.run("budgets", "unreconciled").out
    assert "Nothing is held" in office.run("budgets", "unreconciled", "--held").out


def test_what_a_killed_process_held_is_unreconciled(office: Any) -> None:
    office.ledger.budget("purse", usd=1)
    child = subprocess.Popen([sys.executable, "-c", HOLD, office.url], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout as out:
        assert out.readline() == b"held\n"
        assert office.run("budgets", "--json").json[0]["reserved"] == "0.50"
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    office.ledger.close()
    (line,) = office.run("budgets", "--json").json
    assert (line["reserved"], line["unreconciled"]) == ("0.00", "0.50")


def test_a_plain_table_where_nobody_watches(office: Any) -> None:
    name = "a budget whose name is longer than most terminals are wide " * 3
    office.ledger.budget(name.strip(), usd=1)
    said = office.shell("budgets")
    assert said.code == 0
    assert "\x1b" not in said.out
    assert name.strip() in said.out


# -- declaring ------------------------------------------------------------------------------------


def test_a_budget_is_declared_with_the_terms_of_the_library(office: Any) -> None:
    options = [
        "--amount", "500", "--of", "args.eur", "--per", "args.customer", "--tool", "refund",
        "--window", "day", "--zone", "Europe/Berlin", "--require", "args.currency=EUR",
        "--on-exceed", "ask", "--soft", "0.5", "--soft", "0.8", "--raise-by", "100",
    ]  # fmt: skip
    said = office.run("budgets", "set", "refunds", *options, "--json").json
    there = office.ledger.budget("refunds").terms
    assert there == {
        "amount": Decimal(500),
        "of": "args.eur",
        "per": ["args.customer"],
        "where": {"tool": "refund"},
        "window": "day",
        "zone": "Europe/Berlin",
        "require": {"args.currency": "EUR"},
        "on_exceed": "ask",
        "soft": [0.5, 0.8],
        "raise_by": {"amount": Decimal(100)},
    }
    assert (said["name"], said["before"]) == ("refunds", None)
    assert said["terms"]["amount"] == "500.00"


def test_a_window_may_be_a_span_that_rolls(office: Any) -> None:
    office.run("budgets", "set", "sends", "--requests", "50", "--window", "1h", "--tool", "send")
    assert office.ledger.budget("sends").terms["window"] == timedelta(hours=1)


def test_a_declared_budget_says_whom_it_concerns(office: Any) -> None:
    said = office.run("budgets", "set", "purse", "--usd", "2").out
    assert "declared: usd 2.00" in said
    assert "watch(budget=…)" in said
    said = office.run("budgets", "set", "all", "--usd", "2", "--model", "gpt-9", "--risk", "x").out
    assert "It concerns model gpt-9, risk x." in said


def test_other_terms_replace_those_that_are_there_only_when_somebody_says_so(office: Any) -> None:
    refunds(office)
    before = office.ledger.budget("refunds").terms
    asked = office.run("budgets", "set", "refunds", "--amount", "600", answer="n\n", code=1)
    assert '"of": "args.eur"' in asked.out.partition("and becomes")[0]
    assert "Nothing was changed." in asked.err
    assert "--yes" in office.run("budgets", "set", "refunds", "--amount", "1", "--json", code=2).err
    assert office.ledger.budget("refunds").terms == before
    office.run("budgets", "set", "refunds", "--amount", "600", "--yes")
    assert office.ledger.budget("refunds").terms == {"amount": Decimal(600)}


def test_the_same_terms_again_need_no_word(office: Any) -> None:
    for says in ("declared", "is so already"):
        assert says in office.run("budgets", "set", "purse", "--usd", "2.00").out


@pytest.mark.parametrize(
    ("options", "next_"),
    [
        ([], "--usd"),
        (["--usd", "much"], "2.50"),
        (["--usd", "-1"], "amount from 0"),
        (["--tokens", "1.5"], "--tokens"),
        (["--usd", "1", "--window", "fortnight"], "'month'"),
        (["--usd", "1", "--zone", "Europe/Nowhere"], "Europe/Berlin"),
        (["--usd", "1", "--on-exceed", "panic"], "downgrade"),
        (["--usd", "1", "--soft", "1.5"], "fractions"),
        (["--usd", "1", "--where", "model"], "fact=value"),
        (["--usd", "1", "--require", "a=1", "--require", "a=2"], "twice"),
        (["--usd", "1", "--of", "args.eur"], "no amount"),
    ],
)
def test_terms_that_make_no_budget_are_wrong_usage(
    office: Any, options: list[str], next_: str
) -> None:
    assert next_ in office.run("budgets", "set", "purse", *options, code=2).err
    assert office.ledger.budgets() == []


# -- raising --------------------------------------------------------------------------------------


def test_a_limit_is_raised_for_its_window(office: Any) -> None:
    purse = office.ledger.budget("purse", usd=1, window="day")
    purse.reserve(usd=1).settle()
    command = ["budgets", "raise", "purse", "--usd", "0.5", "--by", "ann", "--reason", "fine"]
    (line,) = office.run(*command, "--json").json
    assert (line["limit"], line["remaining"]) == ("1.50", "0.50")
    purse.reserve(usd="0.5").settle()
    with shifted(office, 86_400):
        (line,) = office.run("budgets", "--json").json
    assert line["limit"] == "1.00"


def test_a_limit_is_raised_for_good(office: Any) -> None:
    office.ledger.budget("purse", usd=1, window="day")
    said = office.run("budgets", "raise", "purse", "--usd", "5", "--lasting")
    assert said.out.startswith("purse raised by 5 USD: 6.00 USD left of 6.00, until ")
    with shifted(office, 86_400):
        assert office.run("budgets", "--json").json[0]["limit"] == "6.00"


@pytest.mark.parametrize("fact", ["customer=c-1", "args.customer=c-1"])
def test_one_customers_limit_is_raised(office: Any, fact: str) -> None:
    refunds(office)
    with pytest.raises(BudgetExceeded):
        refund(office, "c-1", 60)
    raised = office.run("budgets", "raise", "refunds", "--amount", "50", "--per", fact, "--json")
    assert [(x["per"], x["limit"]) for x in raised.json] == [({"args.customer": "c-1"}, "550.00")]
    refund(office, "c-1", 60)
    assert [x.limit for x in office.ledger.budgets()] == [550, 500]


@pytest.mark.parametrize(
    ("options", "next_"),
    [
        (["refunds", "--amount", "50"], "--per args.customer=…"),
        (["refunds", "--amount", "50", "--per", "who=c-1"], "--per args.customer=…"),
        (["refunds", "--amount", "50", "--per", "customer"], "fact=value"),
        (["refunds", "--usd", "50", "--per", "customer=c-1"], "amount=…"),
        (["refunds", "--amount", "lots", "--per", "customer=c-1"], "2.50"),
        (["refunds", "--per", "customer=c-1"], "--usd"),
        (["purse", "--usd", "1", "--per", "customer=c-1"], "drop --per"),
        (["nothing", "--usd", "1"], "nobody declared"),
    ],
)
def test_a_raise_that_fits_no_line_is_wrong_usage(
    office: Any, options: list[str], next_: str
) -> None:
    refunds(office)
    office.ledger.budget("purse", usd=1)
    assert next_ in office.run("budgets", "raise", *options, code=2).err
    assert [x.limit for x in office.ledger.budgets()] == [1, 500, 500]


def test_an_option_before_the_subcommand_is_refused(office: Any, tallystick: Any) -> None:
    """It would be about nothing, and the deed about another ledger than the one that was meant."""
    office.ledger.budget("purse", usd=1)
    said = tallystick("budgets", "--ledger", office.url, "raise", "purse", "--usd", "1")
    assert said.code == 2
    assert "behind" in said.err
    said = tallystick(
        "budgets", "raise", "purse", "--usd", "1", "--by", "ann", TALLYSTICK_LEDGER=office.url
    )
    assert said.code == 0


def test_another_tenants_budget_cannot_be_raised(office: Any) -> None:
    office.ledger.budget("purse", usd=1)
    office.run("budgets", "raise", "purse", "--usd", "1", "--tenant", "acme", code=2)
    assert office.run("budgets", "--tenant", "acme", "--json").json == []


# -- reconciling ----------------------------------------------------------------------------------


def test_somebody_says_what_a_call_did_cost(office: Any) -> None:
    office.ledger.budget("purse", usd=1)
    key = lost(office)
    command = ["budgets", "reconcile", key[:9], "--usd", "0.03", "--by", "ann"]
    said = office.run(*command, "--reason", "the bill", "--json").json
    assert (said["state"], said["cost"], said["note"]) == (
        "settled", "0.03", "the bill (by ann)",
    )  # fmt: skip
    (line,) = office.ledger.budgets()
    assert (line.spent, line.unreconciled, line.remaining) == (Decimal("0.03"), 0, Decimal("0.97"))
    again = office.run(*command, "--json", code=1)
    assert again.json["error"]["kind"] == "BudgetError"
    assert "settled" in again.err


def test_what_is_still_held_is_its_callers_to_settle(office: Any) -> None:
    held = office.ledger.budget("purse", usd=1).reserve(usd="0.5")
    said = office.run("budgets", "reconcile", held.key, "--usd", "0.1", code=1)
    assert "--held" in said.err
    assert office.run("budgets", "unreconciled", "--held", "--json").json[0]["key"] == held.key
    office.run("budgets", "reconcile", held.key, "--usd", "0.1", "--held")
    held.settle(usd="0.4")
    assert office.ledger.budget("purse").spent == Decimal("0.1")


def test_every_metric_that_is_held_has_to_be_said(office: Any) -> None:
    office.ledger.budget("purse", usd=1, tokens=1000)
    key = lost(office, tokens=900)
    assert "tokens" in office.run("budgets", "reconcile", key, "--usd", "0.1", code=2).err
    said = office.run("budgets", "reconcile", key, "--usd", "0.1", "--tokens", "70").out
    assert "0.1 USD, 70 tokens spent" in said


@pytest.mark.parametrize(
    ("key", "options", "next_"),
    [
        ("abc", ["--usd", "1"], "tallystick budgets unreconciled"),
        ("xyz", ["--usd", "1"], "hex"),
        ("abc", [], "--usd"),
    ],
)
def test_a_key_that_fits_nothing_is_wrong_usage(
    office: Any, key: str, options: list[str], next_: str
) -> None:
    assert next_ in office.run("budgets", "reconcile", key, *options, code=2).err


def test_doctor_warns_of_what_nobody_knows(office: Any) -> None:
    def found() -> dict[str, str]:
        checks = office.run("doctor", "--json").json["checks"]
        return next(check for check in checks if check["name"] == "budgets")

    office.ledger.budget("purse", usd=1)
    assert found()["state"] == "ok"
    lost(office)
    check = found()
    assert (check["state"], check["next"]) == ("warn", "tallystick budgets unreconciled")
    assert "1 reservation(s) whose cost nobody knows, up to 0.50 USD" in check["says"]


def test_doctor_warns_of_what_is_held_beyond_its_time(office: Any) -> None:
    turn_clock(office.ledger, -3600)
    office.ledger.budget("purse", usd=1).reserve(usd="0.5", ttl=60)
    checks = office.run("doctor", "--json").json["checks"]
    (check,) = [check for check in checks if check["name"] == "budgets"]
    assert (check["state"], check["says"]) == ("warn", "1 held beyond their time")


@pytest.mark.postgres
def test_budgets_on_postgres(office: Any, empty_postgres: str) -> None:
    url = empty_postgres
    office.run("db", "check", ledger=url)
    office.run("budgets", "set", "purse", "--usd", "1", "--window", "month", ledger=url)
    with Ledger(url) as ledger:
        held = ledger.budget("purse").reserve(usd="0.5")
        with pytest.raises(RuntimeError), held:
            raise RuntimeError
        assert office.run("budgets", "--json", ledger=url).json[0]["unreconciled"] == "0.50"
        says = [x["says"] for x in office.run("doctor", "--json", ledger=url).json["checks"]]
        assert "1 reservation(s) whose cost nobody knows, up to 0.50 USD" in says
        office.run("budgets", "reconcile", held.key[:9], "--usd", "0.25", ledger=url)
    total = office.run("cost", "--by", "what", "--json", ledger=url).json["total"]
    assert (total["usd"], total["open"]) == ("0.25", "0.00")


def test_an_unknown_outcome_of_a_tool_stays_charged_until_it_is_resolved(office: Any) -> None:
    def pay(customer: str, eur: int) -> None:
        raise RuntimeError("?")

    refunds(office)
    with pytest.raises(EffectInDoubt):
        office.ledger.call("refund", pay, {"customer": "c-2", "eur": 30}, workflow="w")
    key = office.ledger.pending()[0].effect.key
    assert office.run("budgets", "--json").json[1]["unreconciled"] == "30.00"
    office.run("resolve", key, "--did-not-happen", "--reason", "no trace")
    assert office.run("budgets", "--json").json[1]["unreconciled"] == "0.00"
