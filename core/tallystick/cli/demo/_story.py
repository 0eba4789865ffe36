"""What the demo tells while it goes: to a terminal live, to a pipe line by line, or to nobody."""

from __future__ import annotations

import threading
from collections import deque
from typing import Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

_LINES = 8
#: what each side of the comparison is called
NAMES = {"with": "with the ledger", "without": "without"}


class Story:
    """Whoever is told; this one does not listen."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End; nothing more is told."""

    def say(self, text: str, style: str = "") -> None:
        """Something happened."""

    def state(self, side: str, batch: str, text: str) -> None:
        """What an agent is about."""

    def charged(self, side: str, order: str) -> None:
        """The bank wrote a charge into its book."""


class Lines(Story):
    """One line for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str, style: str = "") -> None:
        """Print it."""
        self._console.print(Text(text, style=style), soft_wrap=True)


class Board(Story):
    """A table that changes in place: one row for each agent, one number for each order."""

    def __init__(self, console: Console, batches: dict[str, list[str]]) -> None:
        self._batches = batches
        self._lock = threading.Lock()
        self._charges: dict[tuple[str, str], int] = {}
        self._states: dict[tuple[str, str], str] = {}
        self._lines: deque[Text] = deque(maxlen=_LINES)
        self._live = Live(console=console, get_renderable=self._drawn, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state standing."""
        self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """Add it below the table."""
        with self._lock:
            self._lines.append(Text(text, style=style))

    def state(self, side: str, batch: str, text: str) -> None:
        """Write it into the agent's row."""
        with self._lock:
            self._states[side, batch] = text

    def charged(self, side: str, order: str) -> None:
        """Count it."""
        with self._lock:
            self._charges[side, order] = self._charges.get((side, order), 0) + 1

    def _drawn(self) -> RenderableType:
        with self._lock:
            made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            made.add_column("charges", no_wrap=True)
            for name in NAMES.values():
                made.add_column(name, no_wrap=True, min_width=12)
                made.add_column("process", no_wrap=True, min_width=16, style="dim")
            for batch, orders in self._batches.items():
                row: list[Text] = [Text(f"batch {batch}")]
                for side in NAMES:
                    row.append(self._counts(side, orders))
                    row.append(Text(self._states.get((side, batch), "waits")))
                made.add_row(*row)
            return Group(made, *self._lines)

    def _counts(self, side: str, orders: list[str]) -> Text:
        text = Text()
        for order in orders:
            count = self._charges.get((side, order), 0)
            style = "dim" if count == 0 else "green" if count == 1 else "bold red"
            text.append(f"{count or '.'}  ", style=style)
        return text
