"""A ledger in a file, and the command line in front of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tallystick import Approval, ApprovalRequired, Effect, EffectInDoubt, Ledger, Policy
from tallystick.cli._app import build
from tallystick.cli._plugins import GROUP
from tests._sqlite import empty_database

ROOT = Path(__file__).parents[2]
ASK = Policy(approval=Approval())


def declared() -> list[EntryPoint]:
    """The commands that this working copy declares, whatever is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries: dict[str, str] = project["entry-points"][GROUP]
    return [EntryPoint(name, value, GROUP) for name, value in entries.items()]


app = build(declared())


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)


class Office:
    """A SQLite ledger, and commands that are about it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = empty_database(path.parent, path.name)
        self.ledger = Ledger(self.url)

    def run(self, *args: str, code: int | None = 0, answer: str = "", ledger: str = "") -> Said:
        """Run a command in this process; *code* is what it must exit with."""
        given = [*args, "--ledger", ledger or self.url]
        result = CliRunner().invoke(app, given, input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert code in (None, result.exit_code), result.output
        return Said(result.exit_code, result.stdout, result.stderr)

    def shell(self, *args: str) -> Said:
        """Run a command in a process of its own."""
        return shell(*args, TALLYSTICK_LEDGER=self.url)

    def asked(self, workflow: str = "w", **args: Any) -> str:
        """An effect that waits for approval; its key."""
        with pytest.raises(ApprovalRequired) as required:
            self.ledger.call("pay", pay, args or {"cents": 5}, workflow=workflow, policy=ASK)
        assert required.value.key is not None
        return required.value.key

    def doubtful(self, workflow: str = "w", message: str = "the answer was lost") -> str:
        """An effect in doubt; its key."""

        def lost(cents: int) -> None:
            raise RuntimeError(message)

        with pytest.raises(EffectInDoubt) as doubt:
            self.ledger.call("lost", lost, {"cents": 5}, workflow=workflow)
        assert doubt.value.key is not None
        return doubt.value.key

    def done(self, workflow: str = "w", **args: Any) -> Effect:
        """An effect that succeeded."""
        self.ledger.call("pay", pay, args or {"cents": 5}, workflow=workflow)
        return self.ledger.effects(workflow=workflow)[0]


def pay(cents: int, to: str = "ann") -> str:
    return f"paid {cents} to {to}"


def shell(*args: str, cwd: Path | None = None, **environ: str) -> Said:
    """Run ``tallystick`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tallystick.cli", *args],
        cwd=cwd,
        env={**os.environ, **source_path(), **environ},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def source_path() -> dict[str, str]:
    """Where processes that a test starts in another folder find this working copy."""
    return {
        "PYTHONPATH": os.pathsep.join(
            str(ROOT / root) for root in ("core", "adapters", "checkpointers")
        )
    }


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path / "ledger.db")
    yield office
    office.ledger.close()


@pytest.fixture
def tallystick() -> Callable[..., Said]:
    """``tallystick`` in a process of its own, about no ledger in particular."""
    return shell


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.delenv("TALLYSTICK_LEDGER", raising=False)
    monkeypatch.setenv("TERM", "dumb")
