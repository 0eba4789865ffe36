"""``tallystick shred`` and ``rewrap``, and looking with and without the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick import Ledger
from tallystick.encryption import Keyring
from tests.cli.conftest import Office, pay

OLD, NEW = Keyring.generate(), Keyring.generate()


@pytest.fixture
def sealed(office: Office, tmp_path: Path) -> str:
    """The URL of a ledger whose payloads are encrypted."""
    url = f"sqlite:///{tmp_path / 'sealed.db'}"
    with Ledger(url, cipher=Keyring(OLD)) as ledger:
        ledger.call("pay", pay, {"cents": 123_456}, workflow="w")
    return url


def test_with_the_key_it_is_shown_and_without_it_is_not(
    office: Office, sealed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts are there either way."""
    key = office.run("effects", "--json", ledger=sealed).json[0]["key"]
    said = office.run("show", key, ledger=sealed).out
    assert "payload encrypted" in said
    assert "123456" not in said
    assert "payloads not checked" in office.run("verify", ledger=sealed).out
    monkeypatch.setenv("TALLYSTICK_KEY", OLD)
    assert "123456" in office.run("show", key, ledger=sealed).out
    assert "not checked" not in office.run("verify", ledger=sealed).out


def test_a_key_is_changed(office: Office, sealed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one with the old one, then alone; a wrong one is refused."""
    monkeypatch.setenv("TALLYSTICK_KEY", NEW)
    assert "keyring" in office.run("rewrap", ledger=sealed, code=1).err
    monkeypatch.setenv("TALLYSTICK_OLD_KEYS", OLD)
    assert office.run("rewrap", "--json", ledger=sealed).json == {"rewrapped": 1}
    monkeypatch.delenv("TALLYSTICK_OLD_KEYS")
    assert "123456" in office.run("effects", ledger=sealed).out


def test_a_workflow_is_shredded(office: Office, sealed: str) -> None:
    """Without a key, and once."""
    said = office.run("shred", "w", "--reason", "asked to", "--by", "ann", ledger=sealed)
    assert said.out == "w: 1 effect lost its payload for good.\n"
    again = office.run("shred", "w", "--reason", "asked to", "--by", "ann", "--json", ledger=sealed)
    assert again.json == {"workflow": "w", "effects": 0}
    assert office.run("verify", ledger=sealed).code == 0
    office.run("shred", "nothing", "--reason", "asked to", ledger=sealed, code=2)
