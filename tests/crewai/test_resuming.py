"""Flows that wait for a person: resumed once, and no crash loses what the person said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from crewai.flow import Flow, human_feedback, listen, or_, start
from crewai.flow.async_feedback.types import HumanFeedbackPending
from crewai.flow.persistence import SQLiteFlowPersistence

from tallystick import Ledger
from tallystick.errors import ArgumentsChanged, InvalidCall, NoWorkflow, StillRunning
from tallystick_crewai import aresume_once, ledgered_step, resume_once

Resume = Callable[..., Any]


def _aresume(*args: Any, **options: Any) -> Any:
    return asyncio.run(aresume_once(*args, **options))


RESUMES: dict[str, Resume] = {"blocking": resume_once, "awaited": _aresume}
resumes = pytest.mark.parametrize("resume", RESUMES.values(), ids=RESUMES)


class Slow:
    """A provider that asks by mail: the flow is left until somebody answers."""

    def request_feedback(self, context: Any, flow: Any) -> str:
        raise HumanFeedbackPending(context=context)


class World:
    """What happened, and what goes wrong."""

    def __init__(self, ledger: Ledger, store: Any) -> None:
        self.done: list[str] = []
        self.errors: list[BaseException] = []
        self.entered = threading.Event()
        self.gate: threading.Event | None = None
        self.store = store
        self.flow = _review(self, ledger)

    def begin(self) -> str:
        """Kick a flow off until it asks; its id."""
        asked = self.flow(persistence=self.store, suppress_flow_events=True).kickoff()
        assert isinstance(asked, HumanFeedbackPending)
        return asked.context.flow_id

    def act(self, what: str) -> None:
        """Do it, and wait where there is a gate."""
        self.done.append(what)
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(10)


def _review(world: World, ledger: Ledger) -> Any:
    class Review(Flow[dict[str, Any]]):
        @start()
        @human_feedback(message="Good?", provider=Slow())
        @ledgered_step(ledger)
        def draft(self) -> str:
            world.done.append("draft")
            return "a draft"

        @listen(draft)
        @ledgered_step(ledger)
        def send(self, said: Any) -> str:
            world.act(f"send {said.feedback}")
            self.state["sent"] = True
            return str(said.feedback)

        @listen(send)
        def tell(self, feedback: str) -> str:
            if world.errors:
                raise world.errors.pop(0)
            return f"{feedback}, {self.state['sent']}"

    return Review


@pytest.fixture
def world(ledger: Ledger, tmp_path: Path) -> World:
    """A flow that asks for feedback, and where it is pending."""
    return World(ledger, SQLiteFlowPersistence(str(tmp_path / "flows.db")))


def options(world: World, ledger: Ledger) -> dict[str, Any]:
    """What every resume here needs."""
    return {
        "ledger": ledger,
        "workflow": "order-42",
        "persistence": world.store,
        "suppress_flow_events": True,
    }


@resumes
def test_a_second_delivery_of_the_feedback_does_nothing(
    resume: Resume, world: World, ledger: Ledger
) -> None:
    with ledger.workflow("order-42"):
        flow_id = world.begin()
    for _ in range(2):
        assert resume(world.flow, flow_id, "yes", **options(world, ledger)) == "yes, True"
    assert world.done == ["draft", "send yes"]


@resumes
def test_a_crash_in_a_listener_does_not_lose_the_feedback(
    resume: Resume, world: World, ledger: Ledger
) -> None:
    with ledger.workflow("order-42"):
        flow_id = world.begin()
    world.errors.append(RuntimeError("crash"))
    with pytest.raises(RuntimeError, match="crash"):
        resume(world.flow, flow_id, "yes", **options(world, ledger))
    with pytest.raises(ArgumentsChanged):
        resume(world.flow, flow_id, "no", **options(world, ledger))
    assert resume(world.flow, flow_id, "yes", **options(world, ledger)) == "yes, True"
    assert world.done == ["draft", "send yes"]


def test_of_two_that_resume_at_once_one_runs_the_listeners(world: World, ledger: Ledger) -> None:
    with ledger.workflow("order-42"):
        flow_id = world.begin()
    world.gate = threading.Event()
    with ThreadPoolExecutor(3) as pool:
        both = [
            pool.submit(resume_once, world.flow, flow_id, "yes", wait=20, **options(world, ledger))
            for _ in range(2)
        ]
        assert world.entered.wait(10)
        late = pool.submit(
            resume_once, world.flow, flow_id, "yes", **options(world, ledger), wait=0
        )
        with pytest.raises(StillRunning):
            late.result(20)
        world.gate.set()
        assert [one.result(20) for one in both] == ["yes, True"] * 2
    assert world.done == ["draft", "send yes"]


def _twice(ledger: Ledger, done: list[str]) -> Any:
    class Twice(Flow[dict[str, Any]]):
        @start()
        @human_feedback(message="Good?", provider=Slow())
        def draft(self) -> str:
            return "a draft"

        @listen(draft)
        @human_feedback(message="Really?", provider=Slow())
        @ledgered_step(ledger)
        def improve(self) -> str:
            done.append("improve")
            return "a draft"

        @listen(improve)
        @ledgered_step(ledger)
        def send(self, said: Any) -> str:
            done.append(f"send {said.feedback}")
            return str(said.feedback)

    return Twice


def test_the_next_question_is_another_one(ledger: Ledger, tmp_path: Path) -> None:
    store = SQLiteFlowPersistence(str(tmp_path / "flows.db"))
    done: list[str] = []
    flow = _twice(ledger, done)
    given: dict[str, Any] = {"ledger": ledger, "workflow": "order-42", "persistence": store}
    with ledger.workflow("order-42"):
        asked: Any = flow(persistence=store).kickoff()
    flow_id = asked.context.flow_id
    first = asked.context.requested_at
    again = resume_once(flow, flow_id, "yes", asked_at=first, **given)
    late = resume_once(flow, flow_id, "yes", asked_at=first, **given)
    assert isinstance(again, HumanFeedbackPending)
    assert isinstance(late, HumanFeedbackPending)
    assert late.context.requested_at == again.context.requested_at
    assert done == ["improve"]
    assert resume_once(flow, flow_id, "really", **given) == asked_result(done)


def test_an_answer_whose_resume_broke_off_is_not_given_to_the_next_question(
    ledger: Ledger, tmp_path: Path
) -> None:
    """CrewAI wrote the next question down, and nobody that the first one was answered."""
    errors: list[BaseException] = []

    class Breaking(SQLiteFlowPersistence):
        def save_pending_feedback(self, *args: Any, **named: Any) -> None:
            super().save_pending_feedback(*args, **named)
            if errors:
                raise errors.pop()

    store = Breaking(db_path=str(tmp_path / "flows.db"))
    done: list[str] = []
    flow = _twice(ledger, done)
    given: dict[str, Any] = {"ledger": ledger, "workflow": "order-42", "persistence": store}
    with ledger.workflow("order-42"):
        asked: Any = flow(persistence=store).kickoff()
    flow_id, first = asked.context.flow_id, asked.context.requested_at
    errors.append(RuntimeError("crash"))
    with pytest.raises(RuntimeError, match="crash"):
        resume_once(flow, flow_id, "yes", asked_at=first, **given)
    assert store.load_pending_feedback(flow_id)[1].requested_at != first  # type: ignore[index]
    again = resume_once(flow, flow_id, "yes", asked_at=first, **given)
    assert isinstance(again, HumanFeedbackPending)
    assert done == ["improve"]
    assert resume_once(flow, flow_id, "really", **given) == asked_result(done)


def asked_result(done: list[str]) -> Any:
    """What the last step said."""
    assert done == ["improve", "send really"]
    return "really"


def test_each_round_of_feedback_does_its_steps_again(ledger: Ledger, tmp_path: Path) -> None:
    store = SQLiteFlowPersistence(str(tmp_path / "flows.db"))
    done: list[str] = []

    class Loop(Flow[Any]):
        @start()
        def begin(self) -> str:
            return "go"

        @listen(or_(begin, "rejected"))
        @human_feedback(
            message="Good?", provider=Slow(), emit=["approved", "rejected"], llm="gpt-4o-mini"
        )
        @ledgered_step(ledger)
        def draft(self) -> str:
            done.append(f"draft {len(done)}")
            return done[-1]

        def _collapse_to_outcome(self, feedback: str, outcomes: Any, llm: Any) -> str:
            return feedback

        @listen("approved")
        def send(self) -> str:
            return done[-1]

    given: dict[str, Any] = {"ledger": ledger, "workflow": "order-42", "persistence": store}
    with ledger.workflow("order-42"):
        asked: Any = Loop(persistence=store).kickoff()
    for number in (1, 2):
        again = resume_once(Loop, asked.context.flow_id, "rejected", **given)
        assert again.context.method_output == f"draft {number}"
    assert resume_once(Loop, asked.context.flow_id, "approved", **given) == "draft 2"
    assert done == ["draft 0", "draft 1", "draft 2"]


def test_what_a_model_took_the_feedback_for_stays(ledger: Ledger, tmp_path: Path) -> None:
    store = SQLiteFlowPersistence(str(tmp_path / "flows.db"))
    errors: list[BaseException] = [RuntimeError("crash")]
    said = iter(["approved", "rejected"])

    class Routed(Flow[Any]):
        @start()
        @human_feedback(
            message="Good?", provider=Slow(), emit=["approved", "rejected"], llm="gpt-4o-mini"
        )
        def draft(self) -> str:
            return "a draft"

        def _collapse_to_outcome(self, feedback: str, outcomes: Any, llm: Any) -> str:
            return next(said)

        @listen("approved")
        def send(self) -> str:
            if errors:
                raise errors.pop(0)
            return "sent"

    given: dict[str, Any] = {"ledger": ledger, "workflow": "order-42", "persistence": store}
    with ledger.workflow("order-42"):
        asked: Any = Routed(persistence=store).kickoff()
    with pytest.raises(RuntimeError, match="crash"):
        resume_once(Routed, asked.context.flow_id, "fine", **given)
    assert resume_once(Routed, asked.context.flow_id, "fine", **given) == "sent"


def test_bad_input_is_refused(world: World, ledger: Ledger) -> None:
    given = options(world, ledger)
    wrong: dict[str, Any] = {"ledger": "nonsense"}
    nowhere: dict[str, Any] = {"workflow": None}
    with pytest.raises(InvalidCall, match="no ledger"):
        resume_once(world.flow, "nobody", **{**given, **wrong})
    with pytest.raises(InvalidCall, match="does not wait"):
        resume_once(world.flow, "nobody", **given)
    with pytest.raises(NoWorkflow):
        resume_once(world.flow, "nobody", **{**given, **nowhere})
