"""What two transactions at once must not do to each other: PostgreSQL has several writers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tallystick import Ledger
from tests._postgres import until_somebody_waits
from tests.checkpoints._acts import Thread, blob, store_of

pytestmark = pytest.mark.postgres


def test_a_piece_that_is_sent_again_is_not_cleared_away(empty_postgres: str) -> None:
    """One clears away what nobody names any more; another names it again meanwhile."""
    t = Thread("a")
    with Ledger(empty_postgres) as one, Ledger(empty_postgres) as two:
        store, other = store_of(one), store_of(two)
        store.apply([t.put("1", names=[1])])
        began = threading.Event()
        with psycopg.connect(empty_postgres) as rival, ThreadPoolExecutor(1) as pool:
            # holds the piece, so that the clearing waits right before it
            rival.execute("SELECT 1 FROM tallystick_blob WHERE id = %s FOR UPDATE", [blob(1).id])

            def drop() -> Any:
                began.set()
                return store.apply([t.drop("1")]).answers[0]

            dropping = pool.submit(drop)
            assert began.wait(5)
            until_somebody_waits(empty_postgres)
            with ThreadPoolExecutor(1) as second:
                putting = second.submit(other.apply, [t.put("2", names=[1])])
                until_somebody_waits(empty_postgres, count=2)
                rival.commit()
                assert putting.result(10).answers == ["kept"]
            assert dropping.result(10) == 1
        left = {row.id for row in store.read(t.all())}
        assert left == {"2"}
        assert [b.id for b in store.read(t.blobs(1))] == [blob(1).id]


def test_a_checkpoint_that_others_rely_on_is_not_dropped_under_them(empty_postgres: str) -> None:
    """Whoever is second sees the first: it is sent whole, or what it names stays."""
    t = Thread("a")
    with Ledger(empty_postgres) as one, Ledger(empty_postgres) as two:
        stores = (store_of(one), store_of(two))
        for n in range(40):
            base, child = f"{2 * n:04}", f"{2 * n + 1:04}"
            stores[0].apply([t.put(base, names=[1])])
            put = t.put(child, base, names=[1], brings=[], needs=base)
            with ThreadPoolExecutor(2) as pool:
                putting = pool.submit(stores[0].apply, [put])
                dropping = pool.submit(stores[1].apply, [t.drop(base)])
                kept, _ = putting.result(20).answers[0], dropping.result(20)
            if kept == "kept":
                assert stores[0].read(t.blobs(1)), n
            else:
                assert kept == "incomplete"
            stores[0].apply([t.drop(child)])
