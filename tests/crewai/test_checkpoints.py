"""CrewAI's checkpoints: the interrupted task begins anew, and its tools have no private state."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crewai import LLM, Crew
from crewai.events.event_bus import crewai_event_bus
from crewai.hooks import HookAborted
from crewai.state.checkpoint_config import CheckpointConfig
from crewai.tools import base_tool, tool

from tallystick import ApprovalRequired, Ledger, Policy
from tallystick.errors import UnboundTool
from tallystick_crewai import LedgeredTool, wrap_tool, wrap_tools
from tests.crewai._world import PAY, Bank, Model, agent_of, crew_of, task_of
from tests.providers._answers import Answer, Call
from tests.providers._server import Provider

# it has no types
vcr: Any = importlib.import_module("vcr")


def asks(amount: int, to: str) -> Answer:
    return Answer(calls=(Call(name="pay", arguments=json.dumps({"amount": amount, "to": to})),))


def says(text: str) -> Answer:
    return Answer(text=text)


def model_at(provider: Provider) -> Any:
    """CrewAI's own client: a model of ours cannot be restored."""
    return LLM(model="openai/gpt-4o-mini", base_url=f"{provider.origin}/v1", api_key="none")


def crew_at(provider: Provider, tools: list[Any], **options: Any) -> Any:
    return crew_of(model_at(provider), tools, tasks=2, **options)


@pytest.fixture(autouse=True)
def whole(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """
    Let a checkpoint be written before the run goes on.

    CrewAI writes it on a thread of its own, and it comes to nothing when an event is recorded
    meanwhile ("dictionary changed size during iteration").
    """
    emit = crewai_event_bus.emit

    def emit_and_wait(source: Any, event: Any) -> Any:
        if event.type not in {"task_completed", "method_execution_finished"}:
            return emit(source, event)
        crewai_event_bus.flush()
        writing = emit(source, event)
        if writing is not None:
            writing.result(timeout=30)
        return writing

    monkeypatch.setattr(crewai_event_bus, "emit", emit_and_wait)
    yield
    crewai_event_bus.reset_runtime_state()


def newest(folder: Path) -> Path:
    return max(folder.rglob("*.json"), key=lambda path: path.stat().st_mtime_ns)


@pytest.mark.parametrize("fork", [False, True], ids=["restored", "forked"])
def test_a_crew_that_is_restored_goes_on(fork: bool, ledger: Ledger, tmp_path: Path) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger)
    saving = CheckpointConfig(location=str(tmp_path), on_events=["task_completed"])
    with Provider() as provider, ledger.workflow("order-42"):
        provider.script(asks(5, "bob"), says("one"), asks(6, "eve"), Answer(status=400))
        with pytest.raises(Exception, match="400"):
            crew_at(provider, [pay], agent={"max_retry_limit": 0}, checkpoint=saving).kickoff()
        assert bank.paid == [(5, "bob"), (6, "eve")]
        restoring = CheckpointConfig(restore_from=str(newest(tmp_path)))
        again: Any = Crew.fork(restoring) if fork else Crew.from_checkpoint(restoring)
        [restored] = again.agents[0].tools
        assert (type(restored), restored is pay) == (LedgeredTool, False)
        assert restored.args_schema is pay.args_schema
        provider.script(asks(6, "eve"), says("two"))
        assert again.kickoff().raw == "two"
    assert bank.paid == [(5, "bob"), (6, "eve")]


def test_an_approval_outlives_a_checkpoint(ledger: Ledger, tmp_path: Path) -> None:
    bank = Bank()
    pay = wrap_tool(bank.pay, ledger, policy=Policy(approval=lambda args: args["to"] == "eve"))
    saving = CheckpointConfig(location=str(tmp_path), on_events=["task_completed"])
    with Provider() as provider, ledger.workflow("order-42"):
        provider.script(asks(5, "bob"), says("one"), asks(6, "eve"))
        with pytest.raises(ApprovalRequired) as caught:
            crew_at(provider, [pay], checkpoint=saving).kickoff()
        ledger.approve(caught.value.key, by="ann")
        restoring = CheckpointConfig(restore_from=str(newest(tmp_path)))
        again: Any = Crew.from_checkpoint(restoring)
        provider.script(asks(6, "eve"), says("two"))
        assert again.kickoff().raw == "two"
    assert bank.paid == [(5, "bob"), (6, "eve")]


def restored(made: LedgeredTool, **changes: Any) -> Any:
    """What a checkpoint makes of a tool."""
    resolve: Any = vars(base_tool)["_resolve_tool_dict"]
    return resolve(json.loads(json.dumps(made.model_dump(mode="json") | changes)))


@pytest.mark.parametrize("native", [True, False], ids=["native", "react"])
def test_a_restored_tool_without_its_ledger_runs_nothing(native: bool, ledger: Ledger) -> None:
    bank = Bank()
    lost = restored(wrap_tool(bank.pay, ledger), target="elsewhere:pay:pay")
    model = Model.of(PAY, "done", native=native)
    crew = crew_of(model, [lost])
    with ledger.workflow("order-42"), pytest.raises(UnboundTool, match="elsewhere") as caught:
        crew.kickoff()
    assert isinstance(caught.value, HookAborted)
    assert (model.calls, bank.paid, ledger.effects()) == (1, [], [])
    with pytest.raises(UnboundTool, match="Import the module"):
        lost.run(amount=5)
    with pytest.raises(UnboundTool):
        asyncio.run(lost.arun(amount=5))


def test_a_restored_tool_finds_its_ledger_once_it_is_there(ledger: Ledger) -> None:
    def pay(amount: int) -> str:
        """Pay someone."""
        return f"paid {amount}"

    early = LedgeredTool.model_validate(
        {"name": "pay", "description": "Pay.", "target": f"{__name__}:{pay.__qualname__}:pay"}
    )
    with pytest.raises(UnboundTool):
        early.run(amount=5)
    made = wrap_tool(pay, ledger, workflow="order-42")
    assert early.target == made.target
    assert early.run(amount=5) == "paid 5"
    assert early.args_schema is made.args_schema


def test_a_restored_tool_does_not_choose_between_two_ledgers(ledger: Ledger) -> None:
    bank = Bank()
    with Ledger("memory://") as other:
        kept = [wrap_tool(bank.pay, each, workflow="order-42") for each in (ledger, other)]
        lost = restored(kept[0])
        with pytest.raises(UnboundTool, match="2 ledgers"):
            lost.run(amount=5)
    assert bank.paid == []


def test_a_recorded_model_does_not_pay_again(ledger: Ledger, tmp_path: Path) -> None:
    """A cassette replays what the model said, and CrewAI runs the tool for it."""
    bank = Bank()
    recorder: Any = vcr.VCR(match_on=["method", "path", "body"])
    file = str(tmp_path / "model.yaml")
    with Provider() as provider:
        provider.script(asks(5, "bob"), says("done"))
        model = model_at(provider)
        with ledger.workflow("order-42"), recorder.use_cassette(file):
            crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff()
    with ledger.workflow("order-42"), recorder.use_cassette(file, record_mode="none") as played:
        output = crew_of(model, [wrap_tool(bank.pay, ledger)]).kickoff()
        assert (output.raw, played.play_count) == ("done", 2)
    assert bank.paid == [(5, "bob")]


def test_what_is_sent_to_a_provider_is_the_same_to_the_byte(ledger: Ledger) -> None:
    bank = Bank()
    plain = tool(bank.pay)
    with Provider() as provider, ledger.workflow("order-42"):
        for tools in ([plain], wrap_tools([plain], ledger)):
            provider.script(asks(5, "bob"), says("done"))
            agent = agent_of(model_at(provider), tools)
            crew: Any = Crew(agents=[agent], tasks=[task_of(agent)])
            crew.kickoff()
        bodies = [json.dumps(asked.body["tools"]) for asked in provider.asked]
    assert len(bodies) == 4
    assert bodies[:2] == bodies[2:]
