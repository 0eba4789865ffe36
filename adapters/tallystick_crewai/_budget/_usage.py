"""
What CrewAI says that a call consumed.

Pure. ``None`` is what nobody said: CrewAI writes zeros for that, too.
"""

from __future__ import annotations

from typing import Any

from crewai.types.usage_metrics import UsageMetrics

from tallystick.prices import Usage


def usage_of(metrics: UsageMetrics | None) -> Usage | None:
    """The buckets of *metrics*, whose prompt includes what was cached and written to a cache."""
    if metrics is None or metrics.prompt_tokens + metrics.completion_tokens <= 0:
        return None
    read, written = metrics.cached_prompt_tokens, metrics.cache_creation_tokens
    thought = min(metrics.reasoning_tokens, metrics.completion_tokens)
    return Usage(
        input=max(0, metrics.prompt_tokens - read - written),
        cache_read=read,
        cache_write=written,
        output=metrics.completion_tokens - thought,
        reasoning=thought,
    )


def reported(usage: Any) -> Usage | None:
    """What an event says that its call consumed."""
    said: Any = dict
    return usage_of(UsageMetrics.from_provider_dict(usage)) if isinstance(usage, said) else None


def counted(model: Any) -> UsageMetrics | None:
    """Everything that *model* consumed so far, where it counts."""
    count: Any = getattr(model, "get_token_usage_summary", None)
    if not callable(count):
        return None
    found = count()
    return found if isinstance(found, UsageMetrics) else None


def since(model: Any, before: UsageMetrics | None) -> Usage | None:
    """What *model* consumed since it was counted *before*."""
    now = counted(model)
    return None if now is None or before is None else usage_of(now.delta_since(before))
