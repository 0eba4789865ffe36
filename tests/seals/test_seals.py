"""Seals: what they cover, what may happen after them, and what their own file tells."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tallystick import EffectInDoubt, Ledger, NotApplied, Policy
from tallystick._acts import Observe
from tallystick._archive._merkle import Tree
from tallystick.errors import (
    CompensationIncomplete,
    DriverMissing,
    InvalidCall,
    LedgerClosed,
    SealDamaged,
)
from tallystick.runs import Undo
from tallystick.seals import new_key
from tallystick.testing import turn_clock
from tests.conftest import Face, Place

from .test_tampering import charge, fill, lose

HOUR = 3600


class Office:
    """A ledger, a key, and a file of seals."""

    def __init__(self, folder: Path, ledger: Ledger, face: Face | None = None) -> None:
        self.key, self.file = folder / "key", folder / "seals"
        self.public = new_key(self.key)
        self.ledger = ledger
        self.face = face or Face("blocking")

    def seal(self) -> Any:
        """One more seal."""
        return self.face.do(self.ledger, "seal", self.file, key=self.key)

    def damage(self, **options: Any) -> list[str]:
        """What is found."""
        asked = {"seal": self.file, "public_key": self.public, **options}
        return [d.what for d in self.face.do(self.ledger, "verify", **asked).damage]


@pytest.fixture
def office(place: Place, tmp_path: Path, face: Face) -> Office:
    """On every store, from both sides."""
    return Office(tmp_path, place.open(), face)


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    """In memory, where nothing about the store matters."""
    with Ledger("memory://") as ledger:
        fill(ledger)
        yield Office(tmp_path, ledger)


def test_what_moved_on_by_its_events_is_no_finding(office: Office) -> None:
    """Resolved, tried again, approved; and what is new is sealed by the next seal, once."""
    fill(office.ledger)
    assert office.seal().leaves == 17
    turn_clock(office.ledger, HOUR)
    assert office.damage() == []
    doubt, asked = (item.effect.key for item in reversed(office.ledger.pending()))
    office.ledger.resolve(doubt, by="ann", succeeded="found")
    office.ledger.deny(asked, by="ann")
    key = office.ledger.effects(tool="refuse")[0].key
    assert office.ledger.call("refuse", lambda: "now", workflow="w") == "now"
    office.ledger.call("charge", charge, {"n": 99}, workflow="w")
    office.ledger.halt(tool="pay", by="ann", reason="fraud")
    assert office.damage() == []
    again = office.seal()
    assert (again.number, again.leaves) == (2, 5)
    turn_clock(office.ledger, HOUR)
    assert office.damage(last_root=again.root) == []
    lines = office.file.read_text().splitlines()
    assert sum(key in line for line in lines) == 2
    assert office.seal().leaves == 0


def test_what_was_undone_or_forgotten_is_no_finding(office: Office) -> None:
    """Compensated, compensated in vain; and then what may go is gone."""
    ledger = office.ledger
    ledger.compensation("refund")(refund)
    for name in ("refund", "unknown"):
        undo = Undo(steps=name, before=lambda _: "what was there")
        ledger.call("charge", charge, {"n": 1}, workflow=name, policy=Policy(compensate=undo))
    ledger.call("note", charge, {"n": 2}, workflow="v")
    office.seal()
    ledger.compensate("refund")
    with pytest.raises(CompensationIncomplete):
        ledger.compensate("unknown")
    assert office.damage() == []
    turn_clock(ledger, HOUR)
    assert office.face.do(ledger, "retain", payloads=60).effects == 3
    assert office.damage() == []
    assert office.seal().leaves > 0
    assert office.damage() == []


def refund(n: int) -> None:
    """A compensation."""


@pytest.mark.parametrize("moved", [False, True], ids=["as it was", "moved on"])
@pytest.mark.parametrize(("column", "value"), [("undo", '{"steps": ["steal"]}'), ("place", "[]")])
def test_another_way_back_or_place_is_found(
    tmp_path: Path, column: str, value: str, moved: bool
) -> None:
    """Also where the effect has moved on since, by events that do not tell of it."""
    file = tmp_path / "ledger.db"
    with Ledger(f"sqlite:///{file}") as ledger:
        office = Office(tmp_path, ledger)
        ledger.call("charge", charge, {"n": 1}, workflow="w", policy=Policy(compensate="unknown"))
        office.seal()
        if moved:
            with pytest.raises(CompensationIncomplete):
                ledger.compensate("w")
        assert office.damage() == []
        with closing(sqlite3.connect(file)) as db, db:
            db.execute(f"UPDATE tallystick_effect SET {column} = ? WHERE tool = 'charge'", [value])
        (what,) = office.damage()
    assert "no event tells of that" in what


def test_the_root_is_the_one_of_rfc_6962() -> None:
    """Against the definition, for trees of every shape."""

    def root(leaves: list[bytes]) -> bytes:
        if not leaves:
            return hashlib.sha256().digest()
        if len(leaves) == 1:
            return hashlib.sha256(b"\0" + leaves[0]).digest()
        half = 1 << (len(leaves) - 1).bit_length() - 1
        return hashlib.sha256(b"\1" + root(leaves[:half]) + root(leaves[half:])).digest()

    tree, leaves = Tree(), list[bytes]()
    for n in range(70):
        assert (tree.root, tree.leaves) == (root(leaves), n)
        leaves.append(b"leaf %d" % n)
        tree.add(leaves[-1])


def _lines(office: Office) -> list[bytes]:
    return office.file.read_bytes().splitlines(keepends=True)


def _swap(lines: list[bytes]) -> None:
    lines[0], lines[1] = lines[1], lines[0]


def _again(lines: list[bytes]) -> None:
    lines.extend(lines[18:])


def _less(lines: list[bytes]) -> None:
    del lines[:18]


def _put(n: int, old: bytes, new: bytes) -> Callable[[list[bytes]], None]:
    def put(lines: list[bytes]) -> None:
        assert old in lines[n]
        lines[n] = lines[n].replace(old, new, 1)

    return put


MEDDLING: dict[str, tuple[int, str, Callable[[list[bytes]], Any]]] = {
    "a leaf is edited": (18, "not the ones", _put(3, b"4", b"5")),
    "a leaf is taken away": (17, "not the ones", lambda x: x.pop(2)),
    "a leaf is added": (19, "not the ones", lambda x: x.insert(2, x[2])),
    "leaves change places": (18, "not the ones", _swap),
    "a leaf is nonsense": (3, "no JSON", lambda x: x.__setitem__(2, b"nonsense\n")),
    "a leaf is something else": (3, "neither", lambda x: x.__setitem__(2, b'{"x":1}\n')),
    "the first seal is edited": (18, "signature", _put(17, b'"leaves":17', b'"leaves":16')),
    "the signature is edited": (18, "signature", _put(17, b'"signature":"', b'"signature":"0')),
    "the signature is no hex": (18, "hex", _put(17, b'"}\n', b'x"}\n')),
    "the first seal is taken away": (2, "follow", _less),
    "the second seal comes twice": (22, "follow", _again),
}  # fmt: skip


@pytest.mark.parametrize("deed", MEDDLING)
def test_a_file_that_was_meddled_with_is_refused(desk: Office, deed: str) -> None:
    """And nothing more is sealed on top of it."""
    line, word, meddle = MEDDLING[deed]
    desk.seal()
    desk.ledger.call("charge", charge, {"n": 99}, workflow="w")
    desk.seal()
    lines = _lines(desk)
    assert len(lines) == 20
    meddle(lines)
    desk.file.write_bytes(b"".join(lines))
    for read in (desk.damage, desk.seal):
        with pytest.raises(SealDamaged, match=word) as damaged:
            read()
        assert damaged.value.line == line


def test_seals_that_were_cut_off_are_missed_by_their_root(desk: Office) -> None:
    """Only who knows the last root can tell."""
    first = desk.seal()
    end = desk.file.stat().st_size
    second = desk.seal()
    assert desk.damage(last_root=second.root) == []
    assert "other seals follow it" in desk.damage(last_root=first.root)[0]
    desk.file.write_bytes(desk.file.read_bytes()[:end])
    assert desk.damage() == []
    assert desk.damage(last_root=first.root) == []
    assert "seals were removed" in desk.damage(last_root=second.root)[0]


@pytest.mark.parametrize("cut", [1, 200, 2000])
def test_a_sealing_that_was_cut_off_is_done_again(desk: Office, cut: int) -> None:
    """What it left behind is no seal, is said, and is written over."""
    desk.seal()
    whole = desk.file.read_bytes()
    desk.file.write_bytes(whole[:-cut])
    found = desk.damage()
    assert "nothing was ever sealed" in found[0]
    desk.seal()
    assert desk.damage() == []
    end = desk.file.stat().st_size
    with desk.file.open("ab") as file:
        file.write(whole[:300])
    assert "nobody signed" in desk.damage()[0]
    desk.seal()
    assert desk.damage() == []
    assert desk.file.read_bytes()[:end] in desk.file.read_bytes()


def test_another_key_is_no_key(desk: Office, tmp_path: Path) -> None:
    """Neither for checking nor for sealing on."""
    desk.seal()
    other = new_key(tmp_path / "other")
    with pytest.raises(SealDamaged, match="another key"):
        desk.damage(public_key=other)
    with pytest.raises(SealDamaged, match="another key"):
        desk.ledger.seal(desk.file, key=tmp_path / "other")


def test_another_tenants_seals_are_refused(desk: Office) -> None:
    desk.seal()
    with Ledger("memory://", tenant="acme") as other, pytest.raises(SealDamaged, match="tenant"):
        other.verify(seal=desk.file, public_key=desk.public)


def test_what_was_sealed_here_is_missing_elsewhere(desk: Office) -> None:
    """Every record is named."""
    desk.seal()
    with Ledger("memory://") as other:
        damage = other.verify(seal=desk.file, public_key=desk.public).damage
    gone = {d.key for d in damage if "not there any more" in d.what}
    settled = {e.key for e in desk.ledger.effects() if e.status != "pending"}
    assert gone == settled
    assert sum("halts" in d.what for d in damage) == 1


def test_keys_are_new_and_private(tmp_path: Path) -> None:
    public = new_key(tmp_path / "key")
    assert public == tmp_path / "key.pub"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    with pytest.raises(InvalidCall, match="cannot be written"):
        new_key(tmp_path / "key")


def test_a_closed_ledger_is_not_sealed(office: Office) -> None:
    """And the file is as it was."""
    fill(office.ledger)
    office.seal()
    before = office.file.read_bytes()
    office.ledger.close()
    with pytest.raises(LedgerClosed):
        office.seal()
    assert office.file.read_bytes() == before


def test_what_is_no_key_or_no_file_is_refused(desk: Office, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    refusals: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (desk.ledger.seal, {"file": desk.file, "key": tmp_path / "none"}),
        (desk.ledger.seal, {"file": desk.file, "key": tmp_path / "text"}),
        (desk.ledger.seal, {"file": desk.file, "key": desk.public}),
        (desk.ledger.seal, {"file": tmp_path / "no" / "seals", "key": desk.key}),
        (desk.ledger.verify, {"seal": desk.file}),
        (desk.ledger.verify, {"public_key": desk.public}),
        (desk.ledger.verify, {"seal": desk.file, "public_key": desk.public}),
        (desk.ledger.verify, {"seal": desk.file, "public_key": desk.key}),
    ]
    for verb, options in refusals:
        with pytest.raises(InvalidCall):
            verb(**options)


def test_without_cryptography_the_extra_is_named(
    desk: Office, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    asked: list[Callable[[], Any]] = [
        lambda: new_key(tmp_path / "another"),
        desk.seal,
        desk.damage,
    ]
    for verb in asked:
        with pytest.raises(DriverMissing, match=r"tallystick\[seal\]"):
            verb()


def test_a_record_that_moved_on_against_its_seal_is_found(desk: Office) -> None:
    """A result that was sealed stays the result, whatever events come after it."""
    desk.seal()
    engine: Any = vars(desk.ledger)["_engine"]
    effect = desk.ledger.effects(tool="charge")[0]
    key = bytes.fromhex(effect.key)
    shelf = engine.store._shelf
    shelf.rows[key] = shelf.rows[key]._replace(
        result='"else"', result_digest=hashlib.sha256(b'"else"').digest()
    )
    engine.journal.submit(
        Observe(key=key, tenant="default", kind="observed", actor="eve", detail={})
    )
    assert desk.ledger.verify().sound
    assert desk.damage() == ["its result is another one than was sealed"]


def test_the_file_says_what_it_is(desk: Office) -> None:
    """Line by line in JSON, each leaf with its key."""
    sealed = desk.seal()
    *leaves, last = [json.loads(line) for line in _lines(desk)]
    assert last["seal"]["root"] == sealed.root
    keys = {leaf["leaf"]["key"] for leaf in leaves if "leaf" in leaf}
    assert keys == {e.key for e in desk.ledger.effects() if e.status != "pending"}


def test_an_effect_under_way_is_not_sealed(desk: Office) -> None:
    with desk.ledger.claim("slow", workflow="w") as claim:
        assert desk.seal().leaves == 17
        claim.succeed("done")
    assert desk.seal().leaves == 1
    with pytest.raises(EffectInDoubt):
        desk.ledger.call("lost", lose, workflow="again")
    with pytest.raises(NotApplied):
        desk.ledger.call("no", _no, workflow="again", policy=Policy())
    assert desk.seal().leaves == 2


def _no() -> None:
    raise NotApplied("no")
