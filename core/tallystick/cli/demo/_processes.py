"""Processes that the demo starts: all of them end with it, and nothing is waited for forever."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple, Self
from uuid import uuid4

from tallystick.errors import LedgerError

#: seconds that any one process may take
PATIENCE = 90.0

#: what an agent's process needs and takes two seconds to import
_SLOW = ["langchain.agents", "tallystick_langchain", "tallystick.stores._sqlite"]


class DemoFailed(LedgerError):
    """Something that the demo needs did not work."""


class Ended(NamedTuple):
    """How a process ended."""

    code: int | None
    out: str
    err: str


class Agent:
    """An agent's process, running a Python program as its main one."""

    def __init__(self, process: Any, said: Path) -> None:
        self._process = process
        self._said = said

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()

    def wait(self, lock: threading.Lock) -> Ended:
        """Wait for its end, which is brought about when it takes too long."""
        if not wait([self._process.sentinel], PATIENCE):
            self._process.kill()
            wait([self._process.sentinel], PATIENCE)
        with lock:  # starting a process also looks which ones have ended
            self._process.join(PATIENCE)
            code = self._process.exitcode
        return Ended(code, "", self._said.read_text(errors="replace"))


class Processes:
    """Everything that was started; leaving the context kills what still runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._running: set[Agent | subprocess.Popen[str]] = set()
        self._closed = False
        self._context = _context()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()

    def agent(self, program: Path, *args: str, **environ: str) -> Agent:
        """Start a program in a process of its own."""
        said = self._folder / uuid4().hex
        said.touch()
        what = (program, args, environ, str(said))
        process = self._context.Process(target=_become, args=what, daemon=True)
        with self._lock:
            self._refuse_late()
            process.start()
            agent = Agent(process, said)
            self._running.add(agent)
        return agent

    def ended(self, agent: Agent) -> Ended:
        """Wait for the end of an agent."""
        end = agent.wait(self._lock)
        with self._lock:
            self._running.discard(agent)
        return end

    def run(self, *args: str, **environ: str) -> Ended:
        """Run Python with *args* to its end."""
        with self._lock:
            self._refuse_late()
            process = python(*args, stderr=subprocess.PIPE, env=os.environ | environ)
            self._running.add(process)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        with self._lock:
            self._running.discard(process)
        return Ended(process.returncode, out, err)

    def _refuse_late(self) -> None:
        if self._closed:
            raise DemoFailed("the demo was stopped")


def python(*args: str, **how: Any) -> subprocess.Popen[str]:
    """Start Python; what lies in the current folder is none of its modules (``-P``)."""
    how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True} | how
    process: subprocess.Popen[str] = subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", *args], **how
    )
    return process


def _context() -> Any:
    """
    How agents come into being: from a process that has imported the slow modules, if there can be.

    Each one is a process like any other, but for the two seconds that the imports would take.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_SLOW)
    return context


def _become(program: Path, args: Sequence[str], environ: dict[str, str], said: str) -> None:
    """Be *program*: what it prints goes into the file *said*."""
    out = os.open(said, os.O_WRONLY)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(environ)
    sys.argv = [str(program), *args]
    runpy.run_path(str(program), run_name="__main__")
