"""How an effect is undone, declared before it happens: frozen, validated when it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, cast

from tallystick._policy import (
    REVERSIBILITIES,
    Approval,
    Policy,
    Reversibility,
    Seconds,
    seconds,
)
from tallystick._values import Value
from tallystick.errors import InvalidPolicy

#: a function, or the name under which one is registered, or ``module:qualname``
Step = Callable[..., Any] | str


class Undo(Value):
    """
    The plan for undoing an effect, recorded with the effect before it begins.

    ``steps``
        The compensation, or several in the order in which they run: functions, or names that are
        registered with ``ledger.compensation(…)``. Each gets, by name, those of the effect's
        arguments that it takes, and ``result`` (what the effect returned) and ``before``.
    ``policy``
        Of the compensations, which are effects themselves: guarantee, approval, retry, doubt.
        Another process must find it in the record, so of functions it may only hold a probe that
        can be named.
    ``when_in_doubt``
        What is done about an effect of which nobody knows whether it happened and no probe can
        tell: ``"ask"`` leaves it to a person, ``"compensate"`` says that undoing what did not
        happen does no harm.
    ``window``
        Seconds after the effect during which it can be undone; later it is left to a person.
    ``one_shot``
        A compensation that did not succeed is not tried again.
    ``residue``
        What stays in the world however well it goes: ``"the customer saw the mail"``.
    ``reversibility``
        ``"irreversible"``, ``"compensable"`` (made good) or ``"reversible"`` (as if it had not
        been).
    ``before``
        A function of the arguments, called right before the effect; what it returns is recorded,
        and is what compensations get as ``before``.
    """

    steps: Step | tuple[Step, ...] = ()
    policy: Policy | None = None
    when_in_doubt: Literal["ask", "compensate"] = "ask"
    window: Seconds | None = None
    one_shot: bool = False
    residue: str = ""
    reversibility: Reversibility = "compensable"
    before: Callable[[Mapping[str, Any]], Any | Awaitable[Any]] | None = None

    def __post_init__(self) -> None:
        given: Any = self.steps
        several = cast("Sequence[Any]", given)
        steps: tuple[Any, ...] = tuple(several) if isinstance(given, tuple | list) else (given,)
        for step in steps:
            if not (callable(step) or (isinstance(step, str) and step)):
                raise InvalidPolicy(f"Undo(steps=…): {step!r} is no function and no name")
        object.__setattr__(self, "steps", steps)
        _choice(self.when_in_doubt, ("ask", "compensate"), "when_in_doubt")
        _choice(self.reversibility, REVERSIBILITIES, "reversibility")
        if self.window is not None:
            object.__setattr__(self, "window", seconds(self.window, "Undo(window=…)"))
        if self.before is not None and not callable(self.before):
            raise InvalidPolicy(f"Undo(before={self.before!r}): give a function of the arguments")
        if type(self.one_shot) is not bool:
            raise InvalidPolicy(f"Undo(one_shot={self.one_shot!r}): True or False")
        if type(self.residue) is not str:
            raise InvalidPolicy(f"Undo(residue={self.residue!r}): say it in words")
        _plain(self.policy)
        if not steps and self.reversibility != "irreversible":
            raise InvalidPolicy("Undo(steps=…): give what undoes it, or say 'irreversible'")

    @property
    def named(self) -> tuple[Step, ...]:
        """``steps`` as they were normalised."""
        return cast("tuple[Step, ...]", self.steps)


def undo_of(value: Any) -> Undo:
    """What ``Policy(compensate=…)`` was given, as an :class:`Undo`."""
    if isinstance(value, Undo):
        return value
    if callable(value) or (isinstance(value, str) and value):
        return Undo(steps=value)
    raise InvalidPolicy(
        f"Policy(compensate={value!r}): give a function, the name of a registered one, or an Undo"
    )


def _choice(value: Any, choices: tuple[str, ...], name: str) -> None:
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise InvalidPolicy(f"Undo({name}={value!r}): one of {known}")


def _plain(policy: Any) -> None:
    """Refuse what could not be recorded for another process to go by."""
    if policy is None:
        return
    if not isinstance(policy, Policy):
        raise InvalidPolicy(f"Undo(policy={policy!r}): give a tallystick.Policy")
    approval: Any = policy.approval
    if isinstance(approval, Approval) and approval.min_reversibility is not None:
        raise InvalidPolicy(
            "Undo(policy=…): min_reversibility is about effects that may have to be undone, and a "
            "compensation is none; say approval=True where a person has to approve it"
        )
    asks = approval.when if isinstance(approval, Approval) else approval
    functions = {
        "approval": not isinstance(asks, bool),
        "preconditions": getattr(approval, "preconditions", None) is not None,
        "classify": policy.classify is not None,
        "cost": callable(policy.cost),
        "budgets": isinstance(policy.budgets, Mapping),
        "identity": policy.identity is not None,
        "compensate": policy.compensate is not None,
    }
    held = [name for name, found in functions.items() if found]
    if held:
        raise InvalidPolicy(
            f"Undo(policy=…): {', '.join(held)} cannot be recorded for another process; register "
            "the compensation together with its policy: ledger.compensation(name, policy=…)"
        )
