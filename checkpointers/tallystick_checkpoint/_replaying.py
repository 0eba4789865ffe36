"""Threads inside of a replay: they are kept apart, and forgotten with it."""

from __future__ import annotations

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from tallystick import Ledger
from tallystick._replay._play import play_of
from tallystick.errors import InvalidCall


def stand_in(saver: BaseCheckpointSaver[str], ledger: Ledger) -> InMemorySaver | None:
    """
    What keeps the threads of *saver* in the replay around the caller, if there is one.

    Each thread begins anew in it, as it did when the run was recorded.
    """
    play = play_of(ledger)
    if play is None:
        return None
    return play.stand_in(saver, lambda: InMemorySaver(serde=saver.serde))


def refuse(ledger: Ledger) -> None:
    """Threads of the ledger itself are nothing that a replay changes, or looks into."""
    if play_of(ledger) is not None:
        raise InvalidCall(
            "inside of a replay the threads of its ledger are out of reach; nothing was changed. "
            "Copy, prune and forget threads outside of `with ledger.replay(…):`"
        )
