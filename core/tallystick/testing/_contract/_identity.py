"""What makes two calls one effect."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tallystick._policy import Policy
from tallystick.errors import (
    ApprovalRequired,
    ArgumentsChanged,
    CalledFromItself,
    InvalidCall,
    NotSerializable,
    NoWorkflow,
)
from tallystick.testing._contract._base import Contract, Faced, raises


class Identity(Contract):
    """The same intent is one effect; another intent is another one."""

    def _same(self, ledger: Faced, *calls: dict[str, Any], policy: Policy | None = None) -> bool:
        """Whether *calls* are one effect; they must be one or all different."""
        before = len(ledger.effects())
        charge = self.tool("done")
        for options in calls:
            call: dict[str, Any] = {"workflow": f"w{before}", "policy": policy, **options}
            tool, args = call.pop("tool", "charge"), call.pop("args", {})
            ledger.call(tool, charge.fn, args, **call)
        assert charge.times in (1, len(calls)), charge.seen
        assert len(ledger.effects()) == before + charge.times
        return charge.times == 1

    def _of(self, ledger: Faced, *values: Any) -> bool:
        return self._same(ledger, *({"args": {"x": value}} for value in values))

    def test_equal_arguments_are_one_effect_however_they_are_written(self) -> None:
        """Order of names, tuples for lists, 1.0 for 1."""
        ledger = self.ledger()
        assert self._same(ledger, {"args": {"a": 1, "b": 2}}, {"args": {"b": 2, "a": 1}})
        assert self._of(ledger, 1, 1.0)
        assert self._of(ledger, 0, -0.0)
        assert self._of(ledger, {"a": [1, 2.0]}, {"a": [1.0, 2]})

    def test_other_arguments_are_another_effect(self) -> None:
        """True is not 1, text is not a number, big integers are exact."""
        ledger = self.ledger()
        assert not self._of(ledger, True, 1, "1", None, [1])
        assert not self._of(ledger, 2**53, 2**53 + 1)
        assert not self._of(ledger, "e\u0301", "\u00e9")
        assert not self._same(ledger, {"args": {"a": "b"}}, {"args": {"ab": ""}})

    def test_a_default_is_an_argument(self) -> None:
        """``f(1)``, ``f(x=1)`` and ``f(1, currency="eur")`` are one call."""
        ledger = self.ledger()
        seen: list[tuple[int, str]] = []

        def charge(x: int, currency: str = "eur") -> str:
            seen.append((x, currency))
            return "done"

        async def acharge(x: int, currency: str = "eur") -> str:
            return charge(x, currency)

        if self.awaiting:
            wrapped: Any = ledger.ledger.tool(name="charge")(acharge)
        else:
            wrapped = ledger.ledger.tool(name="charge")(charge)
        for args, options in (((1,), {}), ((), {"x": 1}), ((1, "eur"), {}), ((1.0,), {})):
            with ledger.ledger.workflow("w"):
                answer = wrapped(*args, **options)
                assert (_finish(answer) if self.awaiting else answer) == "done"
        assert seen == [(1, "eur")]

    def test_tool_and_workflow_are_part_of_the_identity(self) -> None:
        """Also where their names run into each other."""
        ledger = self.ledger()
        assert not self._same(ledger, {"workflow": "v"}, {"workflow": "w"})
        assert not self._same(ledger, {"tool": "a"}, {"tool": "b"})
        assert not self._same(
            ledger, {"workflow": "ab", "tool": "c"}, {"workflow": "a", "tool": "bc"}
        )

    def test_an_occurrence_tells_intended_repeats_apart(self) -> None:
        """The second one of two equal calls that are both meant."""
        ledger = self.ledger()
        assert not self._same(ledger, {"occurrence": 0}, {"occurrence": 1})
        assert self._same(ledger, {"occurrence": 2}, {"occurrence": 2})

    def test_a_call_id_is_an_intent(self) -> None:
        """The same id and arguments are the same one; another id is a new one."""
        ledger = self.ledger()
        assert self._same(ledger, {"call_id": "c1"}, {"call_id": "c1"})
        assert not self._same(ledger, {"call_id": "c2"}, {"call_id": "c3"})
        assert not self._same(ledger, {"call_id": "c4"}, {})

    def test_a_policy_may_say_that_an_identical_call_is_the_same_intent(self) -> None:
        """``repeat="same"``, whatever its call id."""
        same = Policy(repeat="same")
        ledger = self.ledger()
        assert self._same(ledger, {"call_id": "c1"}, {"call_id": "c2"}, {}, policy=same)

    def test_a_business_identity_leaves_the_rest_to_be_compared(self) -> None:
        """The same identity with other arguments is an error and never a silent replay."""
        ledger = self.ledger()
        for policy in (
            Policy(identity=("order",)),
            Policy(identity=lambda args: ["of", args["order"]]),
        ):
            charge = self.tool("done")
            args: dict[str, Any] = {"order": "A", "cents": Decimal(5)}
            for _ in range(2):
                ledger.call("charge", charge.fn, args, workflow="w", policy=policy)
            with raises(ArgumentsChanged) as caught:
                changed = {"order": "A", "cents": Decimal(9)}
                ledger.call("charge", charge.fn, changed, workflow="w", policy=policy)
            assert charge.times == 1
            assert caught.error.recorded != caught.error.given

    def test_a_suspected_duplicate_is_run_replayed_or_asked_about(self) -> None:
        """The same tool and arguments under another call id, as the policy says."""
        ledger = self.ledger()
        outcomes: dict[str, list[Any]] = {}
        for policy in (Policy(), Policy(on_suspect="replay")):
            charge = self.tool("first", "second")
            outcomes[policy.on_suspect] = [
                ledger.call(
                    "charge", charge.fn, workflow=policy.on_suspect, call_id=call_id, policy=policy
                )
                for call_id in ("c1", "c2")
            ]
        assert outcomes == {"run": ["first", "second"], "replay": ["first", "first"]}
        ask = Policy(on_suspect="ask")
        charge = self.tool("first", "second")
        ledger.call("charge", charge.fn, workflow="ask", call_id="c1", policy=ask)
        with raises(ApprovalRequired) as caught:
            ledger.call("charge", charge.fn, workflow="ask", call_id="c2", policy=ask)
        assert [item.kind for item in ledger.pending()] == ["suspect"]
        assert charge.times == 1
        ledger.approve(caught.error.key, by="ann")
        options: dict[str, Any] = {"workflow": "ask", "call_id": "c2", "policy": ask}
        assert ledger.call("charge", charge.fn, **options) == "second"
        assert ledger.pending() == []

    def test_what_cannot_be_named_is_refused_before_anything_happens(self) -> None:
        """No canonical form, no workflow, no effect."""
        ledger = self.ledger()
        charge = self.tool("done")
        for args in ({"x": float("nan")}, {"x": object()}):
            with raises(NotSerializable):
                ledger.call("charge", charge.fn, args, workflow="w")
        with raises(NoWorkflow):
            ledger.call("charge", charge.fn)
        with raises(InvalidCall):
            ledger.call("charge", charge.fn, workflow="")
        assert (charge.times, ledger.effects()) == (0, [])

    def test_an_effect_that_calls_itself_is_refused(self) -> None:
        """It would wait for itself; a call with other arguments is another effect."""
        ledger = self.ledger()
        caught: list[BaseException] = []

        def nested(n: int) -> str:
            try:
                return str(ledger.ledger.call("charge", nested, {"n": 1}, workflow="w"))
            except CalledFromItself as error:
                caught.append(error)
                return "done"

        charge = self.tool(nested, threaded=True)
        assert ledger.call("charge", charge.fn, {"n": 0}, workflow="w") == "done"
        assert len(caught) == 1
        assert len(ledger.effects()) == 2


def _finish(coroutine: Any) -> Any:
    from tallystick.testing._contract._base import run

    return run(coroutine)
