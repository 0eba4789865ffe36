"""With LangChain but without LangGraph; and without either."""

from __future__ import annotations

import subprocess
import sys

from tests.adapters.processes import ENVIRON


def python(code: str) -> str:
    """What a fresh interpreter says."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_without_langchain_the_error_names_the_extra() -> None:
    said = python("""
import sys
sys.modules["langchain_core"] = None
try:
    import tallystick_langchain
except ImportError as error:
    print(error, type(error.__cause__).__name__)
""")
    assert 'pip install "tallystick[langchain]"' in said
    assert "ModuleNotFoundError" in said


def test_a_broken_langchain_is_not_called_a_missing_one() -> None:
    said = python("""
import sys
sys.modules["pydantic"] = None
try:
    import tallystick_langchain
except ImportError as error:
    print(error)
""")
    assert "tallystick[langchain]" not in said
    assert "pydantic" in said


def test_langchain_core_is_enough() -> None:
    said = python("""
import sys
sys.modules["langgraph"] = sys.modules["langchain"] = None
from langchain_core.tools import tool
from tallystick import ApprovalDenied, ApprovalRequired, EffectInDoubt, Ledger, Policy
from tallystick_langchain import wrap_tool

ran = []

@tool
def act(x: int) -> str:
    "Act."
    ran.append(x)
    if x == 2:
        raise RuntimeError("lost")
    return f"acted on {x}"

ledger = Ledger("memory://")
wrapped = wrap_tool(act, ledger, workflow="w", policy=Policy(approval=lambda args: args["x"] == 3))
print([wrapped.invoke({"x": 1}) for _ in range(2)], ran)
try:
    wrapped.invoke({"x": 2})
except EffectInDoubt as error:
    print(type(error).__mro__[0] is EffectInDoubt)
call = {"name": "act", "args": {"x": 3}, "id": "c1", "type": "tool_call"}
try:
    wrapped.invoke(call)
except ApprovalRequired as error:
    ledger.deny(error.key, by="ann")
print(wrapped.invoke(call).content)
""")
    assert said.splitlines() == [
        "['acted on 1', 'acted on 1'] [1]",
        "True",
        "This call was denied by ann. It was not made; do not repeat it.",
    ]


def test_importing_the_adapter_loads_no_langgraph() -> None:
    said = python("import sys, tallystick_langchain; print('langgraph' in sys.modules)")
    assert said.strip() == "False"
