"""A team that may be killed at any moment, and that goes on under the same workflow id."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any
from uuid import uuid4

from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import FunctionExecutionResultMessage, LLMMessage

from tallystick import Guarantee, Ledger, Policy, ProbeAnswer, current_effect
from tallystick.errors import ApprovalRequired, EffectInDoubt
from tallystick_autogen import BudgetedModelClient, team_session, wrap_tools
from tests._mortals import LEASE, Camp

from ._world import Scripted, Turn, agent

#: what each order means, once each
TOOLS = ("pay", "note", "refund", "mail")
END = "all done, BYE"


class Mortal:
    """One process that works on an order."""

    def __init__(self, camp: Camp, order: str, seed: int = 0) -> None:
        self.camp = camp
        self.order = order
        self.chance = Random(seed)
        self.witness = camp.witness()

    def live(self) -> None:
        """Work on the order to its end."""
        with Ledger(self.camp.url, lease=LEASE) as ledger:
            asyncio.run(self._work(ledger))

    async def _work(self, ledger: Ledger) -> None:
        said: str | None = None
        while said is None:
            try:
                said = await asyncio.wait_for(self._run(ledger), 30)
            except (ApprovalRequired, EffectInDoubt) as stop:
                await self._decide(ledger, stop)
        self.camp.ended(self.order, said)

    async def _run(self, ledger: Ledger) -> str:
        team = self._team(ledger)
        if not self.camp.protected:
            return (await team.run(task=self.order)).messages[-1].to_text()
        async with team_session(team, ledger, self.order) as session:
            return (await session.run(task=self.order)).messages[-1].to_text()

    async def _decide(self, ledger: Ledger, stop: ApprovalRequired | EffectInDoubt) -> None:
        """A person approves, and asks the witness what became of what is in doubt."""
        if isinstance(stop, ApprovalRequired):
            await ledger.aapprove(stop.key, by="ann")
        elif self.witness.times(f"{stop.tool} {self.order}"):
            await ledger.aresolve(stop.key, succeeded="it had happened", by="ann")
        else:
            await ledger.aresolve(stop.key, failed="it had not happened", by="ann")

    # -- the team -----------------------------------------------------------------------------

    def _team(self, ledger: Ledger) -> RoundRobinGroupChat:
        def model(turns: Sequence[Sequence[str] | str]) -> Any:
            scripted = Scripted(lambda messages: self._turn(turns, messages))
            return BudgetedModelClient(scripted, ledger) if self.camp.protected else scripted

        policies = {
            "note": Policy(guarantee=Guarantee.RECONCILE, probe=self._probe, quiet=0),
            "refund": Policy(guarantee=Guarantee.IDEMPOTENT, approval=True),
        }
        tools: list[Any] = [self.pay, self.note, self.refund, self.mail]
        if self.camp.protected:
            tools = wrap_tools(tools, ledger, policies=policies)
        payer = agent(model([["pay", "note", "pay"], ["refund"], "over to you"]), tools[:3])
        clerk = agent(model([["mail"], END]), tools[3:], name="clerk")
        ends = TextMentionTermination("BYE") | MaxMessageTermination(60)
        return RoundRobinGroupChat([payer, clerk], termination_condition=ends)

    def _turn(self, turns: Sequence[Sequence[str] | str], messages: Sequence[LLMMessage]) -> Turn:
        """The next turn; the memo is another one each time that the model is asked."""
        done = sum(isinstance(message, FunctionExecutionResultMessage) for message in messages)
        turn = turns[min(done, len(turns) - 1)]
        if isinstance(turn, str):
            return turn
        memo = uuid4().hex
        return [(name, {"order": self.order, "memo": memo}) for name in turn]

    async def _act(self, what: str) -> str:
        await asyncio.sleep(self.chance.random() * self.camp.pause)
        self.witness.saw(what)
        await asyncio.sleep(self.chance.random() * self.camp.pause)
        return f"did {what}"

    async def _probe(self, effect: Any) -> ProbeAnswer:
        if self.witness.times(f"note {self.order}"):
            return ProbeAnswer.happened("noted")
        return ProbeAnswer.not_happened()

    async def pay(self, order: str, memo: str) -> str:
        """Pay; nobody can tell later whether it went out."""
        return await self._act(f"pay {order}")

    async def note(self, order: str, memo: str) -> str:
        """Note it where one can look it up."""
        return await self._act(f"note {order}")

    async def refund(self, order: str, memo: str) -> str:
        """Give money back; the bank does it once for each key."""
        key = current_effect().idempotency_key if self.camp.protected else memo
        return await self._act(f"refund {order} {key}")

    async def mail(self, order: str, memo: str) -> str:
        """Send a mail."""
        return await self._act(f"mail {order}")
