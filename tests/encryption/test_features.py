"""What else reads payloads behind a key: undoing, replaying, exporting, sealing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger, NotApplied, Policy
from tallystick.encryption import Keyring
from tallystick.errors import InvalidCall, KeyMissing, ResultNotStored, WorkflowShredded
from tallystick.runs import Undo
from tallystick.seals import new_key
from tests.conftest import Face, Place

from .test_keys import ARGS, EVERY, NEW, OLD, SECRET, busy, lose, rows, tell


def undone(token: str, result: Any, before: Any) -> None:
    """A compensation that has to get everything."""
    assert (token, result, before) == (SECRET, {"said": SECRET}, {"was": SECRET})


def refuse(token: str) -> None:
    """One that quotes what it was given."""
    raise NotApplied(f"no way back for {token}")


def booked(ledger: Ledger, workflow: str = "w", steps: Any = undone) -> str:
    """A run with an effect that can be undone; the effect's key."""
    undo = Undo(steps=steps, before=lambda _: {"was": SECRET})
    with ledger.workflow(workflow, input={"of": SECRET}) as run:
        ledger.call("tell", tell, ARGS, policy=Policy(compensate=undo))
        run.set_output([SECRET])
    return ledger.effects(workflow=workflow, tool="tell")[0].key


def archive_of(ledger: Ledger) -> io.BytesIO:
    archive = io.BytesIO()
    ledger.export(archive)
    archive.seek(0)
    return archive


def test_a_run_and_its_way_back_are_sealed_and_found_again(place: Place, face: Face) -> None:
    """Input, output, what was there before; whoever has the key undoes it."""
    with place.open(cipher=Keyring(NEW)) as ledger:
        booked(ledger)
        assert ledger.run("w").input == {"of": SECRET}
        if place.kind == "sqlite":
            assert SECRET not in rows(Path(place.url.removeprefix("sqlite:///")))
    ledger = place.open(cipher=Keyring(NEW))
    assert face.do(ledger, "compensate", "w").complete
    assert ledger.verify().sound


def test_why_something_could_not_be_undone_is_sealed(tmp_path: Path) -> None:
    """A tool's words, in the inbox and in the history."""
    file = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{file}", cipher=Keyring(NEW)) as ledger:
        key = booked(ledger, steps=refuse)
        ledger.call("tell", tell, ARGS, workflow="v")
        with pytest.raises(Exception, match="no way back"):
            ledger.compensate("w")
        notes = [item.note for item in ledger.pending()]
        assert any(SECRET in note for note in notes), notes
        assert SECRET in repr(ledger.history(key))
        assert SECRET not in rows(file, *EVERY)
        with pytest.raises(InvalidCall, match="half undone"):
            ledger.shred("w", by="ann", reason="asked to")


def test_without_the_key_none_of_it_begins(place: Place, face: Face) -> None:
    """Each says which key is missing, and leaves all as it was."""
    with place.open(cipher=Keyring(NEW)) as ledger:
        booked(ledger)
    locked = place.open()
    before = locked.effects()
    with pytest.raises(KeyMissing):
        face.do(locked, "compensate", "w")
    with pytest.raises(KeyMissing), locked.replay("w"):
        pytest.fail("it was replayed")
    with pytest.raises(KeyMissing):
        face.do(locked, "export", io.BytesIO())
    assert locked.effects()[-len(before) :] == before


def test_an_export_is_in_the_clear_and_says_so(place: Place, tmp_path: Path) -> None:
    """It replays elsewhere, with a key or without, and is sealed again where there is one."""
    with place.open(cipher=Keyring(NEW)) as ledger:
        key = booked(ledger)
        busy(ledger, "v")
        archive = archive_of(ledger)
    assert json.loads(archive.getvalue().splitlines()[0])["header"]["opened"] is True
    assert SECRET.encode() in archive.getvalue()
    file = tmp_path / "other.db"
    options: list[dict[str, Any]] = [{}, {"cipher": Keyring(OLD)}]
    for url, more in zip(("memory://", f"sqlite:///{file}"), options, strict=True):
        archive.seek(0)
        with Ledger(url, **more) as other:
            loaded = other.load(archive)
            assert loaded.imported == 5
            archive.seek(0)
            assert other.load(archive).known == 5
            assert other.verify().sound
            assert other.get(key).args == ARGS
            with other.replay("w"):
                assert other.call("tell", lose, ARGS) == {"said": SECRET}
            assert other.call("ask", lose, ARGS, workflow="v") == {"said": f"{SECRET}!"}
            assert other.compensate("w").complete
    assert SECRET not in rows(file)
    archive.seek(0)
    assert place.open(cipher=Keyring(NEW)).load(archive).known == 5


def test_a_plain_ledger_says_nothing_of_keys() -> None:
    with Ledger("memory://") as ledger:
        ledger.call("tell", tell, ARGS, workflow="w")
        header = json.loads(archive_of(ledger).getvalue().splitlines()[0])["header"]
    assert "opened" not in header


def test_what_was_shredded_arrives_as_a_tombstone(place: Place) -> None:
    """Also where the archive was written between the two halves of shredding."""
    ledger = place.open(cipher=Keyring(NEW))
    booked(ledger)
    booked(ledger, "kept")
    whole = archive_of(ledger)
    shelf = ledger._engine.store  # pyright: ignore[reportPrivateUsage]
    half = _shredded(ledger, shelf)
    with Ledger("memory://") as other:
        assert other.load(half).imported == 4
        assert other.verify().sound
        with pytest.raises(ResultNotStored):
            other.call("tell", lose, ARGS, workflow="w")
        assert other.call("tell", lose, ARGS, workflow="kept") == {"said": SECRET}
        assert SECRET not in repr(other.effects(workflow="w"))
        half.seek(0)
        assert other.load(half).known == 4
    assert ledger.load(whole).known == 4
    whole.seek(0)
    with Ledger("memory://", cipher=Keyring(NEW)) as third:
        booked(third)
        third.shred("w", by="ann", reason="asked to")
        with pytest.raises(WorkflowShredded):
            _without("tell", third, whole)


def _shredded(ledger: Ledger, store: Any) -> io.BytesIO:
    """An archive of what is there when the key is gone and the payloads are not yet dropped."""
    from tallystick._keys import scope_of
    from tallystick._vault import Shred

    scope = scope_of("default", "w")
    store.apply([Shred(tenant="default", workflow="w", scope=scope, by="ann", reason="asked to")])
    return archive_of(ledger)


def _without(tool: str, ledger: Ledger, archive: io.BytesIO) -> None:
    """Bring records into a workflow that was shredded here."""
    with Ledger("memory://") as other:
        other.call(f"another {tool}", tell, ARGS, workflow="w")
        ledger.load(archive_of(other))


def test_a_seal_holds_over_a_change_of_key_and_shredding(place: Place, tmp_path: Path) -> None:
    """Its leaves are of what is stored, so that nobody needs a key to check them."""
    public, seals = new_key(tmp_path / "key"), tmp_path / "seals"
    with place.open(cipher=Keyring(OLD)) as ledger:
        booked(ledger)
        busy(ledger, "v")
        ledger.seal(seals, key=tmp_path / "key")
    with place.open() as locked:
        assert locked.verify(seal=seals, public_key=public).sound
    with place.open(cipher=Keyring(NEW, OLD)) as ledger:
        ledger.rewrap()
        assert ledger.verify(seal=seals, public_key=public).sound
        ledger.shred("w", by="ann", reason="asked to")
        found = ledger.verify(seal=seals, public_key=public)
        assert found.sound, found.damage
