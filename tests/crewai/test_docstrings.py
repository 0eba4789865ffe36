"""What the docstrings of the adapter show has been run, in the quiet that CrewAI needs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tallystick_crewai

MODULES = [
    name for _, name, _ in pkgutil.walk_packages(tallystick_crewai.__path__, "tallystick_crewai.")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_print_what_they_say(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS).failed == 0


@pytest.mark.parametrize("name", ["_steps", "_budget._around"])
def test_what_a_user_begins_with_has_an_example(name: str) -> None:
    module = importlib.import_module(f"tallystick_crewai.{name}")
    found = doctest.DocTestFinder().find(module)
    assert any(each.examples for each in found)
