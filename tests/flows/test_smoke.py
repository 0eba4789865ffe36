"""The straight path, everywhere."""

from __future__ import annotations

from ..conftest import Face, Place


def test_a_call_that_is_repeated_happens_once(place: Place, face: Face) -> None:
    """The second call gets the first one's result."""
    seen: list[str] = []

    def charge(order: str) -> dict[str, str]:
        seen.append(order)
        return {"id": order}

    ledger = place.open()
    first = face.do(ledger, "call", "charge", charge, {"order": "A"}, workflow="w")
    again = face.do(ledger, "call", "charge", charge, {"order": "A"}, workflow="w")
    assert first == again == {"id": "A"}
    assert seen == ["A"]


def test_a_crash_leaves_the_effect_in_doubt(place: Place, face: Face) -> None:
    """What a dead worker left running is shown to people and not repeated."""
    ledger = place.open()
    with ledger.claim("charge", {"order": "A"}, workflow="w") as claim:
        assert claim.fresh
        key = claim.key
        place.crash(ledger)
        other = place.reopen()
        assert face.do(other, "recover") == 1
        assert [i.effect.key for i in face.do(other, "pending")] == [key]
        claim._settled = True
