"""An export on another store, with the network cut."""

from __future__ import annotations

import io
import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tallystick import Ledger


def moved(here: Ledger, there: Ledger) -> Ledger:
    """*there*, with all that was recorded *here*."""
    archive = io.BytesIO()
    here.export(archive)
    archive.seek(0)
    assert there.load(archive).imported > 0
    return there


@contextmanager
def cut_off() -> Generator[None]:
    """Nobody answers any more."""

    def refuse(*_: Any) -> None:
        raise AssertionError("somebody wanted to talk to the network")

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, refuse)
        yield
