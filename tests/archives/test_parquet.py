"""One row for each effect, for analysis."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger
from tallystick._archive import _parquet
from tallystick.errors import ArchiveUnknown, DriverMissing

from .conftest import fill

parquet: Any = pytest.importorskip("pyarrow.parquet")


def test_an_effect_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With moments as moments, and its history; also where they come in several groups."""
    monkeypatch.setattr(_parquet, "GROUP", 2)
    file = tmp_path / "effects.parquet"
    with Ledger("memory://") as ledger:
        fill(ledger)
        done = ledger.export(file, format="parquet")
        effects = list(reversed(ledger.effects()))
    assert (done.effects, done.events, done.bytes) == (5, 3, file.stat().st_size)
    rows = parquet.read_table(file).to_pylist()
    assert [row["key"] for row in rows] == [effect.key for effect in effects]
    assert [row["created_at"] for row in rows] == [effect.created_at for effect in effects]
    assert [row["result"] for row in rows][:3] == [f'{{"receipt":{n}}}' for n in range(3)]
    kinds = [[event["kind"] for event in json.loads(row["history"])] for row in rows]
    assert kinds == [[], [], [], ["asked", "voted"], ["in_doubt"]]


def test_a_table_without_effects_is_one(tmp_path: Path) -> None:
    file = tmp_path / "effects.parquet"
    with Ledger("memory://") as ledger:
        assert ledger.export(file, format="parquet").effects == 0
    assert parquet.read_table(file).num_rows == 0


def test_a_table_cannot_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "effects.parquet"
    with Ledger("memory://") as ledger:
        ledger.export(file, format="parquet")
        with pytest.raises(ArchiveUnknown):
            ledger.load(file)


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_parquet, "import_module", missing)
    with (
        Ledger("memory://") as ledger,
        pytest.raises(DriverMissing, match=r"tallystick\[parquet\]"),
    ):
        ledger.export(io.BytesIO(), format="parquet")
