"""cost and reprice."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer

from tallystick import Policy
from tallystick.cli import _given
from tallystick.metering import Meter, ModelRequest
from tallystick.prices import Overrides, Usage
from tallystick.testing import turn_clock

PRICES = Overrides({"toy": {"input": "1", "output": "2"}, "big": {"input": "10", "output": "20"}})
TOTAL = {"calls": 0, "tokens": 0, "usd": "0.00", "unpriced": 0, "open": "0.00"}


def spent(office: Any, model: str = "toy", session: str = "s-1", tokens: int = 1000) -> None:
    """A call of a model that used up *tokens* of input."""
    begun(office, model, session).settle(Usage(input=tokens))


def begun(office: Any, model: str = "toy", session: str = "s-1") -> Any:
    meter = Meter(office.ledger, session=session, prices=PRICES)
    request = ModelRequest(model=model, provider="home", input_bound=2000, output_bound=0)
    return meter.begin(request)


def prices(tmp_path: Path, text: str = '[toy]\ninput = "3"\noutput = 2\n') -> str:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return str(path)


# -- cost -----------------------------------------------------------------------------------------


def test_what_models_cost_is_added_up(office: Any) -> None:
    spent(office)
    spent(office, tokens=500)
    spent(office, "big", "s-2")
    said = office.run("cost", "--json").json
    assert [(x["what"], x["calls"], x["tokens"], x["usd"]) for x in said["lines"]] == [
        ("big", 1, 1000, "0.01"),
        ("toy", 2, 1500, "0.0015"),
    ]
    assert said["total"] == {**TOTAL, "calls": 3, "tokens": 2500, "usd": "0.0115"}
    assert (said["by"], said["since"], said["until"]) == ("model", None, None)
    out = office.run("cost").out
    for part in ("total", "0.0115", "2,500"):
        assert part in out


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        ("session", {"s-1": "0.0015", "s-2": "0.01"}),
        ("provider", {"home": "0.0115"}),
        ("workflow", {"": "0.0115"}),
        ("what", {"big": "0.01", "toy": "0.0015"}),
        ("tool", {}),
    ],
)
def test_it_may_be_split_otherwise(office: Any, by: str, lines: dict[str, str]) -> None:
    spent(office)
    spent(office, tokens=500)
    spent(office, "big", "s-2")
    said = office.run("cost", "--by", by, "--json").json
    assert {x["what"]: x["usd"] for x in said["lines"]} == lines


def test_days_are_in_their_order_and_may_be_cut_off(office: Any) -> None:
    today = datetime.now(UTC).date()
    for days in (-9, 8, 1):
        turn_clock(office.ledger, days * 86_400)
        spent(office, tokens=1000 - 10 * days)
    shown = office.run("cost", "--by", "day", "--json").json["lines"]
    dates = [str(today - timedelta(days=n)) for n in (9, 1, 0)]
    assert [x["what"] for x in shown] == dates

    def listed(*options: str) -> list[str]:
        lines = office.run("cost", "--by", "day", "--json", *options).json["lines"]
        return [line["what"] for line in lines]

    assert listed("--since", "7d") == dates[1:]
    assert listed("--since", dates[1], "--until", dates[1]) == [dates[1]]
    assert listed("--until", f"{dates[1]}T00:00Z") == dates[:1]


def test_what_is_unknown_is_shown_and_never_hidden(office: Any) -> None:
    spent(office)
    begun(office).leave(None, reason="timed out")
    begun(office, "unheard-of").settle(Usage(input=7))
    begun(office, "big")
    total = office.run("cost", "--json").json["total"]
    assert total == {"calls": 4, "tokens": 1007, "usd": "0.001", "unpriced": 3, "open": "0.022"}
    out = office.run("cost").out
    assert "0.022 USD are charged without being known" in out
    assert "3 call(s) have no known cost" in out
    assert "tallystick reprice --prices" in out


def test_what_tools_cost_is_not_forgotten_beside_the_models(office: Any) -> None:
    office.ledger.budget("purse", usd=10)
    policy = Policy(budgets=("purse",), cost="0.25")
    office.ledger.call("send", lambda: 1, workflow="w", policy=policy)
    spent(office)
    assert "Besides: 1 call(s) of other kinds, 0.25 USD spent" in office.run("cost").out
    said = office.run("cost", "--json").json
    assert said["elsewhere"] == {**TOTAL, "calls": 1, "usd": "0.25"}
    (line,) = office.run("cost", "--by", "tool", "--json").json["lines"]
    assert (line["what"], line["kind"], line["usd"]) == ("send", "tool", "0.25")
    assert office.run("cost", "--by", "what", "--json").json["total"]["usd"] == "0.251"


def test_a_ledger_without_calls_has_no_costs(office: Any) -> None:
    assert office.run("cost").out == "No calls.\n"
    said = office.run("cost", "--json").json
    assert (said["lines"], said["total"], said["elsewhere"]) == ([], TOTAL, TOTAL)


@pytest.mark.parametrize(
    ("options", "next_"),
    [
        (["--by", "colour"], "session"),
        (["--since", "yesterday"], "2026-11-01"),
        (["--until", "2026-13-01"], "7d"),
        (["--since", "2026-11-02", "--until", "2026-11-01"], "not before"),
    ],
)
def test_a_report_of_nothing_is_wrong_usage(office: Any, options: list[str], next_: str) -> None:
    assert next_ in office.run("cost", *options, code=2).err


def test_moments_are_those_of_utc_where_they_name_no_zone() -> None:
    day = datetime(2026, 11, 1, tzinfo=UTC)
    assert _given.since("2026-11-01") == day
    assert _given.until("2026-11-01") == day + timedelta(days=1)
    assert _given.until("2026-11-01T09:00") == day + timedelta(hours=9)
    assert _given.since("2026-11-01T01:00+01:00") == day
    began = datetime.now(UTC)
    ago = _given.since("90min")
    assert ago is not None
    assert began <= ago + timedelta(minutes=90) <= datetime.now(UTC)
    assert _given.since(None) is _given.until(None) is None
    with pytest.raises(typer.BadParameter):
        _given.since("999999999w")


# -- reprice --------------------------------------------------------------------------------------


def test_other_prices_are_shown_and_nothing_is_changed(office: Any, tmp_path: Path) -> None:
    spent(office)
    spent(office, "big")
    said = office.run("reprice", "--prices", prices(tmp_path), "--json").json
    (change,) = said["changes"]
    assert (change["model"], change["was"], change["now"]) == ("toy", "0.001", "0.003")
    assert (said["written"], said["was"], said["now"], said["difference"]) == (
        False, "0.001", "0.003", "0.002",
    )  # fmt: skip
    out = office.run("reprice", "--prices", prices(tmp_path)).out
    assert "+0.002" in out
    assert "Nothing was changed. Next: the same with --write" in out
    assert office.run("cost", "--json").json["total"]["usd"] == "0.011"


@pytest.mark.parametrize("option", ["--write", "--yes"])
def test_they_are_written_when_somebody_says_so(office: Any, tmp_path: Path, option: str) -> None:
    purse = office.ledger.budget("purse", usd=1, model="toy")
    spent(office)
    out = office.run("reprice", "--prices", prices(tmp_path), option).out
    assert "1 call(s) were repriced." in out
    assert office.run("cost", "--json").json["total"]["usd"] == "0.003"
    assert purse.spent == Decimal("0.003")
    again = office.run("reprice", "--prices", prices(tmp_path), option).out
    assert "has this price already" in again


def test_a_call_without_a_price_gets_one(office: Any, tmp_path: Path) -> None:
    begun(office, "unheard-of").settle(Usage(input=1000))
    text = '["unheard-*"]\ninput = "2"\noutput = 0\n'
    said = office.run("reprice", "--prices", prices(tmp_path, text), "--write", "--json").json
    assert [(x["was"], x["now"]) for x in said["changes"]] == [(None, "0.002")]
    assert "unknown" not in office.run("reprice", "--prices", prices(tmp_path, text)).out
    assert office.run("cost", "--json").json["total"]["unpriced"] == 0


def test_only_what_was_called_since_then_is_repriced(office: Any, tmp_path: Path) -> None:
    turn_clock(office.ledger, -86_400 * 3)
    spent(office)
    command = ["reprice", "--prices", prices(tmp_path), "--json"]
    assert len(office.run(*command, "--since", "7d").json["changes"]) == 1
    assert office.run(*command, "--since", "1d").json["changes"] == []


def test_prices_are_those_of_genai_prices_where_no_file_is_given(office: Any) -> None:
    meter = Meter(office.ledger, prices=Overrides({"gpt-4o": {"input": "1", "output": "1"}}))
    request = ModelRequest(model="gpt-4o", provider="openai", input_bound=1000, output_bound=0)
    meter.begin(request).settle(Usage(input=1000))
    (change,) = office.run("reprice", "--json").json["changes"]
    assert (change["was"], change["now"]) == ("0.001", "0.0025")


def test_without_any_prices_it_says_where_to_get_them(
    office: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    said = office.run("reprice", code=2)
    assert "--prices FILE.toml" in said.err
    spent(office)
    assert "0.003" in office.run("reprice", "--prices", prices(tmp_path)).out


@pytest.mark.parametrize("text", ["no toml", "[toy]\ninput = true\noutput = 1\n", None])
def test_prices_that_cannot_be_read_are_wrong_usage(
    office: Any, tmp_path: Path, text: str | None
) -> None:
    path = prices(tmp_path, text) if text is not None else str(tmp_path / "none.toml")
    said = office.run("reprice", "--prices", path, code=2)
    assert Path(path).name in said.err
    assert "Traceback" not in said.err
