"""Teams that are killed, at random and at each point, and go on under their workflow ids."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests._warm import Warm
from tests.adapters.processes import ROOT

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]

Storm = Callable[..., dict[str, Any]]


@pytest.fixture
def storm(warm: Warm) -> Storm:
    """What a storm in a process of its own says."""

    def storm(*options: str) -> dict[str, Any]:
        done = warm.run(["-m", "tests.autogen.storm", *options], ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)
        print(f"seed {told['seed']}")
        report: dict[str, Any] = told["storms"][0]
        return report

    return storm


def test_no_kill_of_a_team_repeats_or_loses_an_effect(storm: Storm) -> None:
    report = storm("--kills", "4", "--store", "sqlite")
    assert (report["kills"], report["flaws"]) == (4, [])


@pytest.mark.postgres
def test_no_kill_of_a_team_repeats_or_loses_an_effect_on_postgres(storm: Storm) -> None:
    report = storm("--kills", "3", "--store", "postgres")
    assert (report["kills"], report["flaws"]) == (3, [])


def test_a_team_that_dies_at_any_point_goes_on(storm: Storm) -> None:
    """Before a tool, after its effect, before an answer or the end is saved: every one in turn."""
    report = storm("--points", "--every", "33", "--store", "sqlite")
    assert report["kills"] >= 4
    assert report["flaws"] == []


def test_the_same_storm_without_the_ledger_repeats_effects(storm: Storm) -> None:
    report = storm("--kills", "2", "--unprotected", "--store", "sqlite")
    assert report["kills"] == 2
    assert any("seen" in flaw for flaw in report["flaws"])
