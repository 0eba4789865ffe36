"""The terms of a budget: what it limits, whom it concerns, and what happens at its end."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any, Literal, NamedTuple, cast, get_args

from tallystick._budgets._amounts import Metric, shown, units
from tallystick._budgets._facts import Facts, as_text
from tallystick._budgets._windows import FOREVER, Window, window_of
from tallystick._keys import VERSION, check_name, hashed, is_a
from tallystick._values import Value
from tallystick.errors import BudgetError, InvalidCall

OnExceed = Literal["deny", "ask", "warn", "downgrade"]
OnError = Literal["deny", "allow"]
ON_EXCEED: tuple[str, ...] = get_args(OnExceed)
ON_ERROR: tuple[str, ...] = get_args(OnError)
#: soft thresholds are kept in thousandths
_WHOLE = 1000
#: how many soft thresholds a budget may have
_THRESHOLDS = 16


def budget_id(tenant: str, name: str) -> bytes:
    """Sixteen bytes that stand for a tenant's budget."""
    return hashed(VERSION, b"budget", tenant.encode(), name.encode())[:16]


@functools.lru_cache(maxsize=4096)
def line_id(tenant: str, name: str, metric: str, label: str) -> bytes:
    """Sixteen bytes that stand for one metric of a budget, for one set of ``per`` values."""
    parts = (tenant, name, metric, label)
    return hashed(VERSION, b"line", *(part.encode() for part in parts))[:16]


class Terms(Value):
    """A budget as it was declared; limits are in the units of :mod:`._amounts`."""

    name: str
    limits: tuple[tuple[Metric, int], ...]
    window: Window = FOREVER
    #: facts whose values have a line each
    per: tuple[str, ...] = ()
    #: the budget concerns what has these facts, everywhere; none: only what names it
    where: tuple[tuple[str, str], ...] = ()
    #: what has not these facts is refused
    require: tuple[tuple[str, str], ...] = ()
    #: the fact that ``amount`` adds up
    of: str | None = None
    on_exceed: OnExceed = "deny"
    on_error: OnError = "deny"
    #: thousandths of the limit at which somebody is told
    soft: tuple[int, ...] = ()
    #: what a top-up request proposes; the limit itself where there is none
    raise_by: tuple[tuple[Metric, int], ...] = ()

    @property
    def standing(self) -> bool:
        """Whether it concerns calls that do not name it."""
        return bool(self.where)

    def limit(self, metric: Metric) -> int:
        """The declared limit of *metric*."""
        return dict(self.limits)[metric]

    def concerns(self, facts: Facts) -> bool:
        """Whether all of ``where`` is so."""
        return all(facts.text(name) == value for name, value in self.where)

    def label(self, facts: Facts) -> str:
        """The ``per`` values of a call, as a JSON object; BudgetError where one is missing."""
        if not self.per:
            return "{}"
        values = {name: facts.text(name) for name in self.per}
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise BudgetError(
                f"the budget {self.name} is split by {', '.join(missing)}, which {facts.what} does "
                "not have; nothing was started. Pass it (an argument, session=…, or labels=… of "
                "ledger.workflow), or declare the budget without it"
            )
        return json.dumps(values, sort_keys=True)

    def check(self, facts: Facts) -> None:
        """Refuse what has not the facts that ``require`` names."""
        for name, value in self.require:
            if (met := facts.text(name)) != value:
                raise BudgetError(
                    f"the budget {self.name} counts only {name} = {value}, and {facts.what} has "
                    f"{met!r}; nothing was started"
                )

    def text(self) -> str:
        """These terms as JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


@functools.lru_cache(maxsize=4096)
def terms_from(text: str) -> Terms:
    """The terms that :meth:`Terms.text` wrote down."""
    said: dict[str, Any] = json.loads(text)

    def pairs(name: str) -> Any:
        return tuple((first, second) for first, second in said[name])

    parsed: dict[str, Any] = said | {
        "window": Window(**said["window"]),
        "limits": tuple((Metric(m), n) for m, n in said["limits"]),
        "raise_by": tuple((Metric(m), n) for m, n in said["raise_by"]),
        "per": tuple(said["per"]),
        "where": pairs("where"),
        "require": pairs("require"),
        "soft": tuple(said["soft"]),
    }
    return Terms(**parsed)


class Known(NamedTuple):
    """Terms as they stand in the database, and which version of them."""

    id: bytes
    version: int
    terms: Terms


def declared(
    name: str,
    *,
    limits: Mapping[str, Any],
    window: Any,
    zone: str,
    per: Any,
    where: Mapping[str, Any],
    require: Mapping[str, Any],
    of: str | None,
    on_exceed: str,
    on_error: str,
    soft: Any,
    raise_by: Any,
) -> Terms:
    """The terms that a caller describes; InvalidCall for what makes no budget."""
    given = {Metric(m): v for m, v in limits.items() if v is not None}
    if not given:
        raise InvalidCall(
            f"the budget {name} limits nothing; give usd=…, tokens=…, requests=… or amount=…"
        )
    _choice("on_exceed", on_exceed, ON_EXCEED)
    _choice("on_error", on_error, ON_ERROR)
    if Metric.AMOUNT not in given and of is not None:
        raise InvalidCall(f"of={of!r} says what amount=… adds up; the budget {name} has no amount")
    terms = Terms(
        name=check_name(name, "the budget's name"),
        limits=tuple((m, units(m, v, m.value, up=False)) for m, v in given.items()),
        window=window_of(window, zone),
        per=_names(per),
        where=_facts("where", where),
        require=_facts("require", require),
        of=None if of is None else check_name(of, "of"),
        on_exceed=cast("OnExceed", on_exceed),
        on_error=cast("OnError", on_error),
        soft=_soft(soft),
    )
    if raise_by is None:
        return terms
    first = terms.limits[0][0]
    said: dict[str, Any] = {first.value: raise_by}
    if isinstance(raise_by, Mapping):
        said = dict(cast("Mapping[str, Any]", raise_by))
    known = {m.value for m, _ in terms.limits}
    if not set(said) <= known:
        raise InvalidCall(f"raise_by={raise_by!r}: the budget {name} limits {', '.join(known)}")
    return replace(
        terms, raise_by=tuple((Metric(m), units(Metric(m), v, "raise_by")) for m, v in said.items())
    )


def proposal(terms: Terms, metric: Metric) -> int:
    """By how much a person is asked to raise the limit."""
    return dict(terms.raise_by).get(metric, terms.limit(metric))


def _choice(what: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidCall(f"{what}={value!r}: one of {', '.join(choices)}")


def _names(per: Any) -> tuple[str, ...]:
    names = (per,) if isinstance(per, str) else tuple(per)
    return tuple(sorted(check_name(name, "per") for name in names))


def _facts(what: str, facts: Any) -> tuple[tuple[str, str], ...]:
    if not is_a(facts, Mapping):
        raise InvalidCall(f"{what}={facts!r}: give a mapping of facts to values")
    return tuple(sorted((check_name(n, what), as_text(v)) for n, v in facts.items()))


def _soft(soft: Any) -> tuple[int, ...]:
    try:
        values = sorted({round(float(part) * _WHOLE) for part in soft})
    except (TypeError, ValueError):
        values = [-1]
    if len(values) > _THRESHOLDS or not all(0 < part < _WHOLE for part in values):
        raise InvalidCall(f"soft={soft!r}: give fractions of the limit, like (0.5, 0.8)")
    return tuple(values)


def said_of(terms: Terms) -> dict[str, Any]:
    """The arguments of ``ledger.budget`` that declare exactly these terms; no defaults."""
    window = terms.window
    options: dict[str, Any] = {
        "of": terms.of,
        "window": timedelta(seconds=window.seconds) if window.seconds else window.kind,
        "zone": window.zone,
        "per": list(terms.per),
        "where": dict(terms.where),
        "require": dict(terms.require),
        "on_exceed": terms.on_exceed,
        "on_error": terms.on_error,
        "soft": [part / _WHOLE for part in terms.soft],
        "raise_by": {m.value: shown(m, n) for m, n in terms.raise_by},
    }
    plain = {"window": "total", "zone": "UTC", "on_exceed": "deny", "on_error": "deny"}
    said = {n: v for n, v in options.items() if v not in (None, [], {}, plain.get(n))}
    return {m.value: shown(m, n) for m, n in terms.limits} | said


def described(terms: Terms) -> str:
    """A budget in a few words, for people."""
    parts = [f"{m.value} {shown(m, n)}" for m, n in terms.limits]
    window = terms.window
    if window.kind == "rolling":
        parts.append(f"in any {window.seconds} s")
    elif window.kind != "total":
        parts.append(f"a {window.kind} ({window.zone})")
    if terms.per:
        parts.append(f"per {', '.join(terms.per)}")
    return ", ".join(parts)
