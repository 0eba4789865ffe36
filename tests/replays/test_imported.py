"""A run that was recorded on one store is told again on another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick import Ledger
from tallystick._codec import encode
from tests.conftest import Face, Place
from tests.replays._elsewhere import cut_off, moved
from tests.replays._runs import Run, alike, told
from tests.replays._world import Shop


@pytest.mark.parametrize("origin", ["memory", "sqlite"])
def test_every_kind_of_call_replays_from_an_export(
    origin: str, place: Place, face: Face, tmp_path: Path
) -> None:
    """Equal, in every particular; no tool runs, and nothing but the replay's record is new."""
    shop = Shop()
    url = "memory://" if origin == "memory" else f"sqlite:///{tmp_path}/origin.db"
    with Ledger(url) as here:
        first = told(here, face, Run(here, face, shop), here.workflow("w", input={"n": 1}))
        ran = len(shop.ran)
        there = moved(here, place.open())
    before = there.effects()
    replay = there.replay("w")
    again = told(there, face, Run(there, face, shop), replay)
    assert [a for a in zip(first, again, strict=True) if not alike(*a)] == []
    assert (len(shop.ran), replay.divergences, replay.missing) == (ran, (), ())
    assert [e for e in there.effects() if not e.workflow.startswith("replay:")] == before
    assert there.verify().sound


def test_every_kind_of_call_replays_on_the_other_kind_of_store(
    journey: tuple[Ledger, Ledger], face: Face
) -> None:
    """With the network cut, byte by byte as it would be stored; no tool runs."""
    here, there = journey
    shop, nobody = Shop(), Shop()
    first = told(here, face, Run(here, face, shop), here.workflow("w", input={"n": 1}))
    moved(here, there)
    with cut_off():
        again = told(there, face, Run(there, face, nobody), there.replay("w"))
    assert [a for a in zip(first, again, strict=True) if not alike(*a)] == []
    values = [[encode(v) for v in each if not isinstance(v, Exception)] for each in (first, again)]
    assert values[0] == values[1]
    assert len(values[0]) > len(first) // 2
    assert shop.ran
    assert nobody.ran == []
    assert there.verify().sound


def test_a_run_with_its_input_replays_with_the_network_cut(tmp_path: Path) -> None:
    """From a file into memory, where nothing is left that could be asked."""
    shop = Shop()

    def sent(ledger: Ledger) -> int:
        with ledger.workflow("w", input={"n": 5}) as run:
            value: int = ledger.call("send", shop.send, {"n": run.input["n"]})
            run.set_output(value)
        return value

    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as here, Ledger("memory://") as there:
        first = sent(here)
        moved(here, there)
        with cut_off(), there.replay("w") as replay:
            assert sent(there) == first
        assert (shop.ran, replay.served) == ([5], 1)
        assert there.run("w").output == 5
