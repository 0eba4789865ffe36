"""What all kill storms share: where they take place, how they kill, how they are begun and told."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

StoreName = Literal["sqlite", "postgres", "mariadb"]
_HEADS = {"sqlite": "SQLite", "postgres": "PostgreSQL", "mariadb": "MariaDB"}


def kill(pid: int) -> None:
    """``kill -9``, and wait for the end."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@contextlib.contextmanager
def ground(store: StoreName) -> Generator[tuple[str, Path]]:
    """The URL of a fresh database, and a folder for the witness."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="storm-")))
        if store == "sqlite":
            url = f"sqlite:///{folder / 'ledger.db'}"
        elif store == "postgres":
            from tests._postgres import scratch_database

            url = stack.enter_context(scratch_database())
        else:
            from tests._mariadb import scratch_mariadb

            url = stack.enter_context(scratch_mariadb())
        yield url, folder


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every storm has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--store", choices=[*_HEADS, "both", "all"], default="both")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true", help="one object instead of a table")
    return parser


def chosen(options: argparse.Namespace) -> tuple[list[StoreName], int]:
    """The stores and the seed that *options* name."""
    stores: list[StoreName] = ["sqlite", "postgres"]
    if options.store == "all":
        stores.append("mariadb")
    elif options.store != "both":
        stores = [options.store]
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    return stores, seed


def table(reports: Sequence[Any], said: Mapping[str, str]) -> str:
    """The reports side by side in Markdown: the fields that *said* names, each in its words."""
    heads = [_HEADS[report.store] for report in reports]
    lines = ["| | " + " | ".join(heads) + " |", "|---" + "|--:" * len(heads) + "|"]
    for name, words in said.items():
        values = [f"{getattr(report, name):,}" for report in reports]
        lines.append(f"| {words} | " + " | ".join(values) + " |")
    return "\n".join(lines)
