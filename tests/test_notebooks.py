"""The notebooks run from top to bottom, and say what they are meant to say."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore"),  # the notebook tools' own
    pytest.mark.skipif(
        importlib.util.find_spec("crewai") is None, reason="CrewAI needs Python below 3.14"
    ),
]


def read(path: Path) -> Any:
    """A notebook as it is kept."""
    return importlib.import_module("nbformat").read(path, as_version=4)


def said(path: Path) -> str:
    """Everything that a notebook prints."""
    notebook, client = read(path), importlib.import_module("nbclient").NotebookClient
    client(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs)


def test_four_frameworks_write_one_ledger() -> None:
    """Each effect once, one inbox, one budget."""
    told = said(NOTEBOOKS / "one_ledger.ipynb")
    assert "The lamp is yours." in told
    assert "the card was not charged again" in told
    assert "ApprovalRequired" in told
    assert "9.00 are on their way." in told
    assert told.count("refused: 5 of 5 calls are spent") == 1
    assert told.endswith("sound: True\n")


def test_an_export_is_replayed_with_the_network_cut() -> None:
    """Byte for byte, and a changed argument or an edited archive is seen."""
    told = said(NOTEBOOKS / "replayed_export.ipynb")
    assert "Your trip to Oslo is booked." in told
    assert "answered from the record: 5" in told
    assert "byte for byte the same: True" in told
    assert "done again: 0" in told
    assert "Divergence" in told
    assert '+  "nights": 3' in told
    assert "ArchiveDamaged line" in told
    assert "effects that came in: 0" in told
    assert told.endswith("sound: True\n")


def test_a_notebook_is_kept_without_its_outputs() -> None:
    """What it prints is what it prints when it runs."""
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert all(not cell.get("outputs") for cell in read(path).cells), path.name
