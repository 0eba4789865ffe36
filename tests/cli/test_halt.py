"""halt, unhalt, halts."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick import Halted


def test_a_halted_tool_does_not_start_until_it_is_lifted(office: Any) -> None:
    said = office.shell("halt", "--tool", "pay", "--reason", "prices are wrong", "--by", "ann")
    assert said.code == 0
    with pytest.raises(Halted, match="prices are wrong"):
        office.done()
    assert office.shell("unhalt", "--tool", "pay").code == 0
    assert office.done().result == "paid 5 to ann"


def test_without_a_scope_everything_of_the_tenant_stands_still(office: Any) -> None:
    assert "everything of tenant default" in office.run("halt", "--reason", "fire").out
    with pytest.raises(Halted):
        office.done()


def test_halts_are_listed(office: Any) -> None:
    office.run("halt", "--workflow", "w", "--drain", "--reason", "closing", "--by", "ann")
    office.run("halt", "--everywhere", "--reason", "fire", "--by", "bob")
    found = office.run("halts", "--json").json
    assert [(h["tenant"], h["workflow"], h["mode"], h["by"], h["reason"]) for h in found] == [
        ("default", "w", "drain", "ann", "closing"),
        (None, None, "halt", "bob", "fire"),
    ]
    out = office.run("halts").out
    assert "workflow w of tenant default" in out
    assert "everything of every tenant" in out


def test_halt_answers_with_what_is_halted(office: Any) -> None:
    said = office.run("halt", "--tool", "pay", "--reason", "x", "--by", "ann", "--json").json
    assert said == {
        "tenant": "default",
        "tool": "pay",
        "workflow": None,
        "mode": "halt",
        "by": "ann",
        "reason": "x",
    }


def test_lifting_what_is_not_halted_is_a_no(office: Any) -> None:
    office.run("halt", "--tool", "pay", "--reason", "x")
    assert office.run("unhalt", "--json", code=1).json == {"lifted": 0}
    assert office.run("unhalt", "--tool", "pay", "--json").json == {"lifted": 1}
    assert office.run("halts").out == "Nothing is halted.\n"


def test_a_halt_needs_a_reason(office: Any) -> None:
    assert "--reason" in office.run("halt", code=2).err
    office.run("halt", "--reason", "", code=2)


def test_only_the_default_tenant_halts_everything(office: Any) -> None:
    office.run("halt", "--everywhere", "--tenant", "acme", "--reason", "x", code=2)
