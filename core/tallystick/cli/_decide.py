"""The commands by which a person decides."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import RenderableType
from rich.text import Text

from tallystick._model import Effect, Status
from tallystick.cli import _render, _topup, _undo
from tallystick.cli._answer import NO, Answer, answering
from tallystick.cli._look import tidied
from tallystick.cli._options import DEFAULT, By, Json, Key, LedgerUrl, Reason, Tenant, person
from tallystick.cli._plain import moment
from tallystick.cli._target import opened

if TYPE_CHECKING:
    from tallystick.ledger import Ledger

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
NewArgs = Annotated[
    str | None,
    typer.Option(
        "--args",
        metavar="JSON",
        help="Run with these arguments in place of the recorded ones; others stay.",
    ),
]
Raise = Annotated[
    str | None,
    typer.Option("--raise", metavar="AMOUNT", help="Raise the budget by this instead."),
]
Lasting = Annotated[
    bool | None,
    typer.Option(
        "--lasting/--once",
        help="Raise the budget for good, or for this window only.",
        show_default="as asked for",
    ),
]
Result = Annotated[
    str | None, typer.Option(metavar="JSON", help="With --happened: what the call returned.")
]


def approve(
    key: Key,
    *,
    by: By = None,
    reason: Reason = "",
    args: NewArgs = None,
    raise_by: Raise = None,
    lasting: Lasting = None,
    yes: Yes = False,
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Let an effect run that waits for approval.

    Shows what will run and asks. The approval is for exactly what was shown: if the effect is
    another one by then, it is refused. Approving a request about a budget raises the budget, by
    what was asked for or by what --raise says.
    """
    who, edited = person(by), _object(args)
    if as_json and not yes:
        raise typer.BadParameter("with --json nobody is asked: add --yes", param_hint="--json")
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        effect = book.get(tidied(key))
        edited = _topup.edits(effect, edited, raise_by, lasting=lasting)
        if not as_json:
            _show_request(answer, book, effect, edited)
            _say_all(answer, _render.history(book.history(effect.key)))
        if not yes and effect.status is Status.PENDING:
            _confirm(f"Approve as {who}?")
        decided = book.approve(effect.key, by=who, args=edited, reason=reason, digest=effect.digest)
        answer.give(decided, lambda: _approved(book, decided))


def deny(
    key: Key,
    *,
    by: By = None,
    reason: Reason = "",
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Refuse an effect that waits for approval; it will never run."""
    who = person(by)
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        decided = book.deny(book.get(tidied(key)).key, by=who, reason=reason)
        answer.give(decided, lambda: _done(decided, "denied; it will not run"))


def resolve(
    key: Key,
    *,
    happened: Annotated[bool, typer.Option("--happened", help="It did happen.")] = False,
    did_not_happen: Annotated[
        bool, typer.Option("--did-not-happen", help="It did not; give the --reason.")
    ] = False,
    result: Result = None,
    by: By = None,
    reason: Reason = "",
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """
    Say what became of an effect in doubt, or of one whose compensation failed.

    Every later retry gets the result that is given here, or the failure. A compensation that
    happened was done by hand; one that did not leaves its effect as it is.
    """
    if happened == did_not_happen:
        raise typer.BadParameter("give one of --happened and --did-not-happen")
    if did_not_happen and not reason:
        raise typer.BadParameter("say how you know that it did not happen", param_hint="--reason")
    if did_not_happen and result is not None:
        raise typer.BadParameter("what did not happen has no result", param_hint="--result")
    who = person(by)
    outcome: dict[str, Any] = (
        {"succeeded": _parsed(result, "--result")} if happened else {"failed": reason}
    )
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        book.recover()
        effect = book.get(tidied(key))
        decided = book.resolve(effect.key, by=who, reason=reason, **outcome)
        says = "it happened; retries get its result" if happened else "it did not happen"
        if effect.status is Status.COMPENSATION_FAILED:
            says = "it is undone" if happened else "it stays as it is"
        answer.give(decided, lambda: _done(decided, says))


def cancel(
    key: Key,
    *,
    by: By = None,
    reason: Reason = "",
    ledger: LedgerUrl = DEFAULT,
    tenant: Tenant = "default",
    as_json: Json = False,
) -> None:
    """Withdraw an effect that has not started, or a doubt that nobody will resolve."""
    who = person(by)
    with answering(json=as_json) as answer, opened(ledger, tenant) as book:
        decided = book.cancel(book.get(tidied(key)).key, by=who, reason=reason)
        answer.give(decided, lambda: _done(decided, "cancelled"))


def _show_request(
    answer: Answer, book: Ledger, effect: Effect, edited: dict[str, Any] | None
) -> None:
    """Everything that an approver must see before deciding, in full."""
    pairs: list[tuple[str, object]] = [
        ("key", effect.key),
        ("tool", effect.tool),
        ("workflow", effect.workflow),
        ("tenant", effect.tenant),
        ("status", _render.status_of(effect)),
        ("asked", moment(effect.created_at)),
        ("until", moment(effect.approval_until)),
        ("approvers", f"{effect.quorum} needed" if effect.quorum > 1 else None),
        ("digest", effect.digest),
    ]
    if _topup.is_topup(effect):
        answer.say(_render.facts(pairs + _topup.facts(effect, edited, book.budgets())))
        return
    answer.say(_render.facts(pairs + _undo.pairs(book.undo_of(effect.key))))
    if effect.facts is not None:
        _say_all(answer, _render.value("given that", effect.facts))
    runs = effect.edited_args if edited is None else effect.args | edited
    if runs is None:
        _say_all(answer, _render.value("will run with", effect.args))
    else:
        _say_all(answer, _render.value("was asked for with", effect.args))
        _say_all(answer, _render.value("will run with", runs))


def _say_all(answer: Answer, parts: list[RenderableType]) -> None:
    for part in parts:
        answer.say(part)


def _confirm(question: str) -> None:
    if not typer.confirm(f"\n{question}"):
        typer.echo("Nothing was decided.", err=True)
        raise typer.Exit(NO)


def _approved(book: Ledger, effect: Effect) -> RenderableType:
    if _topup.is_topup(effect) and effect.status is Status.SUCCEEDED:
        line = _topup.line_of(_topup.runs_with(effect), book.budgets())
        now = "" if line is None else f"; now {_topup.standing(line)}"
        return _done(effect, f"raised {_topup.granted(_topup.runs_with(effect), line)}{now}")
    if effect.status is Status.PENDING:
        says = f"approved, and waits for others: {effect.quorum} are needed"
        return Text(f"\n{effect.key[: _render.SHORT]} {says}.", style="yellow")
    return _done(effect, "approved; it runs when its caller takes it up")


def _done(effect: Effect, says: str) -> RenderableType:
    return Text(f"{effect.key[: _render.SHORT]} {effect.tool}: {says}.", style="green")


def _object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    value = _parsed(text, "--args")
    if not isinstance(value, dict):
        raise typer.BadParameter("give an object with all arguments", param_hint="--args")
    return cast("dict[str, Any]", value)


def _parsed(text: str | None, option: str) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"this is not JSON: {error}", param_hint=option) from None
