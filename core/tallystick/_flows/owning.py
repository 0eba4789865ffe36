"""Effects of the ledger's own: a run, a round of compensating it, a place to go back to."""

from __future__ import annotations

from typing import Any

from tallystick._codec import frozen_copy
from tallystick._flows.call import Call
from tallystick._flows.undoing import House
from tallystick._keys import identify
from tallystick._model import Guarantee
from tallystick._policy import Policy

#: a hundred years: whoever comes next may go on with it
_EVER = 36_525 * 86_400.0


def own_call(
    house: House, workflow: str, tool: str, args: dict[str, Any], *, which: Any, **options: Any
) -> Call:
    """
    A call of *tool*, one for each *which* in the workflow; *options* are its policy's.

    It is idempotent for ever, so that a dead holder is in nobody's way, and goes on in a workflow
    that is contained.
    """
    policy = Policy(
        guarantee=Guarantee.IDEMPOTENT, key_lifetime=_EVER, identity=lambda _: which, **options
    )
    frozen = frozen_copy(args)
    identity = identify(
        tenant=house.tenant,
        workflow=workflow,
        tool=tool,
        args=frozen,
        call_id=None,
        occurrence=0,
        policy=policy,
    )
    return Call(
        house.tenant,
        workflow,
        tool,
        None,
        _by_hand,
        False,
        frozen,
        identity,
        house.nonces(),
        policy,
        frozenset(),
        undoing=True,
    )


def _by_hand(**_: Any) -> None:
    raise AssertionError("the ledger's own effects run no function")
