"""What users see, what an import costs them, and what they need not have installed."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import tallystick
import tallystick.archives
import tallystick.clients
import tallystick.encryption
import tallystick.errors
import tallystick.hooks
import tallystick.prices
import tallystick.redaction
import tallystick.retention
import tallystick.runaway
import tallystick.runs
import tallystick.seals
import tallystick.testing

MODULES = (
    tallystick,
    tallystick.archives,
    tallystick.clients,
    tallystick.encryption,
    tallystick.errors,
    tallystick.hooks,
    tallystick.prices,
    tallystick.redaction,
    tallystick.retention,
    tallystick.runaway,
    tallystick.runs,
    tallystick.seals,
    tallystick.testing,
)

#: what an import of tallystick must not bring with it
HEAVY = [
    "alembic", "anyio", "langchain", "langchain_core", "langgraph", "opentelemetry", "psycopg",
    "pydantic", "pytest", "rich", "sqlalchemy", "sqlmodel", "typer",
]  # fmt: skip

#: names that a public module imports for itself
BROUGHT = {"annotations", "Any", "Decimal", "datetime"}

#: what only an extra installs
OPTIONAL = [
    "aiosqlite", "langchain", "langchain_core", "langgraph", "opentelemetry", "psycopg", "pymysql",
]  # fmt: skip

HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
"""


def run(code: str, *, hidden: list[str] | None = None, folder: Path | None = None) -> Any:
    """What *code* prints as JSON, in a process of its own without the packages in *hidden*."""
    code = (HIDE.format(hidden=hidden) if hidden else "") + code
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def exported(module: types.ModuleType) -> set[str]:
    """The names of a module that are its own, or made public by it."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }


def test_the_public_names_are_few_and_sorted() -> None:
    """At most twenty, each of them there, and nothing beside them."""
    assert tallystick.__all__ == sorted(tallystick.__all__)
    assert len(set(tallystick.__all__)) == len(tallystick.__all__) <= 20
    assert exported(tallystick) - {"annotations"} == set(tallystick.__all__)


def test_the_public_names_are_these() -> None:
    """A name that comes or goes is a decision, and a line in the changelog."""
    assert " ".join(tallystick.__all__) == (
        "Approval ApprovalDenied ApprovalRequired ArgumentsChanged Budget BudgetExceeded Effect "
        "EffectFailed EffectInDoubt Event Guarantee Halted Ledger LedgerError NotApplied Policy "
        "ProbeAnswer Retry Status current_effect"
    )


def test_other_public_modules_say_what_they_export() -> None:
    """Errors, hooks and the testing kit: sorted, complete, every name there."""
    for module in MODULES[1:]:
        names = module.__all__
        assert names == sorted(names)
        assert set(names) == exported(module) - BROUGHT, module.__name__


def test_everything_public_says_what_it_is() -> None:
    """Each exported name has a docstring of its own."""
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, type):
                assert vars(value).get("__doc__"), f"{module.__name__}.{name}"
            elif isinstance(value, types.FunctionType):
                assert value.__doc__, f"{module.__name__}.{name}"


def test_an_import_brings_nothing_heavy() -> None:
    """No framework, no database toolkit, no command line."""
    code = "import json, sys, tallystick; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in run(code)}
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


def test_a_ledger_in_memory_brings_nothing_heavy() -> None:
    """Nor does the first call."""
    code = """
import json, sys, tallystick
with tallystick.Ledger("memory://") as ledger:
    ledger.call("charge", lambda: 1, workflow="w")
print(json.dumps(sorted(sys.modules)))
"""
    loaded = {name.partition(".")[0] for name in run(code)}
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


def test_the_testing_kit_needs_no_pytest() -> None:
    """Neither does the contract for stores."""
    code = """
import json, sys
import tallystick.testing
print(json.dumps(sorted(sys.modules)))
"""
    assert "pytest" not in run(code, hidden=["pytest", "_pytest"])


def test_memory_and_sqlite_need_no_extra(tmp_path: Path) -> None:
    """Both faces, approvals and all, with every optional package hidden."""
    code = """
import asyncio, json
from tallystick import ApprovalRequired, Ledger, Policy
answers = []
for url in ("memory://", "sqlite:///ledger.db"):
    with Ledger(url) as ledger:
        answers.append(ledger.call("charge", lambda: "called", workflow="v"))
        answers.append(asyncio.run(ledger.acall("charge", lambda: "awaited", workflow="w")))
        try:
            ledger.call("ask", lambda: 1, workflow="w", policy=Policy(approval=True))
        except ApprovalRequired as error:
            ledger.approve(error.key, by="ann")
        answers.append(ledger.verify().effects)
print(json.dumps(answers))
"""
    answers = run(code, hidden=OPTIONAL, folder=tmp_path)
    assert answers == ["called", "awaited", 3] * 2


def test_what_is_missing_is_named_by_its_extra() -> None:
    """The error says what to install."""
    code = """
import json
from tallystick import Ledger
from tallystick.errors import DriverMissing
from tallystick.hooks import otel_hook
said = []
def missing(what):
    try:
        what()
    except Exception as error:
        said.append([type(error).__name__, isinstance(error, ImportError), str(error)])
missing(lambda: Ledger("postgresql://nobody@127.0.0.1:1/nothing"))
missing(lambda: Ledger("mysql://nobody@127.0.0.1:1/nothing"))
missing(otel_hook)
missing(lambda: __import__("tallystick_langchain"))
print(json.dumps(said))
"""
    postgres, mariadb, otel, langchain = run(code, hidden=OPTIONAL)
    assert postgres[:2] == ["DriverMissing", True]
    assert 'pip install "tallystick[postgres]"' in postgres[2]
    assert 'pip install "tallystick[mariadb]"' in mariadb[2]
    assert 'pip install "tallystick[otel]"' in otel[2]
    assert langchain[1]
    assert 'pip install "tallystick[langchain]"' in langchain[2]
