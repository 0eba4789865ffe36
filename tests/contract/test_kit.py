"""The kit that the contract is made of: deaths at named points, and what a store says it can do."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick import Ledger, NotApplied, Policy
from tallystick import _acts as acts
from tallystick.stores import _scripts
from tallystick.testing import Crashed, StoreContract, crash, crash_at, points
from tallystick.testing._contract._faced import Held, raises

from .test_memory import TestMemory as OnMemory
from .test_postgres import TestPostgres as OnPostgres


def test_every_act_is_read_or_has_its_points() -> None:
    """A new act that the journal takes is three more points, without a line of anybody's."""
    act: Any = acts.Act
    kinds = {kind.__name__ for kind in act.__subclasses__()} | {"Claim", "Settle"}
    written = {point.partition(".")[0] for point in points()} - {"tool"}
    reads = _scripts._READS  # pyright: ignore[reportPrivateUsage]
    assert kinds - written <= {kind.__name__ for kind in reads}
    assert written <= kinds
    assert len(points()) == 3 * len(written) + 3


def test_an_unknown_point_is_refused() -> None:
    """A misspelt one would never fire."""
    with pytest.raises(ValueError, match="no point"), crash_at("Settle.after"):
        pass


def test_a_death_comes_the_nth_time_and_is_final() -> None:
    """Nothing is written afterwards until the block ends, and nothing before was lost."""
    policy = Policy(classify={KeyError: "failed"})
    with Ledger("memory://") as ledger:
        with crash_at("Settle.applied", nth=2) as death:
            assert ledger.call("charge", int, workflow="first") == 0
            assert not death.fired
            with pytest.raises(Crashed):
                ledger.call("charge", int, workflow="second", policy=policy)
            assert death.fired
            with pytest.raises(Crashed):
                ledger.call("charge", int, workflow="third")
        statuses = {effect.workflow: str(effect.status) for effect in ledger.effects()}
        assert statuses == {"first": "succeeded", "second": "running"}
        assert ledger.call("charge", int, workflow="third") == 0


def test_a_death_that_never_comes_leaves_no_trace() -> None:
    """The points are disarmed at the end of the block, however it ends."""
    with Ledger("memory://") as ledger:
        with pytest.raises(NotApplied), crash_at("Decide.before") as death:
            raise NotApplied
        assert not death.fired
        assert ledger.call("charge", int, workflow="w") == 0


def test_a_killed_ledger_writes_nothing_more() -> None:
    """What it held is another worker's to find."""
    ledger, other = Ledger("memory://killed"), Ledger("memory://killed")
    Held(ledger.claim("charge", workflow="w"), awaiting=False)
    crash(ledger)
    assert other.recover() == 1
    other.close()


def test_a_store_says_what_it_can_do() -> None:
    """And is asked for nothing else."""
    nothing = dict.fromkeys(("transactional", "durable", "damageable", "leased"), False)
    assert StoreContract.capabilities() == OnMemory.capabilities() == nothing
    assert OnPostgres.capabilities() == dict.fromkeys(nothing, True)


def test_an_error_that_does_not_come_is_an_error() -> None:
    """The contract's own ``raises`` lets other errors through, and misses none."""
    with pytest.raises(AssertionError, match="KeyError"), raises(KeyError):
        pass
    with pytest.raises(ValueError, match="other"), raises(KeyError):
        raise ValueError("other")
