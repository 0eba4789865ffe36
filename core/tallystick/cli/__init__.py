"""The command line: what is in the ledger, and a person's say in it."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run ``tallystick``; Typer and Rich are imported here and not before."""
    from tallystick.cli._app import app

    app(prog_name="tallystick")
