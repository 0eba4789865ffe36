"""Without CrewAI, and with a broken one."""

from __future__ import annotations

import tallystick_crewai
from tests.adapters.test_langchain_import import python


def test_without_crewai_the_error_names_the_extra() -> None:
    said = python("""
import sys
sys.modules["crewai"] = None
try:
    import tallystick_crewai
except ImportError as error:
    print(error, type(error.__cause__).__name__)
""")
    assert 'pip install "tallystick[crewai]"' in said
    assert "ModuleNotFoundError" in said


def test_a_broken_crewai_is_not_called_a_missing_one() -> None:
    said = python("""
import sys
sys.modules["pydantic"] = None
try:
    import tallystick_crewai
except ImportError as error:
    print(error)
""")
    assert "tallystick[crewai]" not in said
    assert "pydantic" in said


def test_the_public_names_are_these() -> None:
    assert tallystick_crewai.__all__ == [
        "Budgeted",
        "LedgeredTool",
        "aresume_once",
        "budgeted",
        "ledgered_step",
        "ledgered_tool",
        "resume_once",
        "wrap_tool",
        "wrap_tools",
    ]
