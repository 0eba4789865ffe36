"""What a replay says: failures of every kind of class, and differences that people can read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from tallystick import BudgetExceeded, EffectFailed, Ledger, Policy
from tallystick.errors import Divergence

FAILS = Policy(classify={Exception: "failed"})


class NeedyError(Exception):
    """Has a name of its own for what every error of the ledger has."""

    @property
    def key(self) -> str:
        """Of its own."""
        return "mine"


class PlainError(Exception):
    """Looks like what it was."""


class Order(BaseModel):
    """What pydantic refuses."""

    cents: int


def invalid() -> Exception:
    """An error of a class that cannot be inherited from."""
    try:
        Order.model_validate({"cents": "none"})
    except ValidationError as error:
        return error
    raise AssertionError("it was valid")


def local() -> Exception:
    """An error of a class that nobody finds by its name."""

    class LocalError(Exception):
        pass

    return LocalError("here only")


CASES: list[tuple[Exception, type[Exception]]] = [
    (PlainError("no"), PlainError),
    (FileNotFoundError(2, "no such file", "a.txt"), FileNotFoundError),
    (KeyError("order"), KeyError),
    (BudgetExceeded("nothing is left"), BudgetExceeded),
    (NeedyError("why"), EffectFailed),
    (invalid(), EffectFailed),
    (local(), EffectFailed),
]


@pytest.mark.parametrize(("error", "kind"), CASES, ids=lambda case: type(case).__name__)
def test_a_failure_is_of_its_class_where_that_can_be(
    error: Exception, kind: type[Exception]
) -> None:
    """And EffectFailed with the recorded message in any case."""

    def fail() -> None:
        raise error

    with Ledger("memory://") as ledger:
        with ledger.workflow("w"), pytest.raises(type(error)):
            ledger.call("act", fail, policy=FAILS)
        with ledger.replay("w"), pytest.raises(EffectFailed) as caught:
            ledger.call("act", fail, policy=FAILS)
    told = caught.value
    assert isinstance(told, kind)
    assert (str(told), told.error_message) == (str(error), str(error))
    assert told.error_type == f"{type(error).__module__}.{type(error).__qualname__}"
    if type(error) is PlainError:
        assert repr(told) == repr(error)
    if isinstance(told, BudgetExceeded):
        assert told.remaining == 0


def send(**_: Any) -> None:
    """A tool."""


def differing(first: dict[str, Any], second: dict[str, Any], **policy: Any) -> str:
    """The difference between two calls."""
    with Ledger("memory://") as ledger:
        ledger.call("send", send, first, workflow="w", policy=Policy(**policy))
        with pytest.raises(Divergence) as caught, ledger.replay("w"):
            ledger.call("send", send, second, workflow="w", policy=Policy(**policy))
        assert caught.value.difference in str(caught.value)
        return caught.value.difference


def test_a_difference_shows_what_is_around_it_and_no_secrets() -> None:
    secret = {"to": "ann", "card": "4111-1111"}
    told = differing(secret, {"to": "bob", "card": "4222-2222"}, redact=("card",))
    assert '-  "to": "ann"\n+  "to": "bob"' in told
    assert '"card": "[redacted]"' in told
    assert "4222" not in told
    told = differing(secret, {**secret, "card": "4222-2222"}, redact=("card",))
    assert told == "(what differs is redacted in both)"


def test_a_difference_is_as_long_as_somebody_reads() -> None:
    told = differing({"text": "x" * 10_000}, {"lines": list(range(1000))})
    assert len(told) < 60 * 210
    assert told.endswith("lines more")
    assert json.dumps(999) not in told
