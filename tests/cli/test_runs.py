"""runs, compensate, and what the inbox says of compensations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger, NotApplied, Policy

APP = """
from tallystick import Ledger

ledger = Ledger("memory://")

def refund(order, result):
    with open("refunds", "a") as file:
        file.write(f"{order} {result}\\n")

@ledger.compensation("release")
async def release(order):
    with open("refunds", "a") as file:
        file.write(f"released {order}\\n")
"""


def charge(order: str) -> str:
    return f"ch_{order}"


def charged(ledger: Ledger, order: str, compensate: str) -> None:
    policy = Policy(compensate=compensate)
    ledger.call("charge", charge, {"order": order}, workflow="w", policy=policy)


def test_runs_are_listed_newest_first(office: Any) -> None:
    outer = office.ledger.workflow("one", input=1, kind="checkout")
    with outer, office.ledger.workflow("two", input=2) as run:
        run.set_output("out")
    with pytest.raises(NotApplied), office.ledger.workflow("three", input=3):
        raise NotApplied("no")
    found = office.run("runs", "--json").json
    assert [(r["id"], r["status"], r["parent"]) for r in found] == [
        ("three", "failed", None),
        ("two", "succeeded", "one"),
        ("one", "succeeded", None),
    ]
    assert [r["id"] for r in office.run("runs", "--parent", "one", "--json").json] == ["two"]
    assert [r["id"] for r in office.run("runs", "--status", "failed", "--json").json] == ["three"]
    assert "checkout" in office.run("runs").out
    assert "No runs fit" in office.run("runs", "--status", "compensated").out


def test_another_process_undoes_by_the_names_that_are_recorded_in_what_it_imports(
    office: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_saga.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    charged(office.ledger, "A", "release")
    charged(office.ledger, "B", "shop_saga:refund")
    office.done(workflow="w", cents=1)
    said = office.shell("compensate", "w", "--by", "ann", "--reason", "closed")
    assert said.code == 1
    assert "no compensation is registered as release" in said.out
    assert "has not imported shop_saga" in said.out
    assert not (tmp_path / "refunds").exists(), "a record alone makes nothing run"
    said = office.shell("compensate", "w", "--import", "shop_saga")
    assert said.code == 0, said.err
    assert "w is undone: 2 effects" in said.out
    assert (tmp_path / "refunds").read_text() == "B ch_B\nreleased A\n"
    assert len(office.run("compensate", "w", "--json").json["done"]) == 2


def test_the_inbox_says_how_to_go_on_with_a_compensation(office: Any) -> None:
    charged(office.ledger, "A", "nobody:knows")
    said = office.run("compensate", "w", code=1)
    assert "missing" in said.out
    assert "Next: tallystick inbox" in said.out
    assert "tallystick compensate w" in office.run("inbox").out
    key = office.ledger.pending()[0].effect.key
    assert "contain" in office.run("halts").out
    assert "it is undone" in office.run("resolve", key, "--happened").out
    assert "is undone" in office.run("compensate", "w").out
    assert office.run("halts").out == "Nothing is halted.\n"
    assert "compensated" in office.run("show", key).out


def test_what_is_not_there_is_wrong_usage(office: Any) -> None:
    assert "nothing is recorded" in office.run("compensate", "typo", code=2).err
    office.done(workflow="w")
    assert "no savepoint" in office.run("compensate", "w", "--to", "x", code=2).err
    assert "--import" in office.run("compensate", "w", "--import", "no_such_module", code=2).err
