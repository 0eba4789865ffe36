"""The stories about money: whoever dies, nothing is spent twice and nothing is forgotten."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from tallystick import Approval, EffectInDoubt, Guarantee
from tallystick.errors import BudgetError, EffectStopped
from tallystick.metering import Meter, ModelRequest
from tallystick.prices import Overrides, Usage
from tallystick.runaway import Repeats, Runaway

from ._stage import Stage, Story

U, I, R, T = (  # noqa: E741 - the guarantees as the design calls them
    Guarantee.AT_MOST_ONCE,
    Guarantee.IDEMPOTENT,
    Guarantee.RECONCILE,
    Guarantee.TRANSACTIONAL,
)
EFFECTS = frozenset({U, I, R, T})
KEPT = frozenset({U, I, R})
ONE = frozenset({U})
#: a token costs a thousandth of a dollar, in and out
BOOK = Overrides({"toy": {"input": "1000", "output": "1000"}})
DEARER = Overrides({"toy": {"input": "2000", "output": "2000"}})
Prelude = Callable[[Stage], Awaitable[None]]


async def twin(stage: Stage, thing: Any, verb: str, *args: Any, **options: Any) -> Any:
    """A method of something that has two faces, on the face that this story is told on."""
    if stage.awaiting:
        return await getattr(thing, f"a{verb}")(*args, **options)
    return getattr(thing, verb)(*args, **options)


def _purse(**terms: Any) -> Prelude:
    """Somebody has declared a budget that concerns the tool."""

    async def declared(stage: Stage) -> None:
        await stage.do("budget", "purse", tool="charge", **terms)

    return declared


def _and_died(prelude: Prelude, *, having_done_it: bool) -> Prelude:
    """The same, and another process claimed the effect and was killed."""

    async def declared(stage: Stage) -> None:
        from ._stories import _entered  # pyright: ignore[reportPrivateUsage]

        await prelude(stage)
        if not stage.once("colleague"):
            return
        other = await stage.colleague()
        args = {"what": "A", "amount": 1}
        claim = other.claim("charge", args, workflow="order", policy=stage.policy())
        with suppress(EffectStopped):
            await _entered(stage, claim)
            if having_done_it:
                await stage.effect(claim.key, f"{claim.key}#0")
        await stage.bury(other)

    return declared


async def _by_hand(stage: Stage) -> None:
    """Two reservations under names: one is used, one is given back."""
    budget = await stage.do("budget", "hand", tokens=100, soft=(0.1,))
    for key, spends in (("a", 40), ("b", None)):
        try:
            held = await twin(stage, budget, "reserve", tokens=50, key=key)
        except BudgetError:  # it was made before, and is over
            continue
        if spends is None:
            await twin(stage, held, "release", reason="not needed")
            continue
        if not stage.log.times(f"spent hand {spends}"):
            stage.log.saw(f"spent hand {spends}")
        await twin(stage, held, "settle", tokens=spends)


async def _metered(stage: Stage) -> None:
    """
    Calls of a model; each process makes its own, and says what they used unless it is killed.

    The same question brings the same answer, which is told of; later it turns out to be dearer.
    """
    await stage.do("budget", "models", usd=60, tokens=60_000, requests=60)
    meter = Meter(
        stage.ledger,
        "models",
        session="s",
        prices=BOOK,
        runaway=Runaway(rules=(Repeats(times=2),)),
    )
    asked = ModelRequest(model="toy", input_bound=400, output_bound=600, digest=b"q" * 32)
    usages = [Usage(input=300, output=500), Usage(input=300, output=500), None]
    for usage in usages:
        call = await twin(stage, meter, "begin", asked)
        if usage is not None:
            stage.log.saw("spent models 801")  # its tokens, and itself
            await twin(stage, call, "settle", usage, answer=b"a" * 32)
        else:
            await twin(stage, call, "release", reason="refused")
    call = await twin(stage, meter, "begin", asked)
    await twin(stage, call, "leave", Usage(input=10), reason="the stream was left")
    await stage.do("reprice", DEARER, write=True)


async def _raised(stage: Stage) -> None:
    """The limit is too low for the tool, and a person raises it by hand."""
    budget = await stage.do("budget", "purse", requests=0, tool="charge")
    (line,) = await twin(stage, budget, "lines")
    if line.limit < 1:
        await twin(stage, budget, "raise_limit", by="ann", requests=1 - line.limit, lasting=True)


async def _declared_anew(stage: Stage) -> None:
    """Other terms, after something was charged under the first ones."""
    await stage.do("budget", "purse", requests=5, tool="charge")
    with suppress(EffectInDoubt, RuntimeError):
        await stage.call(call_id="first")
    await stage.do("budget", "purse", requests=2, tool="charge", soft=(0.5,))


def _asks(stage: Stage) -> Approval:
    return Approval()


PURSES: tuple[Story, ...] = (
    Story(name="a budget pays", prelude=_purse(requests=2, soft=(0.5,)), guarantees=EFFECTS),
    Story(
        name="a budget pays and it raises",
        prelude=_purse(amount=1, of="args.amount"),
        steps=("do, lose", "do"),
        guarantees=EFFECTS,
    ),
    Story(
        name="a budget pays and it is refused at first",
        prelude=_purse(requests=1, usd=5),
        policy={"cost": "1.5"},
        steps=("later", "do"),
        guarantees=frozenset({U, T}),
    ),
    Story(
        name="a budget pays and the doubt is withdrawn",
        prelude=_purse(requests=1),
        steps=("do, lose",),
        doubt="withdraw",
        ends=frozenset({"cancelled"}),
        guarantees=ONE,
    ),
    Story(
        name="a budget pays a hand",
        prelude=_purse(requests=1),
        by_hand=True,
        guarantees=frozenset({U, I}),
    ),
    Story(
        name="a budget pays what was approved",
        prelude=_purse(requests=1),
        approval=_asks,
        guarantees=frozenset({U, T}),
    ),
    Story(
        name="a budget paid a colleague who died before",
        prelude=_and_died(_purse(requests=1), having_done_it=False),
        guarantees=KEPT,
    ),
    Story(
        name="a budget paid a colleague who died after",
        prelude=_and_died(_purse(requests=1), having_done_it=True),
        guarantees=KEPT,
    ),
    Story(
        name="a budget is topped up",
        prelude=_purse(requests=0, on_exceed="ask", raise_by=1),
        most=1,
        guarantees=frozenset({U, T}),
    ),
    Story(name="a budget is raised", prelude=_raised, most=1, guarantees=ONE),
    Story(name="a budget is declared anew", prelude=_declared_anew, guarantees=frozenset({U, I})),
    Story(name="money is held by hand", prelude=_by_hand, guarantees=ONE),
    Story(name="models are called", prelude=_metered, guarantees=ONE),
)
