"""Which later effects build on an earlier one, anywhere in the tenant."""

from __future__ import annotations

from tallystick import _acts as acts
from tallystick._flows.choosing import OUT, Chosen, moment_of
from tallystick._flows.gathering import is_forward
from tallystick._model import Row, Status
from tallystick._ports import Ports
from tallystick._undoing._acts import Planned, ReadPlans
from tallystick._undoing._traces import brought, takes

#: such an effect is not in the world, or not yet
_ABSENT = (*OUT, Status.PENDING, Status.APPROVED)


class Dependents:
    """
    What depends on the chosen effects: later ones whose arguments hold what those brought forth.

    The tenant's effects are read once, from the earliest chosen one on that brought anything forth;
    then only what is new.
    """

    def __init__(self, p: Ports, tenant: str, chosen: list[Chosen], *, takes_along: bool) -> None:
        self._p = p
        self._tenant = tenant
        self._takes_along = takes_along
        self._chosen = {each.row.key: each for each in chosen}
        #: values, and the chosen effects that brought each forth
        self._makers: dict[str, list[bytes]] = {}
        #: of each chosen effect
        self._dependents: dict[bytes, list[bytes]] = {}
        #: what is undone stays so, and need not be looked at again
        self._undone: set[bytes] = set()
        makers = [each.planned.seq for each in chosen if brought(each.row)]
        #: the effect that was read last; ``None``: nothing can depend on what was chosen
        self._through = min(makers) - 1 if makers else None

    @property
    def chosen(self) -> list[Chosen]:
        """What was chosen, with what depends on it where that is taken along."""
        return sorted(self._chosen.values(), key=lambda each: each.planned.seq)

    async def read_on(self) -> None:
        """Learn of what was recorded since the last time."""
        page: list[Planned] | None = None
        while self._through is not None and page != []:
            page = await self._p.read(ReadPlans(tenant=self._tenant, after=self._through))
            for planned in page:
                self._through = planned.seq
                if is_forward(planned):
                    await self._meet(planned)

    async def _meet(self, planned: Planned) -> None:
        row = planned.row
        makers = {key for value in takes(row) for key in self._makers.get(value, ())}
        for key in makers - {row.key}:
            self._dependents.setdefault(key, []).append(row.key)
        if makers and self._takes_along:
            taken = Chosen(planned, await moment_of(self._p, row))
            self._chosen.setdefault(row.key, taken)
        if row.key in self._chosen:
            for value in brought(row):
                self._makers.setdefault(value, []).append(row.key)

    async def of(self, key: bytes) -> list[Row]:
        """The effects that depend on one, and are in the world."""
        found = list[Row]()
        for later in self._dependents.get(key, ()):
            if later in self._undone:
                continue
            now = (await self._p.read(acts.Look(key=later, tenant=self._tenant))).row
            if now is not None and now.status == Status.COMPENSATED:
                self._undone.add(later)
            elif now is not None and now.status not in _ABSENT:
                found.append(now)
        return found
