"""A run is told again from its record: equal, untouched, and unlike ones are told (S42)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context

import pytest

from tallystick import Status
from tallystick.errors import Divergence, InvalidCall
from tallystick.ledger import Mode
from tests.conftest import Face, Place
from tests.replays._runs import Run, alike, told
from tests.replays._world import Shop, kept, same


def test_every_kind_of_call_replays_equal_and_touches_nothing(place: Place, face: Face) -> None:
    """S42: deduplicated, nested, failed, doubtful, asked and read-only calls."""
    ledger, shop = place.open(), Shop()
    first = told(ledger, face, Run(ledger, face, shop), ledger.workflow("w"))
    ran, rows = len(shop.ran), kept(place, ledger)
    assert [type(t).__name__ for t in first[:2]] == ["Receipt"] * 2
    assert first[3:6] == [1, 2, 3]

    replay = ledger.replay("w")
    again = told(ledger, face, Run(ledger, face, shop), replay)

    assert [a for a in zip(first, again, strict=True) if not alike(*a)] == []
    assert str(again[7]) == str(again[8]) == str(first[7]) == "9 declined by the bank"
    assert len(shop.ran) == ran
    assert kept(place, ledger) == rows
    assert (replay.served, replay.divergences, replay.missing) == (len(first), (), ())
    assert ledger.verify().sound


def test_a_replay_leaves_a_record_of_its_own(place: Place, face: Face) -> None:
    """Who replayed what, in a workflow of its own, and what was otherwise."""
    ledger = place.open()
    face.do(ledger, "call", "charge", same, {"cents": 1}, workflow="w")
    with ledger.replay("w", mode="lenient"):
        ledger.call("charge", same, {"cents": 2})
    with pytest.raises(ZeroDivisionError), ledger.replay("w"):
        _ = 1 // 0
    crashed, lenient = ledger.effects(workflow="replay:w")
    assert (lenient.tool, lenient.status) == ("tallystick.replay", Status.SUCCEEDED)
    assert lenient.args == {"workflow": "w", "mode": "lenient"}
    assert lenient.result["served"] == 1
    assert [d["kind"] for d in lenient.result["divergences"]] == ["arguments"]
    assert crashed.result["raised"] == "ZeroDivisionError"
    with pytest.raises(InvalidCall, match="the ledger's own"):
        ledger.call("tallystick.replay", dict, workflow="w")


def test_other_arguments_are_a_divergence_that_shows_the_difference(
    place: Place, face: Face
) -> None:
    """AR-10: get(666) never gets the record of get(1)."""
    ledger = place.open()
    args = {"id": 1, "fields": ["name"], "deep": {"b": 2, "a": 1}}
    face.do(ledger, "call", "get", same, args, workflow="w")
    with pytest.raises(Divergence) as caught, ledger.replay("w"):
        face.do(ledger, "call", "get", same, args | {"id": 666}, workflow="w")
    wrong = caught.value
    assert (wrong.kind, wrong.step, wrong.tool, wrong.workflow) == ("arguments", 1, "get", "w")
    assert wrong.key == ledger.effects(tool="get")[0].key
    assert '-  "id": 1\n+  "id": 666' in wrong.difference
    assert '   "a": 1,' in wrong.difference
    assert wrong.difference in str(wrong)


def test_a_call_too_many_and_one_too_few_are_divergences(place: Place) -> None:
    """Nothing runs in the place of what is not recorded, in either mode."""
    ledger, shop = place.open(), Shop()

    def run(numbers: Sequence[int], *, refunds: bool) -> None:
        for n in numbers:
            assert ledger.call("send", shop.send, {"n": n}) == n
        if refunds:
            ledger.call("refund", shop.send, {"n": 9})

    with ledger.workflow("w"):
        run((1, 2), refunds=False)
    assert shop.ran == [1, 2]
    modes: tuple[Mode, ...] = ("strict", "lenient")
    for mode in modes:
        with pytest.raises(Divergence) as caught, ledger.replay("w", mode=mode):
            run((1, 2, 1), refunds=True)
        assert (caught.value.kind, caught.value.step) == ("extra", 4)
    with pytest.raises(Divergence) as caught, ledger.replay("w"):
        run((2,), refunds=False)
    assert (caught.value.kind, caught.value.step) == ("missing", 1)
    assert '"n": 1' in caught.value.difference
    assert shop.ran == [1, 2]


def test_a_lenient_replay_notes_what_differs_and_goes_on(place: Place, face: Face) -> None:
    """The record of the same tool at that step; what was not called is noted at the end."""
    ledger = place.open()
    with ledger.workflow("w"):
        for n in (1, 2, 3):
            ledger.call("send", same, {"n": n})
    with ledger.replay("w", mode="lenient") as replay:
        assert face.do(ledger, "call", "send", dict, {"n": 1}) == {"n": 1}
        assert face.do(ledger, "call", "send", dict, {"n": 22}) == {"n": 2}
        assert face.do(ledger, "call", "send", dict, {"n": 22}) == {"n": 2}
        assert [d.kind for d in replay.missing] == ["missing"]
    assert [(d.kind, d.step) for d in replay.divergences] == [("arguments", 2), ("missing", 3)]
    assert replay.served == 3


def test_a_swallowed_divergence_is_told_at_the_end(place: Place) -> None:
    """A framework may make words of it."""
    ledger = place.open()

    def run(*numbers: int) -> None:
        for n in numbers:
            with suppress(Divergence):
                ledger.call("send", dict, {"n": n})

    with ledger.workflow("w"):
        run(1)
    with pytest.raises(Divergence, match="step 1: send"), ledger.replay("w"):
        run(2, 1)


def test_parallel_calls_replay_equal_in_threads_and_tasks(place: Place) -> None:
    """AR-12: whichever comes first, each gets its own."""
    ledger, shop = place.open(), Shop()

    def double(n: int) -> int:
        return shop.send(n) * 2

    def threads() -> list[int]:
        def one(n: int) -> int:
            return ledger.call("double", double, {"n": n})

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(copy_context().run, one, n) for n in range(40)]
            return [future.result() for future in futures]

    async def tasks() -> list[int]:
        some = (ledger.acall("double", double, {"n": n}, call_id=f"c{n}") for n in range(40, 80))
        return list(await asyncio.gather(*some))

    with ledger.workflow("w"):
        first = [*threads(), *asyncio.run(tasks())]
    ran, rows = len(shop.ran), kept(place, ledger)
    with ledger.replay("w") as replay:
        assert [*threads(), *asyncio.run(tasks())] == first
    assert (len(shop.ran), replay.served) == (ran, 80) == (80, 80)
    assert kept(place, ledger) == rows


def test_a_thread_that_lost_its_context_still_executes_nothing(place: Place) -> None:
    """AR-11: it names its workflow, and gets what the one replay of that has."""
    ledger, shop = place.open(), Shop()

    def run(pool: ThreadPoolExecutor) -> list[int]:
        sent = [pool.submit(ledger.call, "s", shop.send, {"n": n}, workflow="w") for n in range(4)]
        return [future.result() for future in sent]

    with ThreadPoolExecutor(4) as pool:
        first = run(pool)
        with ledger.replay("w"):
            assert run(pool) == first
        with ledger.replay("w", mode="lenient"), ledger.replay("w", mode="lenient") as other:
            with pytest.raises(InvalidCall, match="copy_context"):
                run(pool)
            assert other.served == 0
        assert len(shop.ran) == 4
