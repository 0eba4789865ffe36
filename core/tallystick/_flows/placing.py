"""Which effect a call stands for, where its framework may run a step again."""

from __future__ import annotations

from typing import NamedTuple

from tallystick._acts import Found, Look
from tallystick._flows.call import Call
from tallystick._keys import identify, scope_of
from tallystick._places import Adopt, Neighbours, Place, Verdict
from tallystick._ports import Ports
from tallystick.errors import StoreBusy

#: how often others may be faster before something is wrong
_ROUNDS = 100


class Placed(NamedTuple):
    """The call under the key of its effect; what is recorded of that; what a person must say."""

    call: Call
    found: Found | None = None
    unclear: str = ""


async def resolve(p: Ports, call: Call) -> Placed:
    """
    The recorded effect that *call* repeats, or a key of its own.

    What was seen of its neighbours is in ``after``: a claim fails when another one came since.
    """
    place = call.place
    assert place is not None, "only calls that have a place are resolved"
    scope = scope_of(call.tenant, call.workflow)
    for _ in range(_ROUNDS):
        others = await p.read(Neighbours(scope=scope, twin=call.identity.twin))
        verdict = await place.judge(p, call.call_id, others)
        if verdict.same is None and others and call.policy.on_suspect == "replay":
            verdict = Verdict(same=others[-1], known=True)
        if verdict.same is None:
            mine = own(call, place, verdict.occurrence, others[-1].seq if others else 0)
            unclear = verdict.unclear or await _doubts(p, mine, place, seen=bool(others))
            return Placed(mine, unclear=unclear)
        key = verdict.same.key
        if not verdict.known:
            seen = verdict.same.places
            adopt = Adopt(key=key, tenant=call.tenant, place=place.text, seen=seen, actor=p.holder)
            if not await p.do(adopt):
                continue
        same = call._replace(identity=call.identity._replace(key=key))
        found: Found = await p.read(Look(key=key, tenant=call.tenant))
        return Placed(same, found)
    raise StoreBusy(f"others are at the effects beside {call.tool} in {call.workflow}; try later")


async def _doubts(p: Ports, call: Call, place: Place, *, seen: bool) -> str:
    """Why a new call may not be new: what its policy asks about, and what its place does."""
    if seen and call.policy.on_suspect != "run":
        return "the same tool and arguments were called before in this turn"
    wary = place.questions or call.policy.on_suspect != "run"
    return await place.doubts(p, call) if wary else ""


def own(call: Call, place: Place, occurrence: int, after: int) -> Call:
    """*call* under the key that it has as the *occurrence*-th of its kind."""
    identity = identify(
        tenant=call.tenant,
        workflow=call.workflow,
        turn=place.turn,
        tool=call.tool,
        args=call.args,
        call_id=call.call_id,
        occurrence=occurrence,
        policy=call.policy,
    )
    return call._replace(identity=identity, after=after)
