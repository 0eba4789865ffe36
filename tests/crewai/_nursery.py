"""
Processes that have CrewAI from the start: importing it takes seconds, forking does not.

``python -m tests.crewai._nursery`` has CrewAI and no thread. For each line that it reads, it forks
a process, which runs those words as ``python`` would, and ends as ``python`` does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Self

from tests.adapters.processes import ENVIRON, ROOT

#: seconds until whatever hangs is ended
PATIENCE = 100


class Nursery:
    """The one that forks, begun when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def run(self, words: list[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """What became of ``python`` with these *words*."""
        pipes: Any = self._begun()
        with tempfile.TemporaryDirectory() as told:
            print(json.dumps([words, str(folder), told]), file=pipes.stdin, flush=True)
            code = int(pipes.stdout.readline())
            out, err = ((Path(told) / name).read_text() for name in ("out", "err"))
        return subprocess.CompletedProcess(words, code, out, err)

    def _begun(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": ENVIRON["PYTHONPATH"]},
                cwd=ROOT,
            )
        return self._process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate(timeout=10)


def serve() -> int:
    """Fork a process for each line; returns in each of them, and at the end."""
    for line in sys.stdin:
        words, folder, told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return _become(words, Path(folder), Path(told))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return 0


def _become(words: list[str], folder: Path, told: Path) -> int:
    signal.alarm(PATIENCE)
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(told / name, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(folder)
    named = words[0] == "-m"
    sys.argv = words[1:] if named else words
    try:
        if named:
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as Python itself does
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    # the tests' own, and what CrewAI and the ledger import late, as far as that begins no thread
    for slow in ("tests.crewai._stormy", "lance_namespace", "pyarrow", "alembic.command"):
        with contextlib.suppress(ImportError):
            importlib.import_module(slow)
    gc.collect()
    gc.freeze()  # what is shared stays shared, and nobody looks through it at the end
    sys.exit(serve())
