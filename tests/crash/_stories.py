"""The stories: together they take a ledger through every act that it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from tallystick import Approval, ApprovalRequired, EffectInDoubt, Guarantee, Ledger, Policy
from tallystick._checkpoints import ReadBlobs, parts_of
from tallystick._scope import Claimed
from tallystick.encryption import Keyring
from tallystick.errors import EffectStopped, InvalidCall, ResultNotStored, StillRunning
from tests.checkpoints._acts import Thread

from ._purses import PURSES, twin
from ._sagas import SAGAS
from ._stage import Stage, Story, quick_retry

U, I, R, T, RO = (  # noqa: E741 - the guarantees as the design calls them
    Guarantee.AT_MOST_ONCE,
    Guarantee.IDEMPOTENT,
    Guarantee.RECONCILE,
    Guarantee.TRANSACTIONAL,
    Guarantee.READ_ONLY,
)
EFFECTS = frozenset({U, I, R, T})
KEPT = frozenset({U, I, R})
ASK = Policy(approval=True)
#: of a test, and of nothing else
OLD_KEY, NEW_KEY = b"o" * 32, b"n" * 32
SECRET = "hunter2-is-not-a-password"


def _approval(**options: Any) -> Callable[[Stage], Approval]:
    def approval(stage: Stage) -> Approval:
        return Approval(**options)

    return approval


async def _entered(stage: Stage, claim: Claimed) -> None:
    """Take a claim in a context of its own, as another process has one."""
    if stage.awaiting:
        await asyncio.create_task(claim.__aenter__())
    else:
        copy_context().run(claim.__enter__)


# -- preludes ---------------------------------------------------------------------------------


async def _colleague_died(stage: Stage, *, having_done_it: bool) -> None:
    """Another process claimed the same effect and was killed, before or after the effect."""
    if not stage.once("colleague"):
        return
    other = await stage.colleague()
    args = {"what": "A", "amount": 1}
    where = stage.where("first" if stage.story.placed else None)
    claim = other.claim("charge", args, workflow="order", policy=stage.policy(), **where)
    with suppress(EffectStopped):
        await _entered(stage, claim)
        if having_done_it:
            await stage.effect(claim.key, f"{claim.key}#0")
    await stage.bury(other)


async def _keeps_a_thread(stage: Stage) -> None:
    """A graph's checkpoints go through the same journal; none of them is ever there in part."""
    ledger: Any = stage.ledger
    ports = ledger._awaiting if stage.awaiting else ledger._blocking
    thread, copied = Thread("thread", stage.tenant), Thread("copy", stage.tenant)
    begun = await ports.do(thread.put("1", names=[1, 2]))
    rest = (
        thread.write("1", "task", "x"),
        thread.put("2", "1", names=[2, 3], brings=[3]),
        copied.copy(thread),
        copied.drop("1"),
        thread.delete(),
    )
    for act in rest if begun == "kept" else ():  # else it was deleted before the last death
        await ports.do(act)
        for t in (thread, copied):
            for saved in await ports.read(t.all()):
                named = tuple(parts_of(saved.vals))
                there = await ports.read(ReadBlobs(key=t.key, ids=named))
                assert len(there) == len(named), saved
    assert await ports.read(thread.all()) == []
    (kept,) = await ports.read(copied.all())
    assert (kept.id, kept.parent) == ("2", None)


async def _died_before(stage: Stage) -> None:
    await _colleague_died(stage, having_done_it=False)


async def _died_after(stage: Stage) -> None:
    await _colleague_died(stage, having_done_it=True)


async def _died_and_was_swept(stage: Stage) -> None:
    await _colleague_died(stage, having_done_it=True)
    await stage.do("recover")


async def _died_and_the_key_expired(stage: Stage) -> None:
    await _colleague_died(stage, having_done_it=True)
    if stage.once("expiry"):
        await stage.later(1001)


async def _colleague_works(stage: Stage) -> None:
    """A living process performs it; we wait, in vain, and it is done."""
    if not stage.once("colleague"):
        return
    other = await stage.colleague()
    args = {"what": "A", "amount": 1}
    policy = stage.policy().but(wait=0.05)
    claim = other.claim("charge", args, workflow="order", policy=policy)
    await _entered(stage, claim)
    with suppress(StillRunning):
        options = {"workflow": "order", "policy": policy}
        await stage.do("call", "charge", stage.tool(), args, **options)
    receipt = await stage.effect(claim.key, f"{claim.key}#0")
    if stage.awaiting:
        await claim.asucceed(receipt)
    else:
        claim.succeed(receipt)


async def _halted(stage: Stage) -> None:
    if stage.once("halt"):
        await stage.do("halt", by="ann", reason="stop", tool="charge")


async def _nobody_decides(stage: Stage) -> None:
    if stage.once("silence"):
        with suppress(ApprovalRequired):
            await stage.call()
        await stage.later(61)


async def _approved_and_left(stage: Stage) -> None:
    if stage.once("silence"):
        try:
            await stage.call()
        except ApprovalRequired as asked:
            await stage.decide(asked.key)
        await stage.later(61)


async def _the_price_changes(stage: Stage) -> None:
    with suppress(EffectInDoubt):
        try:
            await stage.call()
        except ApprovalRequired as asked:
            await stage.decide(asked.key)
    if stage.once("price"):
        stage.log.saw("price")


async def _nobody_heard(stage: Stage) -> None:
    if stage.once("unheard"):
        with suppress(ApprovalRequired):
            await stage.call()
        await stage.later(6)
    stage.ledger._keeper.round()  # pyright: ignore[reportPrivateUsage]


async def _comes_from_elsewhere(stage: Stage) -> None:
    """Another ledger was exported while it was at it, and something else waited; that comes in."""
    archive = stage.setting.folder / f"{stage.tenant}.jsonl"
    if not archive.exists():
        with Ledger("memory://", tenant=stage.tenant) as other:
            args = {"what": "A", "amount": 1}
            claim = other.claim("charge", args, workflow="order", policy=stage.policy())
            await _entered(stage, claim)
            with suppress(ApprovalRequired):
                other.call("sign", stage._sign, {"what": "it"}, workflow="order", policy=ASK)  # pyright: ignore[reportPrivateUsage]
            other.export(archive)
    loaded = await stage.do("load", archive)
    assert (loaded.effects, loaded.imported + loaded.known) == (2, 2)


async def _once_before(stage: Stage) -> None:
    """The same tool and arguments under another call id."""
    if stage.once("twin"):
        await stage.call(call_id="first")


async def _the_old_is_forgotten(stage: Stage) -> None:
    """Another effect came to its end long ago; what it held is dropped, and it never runs again."""
    if stage.once("old"):
        await stage.call(call_id="old")
        await stage.later(86_400)
    await stage.do("retain", payloads=3600)
    for effect in await stage.do("effects"):
        if effect.payload_dropped_at is not None:
            with suppress(ResultNotStored):
                await stage.call(call_id="old")
                stage.log.saw(f"wrong forgotten-and-replayed {effect.key}")


async def _a_workflow_is_shredded(stage: Stage) -> None:
    """Somebody's payloads are sealed, the key is changed, and one workflow's is deleted."""
    tenant = f"{stage.tenant} sealed"
    if stage.once("sealed"):
        writer = await stage.colleague(tenant=tenant, cipher=Keyring(OLD_KEY))
        await twin(stage, writer, "call", "note", _noted(stage), {"a": SECRET}, workflow="w")
    keeper = await stage.colleague(tenant=tenant, cipher=Keyring(NEW_KEY, OLD_KEY))
    keeper.recover()
    for item in await twin(stage, keeper, "pending"):
        await twin(stage, keeper, "resolve", item.effect.key, by="ann", succeeded=SECRET)
    await twin(stage, keeper, "rewrap")
    with suppress(InvalidCall):  # there was no key yet
        await twin(stage, keeper, "shred", "w", by="ann", reason="asked to")
    found = await twin(stage, keeper, "effects")
    if SECRET in repr(found) or not (await twin(stage, keeper, "verify")).sound:
        stage.log.saw("wrong shredded-and-read")
    await stage.bury(keeper)


def _noted(stage: Stage) -> Callable[..., Any]:
    def note(a: str) -> str:
        return a

    async def anote(a: str) -> str:
        return a

    return anote if stage.awaiting else note


def _facts(stage: Stage) -> Approval:
    return Approval(preconditions=lambda _args: {"price": stage.log.times("price")})


# -- the stories ------------------------------------------------------------------------------

STORIES: tuple[Story, ...] = (
    Story(name="it succeeds"),
    Story(name="it is refused", steps=("no",), ends=frozenset({"failed"})),
    Story(name="it is refused at first", steps=("later", "do")),
    Story(
        name="it is tried again inside the call",
        steps=("later", "later", "do"),
        policy={"retry": quick_retry(3)},
    ),
    Story(name="it happens and raises", steps=("do, lose", "do")),
    Story(name="it raises before it happens", steps=("lose", "do")),
    Story(
        name="it raises and is tried again inside the call",
        steps=("do, lose", "lose", "do"),
        policy={"retry": quick_retry(3)},
    ),
    Story(
        name="the doubt is withdrawn",
        steps=("do, lose",),
        doubt="withdraw",
        ends=frozenset({"cancelled"}),
        guarantees=frozenset({U}),
    ),
    Story(
        name="a workflow is shredded",
        prelude=_a_workflow_is_shredded,
        guarantees=frozenset({U}),
    ),
    Story(
        name="the old is forgotten",
        prelude=_the_old_is_forgotten,
        call_id="new",
        guarantees=frozenset({U, T}),
    ),
    Story(name="its graph keeps a thread", prelude=_keeps_a_thread, guarantees=frozenset({U})),
    Story(
        name="it comes from elsewhere", prelude=_comes_from_elsewhere, guarantees=frozenset({U, I})
    ),
    Story(name="a colleague died before", prelude=_died_before, guarantees=KEPT),
    Story(name="a colleague died after", prelude=_died_after, guarantees=KEPT),
    Story(
        name="a colleague died and was swept", prelude=_died_and_was_swept, guarantees=KEPT | {RO}
    ),
    Story(
        name="a colleague died and the key expired",
        prelude=_died_and_the_key_expired,
        guarantees=frozenset({I}),
    ),
    Story(name="a colleague is at it", prelude=_colleague_works, guarantees=KEPT),
    Story(
        name="the probe finds a conflict",
        steps=("do, lose", "do"),
        probe="conflict",
        guarantees=frozenset({R}),
    ),
    Story(name="it is claimed by hand", by_hand=True, guarantees=KEPT | {RO}),
    Story(
        name="a hand leaves it open", by_hand=True, steps=("do, lose", "do"), guarantees=KEPT | {RO}
    ),
    Story(
        name="a hand is refused",
        by_hand=True,
        steps=("no",),
        ends=frozenset({"failed"}),
        guarantees=KEPT | {RO},
    ),
    Story(name="it is halted", prelude=_halted),
    Story(name="it is approved", approval=_approval(), guarantees=EFFECTS),
    Story(
        name="it is approved by two",
        approval=_approval(quorum=2),
        people=("ann", "bob"),
        guarantees=EFFECTS,
    ),
    Story(
        name="it is approved with other arguments",
        approval=_approval(),
        decision="edit",
        guarantees=EFFECTS,
    ),
    Story(
        name="it is approved and raises",
        approval=_approval(),
        steps=("do, lose", "do"),
        guarantees=EFFECTS,
    ),
    Story(
        name="it is denied",
        approval=_approval(),
        decision="no",
        guarantees=EFFECTS,
        ends=frozenset({"denied"}),
    ),
    Story(
        name="it is withdrawn",
        approval=_approval(),
        decision="withdraw",
        guarantees=EFFECTS,
        ends=frozenset({"cancelled"}),
    ),
    Story(
        name="nobody decides",
        approval=_approval(expires=60),
        prelude=_nobody_decides,
        guarantees=EFFECTS,
        ends=frozenset({"expired"}),
        also=frozenset({"value"}),
    ),
    Story(
        name="nobody decides and it is asked again",
        prelude=_nobody_decides,
        approval=_approval(expires=60, after_expiry="ask"),
        guarantees=EFFECTS,
    ),
    Story(
        name="the approval is not used in time",
        prelude=_approved_and_left,
        approval=_approval(expires=60),
        guarantees=EFFECTS,
        ends=frozenset({"expired"}),
        also=frozenset({"value"}),
    ),
    Story(name="the facts change", approval=_facts, prelude=_the_price_changes, guarantees=EFFECTS),
    Story(
        name="the messenger is deaf",
        approval=_approval(),
        prelude=_nobody_heard,
        deaf=True,
        guarantees=EFFECTS,
    ),
    Story(
        name="it looks like another",
        prelude=_once_before,
        policy={"on_suspect": "ask"},
        call_id="second",
        approval=None,
        guarantees=KEPT,
    ),
    Story(
        name="it stands for another",
        prelude=_once_before,
        placed=True,
        call_id="second",
        guarantees=EFFECTS,
    ),
    Story(
        name="it stands for one whose process died",
        prelude=_died_after,
        placed=True,
        call_id="second",
        guarantees=KEPT,
    ),
    Story(name="an effect inside of it waits", steps=("inner",), guarantees=KEPT | {RO}),
    *PURSES,
    *SAGAS,
)
