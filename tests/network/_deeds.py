"""What a ledger does over a wire that is cut: prepare, act (the wire may go), and look what is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError

from tallystick import (
    EffectFailed,
    EffectInDoubt,
    Guarantee,
    Halted,
    Ledger,
    NotApplied,
    Policy,
    Retry,
    Status,
    current_effect,
)
from tallystick.errors import (
    ApprovalDenied,
    ApprovalRequired,
    BudgetExceeded,
    EffectCancelled,
    StoreError,
)
from tallystick.metering import Meter, ModelRequest
from tallystick.prices import Overrides, Usage
from tallystick.testing import Witness, crash

ASKS = Policy(approval=True)
SAFE = Policy(guarantee=Guarantee.IDEMPOTENT)
DONE = "charged"


class Case:
    """One effect, one ledger behind the wire, one beside it."""

    def __init__(self, name: str, wired: Ledger, desk: Ledger, url: str, witness: Witness) -> None:
        self.name = name
        self.wired = wired
        self.desk = desk
        self.url = url
        self.witness = witness
        self.raises: BaseException | None = None

    def charge(self, order: str) -> str:
        """The tool."""
        self.witness.saw(self.name)
        if self.raises is not None:
            raise self.raises
        return DONE

    def call(self, ledger: Ledger | None = None, policy: Policy | None = None) -> Any:
        """The call."""
        return (ledger or self.wired).call(
            "charge", self.charge, {"order": self.name}, workflow=self.name, policy=policy
        )

    def stopped(self, error: type[BaseException], policy: Policy | None = None) -> None:
        """The call, made beside the wire, ends in an error."""
        try:
            self.call(self.desk, policy)
        except error:
            return
        raise AssertionError(f"{self.name} was not stopped by {error.__name__}")

    def left_behind(self, guarantee: Guarantee = Guarantee.AT_MOST_ONCE) -> None:
        """Somebody claims the effect, and dies."""
        other = Ledger(self.url, lease=60.0)
        policy = Policy(guarantee=guarantee)
        claim = other.claim("charge", {"order": self.name}, workflow=self.name, policy=policy)
        assert copy_context().run(claim.__enter__).fresh
        crash(other)
        with psycopg.connect(self.url, autocommit=True) as db:
            db.execute("UPDATE tallystick_worker SET last_seen = 0 WHERE id = %s", [_worker(other)])

    @property
    def key(self) -> str:
        """The effect's."""
        (effect,) = self.desk.effects(workflow=self.name)
        return effect.key

    @property
    def status(self) -> Status:
        """The effect's."""
        return self.desk.get(self.key).status

    @property
    def times(self) -> int:
        """How often it really happened."""
        return self.witness.times(self.name)

    def events(self, kind: str) -> int:
        """How often something is on record."""
        return sum(event.kind == kind for event in self.desk.history(self.key))


def _worker(ledger: Ledger) -> str:
    engine: Any = ledger._engine  # pyright: ignore[reportPrivateUsage]
    return str(engine.store.worker())


@dataclass(frozen=True)
class Deed:
    """Something that is done over the wire."""

    name: str
    prepare: Callable[[Case], object]
    act: Callable[[Case], Any]
    #: whether what was answered, and what is there, is what had to be
    right: Callable[[Case, Any], bool]


def _failing(error: BaseException) -> Callable[[Case], None]:
    def prepare(c: Case) -> None:
        c.raises = error

    return prepare


def _raised(call: Callable[[], Any], *kinds: type[BaseException]) -> str:
    """The name of the error that *call* ends in."""
    try:
        call()
    except kinds as error:
        return type(error).__name__
    return ""


def _asked(c: Case) -> None:
    c.stopped(ApprovalRequired, ASKS)


def _approved(c: Case) -> None:
    _asked(c)
    c.desk.approve(c.key, by="ann")


def _doubtful(c: Case) -> None:
    c.left_behind()
    c.stopped(EffectInDoubt)


def _only_dead(c: Case) -> None:
    c.desk.recover()
    c.left_behind()


def _claimed(c: Case) -> Any:
    with c.wired.claim("charge", {"order": c.name}, workflow=c.name) as claim:
        assert claim.fresh
        claim.succeed(c.charge(c.name))
    return claim.result


def _halted(c: Case) -> bool:
    c.wired.halt(tool=c.name, by="op", reason="stop")
    return any(halt.tool == c.name for halt in c.desk.halts())


def _lifted(c: Case) -> bool:
    c.desk.halt(tool=c.name, by="op", reason="stop")
    c.wired.unhalt(tool=c.name, by="op")
    return all(halt.tool != c.name for halt in c.desk.halts())


def _stopped_by_halt(c: Case) -> str:
    return _raised(c.call, Halted)


def _write(c: Case) -> Any:
    def charge(order: str) -> str:
        connection = current_effect().connection
        try:
            connection.exec_driver_sql("INSERT INTO witness VALUES (%(n)s)", {"n": order})
        except DBAPIError as error:  # the wire was cut under the tool's own statement
            raise NotApplied(str(error)) from error
        return DONE

    policy = Policy(guarantee=Guarantee.TRANSACTIONAL)
    args = {"order": c.name}
    return c.wired.call("charge", charge, args, workflow=c.name, policy=policy)


def _written_once(c: Case, got: Any) -> bool:
    """
    All of it or nothing: an error says that it was rolled back, and that it may be called again.
    """
    if isinstance(got, StoreError | NotApplied):
        c.wired.effects(limit=1)
        got = _write(c)
    return got == DONE and _rows(c) == 1


def _rows(c: Case) -> int:
    with psycopg.connect(c.url) as db:
        found = db.execute("SELECT count(*) FROM witness WHERE n = %s", [c.name]).fetchone()
    assert found is not None
    return int(found[0])


def _nothing(_: Case) -> None:
    """Nothing to prepare."""


def _is(status: Status, times: int) -> Callable[[Case], bool]:
    return lambda c: (c.status, c.times) == (status, times)


_OK = _is(Status.SUCCEEDED, 1)
_RETRYING = Policy(retry=Retry(attempts=2, initial=0.01, jitter=0.0))


def _fails_once(c: Case) -> Any:
    def charge(order: str) -> str:
        if current_effect().attempt == 1:
            raise NotApplied(retryable=True)
        return c.charge(order)

    args = {"order": c.name}
    return c.wired.call("charge", charge, args, workflow=c.name, policy=_RETRYING)


# -- money -----------------------------------------------------------------------------------------

BOOK = Overrides({"toy": {"input": "1000", "output": "1000"}})
ASKED = ModelRequest(model="toy", input_bound=400, output_bound=600)


def _purse(c: Case) -> None:
    """A budget for one, of this case alone."""
    c.desk.budget(c.name, tokens=1000, requests=1)


def _purse_and(error: BaseException) -> Callable[[Case], None]:
    def prepare(c: Case) -> None:
        _purse(c)
        c.raises = error

    return prepare


def _paid(c: Case) -> Any:
    return c.call(policy=Policy(budgets=(c.name,)))


def _figures(c: Case) -> list[tuple[Any, Any, Any]]:
    """What is reserved, spent and unreconciled: requests, tokens."""
    return [(x.reserved, x.spent, x.unreconciled) for x in c.desk.budget(c.name).lines()]


def _one_request(c: Case) -> bool:
    return _figures(c) == [(0, 1, 0), (0, 0, 0)]


def _metered(c: Case) -> str:
    call = Meter(c.wired, c.name, prices=BOOK).begin(ASKED)
    c.witness.saw(c.name)
    call.settle(Usage(input=300, output=500))
    return DONE


def _left(c: Case) -> str:
    Meter(c.wired, c.name, prices=BOOK).begin(ASKED).leave(Usage(input=300), reason="gone")
    return DONE


def _by_hand(c: Case) -> str:
    held = c.wired.budget(c.name).reserve(tokens=900, key="job")
    c.witness.saw(c.name)
    held.settle(tokens=800)
    return DONE


def _metered_right(c: Case, got: Any) -> bool:
    """Charged once and wholly; what the wire did not let through is written when it does."""
    return got == DONE and c.times == 1 and _eventually(c, [(0, 1, 0), (0, 800, 0)])


def _eventually(c: Case, wanted: list[tuple[Any, Any, Any]]) -> bool:
    """The word of a call that was paid is kept, and written down as soon as the ledger answers."""
    for _ in range(100):
        if _figures(c) == wanted:
            return True
        c.wired.recover()
        time.sleep(0.02)
    return False


def _raised_limit(c: Case) -> Any:
    return c.wired.budget(c.name).raise_limit(by="ann", requests=2, lasting=True)[0].limit


def _asks_for_more(c: Case) -> str:
    return _raised(lambda: c.call(policy=Policy(budgets=(c.name,))), BudgetExceeded)


def _empty(c: Case) -> None:
    c.desk.budget(c.name, requests=0, on_exceed="ask", raise_by=3)


def _topped_up(c: Case) -> Any:
    with suppress(BudgetExceeded):
        c.call(c.desk, Policy(budgets=(c.name,)))
    return [item.effect.key for item in c.desk.pending() if item.effect.workflow == _about(c)]


def _about(c: Case) -> str:
    return f"budget:{c.name}"


def _empty_and_asked(c: Case) -> None:
    _empty(c)
    _topped_up(c)


DEEDS: list[Deed] = [
    Deed(
        "a_call_that_a_budget_pays",
        _purse,
        _paid,
        lambda c, got: got == DONE and _OK(c) and _one_request(c),
    ),
    Deed(
        "a_refusal_that_a_budget_would_have_paid",
        _purse_and(NotApplied("no")),
        lambda c: _raised(lambda: _paid(c), NotApplied, EffectFailed),
        lambda c, got: got == "NotApplied" and _figures(c) == [(0, 0, 0), (0, 0, 0)],
    ),
    Deed(
        "an_unknown_outcome_that_a_budget_pays",
        _purse_and(RuntimeError("broken")),
        lambda c: _raised(lambda: _paid(c), EffectInDoubt),
        lambda c, got: got == "EffectInDoubt" and _figures(c) == [(0, 0, 1), (0, 0, 0)],
    ),
    Deed("a_metered_call", _purse, _metered, _metered_right),
    Deed(
        "a_stream_that_was_left",
        _purse,
        _left,
        lambda c, got: got == DONE and _eventually(c, [(0, 1, 0), (0, 300, 700)]),
    ),
    Deed(
        "a_reservation_by_hand",
        _purse,
        _by_hand,
        lambda c, got: (got == DONE, _figures(c)) == (True, [(0, 1, 0), (0, 800, 0)]),
    ),
    Deed("a_raise", _purse, _raised_limit, lambda c, got: got == 3),
    Deed(
        "other_terms",
        _purse,
        lambda c: c.wired.budget(c.name, requests=7).limit,
        lambda c, got: got == c.desk.budget(c.name).limit == 7,
    ),
    Deed(
        "a_request_for_more",
        _empty,
        _asks_for_more,
        lambda c, got: got == "BudgetExceeded" and len(_topped_up(c)) == 1 and c.times == 0,
    ),
    Deed(
        "a_top_up",
        _empty_and_asked,
        lambda c: c.wired.approve(_topped_up(c)[0], by="ann").status,
        lambda c, got: got is Status.SUCCEEDED and c.desk.budget(c.name).limit == 3,
    ),
    Deed("a_fresh_call", _nothing, Case.call, lambda c, got: got == DONE and _OK(c)),
    Deed(
        "an_awaited_call",
        _nothing,
        lambda c: asyncio.run(
            c.wired.acall("charge", c.charge, {"order": c.name}, workflow=c.name)
        ),
        lambda c, got: got == DONE and _OK(c),
    ),
    Deed("a_claim_by_hand", _nothing, _claimed, lambda c, got: got == DONE and _OK(c)),
    Deed(
        "a_replay",
        lambda c: c.call(c.desk),
        Case.call,
        lambda c, got: got == DONE and _OK(c) and c.desk.history(c.key) == [],
    ),
    Deed(
        "a_failure",
        _failing(NotApplied("no")),
        lambda c: _raised(c.call, NotApplied, EffectFailed),
        lambda c, got: got == "NotApplied" and _is(Status.FAILED, 1)(c),
    ),
    Deed(
        "an_unknown_outcome",
        _failing(RuntimeError("broken")),
        lambda c: _raised(c.call, EffectInDoubt),
        lambda c, got: got == "EffectInDoubt" and _is(Status.IN_DOUBT, 1)(c),
    ),
    Deed("a_retry", _nothing, _fails_once, lambda c, got: got == DONE and _OK(c)),
    Deed(
        "a_request_for_approval",
        _nothing,
        lambda c: _raised(lambda: c.call(policy=ASKS), ApprovalRequired),
        lambda c, got: got == "ApprovalRequired" and c.events("asked") == 1 and c.times == 0,
    ),
    Deed(
        "an_approval",
        _asked,
        lambda c: c.wired.approve(c.key, by="ann").status,
        lambda c, got: got is c.status is Status.APPROVED and c.events("approved") == 1,
    ),
    Deed(
        "a_denial",
        _asked,
        lambda c: c.wired.deny(c.key, by="ann", reason="no").status,
        lambda c, got: got is c.status is Status.DENIED and c.events("denied") == 1,
    ),
    Deed(
        "a_start_of_what_was_approved",
        _approved,
        lambda c: c.call(policy=ASKS),
        lambda c, got: got == DONE and _OK(c) and c.events("started") == 1,
    ),
    Deed(
        "a_takeover",
        lambda c: c.left_behind(Guarantee.IDEMPOTENT),
        lambda c: c.call(policy=SAFE),
        lambda c, got: got == DONE and _OK(c) and c.events("started") == 1,
    ),
    Deed(
        "a_doubt_about_the_dead",
        lambda c: c.left_behind(),
        lambda c: _raised(c.call, EffectInDoubt),
        lambda c, got: (
            got == "EffectInDoubt" and _is(Status.IN_DOUBT, 0)(c) and c.events("in_doubt") == 1
        ),
    ),
    Deed(
        "a_sweep",
        _only_dead,
        lambda c: c.wired.recover(),
        lambda c, got: _is(Status.IN_DOUBT, 0)(c) and c.events("in_doubt") == 1,
    ),
    Deed(
        "a_resolution_that_it_happened",
        _doubtful,
        lambda c: c.wired.resolve(c.key, by="ann", succeeded="seen").result,
        lambda c, got: got == "seen" and c.events("resolved") == 1 and c.call() == "seen",
    ),
    Deed(
        "a_resolution_that_it_did_not",
        _doubtful,
        lambda c: c.wired.resolve(c.key, by="ann", failed="no trace").status,
        lambda c, got: got is Status.FAILED and c.events("resolved") == 1 and c.call() == DONE,
    ),
    Deed(
        "a_cancellation",
        _asked,
        lambda c: c.wired.cancel(c.key, by="ann").status,
        lambda c, got: (
            got is Status.CANCELLED
            and c.events("cancelled") == 1
            and _raised(c.call, EffectCancelled, ApprovalDenied) == "EffectCancelled"
        ),
    ),
    Deed("a_halt", _nothing, _halted, lambda c, got: got is True),
    Deed("the_end_of_a_halt", _nothing, _lifted, lambda c, got: got is True),
    Deed(
        "a_call_under_a_halt",
        lambda c: c.desk.halt(workflow=c.name, by="op", reason="stop"),
        _stopped_by_halt,
        lambda c, got: got == "Halted" and c.times == 0 and c.desk.effects(workflow=c.name) == [],
    ),
    Deed("a_write_in_one_commit", _nothing, _write, _written_once),
]
