"""What adapters check alike before they wrap a tool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from tallystick._keys import check_name
from tallystick._policy import Policy
from tallystick.errors import InvalidCall, InvalidPolicy
from tallystick.ledger import Ledger


class Bound(Protocol):
    """What a wrapped tool is bound to."""

    @property
    def ledger(self) -> Ledger:
        """Where its effects are."""
        ...

    @property
    def workflow(self) -> str | None:
        """The one that was named."""
        ...

    @property
    def policy(self) -> Policy:
        """How its effects are treated."""
        ...


def check_binding(ledger: Any, workflow: Any, *policies: Any) -> None:
    """InvalidCall or InvalidPolicy for what a tool cannot be bound to."""
    if not isinstance(ledger, Ledger):
        raise InvalidCall(f"{ledger!r} is no ledger; give a tallystick.Ledger")
    if workflow is not None:
        check_name(workflow, "workflow")
    for policy in policies:
        if policy is not None and not isinstance(policy, Policy):
            raise InvalidPolicy(f"{policy!r} is no policy; give a tallystick.Policy")


def check_names(policies: Iterable[str], tools: Sequence[str]) -> None:
    """InvalidPolicy for a policy of a tool that is not there."""
    unknown = [name for name in policies if name not in tools]
    if unknown:
        raise InvalidPolicy(
            f"policies={{…}} names {', '.join(map(repr, unknown))}, and no tool has that name; "
            f"the tools are {', '.join(tools) or 'none'}"
        )


def check_same(
    name: str, bound: Bound, ledger: Ledger, workflow: str | None, policy: Policy | None
) -> None:
    """InvalidCall or InvalidPolicy for a tool that is wrapped once more, and otherwise."""
    if bound.ledger is not ledger:
        raise InvalidCall(f"{name} is wrapped for another ledger already; wrap the original")
    if workflow not in (None, bound.workflow):
        raise InvalidCall(
            f"{name} is wrapped for the workflow {bound.workflow!r} already, not for "
            f"{workflow!r}; wrap the original"
        )
    if policy not in (None, bound.policy):
        raise InvalidPolicy(f"{name} is wrapped with another policy already; name it once")
