"""The arguments of a call as the ledger keeps and shows them, and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, SecretBytes, SecretStr

from tallystick import NotApplied
from tallystick._canonical import canonical
from tallystick._values import Value

_CONTAINERS = (list, set, frozenset, tuple)


class Arguments(Value):
    """What CrewAI validated, and the plain data that stands for it."""

    schema: type[BaseModel]
    given: dict[str, Any]
    shown: dict[str, Any]

    def back(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments for the tool when the ledger says *recorded* is what runs."""
        changed = [name for name in {**self.shown, **recorded} if self._differs(name, recorded)]
        if not changed:
            return self.given
        values = self._validated(recorded)
        kept = {name: value for name, value in self.given.items() if name not in changed}
        return kept | {name: values[name] for name in changed if name in values}

    def _differs(self, name: str, recorded: Mapping[str, Any]) -> bool:
        if name not in recorded or name not in self.shown:
            return True
        now, then = recorded[name], self.shown[name]
        return now is not then and canonical(now) != canonical(then)

    def _validated(self, recorded: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = self.schema.model_fields
        if not fields:
            return recorded
        unknown = [name for name in recorded if name not in fields]
        if unknown:
            raise NotApplied(f"the tool has no argument {', '.join(unknown)}; it was not called")
        try:
            made = self.schema.model_validate(dict(recorded), by_alias=True, by_name=True)
        except Exception as error:
            raise NotApplied(f"the edited arguments do not fit the tool: {error}") from error
        return made.model_dump()


def arguments(schema: type[BaseModel], given: dict[str, Any]) -> Arguments:
    """What the tool was given, and the ledger is told."""
    shown = {name: plain(value) for name, value in given.items()}
    return Arguments(schema=schema, given=given, shown=shown)


def plain(value: Any) -> Any:
    """
    *value* as data that can be kept and shown: models become dicts, secrets their hash.

    What has no such form stays as it is; the ledger refuses it with the path to it.
    """
    if isinstance(value, SecretStr | SecretBytes):
        secret = value.get_secret_value()
        data = secret.encode() if isinstance(secret, str) else secret
        return f"secret, sha256 {hashlib.sha256(data).hexdigest()}"
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in cast("Any", value).items()}
    if type(value) in _CONTAINERS:  # of exactly these types: a named tuple is made otherwise
        make = cast("Any", type(value))
        return make(plain(item) for item in value)
    if isinstance(value, BaseModel):
        return {name: plain(item) for name, item in dict(value).items()}
    return value


def minted(schema: type[BaseModel]) -> dict[str, frozenset[str]]:
    """Fields that validation fills with something new each time, by all their names."""
    found: dict[str, frozenset[str]] = {}
    for name, field in schema.model_fields.items():
        factory: Any = field.default_factory
        if factory is not None and factory not in (*_CONTAINERS, dict):
            aliases = (name, field.alias, field.validation_alias)
            found[name] = frozenset(alias for alias in aliases if isinstance(alias, str))
    return found
