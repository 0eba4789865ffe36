"""
Commands of other packages: what is installed under the entry points ``tallystick.commands``.

An entry is a function that Typer can make a command of, or a ``typer.Typer`` for a group of them.
It is imported whenever the command line starts, even for ``--help``, and so must import what is
slow or optional in its body only.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from rich.text import Text

from tallystick.cli._answer import USAGE, console
from tallystick.cli._plain import visible

GROUP = "tallystick.commands"


def installed() -> list[EntryPoint]:
    """All entries, by name."""
    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))


def add(app: typer.Typer, entries: Iterable[EntryPoint], *, panel: str) -> None:
    """
    Add the commands that *entries* name.

    None takes the place of a command that is there: who types ``approve`` gets ours. One that
    cannot be loaded is a command that says why; the others work.
    """
    taken = _names(app)
    for entry in entries:
        if entry.name not in taken:
            taken.add(entry.name)
            try:
                _add(app, entry.name, entry.load(), panel)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, `approve` works
                _stand_in(app, entry, error, panel)


def _names(app: typer.Typer) -> set[str | None]:
    groups = {group.name for group in app.registered_groups}
    return groups | {
        command.name or getattr(command.callback, "__name__", None)
        for command in app.registered_commands
    }


def _add(app: typer.Typer, name: str, loaded: Any, panel: str) -> None:
    if isinstance(loaded, typer.Typer):
        app.add_typer(loaded, name=name, rich_help_panel=panel)
    else:
        app.command(name, rich_help_panel=panel)(loaded)


def _stand_in(app: typer.Typer, entry: EntryPoint, error: Exception, panel: str) -> None:
    """A command that takes anything and says why it does nothing."""
    why = (
        f"`{entry.name}` cannot be loaded from {entry.value}: {str(error) or type(error).__name__}"
    )
    settings = {"ignore_unknown_options": True, "allow_extra_args": True}

    @app.command(entry.name, help=visible(why), rich_help_panel=panel, context_settings=settings)
    def refuse() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it
        console(stderr=True).print(Text(visible(why), style="red"), soft_wrap=True)
        raise typer.Exit(USAGE)
