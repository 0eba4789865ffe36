"""The commands about budgets: look, declare, raise, and say what a call did cost."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from tallystick._budgets._terms import OnError, OnExceed, Terms, declared, described, said_of
from tallystick.budgets import BudgetLine
from tallystick.cli import _given, _money, _topup, _unknown
from tallystick.cli._answer import NO, Answer, answering
from tallystick.cli._options import (
    DEFAULT,
    Amount,
    By,
    Json,
    LedgerUrl,
    Requests,
    Tenant,
    Tokens,
    Usd,
    amounts,
    person,
)
from tallystick.cli._plain import pretty, visible
from tallystick.cli._target import opened
from tallystick.errors import InvalidCall, UnknownBudget

if TYPE_CHECKING:
    from tallystick.ledger import Ledger

app = typer.Typer(help="Show all budgets; or declare one, raise one, and settle what is unknown.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The budget's name.")]
Why = Annotated[str, typer.Option("--reason", help="Why: kept with it.")]
Facts = list[str]
_FACT = "FACT=VALUE"
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]

app.command()(_unknown.unreconciled)
app.command()(_unknown.reconcile)


@app.callback(invoke_without_command=True)
def budgets(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Option(help="Only this budget.")] = None,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Show every line of every budget: its limit, what is charged to it, and what is left.

    What dead processes held is counted as unreconciled first. A budget that is split, and that
    nobody has drawn on yet, has no line: it is shown by its terms.
    """
    if context.invoked_subcommand is not None:
        _nothing_before(context)
        return
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book.recover()
        if name is not None:
            book.budget(name)
        lines = [line for line in book.budgets() if name in (None, line.budget)]
        there = {line.budget for line in lines}
        unused = [x for x in book.declared() if x.name not in there and name in (None, x.name)]
        value = [facts_of(line) for line in lines] + [
            {"budget": budget.name, "per": None, "terms": budget.terms} for budget in unused
        ]
        answer.give(value, lambda: _money.budgets(lines, unused))


def _nothing_before(context: typer.Context) -> None:
    """An option before the subcommand would be about nothing, and so about the wrong ledger."""
    for parameter in context.params:
        source = context.get_parameter_source(parameter)
        if source is not None and source.name == "COMMANDLINE":
            option = "--json" if parameter == "as_json" else f"--{parameter}"
            raise typer.BadParameter(
                f"write it behind: tallystick budgets {context.invoked_subcommand} … {option} …",
                param_hint=option,
            )


def facts_of(line: BudgetLine) -> dict[str, Any]:
    """A line as a program reads it."""
    return asdict(line) | {"charged": line.charged, "exceeded": line.exceeded}


@app.command("raise")
def raise_(
    name: Name,
    *,
    usd: Usd = None,
    tokens: Tokens = None,
    requests: Requests = None,
    amount: Amount = None,
    per: Annotated[Facts, typer.Option(metavar=_FACT, help="Whose line, where it is split.")] = [],  # noqa: B006 - typer copies it
    lasting: Annotated[
        bool, typer.Option("--lasting", help="For good, not for this window only.")
    ] = False,
    by: By = None,
    reason: Why = "",
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Raise a budget by an amount, for this window or for good.

    Of a budget that is split, say whose line: --per customer=c-42.
    """
    who, given = person(by), amounts(usd, tokens, requests, amount)
    if not given:
        raise typer.BadParameter("say by how much: --usd, --tokens, --requests or --amount")
    values = _given.pairs(per, "--per")
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        budget = book.budget(name)
        line = _line(name, budget.terms.get("per", []), values)
        lines = budget.raise_limit(by=who, per=line, lasting=lasting, reason=reason, **given)
        mine = [x for x in lines if dict(x.per) == line and x.metric in given]
        answer.give([facts_of(x) for x in mine], lambda: [_raised(x, given) for x in mine])


def _line(name: str, split: list[str], given: dict[str, str]) -> dict[str, str]:
    """The values of one line; ``customer`` will do for ``args.customer`` where it is clear."""
    found: dict[str, str] = {}
    for fact, value in given.items():
        ends = [full for full in split if full.rpartition(".")[2] == fact]
        found[fact if fact in split or len(ends) != 1 else ends[0]] = value
    if set(found) != set(split):
        need = " ".join(f"--per {fact}=…" for fact in split)
        says = f"split by {', '.join(split)}: give {need}" if split else "not split: drop --per"
        raise InvalidCall(f"the budget {name} is {says}")
    return found


def _raised(line: BudgetLine, given: dict[str, Any]) -> Text:
    by = _topup.amount(line.metric, given[line.metric])
    says = f"{_topup.whose(line.budget, line.per)} raised by {by}: {_topup.standing(line)}."
    return Text(visible(says), style="green")


@app.command("set")
def set_(
    name: Name,
    *,
    usd: Usd = None,
    tokens: Tokens = None,
    requests: Requests = None,
    amount: Amount = None,
    of: Annotated[str | None, typer.Option(help="What --amount adds up: args.order.total.")] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="hour|day|week|month|SPAN",
            help="By the calendar, or a span that rolls: 90s, 10min, 24h, 7d.",
            show_default="all time",
        ),
    ] = None,
    zone: Annotated[str, typer.Option(help="Whose calendar, like Europe/Berlin.")] = "UTC",
    per: Annotated[list[str], typer.Option(metavar="FACT", help="Split by this.")] = [],  # noqa: B006
    tool: Annotated[str | None, typer.Option(help="It concerns this tool.")] = None,
    model: Annotated[str | None, typer.Option(help="It concerns this model.")] = None,
    risk: Annotated[str | None, typer.Option(help="It concerns tools of this risk.")] = None,
    where: Annotated[Facts, typer.Option(metavar=_FACT, help="It concerns what has this.")] = [],  # noqa: B006
    require: Annotated[Facts, typer.Option(metavar=_FACT, help="It refuses what has not.")] = [],  # noqa: B006
    on_exceed: Annotated[OnExceed, typer.Option(help="What happens at its end.")] = "deny",
    on_error: Annotated[OnError, typer.Option(help="While the ledger does not answer.")] = "deny",
    soft: Annotated[list[float], typer.Option(help="Tell at this part of it, like 0.8.")] = [],  # noqa: B006
    raise_by: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="What a request to raise it proposes.")
    ] = None,
    by: By = None,
    yes: Sure = False,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Declare a budget, with the terms of `ledger.budget`; where there is one, they replace its own.

    It keeps what is charged to it, and by how much it was raised.
    """
    who, limits = person(by), amounts(usd, tokens, requests, amount)
    if not limits:
        raise typer.BadParameter("give a limit: --usd, --tokens, --requests or --amount")
    only = {"tool": tool, "model": model, "risk": risk}
    concerns = {fact: value for fact, value in only.items() if value is not None}
    facts = concerns | _given.pairs(where, "--where")
    needed = _given.pairs(require, "--require")
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        terms = declared(
            name,
            limits=limits,
            window=_given.window(window),
            zone=zone,
            per=per,
            where=facts,
            require=needed,
            of=of,
            on_exceed=on_exceed,
            on_error=on_error,
            soft=soft,
            raise_by=raise_by,
        )
        before, after = _before(book, name), said_of(terms)
        if before not in (None, after) and not yes:
            _ask(answer, name, before, after, who)
        book.budget(name, by=who, **after)
        done = "declared" if before is None else "is so already" if before == after else "replaced"
        value = {"name": name, "terms": after, "before": before}
        answer.give(value, lambda: _declared(terms, done))


def _before(book: Ledger, name: str) -> dict[str, Any] | None:
    try:
        return book.budget(name).terms
    except UnknownBudget:
        return None


def _ask(answer: Answer, name: str, before: Any, after: Any, who: str) -> None:
    """Terms that are replaced may be somebody's who is not here."""
    if answer.json:
        raise InvalidCall(f"the budget {name} has other terms; to replace them add --yes")
    answer.say(Text(f"{visible(name)} is\n{pretty(before)}\nand becomes\n{pretty(after)}"))
    if not typer.confirm(f"\nReplace its terms as {who}?"):
        typer.echo("Nothing was changed.", err=True)
        raise typer.Exit(NO)


def _declared(terms: Terms, done: str) -> list[RenderableType]:
    says = f"{terms.name} {done}: {described(terms)}."
    if terms.where:
        whom = ", ".join(f"{fact} {value}" for fact, value in terms.where)
        return [Text(visible(f"{says} It concerns {whom}."), style="green")]
    hint = (
        "It pays for what names it: Policy(budgets=…), ledger.workflow(budget=…), "
        "watch(budget=…) or Meter(ledger, …)."
    )
    return [Text(visible(says), style="green"), Text(hint, style="dim")]
