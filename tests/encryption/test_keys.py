"""Payloads behind a key: what is in the file, who reads it, and what happens without the key."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tallystick import Approval, ApprovalRequired, EffectInDoubt, Ledger, Policy
from tallystick.encryption import Keyring
from tallystick.errors import (
    DamagedRecord,
    DriverMissing,
    InvalidCall,
    KeyMissing,
    ResultNotStored,
    WorkflowShredded,
    WrongKey,
)
from tests.conftest import Face, Place

SECRET = "hunter2-is-not-a-password"
ARGS = {"token": SECRET}
OLD, NEW = Keyring.generate(), Keyring.generate()
EVERY = (
    "SELECT * FROM tallystick_effect", "SELECT * FROM tallystick_event",
    "SELECT * FROM tallystick_inbox", "SELECT * FROM tallystick_vote",
)  # fmt: skip


def tell(token: str) -> dict[str, str]:
    return {"said": token}


def lose(token: str) -> None:
    raise RuntimeError(f"no answer about {token}")


def busy(ledger: Ledger, workflow: str = "w") -> str:
    """An effect of each kind that leaves payloads; the key of the one that is in doubt."""
    ledger.call("tell", tell, ARGS, workflow=workflow)
    policy = Policy(approval=Approval(preconditions=lambda _: {"price": SECRET}))
    with pytest.raises(ApprovalRequired) as asked:
        ledger.call("ask", tell, ARGS, workflow=workflow, policy=policy)
    assert asked.value.key is not None
    ledger.approve(asked.value.key, by="ann", args={"token": f"{SECRET}!"})
    ledger.call("ask", tell, ARGS, workflow=workflow, policy=policy)
    with pytest.raises(EffectInDoubt) as lost:
        ledger.call("lose", lose, ARGS, workflow=workflow)
    assert lost.value.key is not None
    return lost.value.key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def rows(file: Path, *queries: str) -> str:
    """All that is stored, as text."""
    with closing(sqlite3.connect(file)) as db:
        return repr([db.execute(query).fetchall() for query in queries or EVERY])


def test_nothing_of_it_is_in_the_file(file: Path) -> None:
    """Not in a row, an event, the inbox, nor in the log of the database."""
    with Ledger(f"sqlite:///{file}", cipher=Keyring(NEW)) as ledger:
        key = busy(ledger)
        found = [ledger.get(key), ledger.effects(), ledger.history(key), ledger.pending()]
        assert SECRET in repr(found[0])
        assert all(SECRET in repr(each) for each in found)
        assert ledger.verify().sound
        assert SECRET not in rows(file)
        raw = b"".join(
            path.read_bytes() for path in file.parent.glob("ledger.db*") if path.is_file()
        )
    assert SECRET.encode() not in raw


def test_the_plain_ledger_has_it_in_the_file(file: Path) -> None:
    """So that the test above can fail."""
    with Ledger(f"sqlite:///{file}") as ledger:
        busy(ledger)
        assert SECRET in rows(file)


def test_a_replay_edit_and_late_answer_are_as_ever(place: Place, face: Face) -> None:
    """Whoever has the key notices nothing."""
    with place.open(cipher=Keyring(NEW)) as ledger:
        key = busy(ledger)
        face.do(ledger, "resolve", key, by="ann", succeeded={"said": SECRET})
    ledger = place.open(cipher=Keyring(NEW))
    assert ledger.call("tell", lose, ARGS, workflow="w") == {"said": SECRET}
    assert ledger.call("ask", lose, ARGS, workflow="w") == {"said": f"{SECRET}!"}
    assert ledger.call("lose", lose, ARGS, workflow="w") == {"said": SECRET}
    assert ledger.verify().sound


def test_without_the_key_nothing_begins_and_facts_are_readable(place: Place) -> None:
    """What needs no payload goes on: looking, denying, verifying, forgetting."""
    with place.open(cipher=Keyring(NEW)) as ledger:
        key = busy(ledger)
    locked = place.open()
    with pytest.raises(KeyMissing, match="nothing was started"):
        locked.call("tell", tell, {"token": "new"}, workflow="v")
    shown = locked.effects()
    assert [effect.payload_sealed for effect in shown] == [True] * 3
    assert SECRET not in repr([shown, locked.history(key), locked.pending()])
    found = locked.verify()
    assert (found.sound, found.unchecked) == (True, 3)
    locked.cancel(key, by="ann")
    assert locked.retain(payloads=0).effects == 3
    assert locked.verify().unchecked == 0


def test_another_key_is_refused_when_the_ledger_is_opened(place: Place) -> None:
    """Before anything happens; an older key goes with the newer one."""
    with place.open(cipher=Keyring(OLD)) as ledger:
        busy(ledger)
    with pytest.raises(WrongKey, match="Keyring"):
        place.open(cipher=Keyring(NEW))
    place.open(cipher=Keyring(NEW, OLD))


def test_a_change_of_key_wraps_the_data_keys_and_touches_no_payload(
    place: Place, face: Face
) -> None:
    """What was written under the first key is read with the second one alone."""
    with place.open(cipher=Keyring(OLD)) as ledger:
        busy(ledger)
        ledger.call("tell", tell, ARGS, workflow="v")
    with place.open(cipher=Keyring(NEW, OLD)) as ledger:
        before = [effect.key for effect in ledger.effects()]
        assert face.do(ledger, "rewrap") == 2
        assert face.do(ledger, "rewrap") == 0
    with pytest.raises(WrongKey):
        place.open(cipher=Keyring(OLD))
    ledger = place.open(cipher=Keyring(NEW))
    assert [effect.key for effect in ledger.effects()] == before
    assert ledger.effects(tool="tell")[0].args == ARGS
    with pytest.raises(KeyMissing):
        place.open().rewrap()


def test_a_shredded_workflow_is_gone_for_good(place: Place, face: Face) -> None:
    """Tombstones stay, nothing runs again, and others are as they were."""
    ledger = place.open(cipher=Keyring(NEW))
    other = place.open(cipher=Keyring(NEW))
    key = busy(ledger)
    ledger.call("tell", tell, ARGS, workflow="kept")
    with pytest.raises(InvalidCall, match="1 effects of the workflow w are pending"):
        face.do(ledger, "shred", "w", by="ann", reason="asked to")
    assert ledger.get(key).args == ARGS
    ledger.resolve(key, by="ann", failed="it did not")
    assert face.do(ledger, "shred", "w", by="ann", reason="asked to") == 3
    assert SECRET not in repr(ledger.effects(workflow="w"))
    with pytest.raises(ResultNotStored):
        ledger.call("tell", tell, ARGS, workflow="w")
    for tool, args in (("lose", ARGS), ("new", {"token": "new"})):
        with pytest.raises(WorkflowShredded):
            ledger.call(tool, tell, args, workflow="w")
    assert ledger.call("tell", lose, ARGS, workflow="kept") == {"said": SECRET}
    assert face.do(ledger, "shred", "w", by="ann", reason="asked to") == 0
    assert ledger.verify() == other.verify()
    assert ledger.verify().sound


def test_a_backup_with_the_payloads_is_unreadable_without_the_data_key(file: Path) -> None:
    """The rows may be restored; the key that was deleted is not among what a user keeps."""
    with Ledger(f"sqlite:///{file}", cipher=Keyring(NEW)) as ledger:
        ledger.call("tell", tell, ARGS, workflow="w")
        with closing(sqlite3.connect(file)) as db:
            held = db.execute("SELECT args, result, events, head FROM tallystick_effect").fetchone()
        ledger.shred("w", by="ann", reason="asked to")
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DELETE FROM tallystick_event WHERE kind = 'retained'")
        db.execute("UPDATE tallystick_effect SET args = ?, result = ?, events = ?, head = ?", held)
    with Ledger(f"sqlite:///{file}", cipher=Keyring(NEW)) as ledger:
        (effect,) = ledger.effects()
        assert (effect.args, effect.result_stored) == ({}, False)
        assert effect.payload_dropped_at is not None
        found = ledger.verify()
        assert (found.sound, found.unchecked) == (True, 1)


MOVED = (
    "UPDATE tallystick_effect SET args = (SELECT args FROM tallystick_effect WHERE tool = 'b')",
    "UPDATE tallystick_effect SET args = result WHERE tool = 'a'",
    "UPDATE tallystick_effect SET result = (SELECT result FROM tallystick_effect WHERE tool = 'b')",
    "UPDATE tallystick_effect SET args = replace(args, '\"v\":\"', '\"v\":\"AA') WHERE tool = 'a'",
)


@pytest.mark.parametrize("deed", MOVED)
def test_what_is_sealed_is_bound_to_its_effect_and_column(file: Path, deed: str) -> None:
    """Moved or changed, it is damage: said by ``verify``, never replayed."""
    with Ledger(f"sqlite:///{file}", cipher=Keyring(NEW)) as ledger:
        for tool in ("a", "b"):
            ledger.call(tool, tell, ARGS, workflow="w")
        with closing(sqlite3.connect(file)) as db, db:
            assert db.execute(deed).rowcount >= 1
        key = ledger.verify().damage[0].key
        with pytest.raises(DamagedRecord):
            ledger.get(key)
        with pytest.raises(DamagedRecord):
            ledger.call("a", tell, ARGS, workflow="w")


def test_tenants_have_keys_of_their_own(place: Place) -> None:
    """One that encrypts locks nobody else."""
    with place.open(tenant="a", cipher=Keyring(NEW)) as ledger:
        busy(ledger)
    plain = place.open(tenant="b")
    assert plain.call("tell", tell, ARGS, workflow="w") == {"said": SECRET}
    place.open(tenant="b", cipher=Keyring(OLD))


def test_a_ledger_may_begin_to_encrypt_later(place: Place) -> None:
    """What was plain stays so, and is still replayed."""
    with place.open() as ledger:
        ledger.call("tell", tell, ARGS, workflow="w")
        with pytest.raises(InvalidCall, match="nothing of the workflow"):
            ledger.shred("w", by="ann", reason="asked to")
    ledger = place.open(cipher=Keyring(NEW))
    assert ledger.call("tell", lose, ARGS, workflow="w") == {"said": SECRET}
    ledger.call("tell", tell, {"token": "new"}, workflow="w")
    assert ledger.verify().sound


def test_nonsense_is_no_key() -> None:
    """Nor is a ledger opened with it."""
    nonsense: list[Any] = ["", "short", b"short", "ä" * 32, 7]
    for key in nonsense:
        with pytest.raises(InvalidCall):
            Keyring(key)
    cipher: Any = NEW
    with pytest.raises(InvalidCall):
        Ledger("memory://", cipher=cipher)
    assert NEW not in repr(Keyring(NEW))


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "cryptography.hazmat.primitives.ciphers.aead", None
    )
    with pytest.raises(DriverMissing, match=r"tallystick\[encryption\]"):
        Keyring(NEW)
