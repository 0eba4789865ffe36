"""contain: the list, the question, the report, and how what is frozen goes again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tallystick import Halted, Ledger, Policy
from tallystick.runs import Undo

APP = """
def refund(order, result):
    with open("refunds", "a") as file:
        file.write(f"{order} {result}\\n")
"""

MODULE = ("--import", "corner_shop")


def charge(order: str) -> str:
    return f"ch-90{order}"


def mail(to: str) -> str:
    return f"sent to {to}"


@pytest.fixture
def shop(office: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three charges in two workflows, and a letter about the first one."""
    (tmp_path / "corner_shop.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    charged(office.ledger, "w", "1111", Undo(steps="corner_shop:refund", window=3600))
    charged(office.ledger, "v", "2222", Undo(steps="corner_shop:refund", residue="a fee"))
    charged(office.ledger, "w", "3333", "corner_shop:refund")
    return office


def charged(ledger: Ledger, workflow: str, order: str, undo: Any) -> None:
    policy = Policy(compensate=undo)
    ledger.call("charge", charge, {"order": order}, workflow=workflow, policy=policy)


def refunds(folder: Path) -> list[str]:
    path = folder / "refunds"
    return path.read_text().splitlines() if path.exists() else []


def test_a_list_changes_nothing(shop: Any, tmp_path: Path) -> None:
    said = shop.shell("contain", "--tool", "charge", "--list")
    assert "Can be undone: 0. Cannot: 3." in said.out
    assert "--import corner_shop" in said.out
    said = shop.run("contain", "--tool", "charge", "--list", *MODULE)
    assert "Can be undone: 3, until the first closes at " in said.out
    assert "Cannot: 0." in said.out
    assert "leaves a fee" in said.out
    found = shop.run(
        "contain", "--tool", "charge", "--since", "1h", "--list", "--json", *MODULE
    ).json
    assert [one["steps"] for one in found["undoable"]] == [["corner_shop:refund"]] * 3
    assert found["key"] is None
    assert (shop.run("halts").out, refunds(tmp_path)) == ("Nothing is halted.\n", [])


def test_another_process_contains_newest_first_once_a_person_says_so(
    shop: Any, tmp_path: Path
) -> None:
    said = shop.run("contain", "--tool", "charge", *MODULE, code=1, answer="n\n")
    assert "Nothing was contained" in said.err
    assert refunds(tmp_path) == []
    why = ("--by", "ann", "--reason", "twice")
    said = shop.shell("contain", "--tool", "charge", "--yes", *why, *MODULE)
    assert said.code == 0, said.err
    assert "3 undone, 0 withdrawn; 1 of it stay in the world." in said.out
    assert refunds(tmp_path) == ["3333 ch-903333", "2222 ch-902222", "1111 ch-901111"]
    record = shop.ledger.effects(tool="tallystick.contain")[0]
    shown = shop.run("show", record.key).out
    assert all(word in shown for word in ("a fee", "twice", "charge"))
    halts = shop.run("halts").out
    assert halts.count("contain ") == 3
    assert f"contained by {record.key[:12]}: twice" in halts
    with pytest.raises(Halted):
        charged(shop.ledger, "elsewhere", "4444", "corner_shop:refund")
    assert "Lifted: what" in shop.run("unhalt", "--containment", record.key[:12]).out
    assert "There was no halt" in shop.run("unhalt", "--containment", record.key, code=1).out
    charged(shop.ledger, "elsewhere", "4444", "corner_shop:refund")


def test_what_is_left_is_said_and_gives_exit_code_one(shop: Any, tmp_path: Path) -> None:
    shop.ledger.call("mail", mail, {"to": "the buyer of ch-901111"}, workflow="u")
    said = shop.run("contain", "--workflow", "w", "--yes", *MODULE, code=1)
    assert "refused" in said.out
    assert "in u depends on it and stays" in said.out
    assert "1 undone" in said.out
    assert "Something is left to do" in said.out
    key = shop.ledger.effects(tool="tallystick.contain")[0].key
    again = shop.run("contain", "--resume", key, "--json", "--yes", code=1).json
    assert [one["workflow"] for one in again["refused"]] == ["w"]
    assert len(refunds(tmp_path)) == 1
    said = shop.run("contain", "--workflow", "w", "--dependents", "--list")
    assert "mail" in said.out


def test_what_is_wrong_is_wrong_usage(shop: Any) -> None:
    wrong = [
        [], ["--tool", "typo"], ["--workflow", "typo"], ["--agent", "typo"],
        ["--tool", "charge", "--since", "yesterday"], ["--tool", "charge", "--json"],
        ["--tool", "charge", "--since", "2999-01-01"], ["--resume", "ff"],
        ["--resume", "ff", "--tool", "charge"], ["--tool", "charge", "--import", "no_such_thing"],
    ]  # fmt: skip
    for options in wrong:
        shop.run("contain", *options, code=2)
    shop.run("unhalt", "--containment", "ff", code=2)
    shop.run("unhalt", "--containment", "ff", "--tool", "charge", code=2)
    assert shop.run("halts").out == "Nothing is halted.\n"
