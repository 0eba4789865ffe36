"""With AutoGen, and without."""

from __future__ import annotations

from tests.adapters.test_langchain_import import python


def test_without_autogen_the_error_names_the_extra() -> None:
    said = python("""
import sys
sys.modules["autogen_core"] = None
try:
    import tallystick_autogen
except ImportError as error:
    print(error, type(error.__cause__).__name__)
""")
    assert 'pip install "tallystick[autogen]"' in said
    assert "ModuleNotFoundError" in said


def test_a_broken_autogen_is_not_called_a_missing_one() -> None:
    said = python("""
import sys
sys.modules["pydantic"] = None
try:
    import tallystick_autogen
except ImportError as error:
    print(error)
""")
    assert "tallystick[autogen]" not in said
    assert "pydantic" in said


def test_the_adapter_loads_no_other_framework_no_agents_and_no_metering() -> None:
    """autogen-core is enough for tools, workbenches and models; who wraps tools pays for those."""
    said = python("""
import sys, tallystick_autogen
heavy = {"langchain_core", "langgraph", "crewai", "autogen_agentchat", "tallystick.metering"}
print(heavy & set(sys.modules))
""")
    assert said.strip() == "set()"


def test_a_client_without_a_budget_of_money_needs_no_prices() -> None:
    """The extra `autogen` brings none, and a session needs the client."""
    said = python("""
import asyncio, sys
sys.modules["genai_prices"] = None
from autogen_core.models import UserMessage
from tallystick import Ledger
from tallystick.errors import UnpricedModel
from tallystick_autogen import BudgetedModelClient
from tests.autogen._world import Scripted

async def main():
    ask = [UserMessage(content="hello", source="user")]
    with Ledger("memory://") as ledger:
        ledger.budget("calls", requests=1)
        print((await BudgetedModelClient(Scripted(["hi"]), ledger, "calls").create(ask)).content)
        ledger.budget("money", usd=1)
        try:
            limit = {"max_tokens": 5}
            client = BudgetedModelClient(Scripted(["hi"]), ledger, "money")
            await client.create(ask, extra_create_args=limit)
        except UnpricedModel as error:
            print(error)

asyncio.run(main())
""")
    assert said.startswith("hi\n")
    assert "install the extra `prices`" in said
