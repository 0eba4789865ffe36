"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import typer.main

from .conftest import app


def commands(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
        else:
            yield " ".join([*above, name]), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_all_commands_are_there() -> None:
    assert set(COMMANDS) == {
        "inbox", "effects", "show", "halts", "approve", "deny", "resolve", "cancel", "halt",
        "unhalt", "verify", "doctor", "db upgrade", "db check", "demo", "prune", "threads import",
        "budgets raise", "budgets set", "budgets unreconciled", "budgets reconcile", "cost",
        "reprice", "runs", "compensate", "contain", "retain", "shred", "rewrap", "export", "import",
        "seal", "seal-key",
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "seal-key"])
def test_every_command_answers_in_json_and_about_any_ledger(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--json", "--ledger"} <= options
    assert COMMANDS[name].help


def test_the_exit_codes_are_in_the_help(tallystick: Callable[..., Any]) -> None:
    said = tallystick("--help", COLUMNS="200")
    assert said.code == 0
    assert "Exit codes: 0 fine; 1 the answer is no" in said.out


def test_the_version_is_said(tallystick: Callable[..., Any]) -> None:
    said = tallystick("--version")
    assert said.code == 0
    assert said.out.startswith("tallystick ")


def test_a_wrong_command_is_wrong_usage(tallystick: Callable[..., Any]) -> None:
    assert tallystick("frobnicate").code == 2


@pytest.mark.parametrize("statement", ["import tallystick", "import tallystick.cli"])
def test_the_library_does_not_import_what_only_the_command_line_needs(statement: str) -> None:
    code = f"{statement}, sys; print(sorted({{'typer', 'rich', 'langchain'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_help_opens_no_database() -> None:
    code = (
        "import sys; from tallystick.cli import _app;"
        "print(sorted({'alembic', 'psycopg', 'langchain', 'multiprocessing'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
