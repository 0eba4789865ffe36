"""Workflows that are ambient, tools that are decorated, and effects that are claimed by hand."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tallystick import (
    ApprovalRequired,
    EffectFailed,
    EffectInDoubt,
    Guarantee,
    Ledger,
    NotApplied,
    Policy,
    Status,
    current_effect,
)
from tallystick.errors import CalledFromItself, DecisionRefused, InvalidCall, NoWorkflow
from tests.conftest import Place


def workflows(ledger: Ledger) -> list[str]:
    """Of the recorded effects, oldest first."""
    return [effect.workflow for effect in reversed(ledger.effects())]


# -- workflows ----------------------------------------------------------------------------------


def test_calls_inside_belong_to_the_workflow(place: Place) -> None:
    """Scopes nest, the innermost counts, and one that is given counts more."""
    ledger = place.open()

    def tool(n: int) -> int:
        return n

    def call(n: int, **options: Any) -> None:
        ledger.call("t", tool, {"n": n}, **options)

    with ledger.workflow("outer"):
        call(1)
        with ledger.workflow("inner"):
            call(2)
            call(3, workflow="given")
        call(4)
    with pytest.raises(NoWorkflow):
        call(5)
    assert workflows(ledger) == ["outer", "inner", "given", "outer"]


def test_one_scope_can_be_entered_again(place: Place) -> None:
    """Also inside of itself."""
    ledger = place.open()
    scope = ledger.workflow("w")
    for _ in range(2):
        with scope, scope:
            pass
    with pytest.raises(NoWorkflow):
        ledger.call("t", lambda: None)


def test_a_scope_ends_with_an_error(place: Place) -> None:
    """And lets it through."""
    ledger = place.open()
    with pytest.raises(ValueError, match="no"), ledger.workflow("w"):
        raise ValueError("no")
    with pytest.raises(NoWorkflow):
        ledger.call("t", lambda: None)


async def test_each_task_has_its_own_workflow(place: Place) -> None:
    """Tasks that run at the same time do not see each other's, and inherit their parent's."""
    ledger = place.open()

    async def work(name: str) -> str:
        return name

    async def run(n: int) -> None:
        async with ledger.workflow(f"w{n}"):
            await asyncio.sleep(0)
            await asyncio.gather(
                ledger.acall("t", work, {"name": "a"}), ledger.acall("t", work, {"name": "b"})
            )

    await asyncio.gather(*[run(n) for n in range(5)])
    assert sorted(workflows(ledger)) == sorted(f"w{n}" for n in range(5) for _ in "ab")


def test_a_thread_sees_the_workflow_of_its_context(place: Place) -> None:
    """A copied context carries it; a bare thread has none."""
    ledger = place.open()

    def call() -> None:
        ledger.call("t", lambda: None)

    with ledger.workflow("w"), ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, call).result()
        with pytest.raises(NoWorkflow):
            pool.submit(call).result()
    assert workflows(ledger) == ["w"]


async def test_a_sync_tool_on_the_awaiting_face_has_its_callers_context(place: Place) -> None:
    """In its worker thread: workflow, effect, and whatever else is in the context."""
    ledger, seen = place.open(), list[str]()
    mine = contextvars.ContextVar("mine", default="")

    def outer() -> None:
        seen.append(f"{mine.get()} {current_effect().tool} {threading.current_thread().name[:15]}")
        ledger.call("inner", lambda: None)

    mine.set("context")
    with ledger.workflow("w"):
        await ledger.acall("outer", outer)
    assert seen == ["context outer tallystick-tool"]
    assert workflows(ledger) == ["w", "w"]


# -- decorated tools ----------------------------------------------------------------------------


def test_a_decorated_function_is_an_effect_and_looks_like_itself(place: Place) -> None:
    """Name, doc and signature stay; positional and named arguments are one call."""
    ledger, runs = place.open(), list[str]()

    @ledger.tool()
    def send(to: str, *, subject: str = "hello") -> str:
        """Send a letter."""
        runs.append(to)
        return f"sent to {to}"

    name = getattr(send, "__name__", "")
    assert (name, send.__doc__) == ("send", "Send a letter.")
    assert list(inspect.signature(send).parameters) == ["to", "subject"]
    with ledger.workflow("w"):
        assert send("ann") == send(to="ann") == send("ann", subject="hello") == "sent to ann"
        assert send("ann", subject="again") == "sent to ann"
    assert runs == ["ann", "ann"]
    assert {effect.tool for effect in ledger.effects()} == {"send"}


async def test_a_decorated_coroutine_function_stays_one(place: Place) -> None:
    """And is awaited."""
    ledger, runs = place.open(), list[str]()

    @ledger.tool(name="post", policy=Policy(identity=("to",)))
    async def send(to: str, memo: str = "") -> str:
        runs.append(to)
        return f"sent to {to}"

    assert inspect.iscoroutinefunction(send)
    async with ledger.workflow("w"):
        assert [*await asyncio.gather(send("ann"), send("ann"))] == ["sent to ann"] * 2
    assert runs == ["ann"]
    assert ledger.effects()[0].tool == "post"


class Nameless:
    """A callable object."""

    def __call__(self, to: str) -> str:
        return f"sent to {to}"


def test_what_has_no_name_is_given_one(place: Place) -> None:
    """Otherwise it is refused where it is decorated."""
    ledger = place.open()
    with pytest.raises(InvalidCall, match="the tool's name"):
        ledger.tool()(Nameless())
    send = ledger.tool(name="send")(Nameless())
    with ledger.workflow("w"):
        assert send("ann") == "sent to ann"


def test_a_decorated_function_takes_extra_arguments_where_it_says_so(place: Place) -> None:
    """By name; without a name nobody could tell them apart."""
    ledger = place.open()

    @ledger.tool()
    def send(to: str, *more: str, **headers: str) -> str:
        return f"{to} {headers}"

    with ledger.workflow("w"):
        assert send("ann", reply="bob") == "ann {'reply': 'bob'}"
        with pytest.raises(InvalidCall, match="called by name"):
            send("ann", "bob")
        with pytest.raises(InvalidCall, match="to"):
            send()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    assert ledger.effects()[0].args == {"to": "ann", "reply": "bob"}


# -- claims by hand -----------------------------------------------------------------------------


class Hand:
    """Claims by hand, on one face or the other."""

    def __init__(self, place: Place, awaiting: bool) -> None:
        self.ledger = place.open()
        self._awaiting = awaiting

    def claim(self, deed: Callable[[Any], Any], **options: Any) -> Any:
        """Do *deed* with a claim; what it returns, if it is a verb, is said on the right face."""
        claimed = self.ledger.claim("charge", {"order": "A"}, workflow="w", **options)
        if not self._awaiting:
            with claimed as claim:
                verb, *args = deed(claim) or ("",)
                if verb:
                    getattr(claim, verb)(*args)
            return claim

        async def main() -> Any:
            async with claimed as claim:
                verb, *args = deed(claim) or ("",)
                if verb:
                    await getattr(claim, f"a{verb}")(*args)
            return claim

        return asyncio.run(main())

    @property
    def status(self) -> Status:
        """What stands in the row."""
        return self.ledger.effects()[0].status


@pytest.fixture(params=[False, True], ids=["blocking", "awaiting"])
def hand(request: pytest.FixtureRequest, place: Place) -> Hand:
    """Both faces, every store."""
    return Hand(place, bool(request.param))


def test_a_claim_is_fresh_once_and_has_a_result_afterwards(hand: Hand) -> None:
    """The key can be passed downstream, and the result is the recorded one."""
    first = hand.claim(lambda claim: ("succeed", {"id": "ch_1"}))
    assert first.fresh
    assert first.result == {"id": "ch_1"}
    second = hand.claim(lambda claim: None)
    assert not second.fresh
    assert (second.key, second.result) == (first.key, {"id": "ch_1"})
    assert hand.ledger.effects()[0].key == first.key

    def charge(order: str) -> Any:
        raise AssertionError("it is done already")

    called = hand.ledger.call("charge", charge, {"order": "A"}, workflow="w")
    assert called == {"id": "ch_1"}


def test_a_claim_says_what_to_perform(hand: Hand) -> None:
    """Its arguments, and its effect as the ambient one."""
    seen: list[Any] = []

    def look(claim: Any) -> Any:
        seen.append((claim.args, current_effect().key == claim.key, current_effect().attempt))
        return ("succeed",)

    hand.claim(look)
    assert seen == [({"order": "A"}, True, 1)]
    with pytest.raises(LookupError):
        current_effect()


def test_a_failed_claim_is_replayed_as_a_failure(hand: Hand) -> None:
    """With the type and text of what was given, or the text alone."""
    hand.claim(lambda claim: ("fail", ConnectionError("declined")))
    with pytest.raises(EffectFailed, match="declined") as caught:
        hand.claim(lambda claim: None)
    assert caught.value.error_type == "builtins.ConnectionError"
    assert hand.status is Status.FAILED


def test_a_failure_that_can_be_retried_is_claimed_again(place: Place) -> None:
    """The next claim is fresh, with another attempt and another fencing token."""
    ledger = place.open()
    with ledger.claim("charge", workflow="w") as first:
        first.fail("busy", retryable=True)
    with ledger.claim("charge", workflow="w") as second:
        assert second.fresh
        assert (current_effect().attempt, current_effect().epoch) == (2, 2)
        second.succeed()
    assert ledger.effects()[0].status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, Status.IN_DOUBT),
        (RuntimeError("?"), Status.IN_DOUBT),
        (KeyboardInterrupt(), Status.IN_DOUBT),
        (NotApplied("no"), Status.FAILED),
        (ConnectionRefusedError(), Status.FAILED),
    ],
)
def test_leaving_a_claim_without_a_word_says_what_the_error_says(
    hand: Hand, error: BaseException | None, status: Status
) -> None:
    """Nothing, and the effect is in doubt; or that it certainly did not happen."""

    def leave(claim: Any) -> None:
        if error is not None:
            raise error

    if error is None:
        hand.claim(leave)
    else:
        with pytest.raises(type(error)):
            hand.claim(leave)
    while hand.status is Status.RUNNING:
        pass  # the awaiting face does not wait for its record
    assert hand.status is status
    assert len(hand.ledger.pending()) == (status is Status.IN_DOUBT)


def test_a_claim_that_is_interrupted_is_given_back(hand: Hand) -> None:
    """By control flow that the policy names, or by an inner effect that waits for a person."""
    policy = Policy(classify={KeyError: "interrupted"})

    def interrupt(claim: Any) -> None:
        raise KeyError("later")

    def ask(claim: Any) -> None:
        hand.ledger.call("inner", lambda: None, workflow="w", policy=Policy(approval=True))

    with pytest.raises(KeyError):
        hand.claim(interrupt, policy=policy)
    with pytest.raises(ApprovalRequired):
        hand.claim(ask, policy=policy)
    assert hand.claim(lambda claim: ("succeed", "done"), policy=policy).result == "done"


def test_a_claim_is_settled_once_and_by_its_holder_only(place: Place) -> None:
    """Not before it is entered, not twice, and not by who only follows."""
    ledger = place.open()
    claim = ledger.claim("charge", workflow="w")
    for ask in (lambda: claim.fresh, lambda: claim.result, claim.succeed, lambda: claim.args):
        with pytest.raises(InvalidCall):
            ask()
    with claim:
        with pytest.raises(InvalidCall, match="no result yet"):
            assert claim.result
        claim.succeed("done")
        with pytest.raises(InvalidCall, match="not settled yet"):
            claim.succeed("again")
        with pytest.raises(InvalidCall, match="not settled yet"):
            claim.fail("no")
    with ledger.claim("charge", workflow="w") as other, pytest.raises(InvalidCall):
        other.succeed("mine")
    assert ledger.effects()[0].result == "done"


def test_a_claim_that_was_taken_over_cannot_be_settled(place: Place) -> None:
    """What its holder saw is kept in the history, and it hears that it came too late."""
    ledger = place.open()
    with ledger.claim("charge", workflow="w") as claim:
        place.crash(ledger)
        other = place.reopen()
        assert other.recover() == 1
        other.resolve(claim.key, by="ann", succeeded="as ann said")
        claim._blocking = other._blocking  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(EffectInDoubt, match="taken over"):
            claim.succeed("late")
        claim._settled = True  # pyright: ignore[reportPrivateUsage]
    assert [e.kind for e in other.history(claim.key)] == ["in_doubt", "resolved", "observed"]
    with pytest.raises(DecisionRefused):
        other.resolve(claim.key, by="bob", failed="no")


def test_a_call_inside_its_own_claim_is_told_at_once(place: Place) -> None:
    """The holder would wait for himself."""
    ledger = place.open()
    with ledger.claim("charge", workflow="w") as claim:
        with pytest.raises(CalledFromItself):
            ledger.call("charge", lambda: None, workflow="w")
        claim.succeed()


def test_readings_are_claimed_every_time(hand: Hand) -> None:
    """They are recorded, and never deduplicated."""
    policy = Policy(guarantee=Guarantee.READ_ONLY)
    keys = {hand.claim(lambda claim: ("succeed", 1), policy=policy).key for _ in range(3)}
    assert len(keys) == len(hand.ledger.effects()) == 3


def test_a_result_that_cannot_be_kept_is_a_success_here_too(hand: Hand) -> None:
    """It is never called a failure."""
    hand.claim(lambda claim: ("succeed", threading.Lock()))
    (effect,) = hand.ledger.effects()
    assert (effect.status, effect.result_stored) == (Status.SUCCEEDED, False)
