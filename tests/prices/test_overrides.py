"""What the user says a model costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import InvalidCall
from tallystick.prices import Cost, Overrides, PriceBook, Usage, price_book, reprice

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLAIN = {"input": "2.50", "output": "10"}


def nanos(book: PriceBook, model: str, usage: Usage, provider: str | None = None) -> int | None:
    cost = book.price(model, usage, provider=provider, at=NOON)
    return None if cost is None else cost.nanos


def bound(book: PriceBook, model: str = "m", **request: Any) -> int | None:
    asked: dict[str, Any] = {
        "input_tokens": 0,
        "output_tokens": 0,
        "provider": None,
        "at": NOON,
        "within": timedelta(minutes=10),
        "cached": False,
        **request,
    }
    cost = book.bound(model, **asked)
    return None if cost is None else cost.nanos


def test_a_million_tokens_cost_their_rate() -> None:
    book = Overrides({"m": PLAIN})
    cost = book.price("m", Usage(input=10**6, output=10**6), provider=None, at=NOON)
    assert cost is not None
    assert cost.usd == Decimal("12.5")
    assert cost.rates == {"input": "2.50", "output": "10"}
    assert cost.source == "override"


def test_a_cost_is_rounded_up_once() -> None:
    book = Overrides({"m": {"input": "0.0001", "output": "0.0001"}})
    assert nanos(book, "m", Usage(input=1)) == 1
    assert nanos(book, "m", Usage(input=5, output=5)) == 1
    assert nanos(book, "m", Usage(input=5, output=6)) == 2


def test_the_largest_counts_and_the_finest_rates_stay_exact() -> None:
    book = Overrides({"m": {"input": "999999999.999999999999999999", "output": 0}})
    assert nanos(book, "m", Usage(input=2**63)) == -(
        -(2**63) * 999999999999999999999999999 // 10**15
    )


def test_what_has_no_rate_of_its_own_costs_what_its_kind_does() -> None:
    book = Overrides({"m": {**PLAIN, "cache_write": "3"}})
    million = 10**6
    assert nanos(book, "m", Usage(cache_read=million)) == 2_500_000_000
    assert nanos(book, "m", Usage(cache_write_1h=million)) == 3_000_000_000
    assert nanos(book, "m", Usage(reasoning=million)) == 10_000_000_000


@pytest.mark.parametrize(
    "usage", [Usage(input_audio=1), Usage(output_audio=1), Usage(input=1, web_searches=1)]
)
def test_what_nobody_priced_is_unknown_and_not_free(usage: Usage) -> None:
    assert nanos(Overrides({"m": PLAIN}), "m", usage) is None


def test_fees_per_request_and_per_search_are_added() -> None:
    book = Overrides({"m": {**PLAIN, "requests": "5000", "web_searches": 10_000}})
    assert nanos(book, "m", Usage(web_searches=2)) == 25_000_000


def test_a_free_model_must_be_called_free() -> None:
    book = Overrides({"ollama/*": {"input": 0, "output": 0}})
    assert nanos(book, "llama3", Usage(input=10**9), "ollama") == 0
    assert nanos(book, "llama3", Usage(input=1), "groq") is None


@pytest.mark.parametrize(
    ("model", "provider", "price"),
    [
        ("gpt-4o", "openai", 1),
        ("GPT-4o", "OpenAI", 1),
        ("openai/gpt-4o", None, 1),
        ("gpt-4o", "azure", 2),
        ("gpt-4o", None, 2),
        ("gpt-4o-mini-2024-07-18", "openai", 3),
        ("gpt-4o-2024-08-06", "openai", 4),
        ("gpt-5", "azure", 5),
        ("gpt-5", "openai", None),
    ],
)
def test_the_closest_name_wins(model: str, provider: str | None, price: int | None) -> None:
    names = ["openai/gpt-4o", "gpt-4o", "gpt-4o-mini*", "gpt-4o*", "azure/*"]
    book = Overrides({name: {"input": n, "output": n} for n, name in enumerate(names, 1)})
    assert nanos(book, model, Usage(input=1), provider) == (price and price * 1000)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({**PLAIN, "input": 2.5}, "no exact number"),
        ({**PLAIN, "input": True}, "no exact number"),
        ({**PLAIN, "input": None}, "no exact number"),
        ({**PLAIN, "input": "two"}, "no number"),
        ({**PLAIN, "input": "NaN"}, "out of range"),
        ({**PLAIN, "input": "-1"}, "out of range"),
        ({**PLAIN, "input": "2e9"}, "out of range"),
        ({**PLAIN, "input": "1e-19"}, "out of range"),
        ({**PLAIN, "max_output": 0}, "tokens from 1"),
        ({**PLAIN, "max_output": "9"}, "tokens from 1"),
        ({**PLAIN, "in": 1}, "one of input"),
        ({**PLAIN, "": 1}, "no name"),
        ({"input": 1}, "give output too"),
        ({}, "give input and output too"),
        ("2.50", "give a mapping"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(entry: Any, message: str) -> None:
    with pytest.raises(InvalidCall, match=message) as refused:
        Overrides({"gpt-4o": entry})
    assert "gpt-4o" in str(refused.value)


def test_two_spellings_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidCall, match="differ only by case"):
        Overrides({"GPT-4o": PLAIN, "gpt-4o": PLAIN})


def test_limits_are_told_where_they_were_stated() -> None:
    book = Overrides({"m": {**PLAIN, "max_input": 128_000, "max_output": 16_384}, "n": PLAIN})
    assert (book.max_input("m", None), book.max_output("m", None)) == (128_000, 16_384)
    assert (book.max_input("n", None), book.max_output("o", None)) == (None, None)


def test_a_file_is_read_to_the_digit(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('label = "May"\n["openai/m"]\ninput = 0.1\noutput = "10"\nmax_output = 9\n')
    book = Overrides.from_toml(file)
    cost = book.price("m", Usage(input=10**9), provider="openai", at=NOON)
    assert cost == Cost(nanos=100 * 10**9, rates={"input": "0.1"}, source="override", version="May")
    assert book.max_output("m", "openai") == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [("[", "is not TOML"), ("label = 3", "is not a text"), ("[m]\ninput = nan", r"\['input'\]")],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(InvalidCall, match=message) as refused:
        Overrides.from_toml(file)
    assert str(file) in str(refused.value)


def test_prices_without_a_label_are_named_by_their_digest() -> None:
    one, same, other = (Overrides({"m": {**PLAIN, "input": n}}).version for n in (1, 1, 2))
    assert one == same != other
    assert one.startswith("sha256:")


def test_a_bound_takes_the_dearest_kind_of_token() -> None:
    book = Overrides({"claude": {**PLAIN, "cache_write": 3, "cache_write_1h": 4, "reasoning": 11}})
    assert bound(book, "claude", input_tokens=1) == 2500
    assert bound(book, "claude", input_tokens=1, cached=True) == 4000
    assert bound(book, "claude", output_tokens=1) == 11_000


def test_only_claude_writes_no_cache_unasked() -> None:
    book = Overrides({"gpt": {**PLAIN, "cache_write": 3}})
    assert bound(book, "gpt", input_tokens=1, cached=False) == 3000


def test_a_bound_without_sound_leaves_its_rates_out() -> None:
    book = Overrides({"m": {**PLAIN, "input_audio": 40, "output_audio": 80}})
    assert bound(book, input_tokens=1, output_tokens=1) == 120_000
    assert bound(book, input_tokens=1, output_tokens=1, audio=False) == 12_500


def test_a_bound_contains_the_fee_of_its_request() -> None:
    assert bound(Overrides({"m": {**PLAIN, "requests": 5000}})) == 5_000_000


def test_negative_numbers_of_tokens_bound_nothing() -> None:
    with pytest.raises(InvalidCall, match="numbers from 0"):
        bound(Overrides({"m": PLAIN}), input_tokens=-1)


def test_a_moment_without_a_zone_is_refused() -> None:
    book = Overrides({"m": PLAIN})
    with pytest.raises(InvalidCall, match="no time zone"):
        book.price("m", Usage(), provider=None, at=NOON.replace(tzinfo=None))
    with pytest.raises(InvalidCall, match="no time zone"):
        bound(book, at=NOON.replace(tzinfo=None))


def test_the_first_book_that_knows_a_model_decides_alone() -> None:
    mine = Overrides({"m": {**PLAIN, "max_output": 7}}, label="mine")
    other = Overrides({"m": {**PLAIN, "input_audio": 1}, "n": PLAIN}, label="other")
    book = price_book(mine, other)
    audio = Usage(input_audio=1)
    assert nanos(other, "m", audio) == 1000
    assert nanos(book, "m", audio) is None
    assert nanos(book, "n", Usage(input=1)) == 2500
    assert bound(book, "m", input_tokens=1) == bound(book, "n", input_tokens=1) == 2500
    assert (book.max_output("m", None), book.max_input("m", None)) == (7, None)


def test_what_no_book_knows_is_unknown_everywhere() -> None:
    book = price_book(Overrides({"m": PLAIN}), Overrides({}))
    assert not book.knows("x", None)
    assert nanos(book, "x", Usage(input=1)) is None
    assert bound(book, "x", input_tokens=1) is None
    assert book.max_input("x", None) is book.max_output("x", None) is None
    assert bound(Overrides({}), "x") is None


def test_one_book_needs_no_chain() -> None:
    book = Overrides({"m": PLAIN})
    assert price_book(book) is book
    assert isinstance(book, PriceBook)
    assert isinstance(price_book(), PriceBook)


def test_a_usage_that_was_never_learned_cannot_be_repriced() -> None:
    book = Overrides({"m": PLAIN})
    again: dict[str, Any] = {"model": "m", "provider": None, "at": NOON, "book": book}
    assert reprice(None, **again) is None
    cost = reprice(Usage(output=2).to_json(), **again)
    assert cost is not None
    assert cost.nanos == 20_000


rates = st.decimals(0, 1000, places=6).map(str)
counts = st.integers(0, 10**6)


@given(
    st.fixed_dictionaries(
        {"input": rates, "output": rates},
        optional=dict.fromkeys(
            (
                "cache_read",
                "cache_write",
                "cache_write_1h",
                "reasoning",
                "input_audio",
                "output_audio",
                "requests",
            ),
            rates,
        ),
    ),
    st.builds(
        Usage,
        input=counts,
        cache_read=counts,
        cache_write=counts,
        cache_write_1h=counts,
        input_audio=counts,
        output=counts,
        reasoning=counts,
        output_audio=counts,
    ),
    st.integers(0, 1000),
)
def test_no_usage_costs_more_than_its_bound(table: dict[str, str], usage: Usage, room: int) -> None:
    book = Overrides({"m": table})
    cost = nanos(book, "m", usage)
    most = bound(
        book,
        input_tokens=usage.input_tokens + room,
        output_tokens=usage.output_tokens + room,
        cached=True,
    )
    assert most is not None
    assert cost is None or 0 <= cost <= most
