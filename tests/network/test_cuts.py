"""The wire to PostgreSQL is cut at every request of everything a ledger does, at every moment."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tallystick import Ledger
from tallystick._acts import Look
from tallystick.errors import LedgerError
from tallystick.testing import Witness
from tests.model._rigs import fast_database
from tests.network._deeds import DEEDS, Case, Deed
from tests.network._proxy import Moment, Proxy

#: whatever happens to the wire, a call is over by then
SECONDS = 20.0
#: whether each deed is cut off at each moment of each request, as in ``make crash``
ALL = bool(os.environ.get("TALLYSTICK_MATRIX"))

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(300)]


class Line:
    """A ledger behind a wire, and one beside it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.proxy = Proxy(url)
        self.desk = Ledger(url, create=True, lease=60.0)
        self.wired = Ledger(self.proxy.url, lease=60.0)
        self.witness = Witness(folder / "witness")
        self._cases = 0
        for ledger in (self.desk, self.wired):  # every thread of theirs begins here
            asyncio.run(ledger.acall("warm", str, {"object": "up"}, workflow="warm"))
            engine: Any = ledger._engine  # pyright: ignore[reportPrivateUsage]
            engine.journal.post(Look(key=b"", tenant="nobody"))
            for _ in range(4):
                engine.threads.submit(time.sleep, 0.1)

    def case(self, deed: Deed) -> Case:
        """A new effect."""
        self._cases += 1
        name = f"{deed.name}-{self._cases}"
        case = Case(name, self.wired, self.desk, self.url, self.witness)
        deed.prepare(case)
        return case

    def close(self) -> None:
        self.wired.close()
        self.desk.close()
        self.proxy.close()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """One database, one wire."""
    with fast_database() as url:
        line = Line(url, tmp_path_factory.mktemp("line"))
        with psycopg.connect(url, autocommit=True) as db:
            db.execute("CREATE TABLE witness (n text)")
        yield line
        line.close()


def _in_time(deed: Callable[[], Any]) -> Any:
    """What *deed* returns, or the ledger's own error that it raises, in bounded time."""
    told: list[Any] = []

    def run() -> None:
        try:
            told.append(deed())
        except BaseException as error:  # noqa: BLE001 - looked at below
            told.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert told, f"no answer after {SECONDS:.0f} s"
    assert not isinstance(told[0], BaseException) or isinstance(told[0], LedgerError), told[0]
    return told[0]


def _due(deed: Deed, cuts: list[tuple[int, Moment]]) -> list[tuple[int, Moment]]:
    """Every fourth cut; which of them depends on the deed."""
    return cuts if ALL else cuts[zlib.crc32(deed.name.encode()) % 4 :: 4]


@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.name)
def test_a_cut_wire_changes_nothing_about(line: Line, deed: Deed) -> None:
    """Whenever it is cut: the same answer, done once, recorded once, and nothing in the dark."""
    case = line.case(deed)
    line.proxy.arm()
    assert deed.right(case, _in_time(partial(deed.act, case))), "without any cut"
    requests = line.proxy.requests
    assert requests
    cuts = 0
    for nth, moment in _due(deed, [*product(range(1, requests + 1), Moment)]):
        case = line.case(deed)
        before = line.proxy.cuts
        line.proxy.arm(nth, moment)
        answer = _in_time(partial(deed.act, case))
        cuts += line.proxy.cuts - before
        line.proxy.arm()
        where = f"{case.name} cut at request {nth} of {requests}, {moment.value}: {answer!r}"
        assert deed.right(case, answer), where
    assert cuts, "the wire was not cut"
    print(f"{cuts} cuts at {requests} requests")
    assert line.desk.verify().sound
