"""What docstrings show has been run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tallystick
import tallystick_autogen
import tallystick_checkpoint
import tallystick_langchain
import tallystick_langgraph

PACKAGES = (
    tallystick,
    tallystick_autogen,
    tallystick_checkpoint,
    tallystick_langchain,
    tallystick_langgraph,
)
MODULES = [
    name
    for package in PACKAGES
    for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if ".migrations" not in name and not name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_print_what_they_say(name: str) -> None:
    """Doctest finds nothing to complain about."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    """The public face has some that were run."""
    module = importlib.import_module("tallystick.ledger")
    assert doctest.testmod(module).attempted >= 5
