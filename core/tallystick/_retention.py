"""Deeds of retention, each atomic; see :mod:`tallystick._acts`."""

from __future__ import annotations

from typing import NamedTuple

from tallystick._acts import Act


class Retain(Act["Gone"]):
    """
    Drop the payloads of effects, and the notes of reservations, that were over by ``before``.

    What is open, waits for a person or may still begin again as it was approved is left alone, and
    so is what was dropped already, and what belongs to a workflow whose run, or whose undoing, has
    not come to its end. Each effect that loses something says so in its chain.
    """

    tenant: str
    before: int
    by: str
    keys: tuple[bytes, ...] = ()
    #: ids of reservations
    calls: tuple[bytes, ...] = ()


class Gone(NamedTuple):
    """How many effects and reservations lost what they held."""

    effects: int
    calls: int


class Stale(NamedTuple):
    """One page of a walk through a table, in the order of writing."""

    #: the last row that was looked at; ``None`` where there was none
    through: int | None
    #: those of them that have something to lose
    due: tuple[bytes, ...]
    #: … and, of effects, the workflow of each
    workflows: tuple[str, ...] = ()


class ReadStale(Act[Stale]):
    """Look at the next ``limit`` effects, or reservations, and say which have something to lose."""

    tenant: str
    before: int
    #: of reservations instead of effects
    calls: bool = False
    after: int = 0
    limit: int = 1000
