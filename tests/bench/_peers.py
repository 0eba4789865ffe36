"""The peers' own environment: made on demand, pinned, apart from ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from tests.bench._common import ROOT

HOME = ROOT / ".venv-bench"
PYTHON = HOME / "bin" / "python"
PINS = Path(__file__).with_name("peers.txt")
STAMP = HOME / "peers.txt"


def prepare() -> dict[str, str]:
    """Make sure that the pinned peers are installed; for each one that is not, why."""
    pins = PINS.read_text()
    if STAMP.is_file() and STAMP.read_text() == pins:
        return {}
    print(f"installing the peers into {HOME} …", file=sys.stderr)
    venv.create(HOME, clear=True, symlinks=True, with_pip=True)
    (HOME / ".gitignore").write_text("*\n")
    if _install("-r", str(PINS)) is None:
        STAMP.write_text(pins)
        return {}
    failed: dict[str, str] = {}
    for line in pins.split():
        reason = _install(line)
        if reason is not None:
            failed[line.split("==")[0].split("[")[0]] = reason
    return failed


def _install(*what: str) -> str | None:
    line = [str(PYTHON), "-m", "pip", "install", "--quiet", *what]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    errors = [text for text in done.stderr.splitlines() if text.startswith("ERROR")]
    return (errors or done.stderr.splitlines() or ["pip failed"])[-1]
