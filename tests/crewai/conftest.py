"""CrewAI, quiet, and in a folder of its own; without it these tests are not collected."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import Ledger
from tests.crewai._nursery import Nursery

collect_ignore_glob = [] if importlib.util.find_spec("crewai") else ["test_*.py"]

# CrewAI commits to a database of its own at each kickoff: in memory, where that can be
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of the session's own is made in it
_FOLDER = tempfile.mkdtemp(
    prefix="tallystick-crewai-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None
)
# CrewAI reads them as it is imported
os.environ |= {
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_DISABLE_VERSION_CHECK": "true",
    "CREWAI_STORAGE_DIR": _FOLDER,
    "CREWAI_TESTING": "true",
    "CREWAI_TRACING_ENABLED": "false",
}

if not collect_ignore_glob:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, as it is imported
        __import__("crewai")


@pytest.fixture(scope="session", autouse=True)
def _folder() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    yield
    shutil.rmtree(_FOLDER, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """CrewAI uses its own deprecated names; and nothing here may hang."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here:
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))
            item.add_marker(pytest.mark.timeout(30))


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Processes that have CrewAI already."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger of the test's own."""
    with Ledger(f"memory://{uuid.uuid4().hex}") as ledger:
        yield ledger
