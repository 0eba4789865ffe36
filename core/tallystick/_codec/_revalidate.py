"""The second way to a value whose class is unknown by its name: the annotation of the tool."""

from __future__ import annotations

import json
from typing import Any, cast

from tallystick._codec._encode import to_text
from tallystick.errors import ResultTypeUnknown


def revalidated(data: object, text: str, annotation: object, unknown: str) -> object:
    """
    *data* validated to *annotation* by pydantic.

    Only if its text is then *text* again, but for the modules of the classes: a validator is free
    to drop, convert and guess, and a replay is not. Otherwise ResultTypeUnknown says *unknown*.
    """
    if annotation is None or isinstance(annotation, str):
        raise ResultTypeUnknown(unknown)
    try:
        from pydantic import TypeAdapter

        adapter = TypeAdapter(cast("type[object]", annotation))
        value = adapter.validate_python(data, by_alias=True, by_name=True)
        same = _shape(to_text(value, "result")[0]) == _shape(text)
    except Exception as error:
        raise ResultTypeUnknown(unknown) from error
    if not same:
        raise ResultTypeUnknown(unknown)
    return value


def _shape(text: str) -> str:
    return json.dumps(json.loads(text, object_hook=_anywhere))


def _anywhere(tag: dict[str, Any]) -> dict[str, Any]:
    """The same, wherever its class is defined and whichever fields of it were left unset."""
    if "$" in tag and "t" in tag:
        tag.pop("u", None)
        tag["t"] = tag["t"].rpartition(":")[2].rpartition(".")[2]
    return tag
