"""Crews that are killed at random, and go on under their workflow ids."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.crewai._nursery import Nursery

pytestmark = [pytest.mark.crash, pytest.mark.timeout(120)]


def storm(nursery: Nursery, *options: str) -> dict[str, Any]:
    """What a storm in a process of its own says; CrewAI talks, too."""
    done = nursery.run(["-m", "tests.crewai.storm", *options])
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    [said] = [line for line in done.stdout.splitlines() if line.startswith('{"seed"')]
    told = json.loads(said)
    print(f"seed {told['seed']}")
    report: dict[str, Any] = told["storms"][0]
    return report


@pytest.mark.postgres
def test_no_kill_of_a_crew_repeats_or_loses_an_effect(nursery: Nursery) -> None:
    report = storm(nursery, "--kills", "4", "--store", "postgres")
    assert (report["kills"], report["flaws"]) == (4, [])


def test_the_same_storm_without_the_ledger_repeats_effects(nursery: Nursery) -> None:
    report = storm(nursery, "--kills", "2", "--unprotected", "--store", "sqlite")
    assert any("seen 2 times" in flaw for flaw in report["flaws"])
