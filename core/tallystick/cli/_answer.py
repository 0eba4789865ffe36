"""How a command answers: one JSON document, or text for people; and how it says no."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from tallystick.cli._plain import document, visible
from tallystick.errors import (
    InvalidCall,
    LedgerError,
    StoreCorrupt,
    StoreError,
    UnknownBudget,
)

#: wide enough that nothing is cut where nobody looks at the width
_ENDLESS = 100_000

NO = 1
USAGE = 2


class Answer:
    """Where a command's answer goes."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.out = console()

    def give(self, value: Any, render: Callable[[], RenderableType | list[RenderableType]]) -> None:
        """Answer with *value* as JSON, or with what *render* makes of it for people."""
        if self.json:
            print(document(value))
            return
        shown = render()
        for part in shown if isinstance(shown, list) else [shown]:
            self.say(part)

    def say(self, part: RenderableType) -> None:
        """Print something for people; text is never cut, the terminal wraps it."""
        if isinstance(part, str | Text):
            self.out.print(part, soft_wrap=True)
        else:
            self.out.print(part)

    def refuse(self, error: LedgerError) -> int:
        """Say in one sentence why not, and return the exit code."""
        if self.json:
            fact = {"kind": type(error).__name__, "message": str(error)}
            print(document({"error": fact | {"key": getattr(error, "key", None)}}))
        console(stderr=True).print(Text(visible(str(error)), style="red"), soft_wrap=True)
        return code_of(error)


def console(*, stderr: bool = False) -> Console:
    """A console that does not interpret what it prints, and is endless where it is no terminal."""
    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        made.width = _ENDLESS
    return made


def code_of(error: LedgerError) -> int:
    """2 where the question was wrong, 1 where the answer is no."""
    if isinstance(error, StoreCorrupt):
        return NO
    return USAGE if isinstance(error, InvalidCall | StoreError | UnknownBudget) else NO


@contextmanager
def answering(*, json: bool) -> Generator[Answer]:
    """Give a command its answer; an error of ours becomes a sentence and an exit code."""
    answer = Answer(json=json)
    try:
        yield answer
    except LedgerError as error:
        raise typer.Exit(answer.refuse(error)) from None
