"""Putting a client under budgets, without touching the one that was given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tallystick._budgets._acts import SessionState
from tallystick._recording import Recorder
from tallystick.clients._gate import MARK, Gate
from tallystick.clients._twins import gate_of, is_async, twin_of
from tallystick.errors import InvalidCall, UnpricedModel
from tallystick.metering import Meter
from tallystick.prices import PriceBook
from tallystick.runaway import Runaway

if TYPE_CHECKING:
    from tallystick.ledger import Ledger

C = TypeVar("C")


def watch(
    client: C,
    ledger: Ledger,
    *,
    budget: str | Iterable[str] = (),
    session: str | None = None,
    prices: PriceBook | None = None,
    runaway: Runaway | None = None,
    provider: str | None = None,
    least_output: int | None = None,
    ask_usage: bool = True,
    record: bool = False,
) -> C:
    """
    A client that works like *client*, and spends no more than the budgets allow.

    *client* is an ``OpenAI``, ``AsyncOpenAI``, ``Anthropic`` or ``AsyncAnthropic``, or one of their
    subclasses, for the provider's own endpoint or one that speaks alike. It is not changed; the
    watched client is a copy like those of ``with_options``, shares its connections, and closes
    them if it is closed. Copies of the watched client are watched too.

    Before a request is sent, the most that it can use is reserved in *budget* (a name or several)
    and in every budget that concerns such calls; all or none. When the answer is there, what it
    used takes the place of that. A refused request gives its reservation back; a timeout, a 5xx, a
    cancelled call or a stream that ended early is charged for what is known, and the rest of its
    reservation stays charged as *unreconciled*. A paid answer always arrives.

    ``session``
        Under which the calls are counted, in the ledger: over copies, processes and restarts. By
        default the workflow around the call.
    ``prices``, ``runaway``
        See :class:`tallystick.metering.Meter`.
    ``provider``
        Whose prices count, where the address does not tell (vLLM, Ollama, a gateway).
    ``least_output``
        With how few output tokens an answer may have to do: where a budget has no room for the
        limit that was asked for, the request is sent with a smaller one, not below this. By default
        it is refused. A request that names no limit needs room for all that the model can say.
    ``ask_usage``
        Streams of chat completions are asked to tell their usage (``stream_options``); the chunk
        that does is kept back unless you asked for it yourself. A server that refuses to be asked
        gets the request as it was; its streams are charged by what they said.
    ``record``
        Keep the answers in the record of the workflow around the call: inside of
        ``ledger.replay(…)`` the provider is not asked, nothing is reserved, and the recorded answer
        comes again; Divergence where none is recorded. NoWorkflow outside of any. What the client
        would ask for again (408, 409, 429, 5xx) is not kept, nor is an answer that broke off.

    The watched client raises BudgetExceeded, UnpricedModel, RunawayStopped or another BudgetError
    where a request must not be sent, and StoreError where the ledger does not answer; neither the
    provider nor the client's own retries see any of it. Web sockets are refused. Raises
    InvalidCall for what is no such client, or is watched already.
    """
    _refuse_what_cannot_be_watched(client)
    budgets = (budget,) if isinstance(budget, str) else tuple(budget)
    meter = Meter(ledger, *budgets, session=session, prices=prices, runaway=runaway)
    gate = Gate(
        meter,
        provider=provider,
        ask_usage=ask_usage,
        least_output=least_output,
        recorder=Recorder(ledger) if record else None,
    )
    original: Any = client
    return cast("C", _armed(original.copy(http_client=twin_of(_http_of(client), gate)), gate))


def _refuse_what_cannot_be_watched(client: object) -> None:
    http = _http_of(client)
    if not callable(getattr(client, "copy", None)) or not hasattr(http, "send"):
        raise InvalidCall(
            f"watch() takes a client of the packages openai or anthropic, not {client!r}"
        )
    if gate_of(http) is not None:
        raise InvalidCall(
            "this client is watched already; watch the original, and name all budgets at once"
        )


def _http_of(client: object) -> Any:
    return getattr(client, "_client", None)


def _armed(watched: Any, gate: Gate) -> Any:
    """Make copies of *watched* watched too, and let every request of it be reserved in time."""
    kind: Any = watched.__class__

    def copy(**options: Any) -> Any:
        http = options.get("http_client") or _http_of(watched)
        if gate_of(http) is not gate:
            http = twin_of(http, gate)
        return _armed(kind.copy(watched, **{**options, "http_client": http}), gate)

    watched.copy = watched.with_options = copy
    prepare = _awaiting_preparation if is_async(_http_of(watched)) else _blocking_preparation
    setattr(watched, _PREPARE, prepare(watched, getattr(watched, _PREPARE), gate))
    if hasattr(watched, "websocket_base_url"):
        watched.websocket_base_url = _NoSocket()
    return watched


#: The clients' hook for a request that is about to be sent. It is reserved here rather than in
#: ``send``, around which Anthropic's client and older OpenAI ones catch every exception, try
#: again, and in the end raise another one.
_PREPARE = "_prepare_request"


def _blocking_preparation(watched: Any, original: Any, gate: Gate) -> Any:
    def prepare(request: Any) -> None:
        original(request)
        request.extensions[MARK] = gate.admit(request, watched.base_url)

    return prepare


def _awaiting_preparation(watched: Any, original: Any, gate: Gate) -> Any:
    async def prepare(request: Any) -> None:
        await original(request)
        request.extensions[MARK] = await gate.aadmit(request, watched.base_url)

    return prepare


class _NoSocket(str):
    """Stands where the address of a web socket is looked for, which no budget could follow."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        raise UnpricedModel(
            "a watched client opens no web sockets (realtime, live, responses.connect): what is "
            "used over them cannot be counted; use the client that is not watched"
        )


def session_of(client: object) -> SessionState:
    """
    What the session of a watched client has used so far: ``calls``, ``tokens`` and ``nanos``.

    Read from the ledger now: all copies, processes and clients that said the same ``session``. In
    an event loop, ask ``await ledger.asession(name)`` instead.

    Raises InvalidCall for a client that is not watched, or was given no session.
    """
    gate = gate_of(_http_of(client))
    if gate is None or gate.meter.session is None:
        raise InvalidCall("session_of() takes a client from watch(…, session=…)")
    return gate.meter.ledger.session(gate.meter.session)
