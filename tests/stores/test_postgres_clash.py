"""A group of which a part was committed, and then somebody was in the way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tallystick import Ledger
from tallystick._acts import PutHalt, Settle
from tallystick._model import Halt
from tallystick.stores._postgres import PostgresStore

pytestmark = pytest.mark.postgres


def test_what_was_committed_before_a_clash_is_not_done_again(
    empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    until_seen, clashes = vars(PostgresStore)["_until_seen"], [psycopg.errors.DeadlockDetected()]

    def clashing(*args: Any) -> None:
        if clashes:
            raise clashes.pop()
        until_seen(*args)

    monkeypatch.setattr(PostgresStore, "_until_seen", clashing)
    with Ledger(empty_postgres) as ledger:
        ledger.call("charge", lambda: "ch_1", workflow="w")
        (effect,) = ledger.effects()
        late = Settle(bytes.fromhex(effect.key), "default", 1, b"another", "failed")
        now = datetime.now(UTC)
        halt = Halt(
            tenant="default", tool="mail", workflow=None, mode="halt", by="op", reason="", at=now
        )
        store: Any = ledger._engine.store  # pyright: ignore[reportPrivateUsage]
        answers = store.apply([late, PutHalt(halt=halt)]).answers
        assert (answers[0].how, clashes) == ("fenced", [])
        assert [event.kind for event in ledger.history(effect.key)] == ["observed"]
        assert len(ledger.halts()) == 1
        assert ledger.verify().sound
