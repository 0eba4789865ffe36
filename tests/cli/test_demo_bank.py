"""The demo's bank: an ordinary payment server with a book."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tallystick.cli.demo.bank import Bank, open_bank


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[str]:
    with open_bank(tmp_path / "book.db") as url:
        yield url


def post(url: str, order: str, **headers: str) -> Any:
    body = json.dumps({"order": order, "cents": 5}).encode()
    return ask(f"{url}/shop/charges", body, headers)


def book(url: str, query: str = "") -> Any:
    return ask(f"{url}/shop/charges{query}")


def ask(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None, wait: float = 10
) -> Any:
    request = Request(url, body, headers or {})  # noqa: S310 - our own server
    with urlopen(request, timeout=wait) as answer:  # noqa: S310
        return json.load(answer)


def test_it_charges_as_often_as_it_is_asked(bank: str) -> None:
    assert post(bank, "a", **{"Idempotency-Key": "k"})["id"] == 1
    assert post(bank, "a", **{"Idempotency-Key": "k"})["id"] == 2
    assert [line["order"] for line in book(bank)] == ["a", "a"]


def test_it_deduplicates_only_when_asked_to(bank: str) -> None:
    for _ in range(2):
        assert post(bank, "a", **{"Idempotency-Key": "k", "Deduplicate": "yes"})["id"] == 1
    assert len(book(bank)) == 1


def test_a_charge_is_found_by_its_reference(bank: str) -> None:
    post(bank, "a", **{"Idempotency-Key": "k1"})
    post(bank, "b", **{"Idempotency-Key": "k2"})
    assert [line["order"] for line in book(bank, "?reference=k2")] == ["b"]
    assert book(bank, "?reference=k3") == []


def test_a_held_charge_is_written_down_and_not_answered(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    with Bank(tmp_path / "book.db", held=frozenset({"a"}), tell=told.append) as bank:
        threading.Thread(target=bank.serve_forever, daemon=True).start()
        body = json.dumps({"order": "a", "cents": 5}).encode()
        with pytest.raises(TimeoutError):
            ask(f"{bank.url}/shop/charges", body, wait=0.5)
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            time.sleep(0.01)
        assert told[0]["held"] is True
        assert post(bank.url, "a")["id"] == 2
        assert told[1]["held"] is False
        bank.shutdown()
        bank.book.close()
