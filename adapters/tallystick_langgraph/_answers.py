"""
Questions to a person and their answers, as LangChain's and Agent Inbox's interfaces know them.

Pure: what is asked is a plain dict; what is answered becomes decisions, or a reason why not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from tallystick import Effect
from tallystick._canonical import canonical
from tallystick._values import Value

#: what a person may say about a call
ALLOWED = ("approve", "edit", "reject")
#: how much of a key names it
_PREFIX = 8
#: for what comes from outside, of which nothing is known
_LIST: Any = list
_MAPPING: Any = Mapping


class Decision(Value):
    """What a person said about one effect."""

    kind: Literal["approve", "edit", "reject"]
    args: dict[str, Any] | None = None
    reason: str = ""
    by: str | None = None
    #: the key or the digest that the answer repeats, where it does
    effect: str | None = None
    #: arguments that the answer repeats
    echoed: dict[str, Any] | None = None


class Unfit(Exception):
    """An answer that is none, or not to this question; the message says why."""


def question(effects: Sequence[Effect], notes: Mapping[str, str]) -> dict[str, Any]:
    """
    What is asked about *effects*, in the shape of LangChain's HumanInTheLoopMiddleware.

    Each action also has the key of its ``effect`` and the ``digest`` of what was shown: an answer
    that repeats one of them is bound to it.
    """
    return {
        "action_requests": [
            {
                "name": effect.tool,
                "args": shown(effect),
                "description": _description(effect, notes.get(effect.key, "")),
                "effect": effect.key,
                "digest": effect.digest,
            }
            for effect in effects
        ],
        "review_configs": [
            {"action_name": effect.tool, "allowed_decisions": list(ALLOWED)} for effect in effects
        ],
    }


def shown(effect: Effect) -> dict[str, Any]:
    """The arguments that a decision is about."""
    return effect.edited_args if effect.edited_args is not None else effect.args


def _description(effect: Effect, note: str) -> str:
    why = f" {note[:1].upper()}{note[1:]}." if note else ""
    facts = f" Facts: {effect.facts}." if effect.facts is not None else ""
    return f"{effect.tool} on {effect.workflow} needs a decision.{why}{facts}"


def decisions(answer: Any, effects: Sequence[Effect]) -> list[Decision]:
    """
    What *answer* says about each of *effects*; Unfit, which says why, when it does not.

    Known are ``{"decisions": […]}``, a list of Agent Inbox's responses, and one of either alone.
    """
    given = _list(answer)
    if len(given) != len(effects):
        raise Unfit(f"there are {len(effects)} calls to decide and {len(given)} decisions")
    return [_decision(one, effect) for one, effect in zip(given, effects, strict=True)]


def _list(answer: Any) -> list[Any]:
    if isinstance(answer, Mapping):
        said = cast("Mapping[str, Any]", answer)
        if "decisions" not in said:
            return [said]
        answer = said["decisions"]
    if isinstance(answer, _LIST):
        return list(answer)
    raise Unfit(
        f"{answer!r} is no answer; give {{'decisions': [{{'type': 'approve'}}]}} or a list of "
        "Agent Inbox's responses, one for each call"
    )


def _decision(one: Any, effect: Effect) -> Decision:
    if not isinstance(one, _MAPPING) or not isinstance(one.get("type"), str):
        raise Unfit(f"{one!r} is no decision; it needs a type, one of {', '.join(ALLOWED)}")
    said = cast("Mapping[str, Any]", one)
    make = _KINDS.get(said["type"])
    if make is None:
        raise Unfit(f"{said['type']!r} is not allowed here; one of {', '.join(ALLOWED)}")
    facts = make(said, effect)
    by, name = said.get("by"), said.get("effect") or said.get("digest")
    return Decision(
        by=by if isinstance(by, str) and by else None,
        effect=name if isinstance(name, str) else None,
        **facts,
    )


def _accept(said: Mapping[str, Any], effect: Effect) -> dict[str, Any]:
    given: Any = said.get("args")
    echoed: Any = given.get("args") if isinstance(given, _MAPPING) else None
    return {"kind": "approve", "echoed": echoed if isinstance(echoed, dict) else None}


def _edit(said: Mapping[str, Any], effect: Effect) -> dict[str, Any]:
    action: Any = said.get("edited_action", said.get("args"))
    if not isinstance(action, Mapping):
        raise Unfit("an edit needs edited_action={'name': …, 'args': {…}}")
    edited = cast("Mapping[str, Any]", action)
    name, args = edited.get("name", edited.get("action", effect.tool)), edited.get("args")
    if name != effect.tool:
        raise Unfit(f"an edit may change the arguments of {effect.tool}, not call {name!r} instead")
    if not isinstance(args, dict):
        raise Unfit("an edit needs the arguments as a dict")
    return {"kind": "edit", "args": args}


def _reject(said: Mapping[str, Any], effect: Effect) -> dict[str, Any]:
    given = said.get("message", said.get("args"))
    return {"kind": "reject", "reason": given if isinstance(given, str) else ""}


_KINDS: dict[str, Any] = {
    "approve": _accept,
    "accept": _accept,
    "edit": _edit,
    "reject": _reject,
    "ignore": _reject,
    "response": _reject,
}


def named(decision: Decision, effect: Effect) -> bool | None:
    """Whether the decision names this effect; ``None`` if it names none."""
    if decision.effect is not None:
        whole = decision.effect in (effect.key, effect.digest)
        return whole or (len(decision.effect) >= _PREFIX and effect.key.startswith(decision.effect))
    if decision.echoed is not None:
        return canonical(decision.echoed) == canonical(shown(effect))
    return None


def looks_like_one(answer: Any) -> bool:
    """Whether *answer* has the shape of decisions; a tool's own question may be answered, too."""
    try:
        given = _list(answer)
    except Unfit:
        return False
    return bool(given) and all(isinstance(x, _MAPPING) and x.get("type") in _KINDS for x in given)


def conflict(answer: Any, effects: Sequence[Effect]) -> str:
    """Why *answer* says otherwise than what was decided about *effects*; empty if it does not."""
    try:
        said = decisions(answer, effects)
    except Unfit:
        return ""  # it was to a question about others, too
    for one, effect in zip(said, effects, strict=True):
        refused = effect.status in {"denied", "cancelled", "expired"}
        if refused is not (one.kind == "reject"):
            return f"{effect.tool} {effect.key[:12]} is {effect.status} already"
        if one.kind == "edit" and not refused:
            runs = {**effect.args, **(one.args or {})}
            if canonical(runs) != canonical(shown(effect)):
                return f"{effect.tool} {effect.key[:12]} was decided with other arguments"
    return ""
