"""What the README shows has been run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from typer.testing import CliRunner

from tallystick.cli._app import app

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
COMMANDS = re.findall(r"^\$ tallystick (\S+)", README.read_text(), re.MULTILINE)


class Scripted(GenericFakeChatModel):
    """A model that says what it was told to say."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        return self


def test_the_quick_start_charges_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block builds an agent and runs it; the charge is in the ledger, once."""
    monkeypatch.chdir(tmp_path)
    asked = AIMessage(
        "", tool_calls=[{"name": "charge", "args": {"order": "42", "cents": 500}, "id": "c1"}]
    )
    names: dict[str, Any] = {"model": Scripted(messages=iter([asked, AIMessage("done")]))}
    exec(BLOCKS[0], names)  # noqa: S102 - that is the point
    effects = names["ledger"].effects()
    names["ledger"].close()
    assert [(e.workflow, e.tool, e.result) for e in effects] == [
        ("order-42", "charge", "charged 500 for 42")
    ]


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_a_python_block_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other block runs as it is printed."""
    monkeypatch.chdir(tmp_path)
    exec(block, {})  # noqa: S102 - that is the point


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_command_exists(command: str) -> None:
    """Every command that the README names has a help page."""
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


def test_the_two_commands_are_verbs_of_the_makefile() -> None:
    """What a newcomer types first is there."""
    makefile = (README.parent / "Makefile").read_text()
    for verb in re.findall(r"^make (\w+)", README.read_text(), re.MULTILINE):
        assert f"\n{verb}:" in makefile


def test_every_test_that_is_named_exists() -> None:
    """What the README says is shown, is."""
    named = set(re.findall(r"`(test_\w+)`", README.read_text()))
    tests = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))
    assert named
    assert {name for name in named if f"def {name}(" not in tests} == set()
