"""The bank in a process of its own."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from tallystick.cli.demo._processes import PATIENCE, DemoFailed, python

_END = 10.0


class BankProcess:
    """Opens a bank; *heard* is told of each line that it writes into its book."""

    def __init__(
        self, book: Path, held: Iterable[str], heard: Callable[[dict[str, Any]], None]
    ) -> None:
        self.url = ""
        self._heard = heard
        self._open = threading.Event()
        module = "tallystick.cli.demo.bank"
        self._popen = python("-m", module, str(book), "--hold", *held, stdin=subprocess.PIPE)
        self._listener = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._listener.start()
        self._open.wait(PATIENCE)
        if not self.url:
            self.__exit__()
            raise DemoFailed("the demo's bank did not open")
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.stdin is not None:
            self._popen.stdin.close()  # the end of its input is its end
        try:
            self._popen.wait(_END)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait(_END)
        self._listener.join(_END)
        if self._popen.stdout is not None:
            self._popen.stdout.close()

    def _listen(self) -> None:
        for line in self._popen.stdout or ():
            fact = json.loads(line)
            if fact["event"] == "open":
                self.url = fact["url"]
                self._open.set()
            else:
                self._heard(fact)
        self._open.set()
