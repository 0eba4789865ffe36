"""Compensations that lie are found, each at the step that lies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick import Ledger, Policy
from tallystick.runs import Undo
from tallystick.testing import UndoDisproved, prove_undo

from ._sagas import LIES, THREE, Bank, Cells, Deposit


def test_an_honest_saga_is_proven_at_every_step_and_point() -> None:
    """Each compensation acts once in each try, the newest first."""
    bank = Bank()
    proof = prove_undo(bank, world=bank.world, kill=True)
    assert [(step.number, step.tool, step.steps) for step in proof.steps] == [
        (n, "add", ("undo",)) for n in (1, 2, 3)
    ]
    forward = ("before", "killed_before", "killed_after")
    back = ("refused", "stopped")
    assert proof.tried == (
        *((n, "after") for n in (1, 2, 3)),
        (0, "end"),
        *((n, point) for n in (1, 2, 3) for point in forward),
        *((n, point) for n in (1, 2, 3) for point in back),
    )
    acted = {(t.step and t.step.number, t.point): len(t.undone) for t in proof.tries}
    for n in (1, 2, 3):
        assert acted[n, "before"] == acted[n, "killed_before"] == n - 1
        assert acted[n, "after"] == acted[n, "killed_after"] == n
        assert acted[n, "refused"] == acted[n, "stopped"] == 3
    assert bank.accounts == {}


@pytest.mark.parametrize("compensate", ["on_error", None])
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("lie", [lie for lie in LIES if lie])
def test_a_lie_is_found_at_its_step(lie: str, at: int, compensate: str | None) -> None:
    """Whether the run undoes itself or somebody else undoes it."""
    bank = Bank(lie=lie, at=at, compensate=compensate)
    with pytest.raises(UndoDisproved) as found:
        prove_undo(bank, world=bank.world)
    error = found.value
    assert error.step is not None
    assert (error.step.number, error.point) == (at, "after")
    assert f"step {at}, add(n={at}, to='{THREE[at - 1].to}'" in str(error)
    assert error.difference in str(error)
    assert "--- before\n+++ after" in error.difference
    assert error.undone == ("undo",) * (at - (lie == "refuses"))


def test_steps_of_an_undo_in_the_wrong_order_are_found() -> None:
    """The right order passes."""
    right, wrong = Cells(order=("subtract", "halve")), Cells(order=("halve", "subtract"))
    proof = prove_undo(right, world=lambda: right.values)
    assert proof.steps[1].steps == ("subtract", "halve")
    assert proof.tried[-4:] == ((2, "refused"), (2, "stopped")) * 2
    with pytest.raises(UndoDisproved) as found:
        prove_undo(wrong, world=lambda: wrong.values)
    assert found.value.step is not None
    assert found.value.step.tool == "twice"
    assert found.value.undone == ("halve", "subtract", "down")


def test_a_compensation_that_nobody_knows_is_found() -> None:
    """And the message says which step and why."""
    world: list[str] = []

    def workflow(ledger: Ledger) -> None:
        policy = Policy(compensate="nobody")
        ledger.call("append", lambda: world.append("x"), workflow="w", policy=policy)

    with pytest.raises(UndoDisproved, match="no compensation is registered as nobody") as found:
        prove_undo(workflow, world=lambda: world)
    assert found.value.undone == ()


def test_an_image_that_is_put_back_out_of_order_is_found_where_one_is_refused_once() -> None:
    """Each by itself is right, newest first; only a second try shows it."""
    world = {"colour": "white"}

    def paint(colour: str) -> None:
        world["colour"] = colour

    def repaint(before: str) -> None:
        paint(before)

    def workflow(ledger: Ledger) -> None:
        ledger.compensation("restore")(repaint)
        policy = Policy(compensate=Undo(steps="restore", before=lambda _: world["colour"]))
        for colour in ("red", "blue"):
            ledger.call("paint", paint, {"colour": colour}, workflow="w", policy=policy)

    with pytest.raises(UndoDisproved) as found:
        prove_undo(workflow, world=lambda: world)
    assert found.value.step is not None
    assert (found.value.step.args, found.value.point) == ({"colour": "blue"}, "refused")
    assert found.value.undone == ("restore", "restore")


def test_a_compensation_that_needs_the_answer_is_found_where_the_answer_is_lost() -> None:
    """Undo(when_in_doubt="compensate") promises that it can do without."""
    orders: dict[str, str] = {}

    def order(sku: str) -> str:
        orders["o-1"] = sku
        return "o-1"

    def proven(*, by_answer: bool) -> tuple[tuple[int, str], ...]:
        def cancel(sku: str, result: str | None) -> None:
            if not by_answer:
                orders.clear()
            elif result is not None:
                del orders[result]

        def workflow(ledger: Ledger) -> None:
            ledger.compensation("cancel")(cancel)
            policy = Policy(compensate=Undo(steps="cancel", when_in_doubt="compensate"))
            ledger.call("order", order, {"sku": "x"}, workflow="w", policy=policy)

        orders.clear()
        return prove_undo(workflow, world=lambda: orders).tried

    assert (1, "lost") in proven(by_answer=False)
    with pytest.raises(UndoDisproved, match="answer of step 1") as found:
        proven(by_answer=True)
    assert found.value.point == "lost"


LIE = st.sampled_from([lie for lie in LIES if lie])
EVEN = st.integers(1, 50).map(lambda n: 2 * n)
NAMES = st.sampled_from(["ann", "bob", "cid"])
DEPOSITS = st.lists(st.builds(Deposit, NAMES, EVEN), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None)
@given(deposits=DEPOSITS, lie=LIE, data=st.data())
def test_any_planted_lie_is_found_and_none_where_there_is_none(
    deposits: list[Deposit], lie: str, data: st.DataObject
) -> None:
    honest = Bank(deposits=tuple(deposits), accounts={"ann": 1000, "eve": 1})
    assert len(prove_undo(honest, world=honest.world).steps) == len(deposits)
    at = data.draw(st.integers(1, len(deposits)))
    liar = Bank(deposits=tuple(deposits), lie=lie, at=at, accounts={"ann": 1000, "eve": 1})
    with pytest.raises(UndoDisproved) as found:
        prove_undo(liar, world=liar.world)
    assert found.value.step is not None
    # an earlier step that cannot be undone any more is told of as the one that is left
    where = f"failed right after step {at}," in str(found.value)
    assert where or found.value.step.number == at
