"""Listeners hear what happens, stand around what lasts, and break nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tallystick import (
    ApprovalRequired,
    ArgumentsChanged,
    EffectInDoubt,
    Guarantee,
    Halted,
    LedgerError,
    Policy,
    Retry,
)
from tallystick.hooks import Details, logging_hook, otel_hook
from tests.conftest import Face, Place


class Ear:
    """Remembers what it heard, and what lasted how."""

    def __init__(self) -> None:
        self.heard: list[Details] = []
        self.lasted: list[str] = []

    def __call__(self, details: Details) -> Any:
        self.heard.append(details)
        return self._around(details.kind) if details.kind in {"claim", "call", "settle"} else None

    @contextmanager
    def _around(self, kind: str) -> Generator[None]:
        self.lasted.append(f"{kind} began")
        yield
        self.lasted.append(f"{kind} ended")

    @property
    def kinds(self) -> list[str]:
        """What it heard of, in order."""
        return [details.kind for details in self.heard]


def test_a_listener_stands_around_claim_call_and_settle(place: Place, face: Face) -> None:
    """And hears that a result was replayed, with the same key."""
    ear = Ear()
    ledger = place.open(hooks=[ear])

    def charge(order: str) -> str:
        ear.lasted.append("the tool")
        return "charged"

    for _ in range(2):
        face.do(ledger, "call", "charge", charge, {"order": "A"}, workflow="w", call_id="c1")
    once = ["claim began", "claim ended", "call began", "the tool", "call ended"]
    assert ear.lasted[:7] == [*once, "settle began", "settle ended"]
    assert set(ear.kinds) == {"claim", "call", "settle", "replayed"}
    assert ear.kinds[-1] == "replayed"
    assert {d.key for d in ear.heard} == {ledger.effects()[0].key}
    assert {(d.tenant, d.workflow, d.tool) for d in ear.heard} == {("default", "w", "charge")}
    (call,) = [d for d in ear.heard if d.kind == "call"]
    assert (call.status, call.attempt, call.facts["call_id"]) == ("running", 1, "c1")


def test_a_listener_hears_what_people_should(place: Place, face: Face) -> None:
    """Doubts, requests, decisions, retries, halts, conflicts of arguments."""
    ear = Ear()
    ledger = place.open(hooks=[ear])
    troubles: list[Exception] = [RuntimeError("cut off")]

    def charge(order: str = "", cents: int = 0) -> str:
        if troubles:
            raise troubles.pop()
        return "charged"

    def call(**options: Any) -> None:
        args = options.pop("args", {})
        face.do(ledger, "call", "charge", charge, args, workflow="w", **options)

    with pytest.raises(EffectInDoubt):
        call()
    ledger.resolve(ledger.effects()[0].key, by="ann", failed="no trace of it")
    call()
    asking = Policy(approval=True, identity=("order",))
    with pytest.raises(ApprovalRequired):
        call(policy=asking, args={"order": "A"})
    ledger.approve(ledger.effects()[0].key, by="ann")
    call(policy=asking, args={"order": "A"})
    with pytest.raises(ArgumentsChanged):
        call(policy=asking, args={"order": "A", "cents": 1})
    call(args={"order": "A"}, call_id="1", policy=Policy(on_suspect="replay"))
    ledger.halt(by="ann", reason="stop")
    with pytest.raises(Halted):
        call(args={"order": "B"})
    facts = [kind for kind in ear.kinds if kind not in {"claim", "call", "settle"}]
    assert facts == [
        "in_doubt",
        "resolved",
        "started",
        "approval_required",
        "decided",
        "started",
        "arguments_changed",
        "suspect",
        "replayed",
        "halted",
    ]
    (doubt,) = [d for d in ear.heard if d.kind == "in_doubt"]
    assert "cut off" in doubt.facts["reason"]


class Broken:
    """Raises wherever it can."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __call__(self, details: Details) -> Any:
        if self._where == "called":
            raise RuntimeError("a bad guest")
        return self

    def __enter__(self) -> None:
        if self._where == "entered":
            raise RuntimeError("a bad guest")

    def __exit__(self, *_: object) -> None:
        if self._where == "left":
            raise RuntimeError("a bad guest")


@pytest.mark.parametrize("where", ["called", "entered", "left"])
def test_a_listener_that_raises_breaks_nothing(
    place: Place, face: Face, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is logged; the call, the record and the other listeners go on."""
    ear = Ear()
    ledger = place.open(hooks=[Broken(where), ear])
    for _ in range(2):
        assert face.do(ledger, "call", "charge", lambda: "charged", workflow="w") == "charged"
    with pytest.raises(EffectInDoubt):
        face.do(ledger, "call", "other", lambda: 1 / 0, workflow="w")
    assert {"claim", "call", "settle", "replayed", "in_doubt"} == set(ear.kinds)
    assert "a hook failed" in caplog.text
    assert "a bad guest" in caplog.text
    assert ledger.verify().sound


def test_a_listener_that_returns_nonsense_breaks_nothing(place: Place, face: Face) -> None:
    """What is no context manager is not entered."""
    ledger = place.open(hooks=[lambda details: "nonsense"])  # pyright: ignore[reportUnknownLambdaType]
    assert face.do(ledger, "call", "charge", lambda: "charged", workflow="w") == "charged"


def test_what_is_redacted_is_not_told(place: Place, face: Face) -> None:
    """Not even in the reason of a doubt."""
    ear = Ear()
    ledger = place.open(hooks=[ear])

    def charge(card: str) -> None:
        raise RuntimeError(f"the bank does not know {card}")

    with pytest.raises(EffectInDoubt) as caught:
        face.do(
            ledger,
            "call",
            "charge",
            charge,
            {"card": "4111-1111"},
            workflow="w",
            policy=Policy(redact=("card",)),
        )
    assert "4111-1111" not in repr(ear.heard)
    assert "4111-1111" not in str(caught.value)


# -- the standard library's log -----------------------------------------------------------------


def test_the_log_has_warnings_for_people_and_debug_for_the_rest(
    place: Place, face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    """With the details as an attribute, and without any argument."""
    caplog.set_level(logging.DEBUG, "tallystick")
    ledger = place.open(hooks=[logging_hook()])

    def charge(order: str) -> None:
        raise RuntimeError("cut off")

    with pytest.raises(EffectInDoubt):
        face.do(ledger, "call", "charge", charge, {"order": "A-secret"}, workflow="w")
    face.do(ledger, "call", "mail", lambda: None, workflow="w")
    records = [r for r in caplog.records if r.name == "tallystick"]
    kinds = {r.getMessage().split(":")[0]: r.levelname for r in records}
    assert kinds == {"in_doubt": "WARNING", "settle": "DEBUG"}
    (doubt,) = [r for r in records if r.levelname == "WARNING"]
    assert doubt.getMessage().startswith("in_doubt: charge in w (")
    details: Details = getattr(doubt, "tallystick")  # noqa: B009
    assert details.tool == "charge"
    assert "A-secret" not in caplog.text


def test_the_log_can_be_another_one(caplog: pytest.LogCaptureFixture, place: Place) -> None:
    """Named by the caller."""
    caplog.set_level(logging.DEBUG, "mine")
    place.open(hooks=[logging_hook(logging.getLogger("mine"))]).call(
        "mail", lambda: None, workflow="w"
    )
    assert {r.name for r in caplog.records} >= {"mine"}


# -- OpenTelemetry ------------------------------------------------------------------------------


class Spans:
    """A tracer of its own, and what it made."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("the tool's own")

    def named(self, name: str) -> list[ReadableSpan]:
        """The finished spans of this name."""
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    @property
    def names(self) -> list[str]:
        """Of all, as they ended."""
        return [span.name for span in self._exporter.get_finished_spans()]


def id_of(span: ReadableSpan) -> int:
    """Its own."""
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int:
    """The span that it was made in."""
    assert span.parent is not None
    return int(span.parent.span_id)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """What it says."""
    return dict(span.attributes or {})


def test_a_call_is_a_span_and_the_parent_of_the_tools_own(place: Place, face: Face) -> None:
    """Named after the GenAI conventions, inside of the caller's span."""
    spans = Spans()
    ledger = place.open(hooks=[otel_hook(spans.provider)], tenant="acme")

    def charge(order: str) -> str:
        with spans.tracer.start_as_current_span("bank request"):
            return "charged"

    with spans.tracer.start_as_current_span("agent"):
        face.do(ledger, "call", "charge", charge, {"order": "A"}, workflow="w", call_id="c1")
    assert spans.names == [
        "tallystick.claim charge",
        "bank request",
        "execute_tool charge",
        "tallystick.settle charge",
        "agent",
    ]
    (agent,), (call,), (bank,) = (
        spans.named(name) for name in ("agent", "execute_tool charge", "bank request")
    )
    assert parent_of(bank) == id_of(call)
    assert parent_of(call) == id_of(agent)
    assert attributes(call) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "charge",
        "gen_ai.tool.call.id": "c1",
        "tallystick.effect.key": ledger.effects()[0].key,
        "tallystick.effect.state": "running",
        "tallystick.effect.attempt": 1,
        "tallystick.tenant": "acme",
        "tallystick.workflow": "w",
    }


def test_facts_are_events_of_the_callers_span(place: Place, face: Face) -> None:
    """A replay makes no call span; that it was one is told where it was asked for."""
    spans = Spans()
    ledger = place.open(hooks=[otel_hook(spans.provider)])
    for _ in range(2):
        with spans.tracer.start_as_current_span("agent"):
            face.do(ledger, "call", "charge", lambda: "charged", workflow="w")
    assert len(spans.named("execute_tool charge")) == 1
    first, second = spans.named("agent")
    assert [event.name for event in first.events] == []
    assert [event.name for event in second.events] == ["tallystick.replayed"]
    told = dict(second.events[0].attributes or {})
    assert told["tallystick.effect.state"] == "succeeded"
    assert trace.get_current_span().get_span_context().is_valid is False


def test_each_attempt_is_a_span(place: Place, face: Face) -> None:
    """With its number."""
    spans = Spans()
    ledger = place.open(hooks=[otel_hook(spans.provider)])
    troubles = [ConnectionRefusedError()]

    def charge() -> str:
        if troubles:
            raise troubles.pop()
        return "charged"

    policy = Policy(retry=Retry(attempts=2, initial=0, jitter=0), guarantee=Guarantee.IDEMPOTENT)
    face.do(ledger, "call", "charge", charge, workflow="w", policy=policy)
    calls = spans.named("execute_tool charge")
    assert [attributes(span)["tallystick.effect.attempt"] for span in calls] == [1, 2]


def test_without_opentelemetry_the_hook_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where it is asked for, not where it is used."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(LedgerError, match=r'pip install "tallystick\[otel\]"'):
        otel_hook()
