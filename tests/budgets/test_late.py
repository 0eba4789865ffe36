"""An outcome that comes after nobody knew it, by a plain settle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tallystick import EffectInDoubt, Ledger, Policy
from tallystick._acts import Look, Settle


@pytest.mark.parametrize(
    "kind", ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def test_what_a_late_outcome_spent_is_written_to_its_line(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    urls = {"memory": "memory://late", "sqlite": f"sqlite:///{tmp_path / 'late.db'}"}
    url = urls.get(kind) or request.getfixturevalue("empty_postgres")

    def charge() -> str:
        raise ConnectionResetError("on the way back")

    with Ledger(url) as ledger:
        ledger.budget("calls", requests=5)
        with pytest.raises(EffectInDoubt):
            ledger.call("charge", charge, workflow="w", policy=Policy(budgets=("calls",)))
        (effect,) = ledger.effects()
        [line] = ledger.budgets()
        assert (line.spent, line.unreconciled) == (0, 1)
        store: Any = ledger._engine.store  # pyright: ignore[reportPrivateUsage]
        key = bytes.fromhex(effect.key)
        row = store.read(Look(key=key, tenant="default")).row
        late = Settle(key, "default", row.epoch, row.nonce, "succeeded")
        assert store.apply([late]).answers[0].how == "late"
        [line] = ledger.budgets()
        assert (line.spent, line.unreconciled) == (1, 0)
        assert ledger.verify().sound
