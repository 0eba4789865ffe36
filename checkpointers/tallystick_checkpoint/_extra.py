"""What must be installed, and how one is told."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from tallystick.errors import DriverMissing


@contextmanager
def required(
    what: str = "tallystick_checkpoint needs LangGraph",
    *packages: str,
    install: str = 'pip install "tallystick[langgraph]"',
) -> Generator[None]:
    """DriverMissing, with what to install, where one of *packages* is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = f"{error.name}."
        if not missing.startswith(
            tuple(f"{p}." for p in packages or ("langgraph", "langchain_core"))
        ):
            raise
        raise DriverMissing(f"{what}: {install}", name=error.name) from error
