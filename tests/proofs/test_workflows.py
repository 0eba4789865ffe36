"""What kinds of workflows can be proven to be undone, and what is said of the others."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from tallystick import Guarantee, Ledger, NotApplied, Policy
from tallystick.errors import InvalidCall
from tallystick.runs import Undo
from tallystick.testing import UndoDisproved, aprove_undo, points, prove_undo
from tallystick_langchain import wrap_tools

UNDO = Policy(compensate="remove")
Workflow = Callable[[Ledger], Any]


class Shelf:
    """A world: things that lie there."""

    def __init__(self) -> None:
        self.things: list[str] = []

    def world(self) -> list[str]:
        return sorted(self.things)

    def put(self, what: str) -> str:
        self.things.append(what)
        return what

    def remove(self, what: str) -> None:
        self.things.remove(what)

    def known(self, ledger: Ledger) -> Ledger:
        """A ledger that knows how to remove."""
        ledger.compensation("remove")(self.remove)
        return ledger


def test_parallel_branches_of_an_async_workflow() -> None:
    """The steps are the same ones in whichever order they begin."""
    shelf = Shelf()

    async def aput(what: str) -> str:
        await asyncio.sleep(0)
        return shelf.put(what)

    async def workflow(ledger: Ledger) -> None:
        shelf.known(ledger)
        async with ledger.workflow("w", input=1, compensate="on_error"):
            calls = [ledger.acall("put", aput, {"what": what}, policy=UNDO) for what in "abc"]
            await asyncio.gather(*calls)

    proof = prove_undo(workflow, world=shelf.world)
    assert {step.args["what"] for step in proof.steps} == set("abc")
    assert len(proof.tries) == 1 + 3 * 4


def test_parallel_branches_in_threads() -> None:
    shelf = Shelf()

    def workflow(ledger: Ledger) -> None:
        shelf.known(ledger)
        with ledger.workflow("w"), ThreadPoolExecutor(3) as pool:
            jobs = [
                pool.submit(
                    copy_context().run, ledger.call, "put", shelf.put, {"what": what}, policy=UNDO
                )
                for what in "abc"
            ]
        for job in jobs:
            job.result()

    assert len(prove_undo(workflow, world=shelf.world, kill=True).tries) == 1 + 3 * 6


async def test_a_proof_can_be_awaited() -> None:
    """In the loop of whoever asks, with a world that is read there, too."""
    shelf, loops = Shelf(), set[int]()

    async def workflow(ledger: Ledger) -> None:
        loops.add(id(asyncio.get_running_loop()))
        shelf.known(ledger)
        await ledger.acall("put", shelf.put, {"what": "a"}, workflow="w", policy=UNDO)

    async def world() -> list[str]:
        return shelf.world()

    proof = await aprove_undo(workflow, world=world, kill=True)
    assert (1, "killed_after") in proof.tried
    assert loops == {id(asyncio.get_running_loop())}
    with pytest.raises(InvalidCall, match="await aprove_undo"):
        prove_undo(workflow, world=shelf.world)


async def test_a_blocking_workflow_can_be_proven_by_whoever_awaits() -> None:
    shelf, threads = Shelf(), set[str]()

    def workflow(ledger: Ledger) -> None:
        threads.add(threading.current_thread().name)
        ledger_call(shelf, ledger, "a")

    assert len((await aprove_undo(workflow, world=shelf.world)).tries) == 5
    assert threading.main_thread().name not in threads


def ledger_call(shelf: Shelf, ledger: Ledger, what: str, policy: Policy = UNDO) -> Any:
    args = {"what": what}
    return shelf.known(ledger).call("put", shelf.put, args, workflow="w", policy=policy)


def test_what_was_there_before_is_put_back() -> None:
    """``Undo(before=…)``, and a lie about it."""
    file = {"text": "old"}

    def proven(restored: Callable[[str], str]) -> int:
        def write(text: str) -> None:
            file["text"] = text

        def restore(before: str) -> None:
            write(restored(before))

        def workflow(ledger: Ledger) -> None:
            ledger.compensation("restore")(restore)
            undo = Undo(steps="restore", before=lambda _: file["text"], reversibility="reversible")
            policy = Policy(compensate=undo)
            ledger.call("write", write, {"text": "new"}, workflow="w", policy=policy)

        return len(prove_undo(workflow, world=lambda: file["text"]).tries)

    assert proven(str) == 5
    with pytest.raises(UndoDisproved, match="-old\n\\+OLD"):
        proven(str.upper)


def test_what_is_approved_in_a_real_run_is_approved_in_a_proof() -> None:
    """The effect, and its compensation."""
    shelf = Shelf()

    def workflow(ledger: Ledger) -> None:
        ledger.compensation("remove", policy=Policy(approval=True))(shelf.remove)
        policy = Policy(approval=True, compensate="remove")
        ledger.call("put", shelf.put, {"what": "a"}, workflow="w", policy=policy)

    assert len(prove_undo(workflow, world=shelf.world).tries) == 5


def test_a_compensation_that_is_tried_once_is_not_refused_in_a_proof() -> None:
    shelf = Shelf()
    policy = Policy(compensate=Undo(steps="remove", one_shot=True))
    proof = prove_undo(lambda ledger: ledger_call(shelf, ledger, "a", policy), world=shelf.world)
    assert proof.tried == ((1, "after"), (0, "end"), (1, "before"), (1, "stopped"))


def test_an_effect_claimed_by_hand_is_a_step() -> None:
    shelf = Shelf()

    def workflow(ledger: Ledger) -> None:
        shelf.known(ledger)
        with ledger.claim("put", {"what": "a"}, workflow="w", policy=UNDO) as claim:
            if claim.fresh:
                claim.succeed(shelf.put(**claim.args))

    proof = prove_undo(workflow, world=shelf.world, kill=True)
    assert len(proof.tries) == 7
    assert {t.failure.partition(":")[0] for t in proof.tries} == {
        "", "NotApplied", "Broken", "the process ended",
    }  # fmt: skip


def test_a_workflow_that_catches_what_fails_is_undone_as_well() -> None:
    """It takes another way, which is undone, too."""
    shelf = Shelf()

    def workflow(ledger: Ledger) -> None:
        try:
            ledger_call(shelf, ledger, "plane")
        except NotApplied:
            ledger_call(shelf, ledger, "train")

    proof = prove_undo(workflow, world=shelf.world)
    assert [step.args["what"] for step in proof.steps] == ["plane"]
    assert [t.undone for t in proof.tries if t.point == "before"] == [("remove",)]


def test_arguments_that_are_made_up_each_time_are_no_hindrance() -> None:
    """The step is then the same call of the tool."""
    shelf = Shelf()

    def workflow(ledger: Ledger) -> None:
        for _ in range(2):
            ledger_call(shelf, ledger, uuid.uuid4().hex)

    assert len(prove_undo(workflow, world=shelf.world).tries) == 9


def test_tools_that_langchain_runs() -> None:
    """Wrapped, with policies of their own."""
    from langchain_core.tools import StructuredTool

    shelf = Shelf()
    put = StructuredTool.from_function(shelf.put, name="put", description="Put it there.")

    def workflow(ledger: Ledger) -> None:
        (tool,) = wrap_tools([put], shelf.known(ledger), policies={"put": UNDO})
        with ledger.workflow("w"):
            for what in ("a", "b"):
                tool.invoke({"what": what})

    proof = prove_undo(workflow, world=shelf.world)
    assert [step.args for step in proof.steps] == [{"what": "a"}, {"what": "b"}]


def test_the_tools_of_the_booking_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by name, as another process finds them; the agency knows keys that it has seen."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "examples"), *sys.path])
    monkeypatch.chdir(tmp_path)
    booking: Any = importlib.import_module("booking")

    def workflow(ledger: Ledger) -> None:
        with ledger.workflow("trip-7", input="Oslo", compensate="on_error") as run:
            for what in ("flight", "hotel"):
                args = {"what": what, "trip": run.input}
                ledger.call("book", booking.book, args, policy=booking.BOOKING)

    def world() -> dict[str, int]:
        known: str = booking.AGENCY.read_text() if booking.AGENCY.exists() else ""
        counts: dict[str, int] = {}
        for line in known.splitlines():
            what, deed = line.split()[0], line.split()[3]
            counts[what] = counts.get(what, 0) + {"booked": 1, "cancelled,": -1}[deed]
        return {what: count for what, count in counts.items() if count}

    proof = prove_undo(workflow, world=world, kill=True)
    assert [step.steps for step in proof.steps] == [("booking:cancel",)] * 2
    assert len(proof.tries) == 13


# -- what may stay --------------------------------------------------------------------------------


def nothing() -> None:
    """A compensation that is honest about it."""


def on_the_shelf(before: Any, after: Any) -> bool:
    return bool(before["shelf"] == after["shelf"])


def careless(tenant: str) -> Ledger:
    """It opens a ledger of another tenant than it is told."""
    return Ledger("memory://")


MAY_STAY: list[Any] = ["mails", ["mails.*"], on_the_shelf]


def mailing(shelf: Shelf, sent: dict[str, int], policy: Policy) -> Workflow:
    def mail(to: str) -> None:
        sent[to] = sent.get(to, 0) + 1

    def workflow(ledger: Ledger) -> None:
        ledger_call(shelf, ledger, "a")
        ledger.compensation("apologise")(nothing)
        ledger.call("mail", mail, {"to": "ann"}, workflow="w", policy=policy)

    return workflow


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy(), r"step 2, mail\(to='ann'\): irreversible, it has no compensation"),
        (Policy(compensate=Undo(reversibility="irreversible")), "irreversible, it has no"),
        (Policy(compensate=Undo(steps="apologise", residue="she saw it")), "apologise"),
    ],
)
def test_what_stays_has_to_be_said_in_the_test(policy: Policy, said: str) -> None:
    """Also what the plan calls residue; then it may, and nothing else."""
    shelf, sent = Shelf(), dict[str, int]()
    workflow = mailing(shelf, sent, policy)

    def world() -> dict[str, Any]:
        return {"shelf": shelf.world(), "mails": dict(sent)}

    with pytest.raises(UndoDisproved, match=said) as found:
        prove_undo(workflow, world=world)
    assert found.value.step is not None
    assert (found.value.step.tool, found.value.point) == ("mail", "after")
    for allow in MAY_STAY:
        proof = prove_undo(workflow, world=world, allow=allow)
        assert proof.steps[1].reversibility in {"irreversible", "compensable"}
        kept = () if "apologise" in proof.steps[1].steps else ("mail",)
        assert proof.tries[2].kept == kept
    with pytest.raises(UndoDisproved):
        prove_undo(workflow, world=world, allow="shelf")


def test_the_world_is_put_back_before_each_try_where_somebody_can() -> None:
    """So what may stay does not add up."""
    shelf, sent = Shelf(), dict[str, int]()
    workflow = mailing(shelf, sent, Policy())
    proof = prove_undo(
        workflow, world=lambda: [shelf.world(), dict(sent)], reset=sent.clear, allow="1"
    )
    assert sent == {"ann": 1}
    assert len(proof.tries) > 5


# -- what is no proof -----------------------------------------------------------------------------


def test_a_world_that_does_not_show_what_happens_proves_nothing() -> None:
    shelf = Shelf()
    with pytest.raises(UndoDisproved, match="the same before and after the workflow"):
        prove_undo(lambda ledger: ledger_call(shelf, ledger, "a"), world=lambda: 1)


def test_a_workflow_without_effects_proves_nothing() -> None:
    """What only reads is no step."""
    policy = Policy(guarantee=Guarantee.READ_ONLY)
    with pytest.raises(InvalidCall, match="did nothing through the ledger"):
        prove_undo(lambda ledger: ledger.call("look", int, workflow="w", policy=policy), world=dict)


def test_a_workflow_that_does_not_run_through_says_why_itself() -> None:
    def workflow(ledger: Ledger) -> None:
        raise KeyError("no such order")

    with pytest.raises(KeyError, match="no such order") as raised:
        prove_undo(workflow, world=dict)
    assert "prove_undo" in raised.value.__notes__[0]


def test_a_step_that_does_not_come_again_is_named() -> None:
    shelf, times = Shelf(), iter([*"ab"])

    def workflow(ledger: Ledger) -> None:
        ledger_call(shelf, ledger, "x")
        if next(times, None) == "a":
            ledger.call("once", shelf.put, {"what": "y"}, workflow="w", policy=UNDO)

    with pytest.raises(UndoDisproved, match=r"step 2, once.*must do the same each time"):
        prove_undo(workflow, world=shelf.world)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"world": 7}, "give a function"),
        ({"reset": 7}, "give a function"),
        ({"allow": [7]}, "paths into it"),
        ({"world": threading.Lock}, "cannot be copied"),
        ({"ledger": careless}, "pass it on"),
    ],
)
def test_bad_input_is_refused_before_anything_is_done(options: dict[str, Any], said: str) -> None:
    shelf = Shelf()
    given: dict[str, Any] = {"world": shelf.world, **options}
    with pytest.raises(InvalidCall, match=said):
        prove_undo(lambda ledger: ledger_call(shelf, ledger, "a"), **given)
    with Ledger("memory://") as mine, pytest.raises(InvalidCall, match="of its own"):
        prove_undo(lambda ledger: None, world=dict, ledger=mine)
    assert shelf.things == []


def test_the_points_that_a_proof_listens_at_are_named() -> None:
    assert {"tool.before", "tool.after", "tool.recorded"} < set(points())
