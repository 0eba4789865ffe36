"""Commands that other packages add."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tallystick.cli._app import build
from tallystick.cli._plugins import GROUP, installed
from tests.test_surface import HIDE

from .conftest import app, declared

LISTED = """
import json, sys
from importlib.metadata import EntryPoint
from typer.testing import CliRunner
from tallystick.cli._app import build
app = build([EntryPoint(*entry, "tallystick.commands") for entry in json.loads(sys.argv[1])])
for args in (["--help"], ["prune", "--help"], ["threads", "import", "--help"]):
    assert CliRunner().invoke(app, args, catch_exceptions=False).exit_code == 0
found = CliRunner().invoke(app, sys.argv[2:])
print(json.dumps([sorted(sys.modules), found.exit_code, found.stderr]))
"""


def run(*args: str, hidden: list[str] | None = None) -> tuple[set[str], int, str]:
    """The modules, exit code and errors of a command in a process of its own."""
    code = (HIDE.format(hidden=hidden) if hidden else "") + LISTED
    entries = json.dumps([(entry.name, entry.value) for entry in declared()])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, entries, *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    modules, exit_code, stderr = json.loads(done.stdout)
    return {name.partition(".")[0] for name in modules}, exit_code, stderr


def plugin(monkeypatch: pytest.MonkeyPatch, name: str, made: Any) -> EntryPoint:
    """An entry whose module is there."""
    module: Any = types.ModuleType("some_plugin")
    module.made = made
    monkeypatch.setitem(sys.modules, "some_plugin", module)
    return EntryPoint(name, "some_plugin:made", GROUP)


def test_the_declared_commands_are_listed() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    assert "prune" in said
    assert "threads" in said


def test_help_imports_no_framework() -> None:
    """Listing commands and showing their options stays fast."""
    modules, code, _ = run("--help")
    assert code == 0
    assert modules.isdisjoint({"langgraph", "langchain_core", "sqlalchemy", "alembic", "psycopg"})


@pytest.mark.parametrize("args", [["prune", "--keep", "1"], ["threads", "import", "x.db"]])
def test_without_langgraph_they_say_what_to_install(args: list[str], office: Any) -> None:
    hidden = ["langgraph", "langchain_core"]
    _, code, err = run(*args, "--ledger", office.url, hidden=hidden)
    assert code == 2
    assert err == ('tallystick_checkpoint needs LangGraph: pip install "tallystick[langgraph]"\n')


def test_a_function_becomes_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def greet(name: str) -> None:
        """Greet somebody."""
        typer.echo(f"hello {name}")

    made = build([plugin(monkeypatch, "greet", greet)])
    assert CliRunner().invoke(made, ["greet", "ann"]).stdout == "hello ann\n"


def test_what_is_broken_breaks_nothing_else(office: Any) -> None:
    """It is listed, and says why it does nothing."""
    made = build([EntryPoint("gone", "no_such_module:thing", GROUP)])
    assert CliRunner().invoke(made, ["effects", "--ledger", office.url]).exit_code == 0
    assert CliRunner().invoke(made, ["--help"]).exit_code == 0
    said = CliRunner().invoke(made, ["gone", "--any", "thing"])
    assert said.exit_code == 2
    assert "`gone` cannot be loaded from no_such_module:thing: No module named" in said.stderr


@pytest.mark.parametrize("name", ["approve", "db", "import-nothing"])
def test_no_plugin_takes_the_place_of_a_command(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nor of another plugin that came first."""

    def first() -> None:
        """Be the first."""
        typer.echo("first")

    def evil() -> None:
        """Do evil."""
        typer.echo("evil")

    one = plugin(monkeypatch, "import-nothing", first)
    vars(sys.modules["some_plugin"])["evil"] = evil
    made = build([one, EntryPoint(name, "some_plugin:evil", GROUP)])
    for args in ([name], [name, "--help"]):
        assert "evil" not in CliRunner().invoke(made, args).output.lower()


def test_whatever_is_installed_is_found_by_name() -> None:
    """The order does not depend on where packages lie."""
    names = [entry.name for entry in installed()]
    assert names == sorted(names)
