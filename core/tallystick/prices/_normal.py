"""
From what providers report to disjoint buckets.

Three rules for reports that make no sense. What is not a whole number from 0 is unknown, and an
unknown total makes the whole usage unknown; so do zeros throughout, for no call consumes nothing.
Of two totals the larger one stands: tokens are never talked away. Details are carved out of their
total one after the other, the dearest kind first, and what no longer fits is dropped: the sum of
the buckets is the provider's total, and a contradiction never makes a call look cheaper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

Buckets = dict[str, int]

#: LangChain puts the service tier in front of the name of a detail
_TIERS = ("", "priority_", "flex_")


def openai_chat(usage: Any) -> Buckets | None:
    """Chat completions: the prompt includes cached and audio tokens."""
    totals = _totals(
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
        _count(usage, "total_tokens"),
    )
    return totals and _openai(
        totals,
        _field(usage, "prompt_tokens_details"),
        _field(usage, "completion_tokens_details"),
    )


def openai_responses(usage: Any) -> Buckets | None:
    """Responses: other names, same meaning."""
    totals = _totals(
        _count(usage, "input_tokens"),
        _count(usage, "output_tokens"),
        _count(usage, "total_tokens"),
    )
    return totals and _openai(
        totals, _field(usage, "input_tokens_details"), _field(usage, "output_tokens_details")
    )


def _openai(totals: tuple[int, int], entering: Any, leaving: Any) -> Buckets:
    return {
        **_carve(
            "input",
            totals[0],
            input_audio=_count(entering, "audio_tokens"),
            cache_write=_count(entering, "cache_write_tokens"),
            cache_read=_count(entering, "cached_tokens"),
        ),
        **_carve(
            "output",
            totals[1],
            output_audio=_count(leaving, "audio_tokens"),
            reasoning=_count(leaving, "reasoning_tokens"),
        ),
    }


def anthropic(usage: Any) -> Buckets | None:
    """Messages: the input excludes the cache, the output includes the thinking."""
    totals = _totals(_count(usage, "input_tokens"), _count(usage, "output_tokens"), None)
    if totals is None:
        return None
    ages = _field(usage, "cache_creation")
    hour = _count(ages, "ephemeral_1h_input_tokens") or 0
    written = _count(usage, "cache_creation_input_tokens")
    if not written:
        written = hour + (_count(ages, "ephemeral_5m_input_tokens") or 0)
    thinking = _count(_field(usage, "output_tokens_details"), "thinking_tokens")
    return {
        "input": totals[0],
        "cache_read": _count(usage, "cache_read_input_tokens") or 0,
        **_carve("cache_write", written, cache_write_1h=hour),
        **_carve("output", totals[1], reasoning=thinking),
        "web_searches": _count(_field(usage, "server_tool_use"), "web_search_requests") or 0,
    }


def langchain(usage: Any) -> Buckets | None:
    """LangChain's usage_metadata: the input includes the cache, for every provider."""
    totals = _totals(
        _count(usage, "input_tokens"),
        _count(usage, "output_tokens"),
        _count(usage, "total_tokens"),
    )
    if totals is None:
        return None
    entering = _field(usage, "input_token_details")
    leaving = _field(usage, "output_token_details")
    hour = _count(entering, "ephemeral_1h_input_tokens") or 0
    # LangChain zeroes the plain count once it knows the two ages
    written = max(
        _tiered(entering, "cache_creation") - hour,
        _count(entering, "ephemeral_5m_input_tokens") or 0,
    )
    return {
        **_carve(
            "input",
            totals[0],
            input_audio=_count(entering, "audio"),
            cache_write_1h=hour,
            cache_write=written,
            cache_read=_tiered(entering, "cache_read"),
        ),
        **_carve(
            "output",
            totals[1],
            output_audio=_count(leaving, "audio"),
            reasoning=_tiered(leaving, "reasoning"),
        ),
    }


def _totals(entered: int | None, left: int | None, total: int | None) -> tuple[int, int] | None:
    """Input and output, or None where they cannot be told."""
    if entered is None and left is not None and total is not None and total > left:
        entered = total - left
    if entered is None:
        return None
    if left is None:
        if total is None or total < entered:
            return None
        left = total - entered
    if total is not None:
        left = max(left, total - entered)
    return entered, left


def _carve(rest: str, total: int, **details: int | None) -> Buckets:
    """*total* split into *details* in their order, as far as it goes; the remainder is *rest*."""
    buckets: Buckets = {}
    for name, wanted in details.items():
        buckets[name] = min(wanted or 0, total)
        total -= buckets[name]
    return {**buckets, rest: total}


def _tiered(details: Any, name: str) -> int:
    return sum(_count(details, tier + name) or 0 for tier in _TIERS)


def _count(holder: Any, name: str) -> int | None:
    """A whole number from 0; anything else is unknown."""
    value = _field(holder, name)
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _field(holder: Any, name: str) -> Any:
    """An entry of a dictionary or an attribute of a client's object: those have no ``get``."""
    if isinstance(holder, Mapping):
        return cast("Mapping[str, Any]", holder).get(name)
    return getattr(holder, name, None)
