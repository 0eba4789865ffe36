"""Which rules look, and what is done about what they find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import Any, cast

from tallystick._values import Value
from tallystick.errors import InvalidPolicy
from tallystick.runaway._checks import check_action
from tallystick.runaway._pace import BurnRate
from tallystick.runaway._sameness import Cycles, NoProgress, Repeats
from tallystick.runaway._values import Action, Call, Finding, Rule

#: read at least: several tools called at once, or tools that poll, stand between what is compared
_TAIL = 64


def _usual() -> tuple[Rule, ...]:
    return (Repeats(), Cycles(), BurnRate(), NoProgress())


class Runaway(Value):
    """
    How a ledger recognises a session that has run away, and what it does then.

    rules
        Detectors; two of one sort need names of their own: ``Repeats(times=3)`` to warn and
        ``Repeats(times=5, name="stuck", action="stop")`` to stop.
    action
        ``"warn"`` tells the hooks, ``"ask"`` also holds the session until a person decided, and
        ``"stop"`` ends it. A rule's own ``action`` comes first.
    ignore
        Names of tools that may give the same answer again and again, because they poll or because
        they only say "ok". Neither they nor the model calls right before them count as sameness;
        what they cost and how fast they are called still counts.

    Raises InvalidPolicy for what makes no sense.

    >>> careful = Runaway(action="ask", ignore=("job_status",))
    >>> [rule.name for rule in careful.rules]
    ['repeats', 'cycles', 'burn_rate', 'no_progress']
    >>> Runaway(action="explode")
    Traceback (most recent call last):
      ...
    tallystick.errors.InvalidPolicy: Runaway(action='explode'): one of 'warn', 'ask', 'stop'
    """

    rules: tuple[Rule, ...] = field(default_factory=_usual)
    action: Action = "warn"
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_action(self.action, "Runaway")
        rules, ignore = _tuple(self.rules, "rules"), _tuple(self.ignore, "ignore")
        for rule in rules:
            if isinstance(rule, type) or not callable(getattr(rule, "look", None)):
                raise InvalidPolicy(f"Runaway(rules=…): {rule!r} is no rule; try Repeats(times=3)")
        names = [rule.name for rule in rules]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InvalidPolicy(
                f"Runaway(rules=…): two rules are named {twice!r}, and each would hide what the "
                "other found; give one of them name=…"
            )
        if not all(isinstance(tool, str) and tool for tool in ignore):
            raise InvalidPolicy(f"Runaway(ignore={self.ignore!r}): give names of tools")
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "ignore", ignore)

    @property
    def depth(self) -> int:
        """How many of a session's last calls :meth:`look` needs; it looks at no more."""
        return max([_TAIL, *(rule.depth for rule in self.rules)])

    def under(self, cap: int) -> Runaway:
        """The same, with shares taken of a cap of *cap* nano-dollars."""
        return replace(
            self,
            rules=tuple(
                replace(rule, cap=cap) if isinstance(rule, BurnRate) else rule
                for rule in self.rules
            ),
        )

    def look(self, calls: Sequence[Call]) -> list[Finding]:
        """
        What each rule finds in *calls*, all of one session, the oldest first.

        Pure: it finds the same again as long as it is there. Telling it once per session and rule
        is for whoever remembers sessions.
        """
        last = calls[-self.depth :]
        compared = _without(last, frozenset(self.ignore)) if self.ignore else last
        found = (rule.look(compared if rule.forgives else last) for rule in self.rules)
        return [
            replace(finding, action=rule.action or self.action)
            for rule, finding in zip(self.rules, found, strict=True)
            if finding is not None
        ]


def _without(calls: Sequence[Call], ignore: frozenset[str]) -> list[Call]:
    """What is left without the tools in *ignore* and the model calls that asked for them."""
    kept: list[Call] = []
    before: Call | None = None
    for call in calls:
        if call.kind == "model" or call.what not in ignore:
            kept.append(call)
        elif before is not None and before.kind == "model":
            kept.pop()
        before = call
    return kept


def _tuple(value: Any, name: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, tuple | list):
        raise InvalidPolicy(f"Runaway({name}={value!r}): give a tuple")
    return tuple(cast("Sequence[Any]", value))
