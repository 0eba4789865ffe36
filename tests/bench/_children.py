"""The same subject in other processes: started, told to go, asked what it saw."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import IO, Any

from tests.bench._common import ROOT, Options


class Child:
    """A second process of a subject; it says `ready`, waits for `go`, answers in JSON."""

    def __init__(self, module: str, role: str, asked: Options) -> None:
        line = [sys.executable, "-W", "ignore", "-m", module, "--store", asked.store]
        line += ["--role", role, "--target", asked.target, "--base", asked.base]
        line += ["--count", str(asked.count)]
        self._process = subprocess.Popen(
            line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._tell: IO[str] = self._process.stdin
        self._told: IO[str] = self._process.stdout

    def ready(self) -> None:
        """Wait until it is set up."""
        word = self._told.readline().strip()
        if word != "ready":
            self.stop()
            raise RuntimeError(f"the other process said {word!r} instead of 'ready'")

    def go(self) -> None:
        """Let it start."""
        self._tell.write("go\n")
        self._tell.flush()

    def answer(self) -> Any:
        """What it has to say at the end."""
        line = self._told.readline()
        self.stop()
        if not line.strip():
            raise RuntimeError("the other process died without an answer")
        return json.loads(line)

    async def aready(self) -> None:
        """`ready`, awaited."""
        await asyncio.to_thread(self.ready)

    async def aanswer(self) -> Any:
        """`answer`, awaited."""
        return await asyncio.to_thread(self.answer)

    def stop(self) -> None:
        """Make sure that it is gone."""
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


async def await_go() -> None:
    """In the other process: say that all is set up and wait for the word."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def wait_for_go() -> None:
    """The same, blocking."""
    print("ready", flush=True)
    sys.stdin.readline()


def reply(answer: Any) -> None:
    """In the other process: the one line that is read back."""
    print(json.dumps(answer), flush=True)
