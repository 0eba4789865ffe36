"""``tallystick retain``: what goes, what stays, and how that is said."""

from __future__ import annotations

import pytest

from tallystick.testing import turn_clock
from tests.cli.conftest import Office

CENTS = 123_456


@pytest.fixture
def old(office: Office) -> str:
    """An effect that came to its end a hundred days ago; its key."""
    turn_clock(office.ledger, -100 * 86_400)
    key = office.done("old", cents=CENTS).key
    turn_clock(office.ledger, 100 * 86_400)
    return key


def test_old_payloads_go_and_the_facts_stay(office: Office, old: str) -> None:
    """What waits for a person and what is younger keeps its own."""
    young, asked = office.done("young").key, office.asked("asked")
    assert str(CENTS) in office.run("show", old).out
    assert office.run("retain", "--payloads", "90d", "--by", "ann").out == (
        "1 effect lost its payload.\n"
    )
    shown = office.run("show", old).out
    assert str(CENTS) not in shown
    assert "payload dropped\non " in shown
    assert "succeeded" in shown
    assert "ann" in shown
    for key in (young, asked):
        assert '"cents": 5' in office.run("show", key).out
    assert office.run("retain", "--payloads", "90d").out == "0 effects lost their payload.\n"
    assert office.run("verify").code == 0


def test_a_dry_run_drops_nothing(office: Office, old: str) -> None:
    """It says how much would go."""
    said = office.run("retain", "--payloads", "90d", "--dry-run")
    assert said.out == "1 effect would lose its payload.\n"
    said = office.run("retain", "--payloads", "90d", "--dry-run", "--json")
    assert said.json == {"effects": 1, "calls": 0, "dry_run": True}
    assert office.ledger.get(old).args["cents"] == CENTS


def test_the_list_of_effects_shows_tombstones_too(office: Office, old: str) -> None:
    """Without their arguments."""
    office.run("retain", "--payloads", "90d")
    said = office.run("effects").out
    assert old[:12] in said
    assert str(CENTS) not in said
    assert office.run("effects", "--json").json[0]["payload_dropped_at"] is not None


def test_a_top_up_that_lost_its_payload_can_be_shown(office: Office) -> None:
    """A request to raise a budget is an effect like any other."""
    office.ledger.budget("purse", requests=0, tool="pay", on_exceed="ask", raise_by=1)
    with pytest.raises(Exception, match="purse"):
        office.done()
    (request,) = office.ledger.pending()
    office.ledger.deny(request.effect.key, by="ann", reason="no")
    office.run("retain", "--payloads", "0s")
    assert "payload dropped" in office.run("show", request.effect.key).out
    assert office.run("effects").code == 0


@pytest.mark.parametrize("text", ["soon", "90", "d90", "-1d"])
def test_a_time_that_is_none_is_refused(office: Office, old: str, text: str) -> None:
    """Before anything goes."""
    assert "write it like" in office.run("retain", f"--payloads={text}", code=2).err
    assert office.ledger.get(old).args["cents"] == CENTS


def test_batches_and_pauses_are_checked(office: Office, old: str) -> None:
    """By the command, too."""
    for option in ("--batch=0", "--pause=-1"):
        office.run("retain", "--payloads", "90d", option, code=2)
    assert office.ledger.get(old).args["cents"] == CENTS
