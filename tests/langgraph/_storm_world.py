"""What happens outside during a storm, and who writes it down."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import sqlalchemy
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.prebuilt import InjectedState

from tallystick import Guarantee, Policy, ProbeAnswer, current_effect
from tests._storms import StoreName
from tests._urls import LEASED

from ._storm_plan import TOOLS, Intent, where

#: seconds until a killed process counts as dead on PostgreSQL, and until a probe's "no" counts
LEASE, QUIET = 1.5, 1.5
ROWS = sqlalchemy.Table(
    "storm_row", sqlalchemy.MetaData(), sqlalchemy.Column("line", sqlalchemy.Text, nullable=False)
)


class Camp(NamedTuple):
    """Where a storm takes place."""

    store: StoreName
    url: str
    folder: Path
    seed: int
    protected: bool
    #: moment at which everybody ends, whatever is left
    until: float


class Seen(NamedTuple):
    """One thing that really happened."""

    intent: Intent
    token: str
    key: str


class World:
    """The witness: one line in one write for each thing that happened; files shared by all."""

    def __init__(self, camp: Camp) -> None:
        self.camp = camp
        self._chance = random.Random()

    def note(self, name: str, *words: object) -> None:
        """A line that stays when the process is killed right after."""
        line = (json.dumps(words) + "\n").encode()
        fd = os.open(self.camp.folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)

    def notes(self, name: str) -> Iterator[list[Any]]:
        """All lines of a file."""
        path = self.camp.folder / name
        if path.exists():
            yield from map(json.loads, path.read_text().splitlines())

    def pause(self) -> float:
        """Seconds in which a kill may come."""
        return self._chance.random() * 0.01

    def seen(self, thread: str) -> list[Seen]:
        """What was done for a thread, apart from rows in the ledger's own database."""
        files = [f"seen-{thread}", *(p.name for p in self.camp.folder.glob(f"once-{thread}-*"))]
        lines = [line for name in files for line in self.notes(name)]
        return [Seen(Intent(*intent), token, key) for intent, token, key in lines]

    def did(self, intent: Intent) -> str:
        """The thing itself; the receipt for it."""
        token = uuid.uuid4().hex
        effect = current_effect() if self.camp.protected else None
        if effect is None or intent.tool != "wallet":
            self.note(f"seen-{intent.thread}", intent, token, effect.key if effect else "")
            return token
        # a downstream that knows its keys: the first one to bring a key makes the file
        self.note("sent", effect.key)
        name = f"once-{intent.thread}-{effect.idempotency_key}"
        self.note(f"draft-{token}", intent, token, effect.key)
        draft = self.camp.folder / f"draft-{token}"
        try:
            os.link(draft, self.camp.folder / name)
        except FileExistsError:
            [(_, token, _)] = self.notes(name)
        finally:
            draft.unlink()
        return token

    def probe(self, effect: Any) -> ProbeAnswer:
        """Whether a ``card`` was charged."""
        tokens = [one.token for one in self.seen(effect.args["item"]) if one.key == effect.key]
        if not tokens:
            return ProbeAnswer.not_happened()
        if len(tokens) > 1:
            return ProbeAnswer.conflict(" ".join(tokens))
        return ProbeAnswer.happened(tokens[0])


def policies(world: World) -> dict[str, Policy]:
    """What each tool declares."""
    quiet = QUIET if world.camp.store in LEASED else 0.0
    plain = Policy(wait=0.3)
    return {
        "charge": plain,
        "wallet": plain.but(guarantee=Guarantee.IDEMPOTENT),
        "card": plain.but(guarantee=Guarantee.RECONCILE, probe=world.probe, quiet=quiet),
        "book": plain.but(guarantee=Guarantee.TRANSACTIONAL),
        "refund": plain.but(approval=True),
        "look": plain.but(guarantee=Guarantee.READ_ONLY),
    }


def tools(world: World) -> list[BaseTool]:
    """The tools of all agents, with both faces."""
    return [_tool(world, name) for name in TOOLS]


State = Annotated[dict[str, Any], InjectedState]


def _tool(world: World, name: str) -> BaseTool:
    in_ledger = name == "book" and world.camp.protected

    def intent(item: str, cents: int, state: dict[str, Any]) -> Intent:
        if name == "look" and random.random() < 0.2:
            raise ConnectionError("the line is bad")
        turn, step = where(state["messages"])
        return Intent(item, turn, step - 1, name, cents)

    def row(what: Intent, token: str) -> Any:
        line = json.dumps([what, token, current_effect().key])
        return current_effect().connection.execute(ROWS.insert().values(line=line))

    def act(item: str, cents: int, state: State) -> str:
        what, token = intent(item, cents, state), uuid.uuid4().hex
        time.sleep(world.pause())
        if in_ledger:
            row(what, token)
        elif name != "look":
            token = world.did(what)
        time.sleep(world.pause())
        return token

    async def aact(item: str, cents: int, state: State) -> str:
        what, token = intent(item, cents, state), uuid.uuid4().hex
        await asyncio.sleep(world.pause())
        if name != "look":
            token = world.did(what)
        await asyncio.sleep(world.pause())
        return token

    # the ledger's own connections are blocking: such a tool runs on a thread of an async graph
    awaited = None if in_ledger else aact
    return StructuredTool.from_function(
        func=act, coroutine=awaited, name=name, description=f"{name} an amount"
    )
