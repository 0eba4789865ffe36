"""What a session has used is in the ledger, not in a client (S35)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tallystick import Ledger
from tallystick.clients import session_of
from tallystick.errors import InvalidCall
from tests._sqlite import empty_database
from tests.providers import _process
from tests.providers._answers import Answer
from tests.providers._server import Provider
from tests.providers._stories import ASK, GPT
from tests.providers._watched import Desk

# a client's imports take long where much else runs
pytestmark = pytest.mark.timeout(120)

CHAT: Any = {"model": GPT, "messages": ASK, "max_completion_tokens": 100}


def started(url: str, origin: str, budget: str, calls: int) -> subprocess.Popen[str]:
    arguments = [url, origin, budget, "s-1", str(calls)]
    return subprocess.Popen(
        [sys.executable, "-m", _process.__name__, *arguments], stdout=subprocess.PIPE, text=True
    )


def told(child: subprocess.Popen[str]) -> int:
    out, _ = child.communicate(timeout=100)
    assert child.returncode == 0
    return int(out)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return empty_database(tmp_path)


def test_a_session_adds_up_over_clients_copies_and_processes(url: str, provider: Provider) -> None:
    with Ledger(url, create=True) as ledger, Desk(ledger, provider.origin) as desk:
        first = desk.gpt(session="s-1")
        first.chat.completions.create(**CHAT)
        first.with_options(timeout=9).chat.completions.create(**CHAT)
        assert told(started(url, provider.origin, "team", 3)) == 3
        desk.claude(session="another").messages.create(
            model="claude-sonnet-5", messages=ASK, max_tokens=100
        )
        second = desk.gpt(session="s-1")
        list(second.chat.completions.create(**CHAT, stream=True))
        used = session_of(second)
        assert (used.calls, used.tokens) == (6, 6 * 29)
        assert session_of(first) == used
        assert [call.iteration for call in ledger.reservations(session="s-1")] == [6, 5, 4, 3, 2, 1]
        assert {call.session for call in ledger.reservations()} == {"s-1", "another"}


def test_a_process_that_is_gone_right_after_its_calls_leaves_their_records(
    url: str, provider: Provider
) -> None:
    with Ledger(url, create=True) as ledger, Desk(ledger, provider.origin) as desk:
        assert told(started(url, provider.origin, "team", 7)) == 7
        calls = desk.calls()
        assert [call.state for call in calls] == ["settled"] * 7
        assert {call.tokens for call in calls} == {29}
        assert desk.budget.spent == sum(call.cost or 0 for call in calls) > 0


def test_processes_with_a_budget_for_one_pay_once(url: str, provider: Provider) -> None:
    with Ledger(url, create=True) as ledger:
        small = ledger.budget("small", usd="0.0025")
        provider.script(*(Answer(output=100) for _ in range(12)))
        children = [started(url, provider.origin, "small", 3) for _ in range(4)]
        assert sum(map(told, children)) == 1
        assert len(provider.asked) == 1
        assert small.spent < small.limit
        assert small.reserved == small.unreconciled == 0


def test_without_a_name_the_workflow_around_is_the_session(desk: Desk, provider: Provider) -> None:
    client = desk.gpt()
    with desk.ledger.workflow("order-42"):
        client.chat.completions.create(**CHAT)
    assert (desk.last().session, desk.last().workflow) == ("order-42", "order-42")


def test_a_client_without_a_session_has_none(desk: Desk) -> None:
    for client in (desk.gpt(), object()):
        with pytest.raises(InvalidCall):
            session_of(client)
