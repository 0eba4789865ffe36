"""One agent's work: started, killed, started again, until it is done."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from getpass import getuser
from typing import Any
from urllib.request import urlopen

from tallystick.cli.demo import _pages
from tallystick.cli.demo._processes import Agent, DemoFailed, Ended, Processes
from tallystick.cli.demo._story import NAMES, Story

_STOPPED = 3
_MOST = 12


@dataclass(kw_only=True)
class Shop:
    """What all agents share."""

    run: str
    ledger: str
    processes: Processes
    story: Story
    bank: str = ""

    def account(self, side: str) -> str:
        """The name of one side's account at the bank, of this run only."""
        return f"{self.run}-{side}"

    def agent(self, side: str, workflow: str, *args: str) -> Agent:
        """Start an agent."""
        what = ["--ledger", self.ledger] if side == "with" else ["--no-ledger"]
        orders = str(_pages.orders())
        return self.processes.agent(
            _pages.agent(),
            *("--orders", orders, "--workflow", workflow, *args, *what),
            BANK=f"{self.bank}/{self.account(side)}",
            LANGSMITH_TRACING="false",
            LANGCHAIN_TRACING_V2="false",
        )

    def tallystick(self, *args: str) -> Any:
        """Run a ``tallystick`` command in a process of its own, and read its answer."""
        command = ("-m", "tallystick.cli", *args, "--json")
        ended = self.processes.run(*command, TALLYSTICK_LEDGER=self.ledger)
        if ended.code != 0:
            raise DemoFailed(f"tallystick {' '.join(args)}: {ended.err.strip()}")
        return json.loads(ended.out)

    def statement(self, side: str) -> list[dict[str, Any]]:
        """What the bank has in its book."""
        with urlopen(f"{self.bank}/{self.account(side)}/charges", timeout=30) as answer:  # noqa: S310
            entries: list[dict[str, Any]] = json.load(answer)
        return entries


@dataclass(kw_only=True)
class Lane:
    """An agent that charges one batch of orders, on one side of the comparison."""

    shop: Shop
    side: str
    batch: str
    orders: list[str]
    kills: int = 0
    started: int = 0
    _process: Agent | None = None
    _doomed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def workflow(self) -> str:
        """What stays the same when the agent is started again."""
        return f"{self.shop.run}/batch-{self.batch}"

    def work(self) -> None:
        """Have the batch charged, in as many processes as it takes."""
        while self.started < _MOST:
            self.started += 1
            self._state("starts")
            with self._lock:
                self._doomed = False
                self._process = self.shop.agent(self.side, self.workflow, "--batch", self.batch)
            ended = self.shop.processes.ended(self._process)
            if self._ended(ended):
                self._state("done")
                return
        raise DemoFailed(f"batch {self.batch} was not done after {_MOST} attempts")

    def heard(self, fact: dict[str, Any]) -> None:
        """Hear of a charge; what the bank holds back is the moment to kill the agent."""
        self.shop.story.charged(self.side, fact["order"])
        if not fact["held"]:
            self._state(fact["order"])
            return
        with self._lock:
            if self._process is not None:
                self._doomed = True
                self._process.kill()
        self._state("killed")
        self._say(f"{fact['order']} charged, then kill -9 before the answer", "red")

    def _ended(self, ended: Ended) -> bool:
        if ended.code == 0:
            return True
        if self._doomed:
            self.kills += 1
            return False
        if ended.code == _STOPPED and self.side == "with":
            self._state("asks a person")
            self._resolve()
            return False
        raise DemoFailed(f"the agent of batch {self.batch} failed:\n{ended.err[-2000:]}")

    def _resolve(self) -> None:
        """Do what a person does: look at the bank's statement, and say what was."""
        waiting = self.shop.tallystick("inbox")
        mine = [item for item in waiting if item["effect"]["workflow"] == self.workflow]
        for item in mine:
            key, order = item["effect"]["key"], item["effect"]["args"]["order"]
            found = [line for line in self.shop.statement(self.side) if line["order"] == order]
            said = (
                ["--happened", "--result", json.dumps(f"charge {found[0]['id']}")]
                if found
                else ["--did-not-happen"]
            )
            why = f"the bank's statement {'shows' if found else 'does not show'} it"
            self.shop.tallystick("resolve", key, *said, "--reason", why, "--by", person())
            self._say(f"{order}: tallystick resolve {key[:12]} {said[0]}", "magenta")

    def _state(self, text: str) -> None:
        self.shop.story.state(self.side, self.batch, f"#{self.started} {text}")

    def _say(self, text: str, style: str) -> None:
        self.shop.story.say(f"{NAMES[self.side]:>15}, batch {self.batch}: {text}", style)


def person() -> str:
    """Whoever runs the demo."""
    try:
        return getuser()
    except (KeyError, OSError, ImportError):
        return "you"
