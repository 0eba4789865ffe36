"""Teams that ask a model of their own who is next, or hand over by themselves."""

from __future__ import annotations

import pytest
from autogen_agentchat.base import Handoff, TaskResult
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.teams import SelectorGroupChat, Swarm

from tallystick import Ledger
from tallystick_autogen import BudgetedModelClient, team_session, wrap_tools

from ._recorded import Till
from ._world import Scripted, agent, results, soon

ENDS = TextMentionTermination("BYE") | MaxMessageTermination(20)
PAY = [("pay", {"amount": 5})]


class Office:
    """A payer, a clerk and whoever selects them, made anew by each process."""

    def __init__(self, ledger: Ledger, till: Till) -> None:
        self.ledger = ledger
        self.till = till
        self.payer = Scripted([PAY, "paid"])
        self.clerk = Scripted(["noted, BYE"])
        self.chief = Scripted(["payer", "clerk"])

    @property
    def asked(self) -> list[int]:
        """How often each model was asked."""
        return [len(model.asked) for model in (self.payer, self.clerk, self.chief)]

    def _client(self, model: Scripted) -> BudgetedModelClient:
        return BudgetedModelClient(model, self.ledger)

    def team(self, kind: str) -> SelectorGroupChat | Swarm:
        tools = wrap_tools([self.till.tool()], self.ledger)
        over = [Handoff(target="clerk")] if kind == "swarm" else []
        payer = agent(self._client(self.payer), tools, handoffs=over, description="Pays.")
        clerk = agent(self._client(self.clerk), name="clerk", description="Notes.")
        if kind == "swarm":
            return Swarm([payer, clerk], termination_condition=ENDS)
        chief = self._client(self.chief)
        return SelectorGroupChat(
            [payer, clerk],
            model_client=chief,
            termination_condition=ENDS,
            allow_repeated_speaker=True,
        )

    async def run(self, kind: str) -> TaskResult:
        async with team_session(self.team(kind), self.ledger, "w") as session:
            result: TaskResult = await soon(session.run(task="pay"))
            return result


async def test_who_was_selected_before_a_crash_is_not_asked_again(url: str) -> None:
    till = Till()
    with Ledger(url) as ledger:
        first = Office(ledger, till)
        first.clerk = Scripted([OSError("gone")])
        with pytest.raises(RuntimeError, match="gone"):
            await first.run("selector")
    with Ledger(url) as ledger:
        second = Office(ledger, till)
        result = await second.run("selector")
    assert (first.asked, second.asked) == ([2, 1, 2], [0, 1, 0])
    assert (till.paid, results(result)) == ([5], ["receipt 5"])
    assert result.messages[-1].to_text() == "noted, BYE"


async def test_a_swarm_hands_over_once(url: str) -> None:
    till = Till()
    with Ledger(url) as ledger:
        first = Office(ledger, till)
        first.payer = Scripted([PAY, [("transfer_to_clerk", {})]])
        first.clerk = Scripted([OSError("gone")])
        with pytest.raises(RuntimeError, match="gone"):
            await first.run("swarm")
    with Ledger(url) as ledger:
        second = Office(ledger, till)
        result = await second.run("swarm")
    assert (first.asked[:2], second.asked[:2]) == ([2, 1], [0, 1])
    assert (till.paid, result.messages[-1].to_text()) == ([5], "noted, BYE")
