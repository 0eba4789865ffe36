"""What a framework says that it sends, as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: for what comes from outside, of which nothing is known
_LISTS: Any = (list, tuple)
_MAPPING: Any = Mapping


def as_json(value: Any) -> Any:
    """
    *value* as JSON has it: a model is its data, and a class stands for its schema.

    What has no such form stays as it is, so that its length counts as unknown.
    """
    if isinstance(value, _MAPPING):
        return {str(name): as_json(each) for name, each in value.items()}
    if isinstance(value, _LISTS):
        return [as_json(each) for each in value]
    if isinstance(value, type):
        schema = getattr(value, "model_json_schema", None)
        return schema() if callable(schema) else repr(value)
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else value
