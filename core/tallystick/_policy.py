"""What a tool declares about itself: frozen, validated when it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Literal, cast

from tallystick._model import Guarantee
from tallystick._values import Value
from tallystick.errors import InvalidPolicy
from tallystick.redaction import Redact
from tallystick.redaction._rules import redact_of

if TYPE_CHECKING:
    from tallystick._undo import Undo

Args = Mapping[str, Any]
Verdict = Literal["failed", "retryable", "unknown", "interrupted"]
Classifier = Callable[[BaseException], "Verdict | None"]
Seconds = float | timedelta

_DAY = 86_400.0
#: beyond it databases and locks count no longer
_CENTURY = 36_525 * _DAY
#: how far an effect can be taken back, the worst first
REVERSIBILITIES = ("irreversible", "compensable", "reversible")
Reversibility = Literal["irreversible", "compensable", "reversible"]
_VERDICTS = ("failed", "retryable", "unknown", "interrupted")


class ProbeAnswer(Value):
    """
    What a probe found out: make one with the class methods.

    >>> ProbeAnswer.happened({"id": "ch_1"}).verdict
    'happened'
    """

    verdict: Literal["happened", "not_happened", "unknown", "conflict"]
    result: Any = None
    detail: str = ""

    @classmethod
    def happened(cls, result: Any = None) -> ProbeAnswer:
        """It happened, and *result* is what the call would have returned."""
        return cls(verdict="happened", result=result)

    @classmethod
    def not_happened(cls) -> ProbeAnswer:
        """There is no trace of it; counts only once the quiet period has passed."""
        return cls(verdict="not_happened")

    @classmethod
    def unknown(cls, detail: str = "") -> ProbeAnswer:
        """The owner cannot tell now; the effect stays in doubt."""
        return cls(verdict="unknown", detail=detail)

    @classmethod
    def conflict(cls, detail: str) -> ProbeAnswer:
        """More than one trace was found: only a person can resolve that."""
        return cls(verdict="conflict", detail=detail)


class Retry(Value):
    """
    Try again inside the call, when the attempt certainly did not happen or is safe to repeat.

    ``attempts`` counts all attempts, the first one included. The pause before attempt *n* grows
    from ``initial`` seconds by ``factor`` up to ``maximum``, plus up to ``jitter`` seconds
    (tenacity's ``wait_exponential`` and ``wait_random``). ``within`` bounds the whole series,
    counted from the first claim ever made for the effect: no retry, takeover or restart extends
    it.
    """

    attempts: int = 3
    initial: Seconds = 0.1
    maximum: Seconds = 10.0
    factor: float = 2.0
    jitter: Seconds = 0.1
    within: Seconds | None = None

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise InvalidPolicy(f"Retry(attempts={self.attempts!r}): give a whole number from 1")
        for name in ("initial", "maximum", "jitter", "within"):
            value: Any = getattr(self, name)
            if value is not None or name != "within":
                object.__setattr__(self, name, seconds(value, f"Retry({name}=…)"))
        if type(self.factor) not in {int, float} or not 1 <= self.factor <= _CENTURY:
            raise InvalidPolicy(f"Retry(factor={self.factor!r}): give a number from 1")

    def pause(self, attempt: int) -> float:
        """Seconds to wait after attempt number *attempt* failed."""
        import tenacity  # slow, above all beside tornado, and hardly anything is tried again

        state = tenacity.RetryCallState(cast("Any", None), None, (), {})
        state.attempt_number = attempt
        growing = tenacity.wait_exponential(
            multiplier=in_seconds(self.initial),
            max=in_seconds(self.maximum),
            exp_base=self.factor,
        )
        return growing(state) + tenacity.wait_random(0, in_seconds(self.jitter))(state)


class Approval(Value):
    """
    A person decides before the effect starts.

    ``when`` is true, false, or a (possibly async) predicate over the arguments; a predicate that
    raises means *required*. ``min_reversibility`` also asks about every effect whose class is below
    it: ``"compensable"`` about what is irreversible, ``"reversible"`` about what is compensable,
    too. The class is that of ``Policy(compensate=…)``; without a plan an effect is irreversible.
    Where it is given, ``when`` is false unless said otherwise. It never asks about what only reads,
    nor about what is part of undoing something. ``expires`` bounds both the decision and its use.
    ``quorum`` is how many distinct approvers are needed. With ``wait`` seconds the caller waits for
    the decision; without it gets :class:`~tallystick.ApprovalRequired` at once. ``preconditions``
    maps the arguments to facts that the approver sees; they are taken again right before the
    effect, and a difference voids the approval and asks again. ``after_expiry="ask"`` lets a new
    call ask again once an approval has expired; by default an expired effect stays expired.

    >>> careful = Policy(approval=Approval(min_reversibility="compensable"))
    >>> careful.approval.when, careful.but(compensate="refund").reversibility
    (False, 'compensable')
    """

    when: bool | Callable[[Args], bool | Awaitable[bool]] | None = None
    expires: Seconds = _DAY
    quorum: int = 1
    wait: Seconds | None = None
    preconditions: Callable[[Args], Any] | None = None
    after_expiry: Literal["refuse", "ask"] = "refuse"
    min_reversibility: Literal["compensable", "reversible"] | None = None

    def __post_init__(self) -> None:
        known = (None, *REVERSIBILITIES[1:])
        _choice(self.min_reversibility, known, "Approval(min_reversibility=…)")
        if self.when is None:
            object.__setattr__(self, "when", self.min_reversibility is None)
        if not (isinstance(self.when, bool) or callable(self.when)):
            raise InvalidPolicy(f"Approval(when={self.when!r}): give a bool or a predicate")
        if type(self.quorum) is not int or self.quorum < 1:
            raise InvalidPolicy(f"Approval(quorum={self.quorum!r}): give a whole number from 1")
        _callable(self.preconditions, "Approval(preconditions=…)")
        _choice(self.after_expiry, ("refuse", "ask"), "Approval(after_expiry=…)")
        object.__setattr__(self, "expires", seconds(self.expires, "Approval(expires=…)"))
        if self.wait is not None:
            object.__setattr__(self, "wait", seconds(self.wait, "Approval(wait=…)"))


class Policy(Value):
    """
    How the ledger treats a tool's effects.

    Every field has a safe default. Durations are seconds or :class:`datetime.timedelta`.

    ``guarantee``
        What the tool promises; see :class:`~tallystick.Guarantee`.
    ``identity``
        Names of the arguments that make up the business identity, or a function of the arguments
        that returns it. The other arguments are still compared: the same identity with other
        arguments is :class:`~tallystick.ArgumentsChanged`.
    ``volatile``
        Names of arguments that a model invents anew each time (ids, timestamps): left out of the
        identity and of the comparison. What was recorded, or shown to an approver, is what runs.
    ``repeat``
        What an identical call under a new call id means: ``"new"`` a new intent (the default
        where a call id is given), ``"same"`` the same one.
    ``on_suspect``
        What to do with the same tool and arguments under another call id in one workflow:
        ``"run"``, ``"ask"`` a person, or ``"replay"`` the recorded outcome.
    ``approval``
        ``True``, ``False``, ``"always"``, ``"never"``, a predicate, or an :class:`Approval`.
    ``retry``
        Number of attempts inside one call, or a :class:`Retry`.
    ``classify``
        What an exception means: a mapping of exception types to ``"failed"``, ``"retryable"``
        (both: it did *not* happen), ``"unknown"`` or ``"interrupted"`` (control flow that comes
        back: the claim is given back and the call runs again), or a function returning one of
        them or ``None`` for the default rules.
    ``probe``
        For ``RECONCILE``: a function of the :class:`~tallystick.current_effect` that returns a
        :class:`ProbeAnswer`.
    ``quiet``
        For ``RECONCILE``: how long an old attempt may still arrive; a "no" counts only after it.
    ``key_lifetime``
        For ``IDEMPOTENT``: how long the downstream remembers a key, counted from the first claim.
    ``timeout``
        Seconds one attempt may take; beyond it the outcome is unknown. Refused for a blocking
        ``TRANSACTIONAL`` tool, which cannot be left alone with a connection.
    ``wait``
        Seconds to wait for another holder of the same effect before ``StillRunning``.
    ``redact``
        Names of arguments whose values are never stored or shown, only hashed; or paths into them,
        like ``"customer.email"``; or a :class:`~tallystick.redaction.Redact`, which also speaks of
        results and of what looks like a secret. What runs is always the real value; a replay
        returns what was stored.
    ``budgets``
        Names of budgets that pay for each effect, besides those that concern every such call; a
        mapping says for each what its ``amount`` adds up: a path like ``"order.total"``, a function
        of the arguments, or a figure. A replay costs nothing.
    ``compensate``
        What undoes an effect when its run is compensated: a function, the name of a registered
        one, or an :class:`~tallystick.runs.Undo`. The plan is recorded before the effect begins.
    ``risk``
        The risk class, for budgets declared with ``risk=…``: ``"external_send"``.
    ``cost``
        What one call costs in dollars, or a function of the arguments that says so.
    """

    guarantee: Guarantee = Guarantee.AT_MOST_ONCE
    identity: tuple[str, ...] | Callable[[Args], Any] | None = None
    volatile: tuple[str, ...] = ()
    repeat: Literal["same", "new"] | None = None
    on_suspect: Literal["run", "ask", "replay"] = "run"
    approval: bool | str | Callable[[Args], bool | Awaitable[bool]] | Approval = False
    retry: int | Retry | None = None
    classify: Mapping[type[BaseException], Verdict] | Classifier | None = None
    probe: Callable[..., Any] | None = None
    quiet: Seconds = 60.0
    key_lifetime: Seconds = _DAY
    timeout: Seconds | None = None
    wait: Seconds = 600.0
    redact: tuple[str, ...] | Redact = ()
    budgets: tuple[str, ...] | Mapping[str, Any] = ()
    risk: str | None = None
    cost: Decimal | str | float | Callable[[Args], Any] | None = None
    compensate: Callable[..., Any] | str | Undo | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        try:
            put("guarantee", Guarantee(self.guarantee))
        except ValueError:
            choices = ", ".join(g.value for g in Guarantee)
            raise InvalidPolicy(f"Policy(guarantee={self.guarantee!r}): one of {choices}") from None
        if self.identity is not None and not callable(self.identity):
            put("identity", _names(self.identity, "Policy(identity=…)"))
        put("volatile", _names(self.volatile, "Policy(volatile=…)"))
        put("redact", redact_of(self.redact, "Policy(redact=…)"))
        _choice(self.repeat, (None, "same", "new"), "Policy(repeat=…)")
        _choice(self.on_suspect, ("run", "ask", "replay"), "Policy(on_suspect=…)")
        put("approval", _approval(self.approval))
        put("retry", _retry(self.retry))
        _classify(self.classify)
        _callable(self.probe, "Policy(probe=…)")
        for name in ("quiet", "key_lifetime", "wait", "timeout"):
            value: Any = getattr(self, name)
            if value is not None or name != "timeout":
                put(name, seconds(value, f"Policy({name}=…)"))
        if self.budgets:
            put("budgets", _budgets(self.budgets))
        if self.risk is not None:
            put("risk", _names((self.risk,), "Policy(risk=…)")[0])
        if self.cost is not None and not callable(self.cost):
            _price(self.cost)
        if self.compensate is not None:
            from tallystick._undo import undo_of  # which needs a policy itself

            put("compensate", undo_of(self.compensate))
        self._consistent()

    def _consistent(self) -> None:
        if (self.guarantee is Guarantee.RECONCILE) != (self.probe is not None):
            raise InvalidPolicy("Policy(probe=…) goes with guarantee=RECONCILE, and only with it")
        named: Any = () if callable(self.identity) else self.identity or ()
        both = ", ".join(sorted(set(self.volatile).intersection(named)))
        if both:
            raise InvalidPolicy(f"Policy: {both} cannot be both identity and volatile")
        asks = isinstance(self.approval, Approval) and self.approval.when is not False
        if self.guarantee is Guarantee.READ_ONLY and asks:
            raise InvalidPolicy("Policy: a READ_ONLY tool has no effect that could be approved")
        if self.guarantee is Guarantee.READ_ONLY and self.compensate is not None:
            raise InvalidPolicy("Policy: a READ_ONLY tool has no effect that could be undone")

    @property
    def paid_by(self) -> Mapping[str, Any]:
        """The budgets that pay, each with what its amount adds up, or ``None``."""
        given = self.budgets
        return given if isinstance(given, Mapping) else dict.fromkeys(given)

    @property
    def undo(self) -> Undo | None:
        """``compensate`` as it was normalised."""
        return cast("Undo | None", self.compensate)

    @property
    def reversibility(self) -> Reversibility:
        """How far its effects can be taken back; irreversible where no plan says otherwise."""
        return "irreversible" if self.undo is None else self.undo.reversibility

    @property
    def redacting(self) -> Redact:
        """``redact`` as it was normalised."""
        return cast("Redact", self.redact)

    @property
    def retrying(self) -> Retry | None:
        """``retry`` as it was normalised."""
        return cast("Retry | None", self.retry)

    def but(self, **changes: Any) -> Policy:
        """This policy with some fields changed, validated again."""
        return replace(self, **changes)


def in_seconds(value: Seconds) -> float:
    """A duration that was validated before, as seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def seconds(value: Seconds | None, where: str) -> float:
    """*value* as seconds from 0 to a century; InvalidPolicy naming *where* otherwise."""
    number: Any = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidPolicy(f"{where}: give seconds or a timedelta, not {value!r}")
    if not 0 <= number <= _CENTURY:
        raise InvalidPolicy(f"{where}: {value!r} is out of range; give 0 to {_CENTURY:.0f}")
    return float(number)


def _names(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, tuple | list):
        raise InvalidPolicy(f"{where}: give a tuple of argument names, not {value!r}")
    names = tuple(cast("tuple[Any, ...]", value))
    if not all(isinstance(name, str) and name for name in names):
        raise InvalidPolicy(f"{where}: every name is a non-empty string; got {value!r}")
    return names


def _budgets(value: Any) -> Any:
    if isinstance(value, Mapping):
        _names(tuple(name for name, _ in _items(value)), "Policy(budgets=…)")
        return dict(cast("Mapping[str, Any]", value))
    return _names((value,) if isinstance(value, str) else value, "Policy(budgets=…)")


def _price(cost: Any) -> None:
    try:
        good = not isinstance(cost, bool) and 0 <= Decimal(str(cost)) < _CENTURY
    except InvalidOperation:
        good = False
    if not good:
        raise InvalidPolicy(f"Policy(cost={cost!r}): give dollars, like '0.002', or a function")


def _choice(value: Any, choices: tuple[Any, ...], where: str) -> None:
    if value not in choices:
        raise InvalidPolicy(f"{where}: one of {', '.join(map(repr, choices))}; got {value!r}")


def _callable(value: Any, where: str) -> None:
    if value is not None and not callable(value):
        raise InvalidPolicy(f"{where}: give a function, not {value!r}")


def _items(mapping: Any) -> list[tuple[Any, Any]]:
    return list(mapping.items())


def _approval(value: Any) -> Approval | Literal[False]:
    if isinstance(value, Approval):
        never = value.when is False and value.min_reversibility is None
        return False if never else value
    if value is False or value is None or value == "never":
        return False
    if value is True or value == "always":
        return Approval()
    if callable(value):
        return Approval(when=cast("Callable[[Args], bool]", value))
    raise InvalidPolicy(
        f"Policy(approval={value!r}): give True, False, 'always', 'never', a predicate "
        "or an Approval"
    )


def _retry(value: Any) -> Retry | None:
    if value is None or isinstance(value, Retry):
        return value
    if type(value) is int:
        return Retry(attempts=value)
    raise InvalidPolicy(f"Policy(retry={value!r}): give a number of attempts or a Retry")


def _classify(value: Any) -> None:
    if value is None or (callable(value) and not isinstance(value, Mapping)):
        return
    if not isinstance(value, Mapping):
        raise InvalidPolicy("Policy(classify=…): give a mapping of exception types or a function")
    for kind, verdict in _items(value):
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise InvalidPolicy(f"Policy(classify=…): {kind!r} is not an exception type")
        _choice(verdict, _VERDICTS, f"Policy(classify={{{kind.__name__}: …}})")
