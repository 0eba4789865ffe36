"""How a run is to be opened: the options of ``ledger.workflow``, checked."""

from __future__ import annotations

from typing import Any, Literal, Self

from tallystick._keys import check_name
from tallystick._policy import Policy, Seconds, seconds
from tallystick._values import Value
from tallystick.errors import InvalidCall

OnFailure = Literal["never", "on_error", "ask"]
Rival = Literal["wait", "join", "refuse"]
OnFinished = Literal["raise", "replay"]


class Unset:
    """What an argument is that was left out."""

    def __repr__(self) -> str:
        return "…"


UNSET: Any = Unset()


class Wanted(Value):
    """The options of a run, as they were given."""

    input: Any = UNSET
    compensate: OnFailure | None = None
    rival: Rival | None = None
    wait: Seconds = 600.0
    finished: OnFinished | None = None
    kind: str | None = None
    framework: str | None = None
    version: str | None = None
    classify: Any = None

    @property
    def recorded(self) -> bool:
        """Whether any of them asks for a record of the run."""
        said = (self.compensate, self.rival, self.finished, self.kind, self.framework, self.version)
        return self.input is not UNSET or any(each is not None for each in said)

    def checked(self) -> Self:
        """The same; InvalidCall where something is none of what it could be."""
        _choice(self.compensate, (None, "never", "on_error", "ask"), "compensate")
        _choice(self.rival, (None, "wait", "join", "refuse"), "rival")
        _choice(self.finished, (None, "raise", "replay"), "finished")
        for what in ("kind", "framework", "version"):
            if getattr(self, what) is not None:
                check_name(getattr(self, what), what)
        seconds(self.wait, "wait")
        Policy(classify=self.classify)
        return self


def _choice(value: Any, choices: tuple[Any, ...], what: str) -> None:
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices if choice is not None)
        raise InvalidCall(f"{what}={value!r}: one of {known}")
