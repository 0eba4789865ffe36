"""The plan for undoing an effect, as it stands in the effect's row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tallystick._codec import decode, encode
from tallystick._model import Guarantee, Row, Status
from tallystick._policy import Approval, Policy, Retry, in_seconds
from tallystick._undo import Undo
from tallystick._undoing._names import Names, importable
from tallystick._values import Value
from tallystick.errors import LedgerError

#: what of a policy is plain data
_PLAIN = ("quiet", "key_lifetime", "timeout", "wait", "risk", "cost")
_RETRY = ("initial", "maximum", "jitter", "within")


class Plan(Value):
    """How an effect is undone, as it was recorded."""

    #: names of compensations, in the order in which they run
    steps: tuple[str, ...] = ()
    #: what was said of the policy of the compensations
    terms: Mapping[str, Any] | None = None
    when_in_doubt: str = "ask"
    window: float | None = None
    one_shot: bool = False
    residue: str = ""
    reversibility: str = "compensable"
    #: name of the function that can tell whether the effect happened
    probe: str | None = None
    #: what was there before, encoded
    before: str | None = None

    @property
    def image(self) -> Any:
        """What ``Undo(before=…)`` saw right before the effect."""
        return None if self.before is None else decode(self.before)

    @property
    def policy(self) -> Policy | None:
        """The policy of the compensations, if one was given; Unfindable where it needs a probe."""
        return None if self.terms is None else _policy_of(self.terms)


def plan_text(policy: Policy, undo: Undo, names: Names) -> str:
    """The plan of an effect under *policy*; InvalidPolicy where a function has no name."""
    said: dict[str, Any] = {"steps": [names.name_of(step) for step in undo.named]}
    if undo.policy is not None:
        said["terms"] = _policy_said(undo.policy)
    if policy.probe is not None:
        try:
            said["probe"] = importable(policy.probe)
        except LedgerError:
            said["probe"] = None  # only who made the call can ask; elsewhere a person must
    for name in ("when_in_doubt", "one_shot", "residue", "reversibility"):
        said[name] = getattr(undo, name)
    if undo.window is not None:
        said["window"] = in_seconds(undo.window)
    return json.dumps(said, sort_keys=True)


def with_image(text: str, image: object) -> str:
    """The plan with what was there before the effect."""
    said = json.loads(text)
    said["before"] = encode(image, where="before")
    return json.dumps(said, sort_keys=True)


def image_of(text: str | None) -> str | None:
    """What was there before the effect, as it is encoded, or sealed."""
    if text is None or '"before"' not in text:
        return None
    image: str | None = json.loads(text).get("before")
    return image


def with_image_text(text: str, image: str | None) -> str:
    """The plan with another text in the place of what was there before; without it for ``None``."""
    said = json.loads(text)
    del said["before"]
    return json.dumps(said if image is None else said | {"before": image}, sort_keys=True)


def without_image(text: str | None) -> str | None:
    """The plan without what was there before the effect; the names of its steps stay."""
    return text if text is None or image_of(text) is None else with_image_text(text, None)


def closes_at(row: Row, plan: Plan) -> int | None:
    """When an effect that happened can be undone no more, in the database's microseconds."""
    if plan.window is None or row.status != Status.SUCCEEDED:
        return None
    return row.changed_at + int(plan.window * 1e6)


def part_text(key: bytes) -> str:
    """What stands in place of a plan where an effect is part of undoing another one."""
    return json.dumps({"of": key.hex()})


def undoes(text: str | None) -> str | None:
    """The key of the effect that this one helps to undo, in hex."""
    of: str | None = None if text is None else json.loads(text).get("of")
    return of


def is_part(text: str | None) -> bool:
    """Whether the effect undoes another one, and so is not undone itself."""
    return undoes(text) is not None


def plan_of(text: str | None) -> Plan | None:
    """The plan that was recorded; ``None`` where there is none."""
    said: dict[str, Any] | None = None if text is None else json.loads(text)
    if said is None or "of" in said:
        return None
    said["steps"] = tuple(said["steps"])
    return Plan(**said)


def _policy_said(policy: Policy) -> dict[str, Any]:
    said: dict[str, Any] = {"guarantee": policy.guarantee.value, "budgets": list(policy.budgets)}
    for name in _PLAIN:
        value: Any = getattr(policy, name)
        said[name] = value if value is None or isinstance(value, str | float) else str(value)
    if policy.retrying is not None:
        retry = policy.retrying
        said["retry"] = {"attempts": retry.attempts, "factor": retry.factor}
        said["retry"] |= {name: getattr(retry, name) for name in _RETRY}
    if isinstance(policy.approval, Approval):
        names = ("expires", "quorum", "wait", "after_expiry")
        said["approval"] = {name: getattr(policy.approval, name) for name in names}
    if policy.probe is not None:
        said["probe"] = importable(policy.probe)
    return said


def _policy_of(said: Mapping[str, Any]) -> Policy:
    options = dict(said, guarantee=Guarantee(said["guarantee"]), budgets=tuple(said["budgets"]))
    if "retry" in said:
        options["retry"] = Retry(**said["retry"])
    if "approval" in said:
        options["approval"] = Approval(**said["approval"])
    if "probe" in said:
        options["probe"] = Names().find(said["probe"]).fn
    return Policy(**options)
