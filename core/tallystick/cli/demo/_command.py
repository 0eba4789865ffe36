"""The command that shows what all of this is for."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from tallystick.cli import _render
from tallystick.cli._answer import NO, Answer, answering
from tallystick.cli._options import Json
from tallystick.errors import DriverMissing, InvalidUrl

if TYPE_CHECKING:
    from tallystick.cli.demo._runner import Demo, Outcome
    from tallystick.cli.demo._story import Story

_INTRO = """\
20 orders, 5 agents, a bank on this machine. Each agent is a LangChain agent in a process of its
own. Six times one is killed with kill -9 right after the bank has charged and before anything is
recorded, and started again. All of it twice, at the same time: with the ledger and without.
"""


def demo(
    ledger: Annotated[
        str | None,
        typer.Option(metavar="URL|FILE", help="Where to; by default a new file in this folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """
    See agents charge orders and be killed, with the ledger and without.

    Takes half a minute, needs no network, and leaves the ledger to look into. The exit code is 1
    if an order was not charged exactly once.
    """
    with answering(json=as_json) as answer:
        if find_spec("langchain") is None or find_spec("langgraph") is None:
            raise DriverMissing(
                'the demo runs real LangChain agents: pip install "tallystick[langchain]"'
            )
        exact = _shown(answer, ledger)
    if not exact:
        raise typer.Exit(NO)


def _shown(answer: Answer, given: str | None) -> bool:
    from tallystick.cli.demo._runner import Demo, places

    url, book = places(given)
    if url.startswith("memory://"):
        raise InvalidUrl("agents in processes of their own need a file or a server, not memory://")
    if not answer.json:
        answer.say(_INTRO)
    story = _story(answer.out, json=answer.json)
    with Demo(url, book, story) as run:
        with story:
            outcome = run.charge()
        if not answer.json:
            answer.say(_table(outcome))
            answer.say("One agent now wants to give money back, and its policy is to ask first.")
        key = run.refund()
    if not answer.json:
        answer.say(_after(run, key))
    else:
        answer.give(_figures(run, outcome), lambda: "")
    return outcome.exact


def _story(console: Console, *, json: bool) -> Story:
    from tallystick.cli.demo import _pages
    from tallystick.cli.demo._story import Board, Lines, Story

    if json:
        return Story()
    if console.is_terminal and not console.is_dumb_terminal:
        return Board(console, _pages.batches())
    return Lines(console)


def _figures(run: Demo, outcome: Outcome) -> dict[str, object]:
    from tallystick.cli._target import file_of, masked

    file = file_of(run.ledger)
    return {
        "orders": len(outcome.orders),
        "kills": outcome.kills["with"],
        "charges_with_ledger": outcome.charges["with"].total,
        "charges_without_ledger": outcome.charges["without"].total,
        "in_doubt_resolved": outcome.doubts.resolved,
        "ledger": str(file.absolute()) if file else masked(run.ledger),
    }


def _table(outcome: Outcome) -> RenderableType:
    ours, theirs = outcome.charges["with"], outcome.charges["without"]
    doubts = outcome.doubts
    made = _render.table("", "with the ledger", "without")
    for column in made.columns[1:]:
        column.justify = "right"
    rows = [
        ("orders", len(outcome.orders), len(outcome.orders)),
        ("agents killed with kill -9", outcome.kills["with"], outcome.kills["without"]),
        ("charges in the bank's book", ours.total, theirs.total),
        ("orders charged more than once", ours.repeated, theirs.repeated),
        ("orders never charged", ours.lost(outcome.orders), theirs.lost(outcome.orders)),
        ("money drawn", f"{ours.cents / 100:,.2f}", f"{theirs.cents / 100:,.2f}"),
        ("doubts resolved by asking the bank", doubts.by_probe, "-"),
        ("doubts resolved by a person", doubts.by_person, "-"),
        ("doubts resolved by repeating under the same key", doubts.by_key, "-"),
    ]
    for name, with_it, without in rows:
        more = isinstance(without, int) and isinstance(with_it, int) and without > with_it
        good, bad = ("green", "bold red") if more else ("", "")
        made.add_row(name, Text(str(with_it), good), Text(str(without), bad))
    return made


def _after(run: Demo, key: str) -> Text:
    from tallystick.cli._target import file_of, masked

    file = file_of(run.ledger)
    where = str(file) if file else masked(run.ledger)
    short = key[: _render.SHORT]
    lines = [
        f"It waited; `tallystick approve {short}` in another process let it go on.",
        "",
        f"The ledger is {where}, the bank's book {run.book}. Look into them:",
        "",
        f"  export TALLYSTICK_LEDGER={where}",
        "  tallystick effects",
        f"  tallystick show {short}",
        "  tallystick verify",
        "  tallystick doctor",
    ]
    return Text("\n".join(lines))
