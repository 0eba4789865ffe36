"""A crew that may be killed at any moment, and that goes on under the same workflow id."""

from __future__ import annotations

import time
from random import Random
from typing import Any

from crewai import Crew

from tallystick import Guarantee, Ledger, Policy, ProbeAnswer, current_effect
from tallystick.errors import ApprovalRequired, EffectInDoubt
from tallystick_crewai import wrap_tools
from tests._mortals import LEASE, Camp

from ._world import Model, agent_of, task_of

#: what each order means, once each
TOOLS = ("pay", "note", "refund", "mail")
END = "BYE"


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
            said: str | None = None
            while said is None:
                try:
                    with ledger.workflow(self.order):
                        said = str(self._crew(ledger).kickoff())
                except (ApprovalRequired, EffectInDoubt) as stop:
                    self._decide(ledger, stop)
        self.camp.ended(self.order, said)

    def _decide(self, ledger: Ledger, stop: ApprovalRequired | EffectInDoubt) -> None:
        """A person approves, and asks the witness what became of what is in doubt."""
        if isinstance(stop, ApprovalRequired):
            ledger.approve(stop.key, by="ann")
        elif self.witness.times(f"{stop.tool} {self.order}"):
            ledger.resolve(stop.key, succeeded="it had happened", by="ann")
        else:
            ledger.resolve(stop.key, failed="it had not happened", by="ann")

    # -- the crew -----------------------------------------------------------------------------

    def _crew(self, ledger: Ledger) -> Any:
        """Two members; the first one's answer is refused once, so that its task runs again."""
        policies = {
            "note": Policy(guarantee=Guarantee.RECONCILE, probe=self._probe, quiet=0),
            "refund": Policy(guarantee=Guarantee.IDEMPOTENT, approval=True),
        }
        tools: list[Any] = [self.pay, self.note, self.refund, self.mail]
        wrapped: list[Any] = wrap_tools(
            tools, ledger if self.camp.protected else Ledger("memory://"), policies=policies
        )
        made = wrapped if self.camp.protected else [tool.binding().tool for tool in wrapped]
        order = {"order": self.order}
        paying = Model.of([("pay", order), ("note", order)], [("refund", order)], "paid")
        telling = Model.of([("mail", order)], END)
        members = [
            agent_of(paying, made[:3], role="payer"),
            agent_of(telling, made[3:], role="clerk"),
        ]
        refusals = iter([(False, "say it again")])

        def once(_: Any) -> tuple[bool, Any]:
            refused = next(refusals, None)
            if refused is not None:
                paying.rewind()
                return refused
            return True, "paid"

        once.__annotations__.clear()  # CrewAI takes no annotation that is a string
        tasks = [
            task_of(members[0], "Pay, note and refund.", guardrail=once),
            task_of(members[1], "Send a mail."),
        ]
        return Crew(agents=members, tasks=tasks)

    def _act(self, what: str) -> str:
        time.sleep(self.chance.random() * self.camp.pause)
        self.witness.saw(what)
        time.sleep(self.chance.random() * self.camp.pause)
        return f"did {what}"

    def _probe(self, effect: Any) -> ProbeAnswer:
        if self.witness.times(f"note {self.order}"):
            return ProbeAnswer.happened("noted")
        return ProbeAnswer.not_happened()

    def pay(self, order: str) -> str:
        """Pay; nobody can tell later whether it went out."""
        return self._act(f"pay {order}")

    def note(self, order: str) -> str:
        """Note it where one can look it up."""
        return self._act(f"note {order}")

    def refund(self, order: str) -> str:
        """Give money back; the bank does it once for each key."""
        key = current_effect().idempotency_key if self.camp.protected else self.chance.random()
        return self._act(f"refund {order} {key}")

    def mail(self, order: str) -> str:
        """Send a mail."""
        return self._act(f"mail {order}")
