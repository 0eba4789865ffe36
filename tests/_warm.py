"""
Python that has imported the frameworks already: ``python example.py``, without waiting for that.

Each run is a process of its own, a fork of one that did nothing but import: it can be killed, and
leaves its files, its output and its exit code like any other.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.adapters.processes import ENVIRON, ROOT

#: seconds that one run may take
_PATIENCE = 100


class Warm:
    """Runs scripts and modules; use it as a context manager."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests._warm", *self._modules],
            cwd=ROOT,
            env=ENVIRON,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.communicate(timeout=10)

    def run(self, words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """What ``python *words`` does in *folder*."""
        with tempfile.TemporaryDirectory(prefix="warm-") as told:
            out, err = Path(told, "out"), Path(told, "err")
            assert self._server.stdin is not None
            assert self._server.stdout is not None
            self._server.stdin.write(json.dumps([words, str(folder), str(out), str(err)]) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def _serve() -> list[str] | None:
    """Fork for each line; what the fork is to run, and None at the end of the lines."""
    for line in iter(sys.stdin.readline, ""):
        words, folder, out, err = json.loads(line)
        assert threading.active_count() == 1, "an import left a thread behind"
        pid = os.fork()
        if pid == 0:
            _become(folder, out, err)
            return [*words]
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def _become(folder: str, out: str, err: str) -> None:
    """A process of its own, which ends in time whatever happens."""
    signal.alarm(_PATIENCE)
    os.chdir(folder)
    for fd, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT),
        (2, err, os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, fd)
        os.close(opened)


def _run(words: list[str]) -> None:
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.path[0] = os.getcwd()  # noqa: PTH109 - as the interpreter itself puts it
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path[0] = os.path.dirname(words[0])  # noqa: PTH120 - as above
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()  # children share what is here already
    # what is run ends as a program does: at the end of this one, with its errors and its exit code
    if (asked := _serve()) is not None:
        _run(asked)
