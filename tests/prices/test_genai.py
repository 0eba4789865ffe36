"""genai-prices, asked so that its guesses become refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tallystick.errors import InvalidCall
from tallystick.prices import GenaiPrices, Overrides, PriceBook, Usage, price_book

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BOOK = GenaiPrices()
MODELS = [(provider, model) for provider in providers for model in provider.models]
patient = settings(deadline=None)  # a busy machine


def nanos(
    model: str, usage: Usage, provider: str | None, context: str | None = None, **more: Any
) -> int | None:
    asked: dict[str, Any] = {"provider": provider, "at": NOON, "context": context, **more}
    cost = BOOK.price(model, usage, **asked)
    return None if cost is None else cost.nanos


def bound(model: str, provider: str | None, **request: Any) -> int | None:
    asked: dict[str, Any] = {
        "input_tokens": 0,
        "output_tokens": 0,
        "at": NOON,
        "within": timedelta(minutes=10),
        "cached": False,
        **request,
    }
    cost = BOOK.bound(model, provider=provider, **asked)
    return None if cost is None else cost.nanos


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("GPT-4o", "OpenAI"),
        ("gpt-4o", None),
        ("gpt-4o-2024-08-06", "openai"),
        ("openai/gpt-4o", None),
        ("openai/gpt-4o", "openai"),
        ("gpt-4o", "azure"),
    ],
)
def test_dates_prefixes_and_resellers_lead_to_the_same_model(
    model: str, provider: str | None
) -> None:
    assert BOOK.knows(model, provider)
    assert nanos(model, Usage(input=1000, cache_read=1000, output=1000), provider) == 13_750_000


def test_bedrock_ids_and_googles_own_names_are_understood() -> None:
    claude = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert nanos(claude, Usage(input=1000), "amazon_bedrock") == 3_300_000
    gemini = nanos("gemini-2.5-pro", Usage(input=1000), "google_genai")
    assert nanos("models/gemini-2.5-pro", Usage(input=1000), "google_genai") == gemini == 1_250_000


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-9", "openai"),
        ("models/gemini-9", "google"),
        ("my-deployment", "azure"),
        ("llama3", "ollama"),
        ("llama3", None),
        ("anthropic/claude-sonnet-4-5", "openai"),
        ("openai/gpt-oss-20b:free", "openrouter"),
        ("whisper-1", "openai"),
        ("gemini-2.5-flash-image", "google"),
        ("", None),
    ],
)
def test_what_cannot_be_priced_has_no_price_rather_than_none_at_all(
    model: str, provider: str | None
) -> None:
    """Unknown, listed as free, or billed by what Usage does not count."""
    assert not BOOK.knows(model, provider)
    assert nanos(model, Usage(input=1), provider) is None
    assert bound(model, provider, input_tokens=1) is None
    assert BOOK.max_input(model, provider) is None


def test_an_override_makes_a_free_model_free() -> None:
    local = Overrides({"ollama/*": {"input": 0, "output": 0}})
    cost = price_book(local, BOOK).price("llama3", Usage(input=9), provider="ollama", at=NOON)
    assert cost is not None
    assert cost.nanos == 0


def test_an_embedding_has_no_price_for_output_it_cannot_have() -> None:
    assert nanos("text-embedding-3-small", Usage(input=1000), "openai") == 20_000
    assert nanos("text-embedding-3-small", Usage(input=1, output=1), "openai") is None
    assert bound("text-embedding-3-small", "openai", input_tokens=1000) == 20_000
    assert bound("text-embedding-3-small", "openai", output_tokens=1) is None


def test_hour_long_cache_writes_and_searches_cost_extra() -> None:
    model = ("claude-sonnet-4-5", "anthropic")
    assert nanos(model[0], Usage(cache_write=1000), model[1]) == 3_750_000
    assert nanos(model[0], Usage(cache_write_1h=1000), model[1]) == 6_000_000
    assert nanos(model[0], Usage(web_searches=2), model[1]) == 20_000_000


def test_all_of_a_call_pays_the_tier_that_its_input_reaches() -> None:
    model, usage = "gemini-2.5-pro", Usage(input=200_000, output=100)
    assert nanos(model, usage, "google") == 251_000_000
    assert nanos(model, usage + Usage(cache_read=1), "google") == 501_500_250


@pytest.mark.parametrize(
    ("context", "price"),
    [
        (None, 1_250_000),
        ("default", 1_250_000),
        ("standard", 1_250_000),
        ("priority", 2_500_000),
        ("service_tier=priority", 2_500_000),
        ("flex", 625_000),
        ("batch", 625_000),
        ("auto", 2_500_000),
        ("typo", None),
        ("priority,typo", None),
        ("speed=priority", None),
        ("", None),
    ],
)
def test_a_service_tier_is_known_or_refused(context: str | None, price: int | None) -> None:
    assert nanos("gpt-5", Usage(input=1000), "openai", context) == price


def test_a_reseller_does_not_have_the_tiers_of_the_maker() -> None:
    assert nanos("gpt-5", Usage(input=1000), "azure", "priority") is None
    assert nanos("gpt-5", Usage(input=1000), "azure", "default") == 1_250_000


@pytest.mark.parametrize(
    ("context", "price"), [(None, 2500), ("auto", 2500), ("default", 1250), ("flex", 625)]
)
def test_a_bound_takes_the_dearest_tier_that_is_left_open(context: str | None, price: int) -> None:
    assert bound("gpt-5", "openai", input_tokens=1, context=context) == price


def test_a_bound_for_an_unknown_tier_is_unknown() -> None:
    assert bound("gpt-5", "openai", input_tokens=1, context="typo") is None


def test_what_must_be_asked_for_is_not_left_open() -> None:
    """Claude is fast on request only: nothing makes the provider choose it."""
    assert bound("claude-opus-5", "anthropic", input_tokens=1) == 5000
    assert bound("claude-opus-5", "anthropic", input_tokens=1, context="speed=fast") == 10_000
    assert bound("claude-opus-5", "anthropic", input_tokens=1, cached=True) == 10_000


@pytest.mark.parametrize(
    ("hour", "minutes", "price"),
    [(23, 10, 660), (0, 59, 660), (0, 60, 1320), (2, 10, 1320), (3, 59, 1320), (4, 10, 660)],
)
def test_a_bound_looks_ahead_to_the_peak(hour: int, minutes: int, price: int) -> None:
    at = NOON.replace(hour=hour)
    ahead = timedelta(minutes=minutes)
    assert bound("deepseek-v4-pro", "deepseek", input_tokens=1, at=at, within=ahead) == price


@pytest.mark.parametrize("within", [timedelta(-1), timedelta(32)])
def test_nobody_looks_ahead_for_more_than_a_month(within: timedelta) -> None:
    with pytest.raises(InvalidCall, match="31 days"):
        bound("gpt-5", "openai", within=within)


def test_a_moment_without_a_zone_is_refused() -> None:
    naive = NOON.replace(tzinfo=None)
    with pytest.raises(InvalidCall, match="no time zone"):
        nanos("gpt-5", Usage(input=1), "openai", at=naive)
    with pytest.raises(InvalidCall, match="no time zone"):
        bound("gpt-5", "openai", at=naive)


def test_a_context_window_that_the_prices_contradict_is_not_believed() -> None:
    assert BOOK.max_input("gpt-4o", "openai") == 128_000
    assert BOOK.max_input("claude-sonnet-4-5", "anthropic") is None
    assert BOOK.max_output("gpt-4o", "openai") is None


def test_prices_of_the_users_own_take_the_place_of_the_bundled_ones() -> None:
    """Dates and hours ahead, tiers, prices of another kind, and conditions of a newer version."""
    tiered = ModelPrice(input_mtok=TieredPrices(Decimal(2), [Tier(10, Decimal(3))]))
    later = StartDateConstraint(NOON.date() + timedelta(days=2))
    info = ModelInfo(
        id="m",
        match=ClauseEquals("m"),
        prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(1))),
            ConditionalPrice(later, prices=tiered),
        ],
        price_variants=[
            PriceVariant({"service_tier": "x"}, ModelPrice(input_mtok=Decimal(9)), later)
        ],
    )
    odd = ModelInfo(
        id="odd", match=ClauseEquals("odd"), prices=ModelPrice(input_gpixels=Decimal(1))
    )
    night = TimeOfDateConstraint(time(22), time(6))
    dim = ModelInfo(
        id="dim",
        match=ClauseEquals("dim"),
        prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(5))),
            ConditionalPrice(night, prices=ModelPrice(input_mtok=Decimal(4))),
        ],
    )
    mine = Provider(id="p", name="p", api_pattern="p", models=[info, odd, dim])
    book = GenaiPrices()
    bundled = book.version
    set_custom_snapshot(DataSnapshot([mine], from_auto_update=True))
    try:
        assert book.version.startswith(f"{bundled}+20")
        assert bound("m", "p", input_tokens=1, within=timedelta(days=1)) == 1000
        assert bound("m", "p", input_tokens=1, within=timedelta(days=2)) == 9000
        assert bound("m", "p", input_tokens=11, within=timedelta(2), context="default") == 33_000
        assert not BOOK.knows("gpt-4o", "openai")
        assert not BOOK.knows("odd", "p")
        midnight = NOON.replace(hour=0)
        assert bound("dim", "p", input_tokens=1, at=midnight) == 4000
        assert bound("dim", "p", input_tokens=1, at=midnight, within=timedelta(hours=6)) == 5000
        new: Any = object()
        info.price_variants = [PriceVariant({"x": "y"}, ModelPrice(), new)]
        assert bound("m", "p", input_tokens=1) is None
    finally:
        set_custom_snapshot(None)
    assert BOOK.knows("gpt-4o", "openai")


def test_it_remembers_only_so_many_names() -> None:
    book = GenaiPrices()
    for n in range(2000):
        assert not book.knows(f"no-such-model-{n}", "openai")
    for n in range(100):
        assert nanos("gpt-4o", Usage(input=1), "openai", f"typo-{n}") is None
    assert nanos("gpt-4o", Usage(input=1), "openai") == 2500


def theirs(usage: Usage) -> TheirUsage:
    """Their nested counts for our disjoint ones."""
    return TheirUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write + usage.cache_write_1h,
        cache_write_1h_tokens=usage.cache_write_1h,
        input_audio_tokens=usage.input_audio,
        cache_audio_read_tokens=0,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.reasoning,
        output_audio_tokens=usage.output_audio,
        web_searches=usage.web_searches,
        storage_searches=0,
    )


counts = st.integers(0, 400_000) | st.integers(0, 100)
usages = st.builds(
    Usage,
    input=counts,
    cache_read=counts,
    cache_write=counts,
    cache_write_1h=counts,
    input_audio=counts,
    output=counts,
    reasoning=counts,
    output_audio=counts,
)
moments = st.datetimes(datetime(2025, 6, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@patient
@given(st.sampled_from(MODELS), usages, moments, st.integers(0, 3))
def test_our_arithmetic_agrees_with_theirs(
    known: tuple[Provider, ModelInfo], usage: Usage, at: datetime, searches: int
) -> None:
    provider, model = known
    usage += Usage(web_searches=searches, requests=0)
    cost = BOOK.price(model.id, usage, provider=provider.id, at=at)
    assume(cost is not None)
    assert cost is not None
    asked = calc_price(theirs(usage), model.id, provider_id=provider.id, genai_request_timestamp=at)
    assert cost.nanos == (asked.total_price * 10**9).to_integral_value(ROUND_CEILING)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(MODELS),
    usages,
    moments,
    st.integers(0, 172_800),
    st.floats(0, 1),
    st.sampled_from([None, "auto", "default", "priority", "flex", "batch", "fast"]),
    st.integers(0, 1000),
)
def test_no_usage_costs_more_than_its_bound(
    known: tuple[Provider, ModelInfo],
    usage: Usage,
    at: datetime,
    within: int,
    share: float,
    context: str | None,
    room: int,
) -> None:
    """Whatever the mix, the tier and the moment, for every model that genai-prices lists."""
    provider, model = known
    ahead = timedelta(seconds=within)
    most = BOOK.bound(
        model.id,
        input_tokens=usage.input_tokens + room,
        output_tokens=usage.output_tokens + room,
        provider=provider.id,
        at=at,
        within=ahead,
        cached=True,
        context=context,
    )
    cost = BOOK.price(model.id, usage, provider=provider.id, at=at + ahead * share, context=context)
    assume(most is not None)
    assert most is not None
    assert cost is None or cost.nanos <= most.nanos


@patient
@given(st.sampled_from(MODELS), usages, st.sampled_from(["default", "priority", "flex", "fast"]))
def test_a_bound_that_leaves_the_tier_open_covers_each(
    known: tuple[Provider, ModelInfo], usage: Usage, tier: str
) -> None:
    """What the answer names as its tier may be any of them."""
    provider, model = known
    context = tier if tier == "default" else f"service_tier={tier}"
    cost = BOOK.price(model.id, usage, provider=provider.id, at=NOON, context=context)
    most = bound(
        model.id,
        provider.id,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached=True,
    )
    assert cost is None or most is None or cost.nanos <= most


def run(code: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_prices_are_imported_without_the_package_of_prices() -> None:
    code = "import json, sys, tallystick.prices; print(json.dumps(sorted(sys.modules)))"
    loaded = {name.partition(".")[0] for name in run(code)}
    assert loaded.isdisjoint({"genai_prices", "pydantic", "httpx2", "openai", "anthropic"})


def test_prices_add_little_to_the_import_of_the_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """3 ms of the 5 that it may; twice that for a busy machine, the best of three."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    code = """
import json, time, tallystick, hashlib, decimal, pathlib
start = time.perf_counter()
import tallystick.prices
print(json.dumps(time.perf_counter() - start))
"""
    assert min(run(code) for _ in range(4)) < 0.01


def test_without_the_package_the_error_names_the_extra() -> None:
    code = """
import json, sys
sys.modules["genai_prices"] = None
from tallystick.errors import LedgerError
from tallystick.prices import GenaiPrices
try:
    GenaiPrices()
except LedgerError as error:
    print(json.dumps(str(error)))
"""
    assert 'pip install "tallystick[prices]"' in run(code)


def test_it_is_a_price_book() -> None:
    assert isinstance(BOOK, PriceBook)
