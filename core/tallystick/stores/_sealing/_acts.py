"""Acts on their way into an encrypted ledger, with their payloads sealed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tallystick import _acts as acts
from tallystick._budgets._acts import Reserve, SettleHeld
from tallystick._model import Status
from tallystick._undoing._acts import Turn
from tallystick._undoing._plan import image_of
from tallystick.stores._sealing._keys import Place
from tallystick.stores._sealing._sealer import Sealer

#: acts that begin something, or say what is to begin
BEGINS = (acts.Claim, acts.Ask, acts.Start, acts.AskAgain, acts.Decide, Reserve)
#: acts that say what became of something
ENDS = (acts.Settle, SettleHeld, acts.Doubt, acts.Resolve, acts.Observe, Turn)


def sealed_act(sealer: Sealer, act: Any, place: Place, key: Any) -> Any:
    """*act* with its payload sealed; without a key an outcome is recorded without it."""
    if isinstance(act, acts.Claim):
        return _claim(sealer, act, place, key)
    if isinstance(act, acts.Settle):
        return act._replace(**_outcome(sealer, act, place, key))
    if isinstance(act, acts.Ask):
        return replace(act, claim=_claim(sealer, act.claim, place, key))
    if isinstance(act, SettleHeld):
        settle = act.settle._replace(**_outcome(sealer, act.settle, place, key))
        return replace(act, settle=settle)
    if isinstance(act, Reserve):
        begins = {"claim": act.claim, "start": act.start}
        each = {n: b for n, b in begins.items() if b is not None}
        return replace(act, **{n: sealed_act(sealer, b, place, key) for n, b in each.items()})
    return replace(act, **_FIELDS[type(act)](sealer, act, place, key))


def _claim(sealer: Sealer, claim: acts.Claim, place: Place, key: Any) -> acts.Claim:
    return claim._replace(
        args=sealer.seal(claim.args, place, "args", key),
        facts=sealer.facts(claim.facts, place, key),
        undo=sealer.planned(claim.undo, place, key),
    )


def _outcome(
    sealer: Sealer, act: acts.Settle | acts.Resolve, place: Place, key: Any
) -> dict[str, Any]:
    result = sealer.maybe(act.result, place, "result", key)
    note = "unstorable" if result is None and act.result is not None else act.note
    return {"result": result, "note": note, "error": sealer.error(act.error, place, key)}


def _doubt(sealer: Sealer, act: acts.Doubt, place: Place, key: Any) -> dict[str, Any]:
    said = sealer.maybe(act.reason, place, "reason", key)
    return {"error": sealer.error(act.error, place, key), "reason": said or "(sealed)"}


def _turn(sealer: Sealer, act: Turn, place: Place, key: Any) -> dict[str, Any]:
    """Why something could not be undone is a tool's word; why it is undone, a person's."""
    error = {"error": sealer.error(act.error, place, key)}
    if act.to != Status.COMPENSATION_FAILED:
        return error
    return error | {"reason": sealer.maybe(act.reason, place, "reason", key) or "(sealed)"}


def _decide(sealer: Sealer, act: acts.Decide, place: Place, key: Any) -> dict[str, Any]:
    digest = act.args_digest or b""
    return {"args": sealer.maybe(act.args, place, "edited", key, digest)}


def _observe(sealer: Sealer, act: acts.Observe, place: Place, key: Any) -> dict[str, Any]:
    reason = sealer.maybe(str(act.detail.get("reason", "")), place, "reason", key)
    return {"detail": {**act.detail, "reason": reason}}


def _start(sealer: Sealer, act: acts.Start, place: Place, key: Any) -> dict[str, Any]:
    args = sealer.maybe(act.args, place, "args", key)
    return {"args": args, "undo": sealer.planned(act.undo, place, key)}


def _ask_again(sealer: Sealer, act: acts.AskAgain, place: Place, key: Any) -> dict[str, Any]:
    return {
        "args": sealer.maybe(act.args, place, "args", key),
        "facts": sealer.facts(act.facts, place, key),
        "reason": sealer.maybe(act.reason, place, "reason", key),
    }


_FIELDS: dict[type, Callable[[Sealer, Any, Place, Any], dict[str, Any]]] = {
    acts.Resolve: _outcome,
    acts.Doubt: _doubt,
    Turn: _turn,
    acts.Decide: _decide,
    acts.Observe: _observe,
    acts.Start: _start,
    acts.AskAgain: _ask_again,
}


def named(act: Any) -> Any:
    """The claim in an act, or whatever in it has the key and the tenant of an effect."""
    if isinstance(act, acts.Ask):
        return act.claim
    if isinstance(act, Reserve):
        return act.claim if act.claim is not None else act.start
    return act.settle if isinstance(act, SettleHeld) else act


def carries(act: Any) -> bool:
    """Whether there is anything to seal."""
    kind = act.__class__
    if isinstance(act, Reserve):
        begins = act.claim if act.claim is not None else act.start
        return begins is not None and carries(begins)
    holds = _HOLDS.get(kind)
    return isinstance(act, (*BEGINS, *ENDS)) and (holds is None or holds(act))


def _ends(act: acts.Settle | acts.Resolve) -> bool:
    return act.result is not None or act.error is not None


#: of the acts that may have nothing to seal, whether they have
_HOLDS: dict[type, Callable[[Any], bool]] = {
    acts.Start: lambda act: act.args is not None or image_of(act.undo) is not None,
    acts.Decide: lambda act: act.args is not None,
    acts.Observe: lambda act: act.kind == "conflict",
    acts.Settle: _ends,
    acts.Resolve: _ends,
    SettleHeld: lambda act: _ends(act.settle),
    Turn: lambda act: act.error is not None or act.to == Status.COMPENSATION_FAILED,
}
