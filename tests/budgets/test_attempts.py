"""What several attempts at one effect cost."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from contextvars import copy_context
from typing import Any

import pytest

from tallystick import Guarantee, Ledger, Policy, Retry
from tallystick.errors import BudgetExceeded, EffectStopped
from tests.conftest import Face, Place

AT_ONCE = Retry(attempts=5, initial=0, jitter=0)
LOOK = Policy(guarantee=Guarantee.READ_ONLY, retry=AT_ONCE)


def figures(ledger: Ledger) -> tuple[Any, Any, Any]:
    (line,) = ledger.budgets()
    return line.reserved, line.spent, line.unreconciled


def look(ledger: Ledger, face: Face, losses: int, **options: Any) -> int:
    """Call a search that costs something each time and whose answer is lost at first; how often."""
    times = 0

    def search() -> str:
        nonlocal times
        times += 1
        if times <= losses:
            raise TimeoutError
        return "found"

    async def asearch() -> str:
        return search()

    tool = asearch if face.awaiting else search
    options = {"workflow": "w", "policy": LOOK, **options}
    with suppress(BudgetExceeded, EffectStopped, TimeoutError):
        face.do(ledger, "call", "search", tool, {}, **options)
    return times


@pytest.mark.parametrize("losses", range(4))
def test_each_look_costs(place: Place, face: Face, losses: int) -> None:
    """Nothing happened when an answer is lost, and it was paid for all the same."""
    ledger = place.open()
    ledger.budget("looks", requests=3, tool="search")
    assert look(ledger, face, losses) == min(losses + 1, 3)
    assert sum(figures(ledger)) == min(losses + 1, 3)
    assert ledger.verify().sound


def test_a_look_whose_process_died_is_paid(place: Place, face: Face) -> None:
    """The next one has to be paid for, too."""
    ledger = place.open()
    ledger.budget("looks", requests=2, tool="search")
    claim = ledger.claim("search", {}, workflow="w", policy=LOOK, call_id="1")
    copy_context().run(claim.__enter__)
    place.crash(ledger)
    ledger = place.reopen()
    assert look(ledger, face, 0, call_id="1") == 1
    ledger.recover()
    assert figures(ledger) == (0, 1, 1)
    assert look(ledger, face, 0, call_id="2") == 0
    assert ledger.verify().sound


def test_an_effect_that_is_sent_again_is_charged_once(place: Place, face: Face) -> None:
    """Its downstream knows the key: it happens once."""
    ledger = place.open()
    ledger.budget("looks", requests=1, tool="search")
    assert look(ledger, face, 3, policy=Policy(guarantee=Guarantee.IDEMPOTENT, retry=AT_ONCE)) == 4
    assert figures(ledger) == (0, 1, 0)


def test_an_attempt_that_no_budget_pays_for_leaves_the_money_of_the_dead_visible(
    place: Place, face: Face
) -> None:
    """Nobody settles for it, and nothing waits for that for ever."""
    ledger = place.open()
    ledger.budget("looks", requests=1, tool="search")
    policy = Policy(guarantee=Guarantee.IDEMPOTENT)
    claim = ledger.claim("search", {}, workflow="w", policy=policy)
    copy_context().run(claim.__enter__)
    place.crash(ledger)
    ledger = place.reopen()
    ledger.budget("looks", requests=1, tool="else")
    assert look(ledger, face, 0, policy=policy) == 1
    ledger.recover()
    assert figures(ledger) == (0, 0, 1)
    [lost] = ledger.reservations(state="unreconciled")
    ledger.reconcile(lost.key, by="ann", requests=1)
    assert figures(ledger) == (0, 1, 0)
    assert ledger.verify().sound


def test_what_was_tried_in_vain_and_paid_is_paid_once_more(place: Place, face: Face) -> None:
    """Somebody says that it cost something although it did not happen; then it is done again."""
    ledger = place.open()
    ledger.budget("looks", requests=2, tool="search")
    policy = Policy()
    assert look(ledger, face, 1, policy=policy) == 1
    (lost,) = ledger.reservations(state="unreconciled")
    ledger.reconcile(lost.key, by="ann", requests=1)
    ledger.resolve(lost.key, by="ann", failed="nobody saw it")
    assert figures(ledger) == (0, 1, 0)
    assert look(ledger, face, 0, policy=policy) == 1
    assert figures(ledger) == (0, 2, 0)
    assert ledger.verify().sound


def test_a_budget_that_is_declared_while_a_call_is_priced_counts(place: Place, face: Face) -> None:
    """The call goes by the budgets that it saw, and the database says that they are old ones."""
    ledger = place.open()
    ledger.budget("money", usd=1, tool="send")
    sent: list[str] = []

    def cost(args: Mapping[str, Any]) -> int:
        if "late" not in {line.budget for line in ledger.budgets()}:
            ledger.budget("late", requests=1, tool="send")
            ledger.budget("late").reserve(requests=1)
        return 0

    def send() -> None:
        sent.append("a letter")

    async def asend() -> None:
        sent.append("a letter")

    tool = asend if face.awaiting else send
    options: dict[str, Any] = {"workflow": "w", "policy": Policy(cost=cost)}
    with pytest.raises(BudgetExceeded) as refused:
        face.do(ledger, "call", "send", tool, {}, **options)
    assert (refused.value.budget, sent) == ("late", [])
