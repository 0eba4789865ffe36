"""
What a method of a flow changed in the flow's state, and how that is done again.

Only the fields that changed are kept: methods that run side by side share one state. The ``id`` is
the run's own and never kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel

from tallystick._values import Value

_ID = "id"


class Changes(Value):
    """The fields that a method set, and those that it took away."""

    put: dict[str, Any]
    gone: list[str]


def taken(state: Any) -> dict[str, Any]:
    """The state as it is now, apart from what is done to it later."""
    if isinstance(state, BaseModel):
        found = state.model_dump(mode="json")
    else:
        found = copy.deepcopy(dict(cast("Mapping[str, Any]", state)))
    found.pop(_ID, None)
    return found


def changes(before: Mapping[str, Any], state: Any) -> Changes:
    """What was done to *state* since it was taken *before*."""
    now = taken(state)
    put = {name: value for name, value in now.items() if _differs(before, name, value)}
    return Changes(put=put, gone=[name for name in before if name not in now])


def redo(state: Any, put: Mapping[str, Any], gone: list[str]) -> None:
    """Do the same to *state* once more."""
    if not isinstance(state, BaseModel):
        fields = cast("dict[str, Any]", state)
        fields.update(copy.deepcopy(dict(put)))
        for name in gone:
            fields.pop(name, None)
        return
    if not put:
        return
    made = type(state).model_validate({**state.model_dump(mode="json"), **put})
    for name in put:
        setattr(state, name, getattr(made, name))


def _differs(before: Mapping[str, Any], name: str, value: Any) -> bool:
    return name not in before or type(before[name]) is not type(value) or before[name] != value
