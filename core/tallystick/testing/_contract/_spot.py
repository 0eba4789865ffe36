"""A place for calls, as simple as one can be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from tallystick._places import Neighbour, Verdict
from tallystick._ports import Ports


class Spot:
    """
    A place by its name, in a framework that always says the same of an equal call beside others.

    *new*: it is another one; else it is the oldest. *met* has the names of those it was asked
    about, each time; *meanwhile* is done while it thinks about it for the first time.
    """

    def __init__(
        self,
        name: str,
        *,
        turn: str | None = "t1",
        new: bool = False,
        unclear: str = "",
        doubt: str | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        self.name = name
        self.questions = doubt is not None
        self.turn = turn
        self.met: list[list[str]] = []
        self._new = new
        self._unclear = unclear
        self._doubt = doubt
        self._meanwhile = meanwhile

    @property
    def text(self) -> str:
        """What is kept of it."""
        return json.dumps({"at": self.name})

    async def judge(self, p: Ports, call_id: str | None, others: Sequence[Neighbour]) -> Verdict:
        """The effect that was asked for here, or what this spot always says."""
        self.met.append([place["at"] for other in others for place in other.places])
        first, self._meanwhile = self._meanwhile, None
        if first is not None:
            first()
        for other in others:
            if json.loads(self.text) in other.places:
                return Verdict(same=other, known=True)
        if others and not self._new:
            return Verdict(same=others[0])
        again = sum(other.call_id == call_id for other in others)
        return Verdict(occurrence=again, unclear=self._unclear if others else "")

    async def doubts(self, p: Ports, call: Any) -> str:
        """What this spot was told to say."""
        return self._doubt or ""
