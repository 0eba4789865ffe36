"""What a process knows of the budgets, and what a call wants of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from tallystick._budgets._amounts import Metric, units
from tallystick._budgets._facts import ARGS, Facts
from tallystick._budgets._rules import Demand
from tallystick._budgets._terms import Known, Terms, line_id
from tallystick.errors import BudgetError

#: named budgets that are remembered
REMEMBERED = 10_000

#: what is wanted of a metric under some terms; ``None`` where the terms do not concern it
Wanted = Callable[[Terms, Metric], int | None]


class Standing(NamedTuple):
    """The budgets that concern everybody, all of them, as one version of them has it."""

    version: int = 0
    budgets: tuple[Known, ...] = ()

    def concerned(self, facts: Facts) -> list[Known]:
        """Those that a call with these facts concerns."""
        return [known for known in self.budgets if known.terms.concerns(facts)]


class Register:
    """
    The standing budgets, and others as they were asked for.

    It may be behind: every reservation says which versions it goes by, and the database refuses
    what goes by old ones.
    """

    def __init__(self) -> None:
        #: swapped as a whole: whoever goes by a version has the budgets of that version
        self.standing = Standing()
        self._named: dict[str, Known] = {}

    def learn(self, version: int, standing: Iterable[Known]) -> None:
        """The standing budgets are these."""
        self.standing = Standing(version, tuple(standing))

    def remember(self, known: Iterable[Known]) -> None:
        """These budgets are there."""
        for each in known:
            self._named.pop(each.terms.name, None)
            self._named[each.terms.name] = each
        while len(self._named) > REMEMBERED:
            self._named.pop(next(iter(self._named)), None)

    def forget(self, names: Iterable[str]) -> None:
        """These have to be read again."""
        for name in names:
            self._named.pop(name, None)

    def named(self, names: Iterable[str]) -> tuple[list[Known], list[str]]:
        """Those of *names* that are known, and the rest."""
        known = {name: self._named.get(name) for name in names}
        return [k for k in known.values() if k], [name for name, k in known.items() if k is None]


def demands(
    tenant: str, budgets: Iterable[Known], facts: Facts, wanted: Wanted
) -> tuple[Demand, ...]:
    """What a call wants of each budget's lines; BudgetError where a budget cannot judge it."""
    found: dict[bytes, Demand] = {}
    for known in budgets:
        terms = known.terms
        terms.check(facts)
        for metric, _ in terms.limits:
            amount = wanted(terms, metric)
            if amount is not None:
                label = terms.label(facts)
                line = line_id(tenant, terms.name, metric.value, label)
                found[line] = Demand(line, known.id, known.version, terms, metric, label, amount)
    return tuple(found[line] for line in sorted(found))


def of_a_tool(
    facts: Facts, *, cost: Any, amounts: Mapping[str, Any], named: frozenset[str]
) -> Wanted:
    """
    What one call of a tool wants: itself, what it costs, and the value among its arguments.

    *cost* is a price in dollars or a function of the arguments; *amounts* says for budgets by name
    what their ``amount`` adds up: a path, a function of the arguments, or a figure.
    """

    def wanted(terms: Terms, metric: Metric) -> int | None:
        if metric is Metric.REQUESTS:
            return 1
        if metric is Metric.USD:
            if cost is None:
                return None
            price = cost(dict(facts.args)) if callable(cost) else cost
            return units(metric, price, f"the cost of {facts.what}")
        if metric is Metric.AMOUNT:
            return _amount(terms, facts, amounts.get(terms.name, terms.of), terms.name in named)
        return None

    return wanted


def _amount(terms: Terms, facts: Facts, of: Any, named: bool) -> int | None:
    if of is None:
        raise BudgetError(
            f"the budget {terms.name} adds up an amount, and nobody says which of {facts.what}; "
            "declare it with of='args.…', or name it in Policy(budgets={'…': 'args.…'})"
        )
    if callable(of):
        value = of(dict(facts.args))
    elif isinstance(of, str):
        value = facts.value(of if of.startswith(ARGS) else ARGS + of)
    else:
        value = of
    if value is None:
        raise BudgetError(
            f"the budget {terms.name} adds up {of}, which {facts.what} does not have; nothing was "
            "started"
        )
    return units(Metric.AMOUNT, value, f"{of} of {facts.what}")


def of_a_model(usd: int | None, tokens: int | None) -> Wanted:
    """What one call of a model wants at most; *usd* in billionths of a dollar."""
    amounts = {Metric.REQUESTS: 1, Metric.USD: usd, Metric.TOKENS: tokens}
    return lambda _terms, metric: amounts.get(metric)


def by_hand(given: Mapping[Metric, int]) -> Wanted:
    """Exactly what somebody asks for; a request, where nothing else is said, is one."""
    amounts = {Metric.REQUESTS: 1, **given}
    return lambda _terms, metric: amounts.get(metric)
