"""What an exception means: real clients, real servers, real refusals."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import types
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import httpx2
import pytest

from tallystick import EffectFailed, EffectInDoubt, NotApplied, Policy, ProbeAnswer, Status
from tallystick._classify import classify
from tallystick.errors import (
    ApprovalRequired,
    InvalidCall,
    LedgerError,
    StillRunning,
    StoreBusy,
    StoreUnavailable,
)
from tests.conftest import Face, Place

Verdict = str


class Answering(BaseHTTPRequestHandler):
    """``/status/409`` answers 409, ``/slow`` never, ``/cut`` half of an answer."""

    def do_POST(self) -> None:
        if self.path == "/slow":
            self.server.leave.wait(20)  # type: ignore[attr-defined]  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
        elif self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        elif self.path == "/silent":
            return
        else:
            status = int(self.path.rsplit("/", 1)[1])
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """The URL of a server that answers as it is asked to."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    leave = server.leave = threading.Event()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    leave.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def nobody() -> str:
    """A URL where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/status/200"


#: a busy machine may take long to connect; what answers does so at once
PATIENCE = httpx.Timeout(0.3, connect=5.0)


def with_httpx(url: str) -> object:
    """A request as httpx makes it."""
    return httpx.post(url, timeout=PATIENCE, trust_env=False).raise_for_status()


def with_httpx_async(url: str) -> object:
    """The same, awaited."""

    async def main() -> object:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            return (await client.post(url)).raise_for_status()

    return asyncio.run(main())


def with_httpx2(url: str) -> object:
    """A request as the successor of httpx makes it, which the providers' clients use."""
    patience = httpx2.Timeout(0.3, connect=5.0)
    return httpx2.post(url, timeout=patience, trust_env=False).raise_for_status()


def with_urllib(url: str) -> object:
    """A request as the standard library makes it."""
    try:
        with urllib.request.urlopen(url, data=b"", timeout=0.3) as answer:  # noqa: S310 - our own
            return answer.read()
    except urllib.error.HTTPError as error:
        error.close()
        raise


def with_requests(url: str) -> object:
    """A request as requests makes it, where that is installed."""
    requests: Any = pytest.importorskip("requests")
    session = requests.Session()
    session.trust_env = False
    with session:
        answer = session.post(url, timeout=(5.0, 0.3))
        answer.raise_for_status()
        return answer.content


def with_aiohttp(url: str) -> object:
    """A request as aiohttp makes it, where that is installed."""
    aiohttp: Any = pytest.importorskip("aiohttp")

    async def main() -> object:
        limit = aiohttp.ClientTimeout(sock_connect=5.0, sock_read=0.3)
        async with aiohttp.ClientSession(timeout=limit) as session, session.post(url) as answer:
            answer.raise_for_status()
            return await answer.read()

    return asyncio.run(main())


CLIENTS: list[Callable[[str], object]] = [
    with_httpx,
    with_httpx_async,
    with_httpx2,
    with_urllib,
    with_requests,
    with_aiohttp,
]


def raised_by(fn: Callable[..., Any], *args: Any) -> BaseException:
    """What it raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        fn(*args)
    return caught.value


@pytest.mark.parametrize("client", CLIENTS)
def test_a_refused_connection_did_not_happen(client: Callable[[str], object], nobody: str) -> None:
    """Nobody was there to do anything, so it may be tried again."""
    assert classify(raised_by(client, nobody), None) == "retryable"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_name_that_nobody_knows_did_not_happen(client: Callable[[str], object]) -> None:
    """There was no address to send anything to."""
    assert classify(raised_by(client, "http://no-such-host.invalid/"), None) == "retryable"


STATUSES: dict[int, tuple[Verdict, Verdict]] = {
    400: ("failed", "failed"),
    401: ("failed", "failed"),
    402: ("failed", "failed"),
    404: ("failed", "failed"),
    408: ("retryable", "retryable"),
    409: ("failed", "unknown"),
    422: ("failed", "failed"),
    423: ("retryable", "retryable"),
    425: ("retryable", "retryable"),
    429: ("retryable", "retryable"),
    499: ("unknown", "unknown"),
    500: ("unknown", "unknown"),
    502: ("unknown", "unknown"),
    503: ("unknown", "unknown"),
    504: ("unknown", "unknown"),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", STATUSES)
def test_an_answer_says_what_its_status_says(
    client: Callable[[str], object], server: str, status: int
) -> None:
    """4xx: it said no. Later: again. 5xx: nobody knows; nor of a conflict on a repeat."""
    error = raised_by(client, f"{server}/status/{status}")
    first, repeated = STATUSES[status]
    assert classify(error, None) == first
    assert classify(error, None, attempt=2) == repeated


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("path", ["/slow", "/cut", "/silent"])
def test_an_answer_that_does_not_come_whole_says_nothing(
    client: Callable[[str], object], server: str, path: str
) -> None:
    """Too late, cut off, or none at all: the request did arrive."""
    assert classify(raised_by(client, server + path), None) == "unknown"


def test_a_connection_that_takes_too_long_did_not_happen() -> None:
    """No byte of the request was sent."""
    request = httpx.Request("POST", "http://x/")
    assert classify(httpx.ConnectTimeout("", request=request), None) == "retryable"
    assert classify(httpx.PoolTimeout("", request=request), None) == "retryable"
    assert classify(httpx.ReadTimeout("", request=request), None) == "unknown"
    assert classify(httpx.WriteTimeout("", request=request), None) == "unknown"
    assert classify(httpx.RemoteProtocolError("", request=request), None) == "unknown"
    requests = pytest.importorskip("requests")
    assert classify(requests.ConnectTimeout(), None) == "retryable"
    assert classify(requests.ReadTimeout(), None) == "unknown"
    assert classify(requests.ConnectionError(), None) == "unknown"


# -- everything else ----------------------------------------------------------------------------


def like(package: str, name: str, **attributes: Any) -> BaseException:
    """An exception as a package that is not installed would raise it."""
    named = {"__module__": f"{package}._errors", **attributes}
    kind: type[BaseException] = type(name, (Exception,), named)
    return kind("no")


PLAIN: list[tuple[BaseException, Verdict]] = [
    (RuntimeError("?"), "unknown"),
    (ValueError("bad json"), "unknown"),
    (TimeoutError(), "unknown"),
    (ConnectionResetError(), "unknown"),
    (BrokenPipeError(), "unknown"),
    (OSError(), "unknown"),
    (KeyboardInterrupt(), "unknown"),
    (SystemExit(), "unknown"),
    (GeneratorExit(), "unknown"),
    (asyncio.CancelledError(), "unknown"),
    (ConnectionRefusedError(), "retryable"),
    (socket.gaierror(), "retryable"),
    (NotApplied(), "failed"),
    (NotApplied("later", retryable=True), "retryable"),
    (LedgerError(), "unknown"),
    (InvalidCall(), "unknown"),
    (StoreBusy(), "unknown"),
    (StoreUnavailable(), "unknown"),
    (StillRunning(""), "unknown"),
    (like("langchain_core", "ToolException"), "failed"),
    (like("mine", "ToolException"), "unknown"),
    (like("openai", "APIStatusError", status_code=400), "failed"),
    (like("openai", "APIStatusError", status_code=429), "retryable"),
    (like("openai", "APIStatusError", status_code=500), "unknown"),
    (like("openai", "APIConnectionError"), "unknown"),
    (like("anthropic", "APIStatusError", status_code=404), "failed"),
    (like("stripe", "StripeError", http_status=402), "failed"),
    (like("stripe", "StripeError", http_status=None), "unknown"),
    (like("httpx", "HTTPStatusError", response=None, status_code="404"), "unknown"),
    (like("httpx", "HTTPStatusError", status_code=True), "unknown"),
    (like("urllib3", "NewConnectionError"), "retryable"),
    (like("psycopg", "ConnectionTimeout"), "retryable"),
    (like("mine", "HTTPStatusError", status_code=404), "unknown"),
]


@pytest.mark.parametrize(("error", "verdict"), PLAIN, ids=repr)
def test_only_what_is_known_not_to_have_happened_is_a_failure(
    error: BaseException, verdict: Verdict
) -> None:
    """Everything else that escapes from a tool is unknown, whatever it looks like."""
    assert classify(error, None) == verdict


def test_subclasses_of_known_exceptions_are_known(server: str) -> None:
    """Of one's own, and of one's own of a client's."""

    class Refused(ConnectionRefusedError):
        pass

    class Mine(httpx.ConnectError):
        pass

    assert classify(Refused(), None) == "retryable"
    assert classify(Mine("no"), None) == "retryable"


def test_what_requests_and_urllib_wrap_is_found_and_nothing_else() -> None:
    """A refused connection inside; a reset one inside is not refused."""
    refused, reset = ConnectionRefusedError(), ConnectionResetError()
    assert classify(urllib.error.URLError(refused), None) == "retryable"
    assert classify(urllib.error.URLError(socket.gaierror()), None) == "retryable"
    assert classify(urllib.error.URLError(reset), None) == "unknown"
    assert classify(urllib.error.URLError("text"), None) == "unknown"
    deep: Any = refused
    for _ in range(3):
        deep = types.SimpleNamespace(reason=deep)
    assert classify(urllib.error.URLError(deep), None) == "retryable"
    deep = types.SimpleNamespace(reason=types.SimpleNamespace(reason=deep))
    assert classify(urllib.error.URLError(deep), None) == "unknown"
    lost = like("requests", "ConnectionError")
    lost.args = ()
    assert classify(lost, None) == "unknown"


def test_no_client_is_imported_to_know_its_exceptions() -> None:
    """They are recognised by name, so that a ledger costs nobody an import."""
    source = sys.modules["tallystick._classify"]
    assert not {"httpx", "requests", "aiohttp", "urllib3"} & set(vars(source))


class Broken(Exception):
    """Even looking at it raises."""

    @property
    def response(self) -> Any:
        raise RuntimeError("closed")


Broken.__name__, Broken.__module__ = "HTTPStatusError", "httpx"


def test_an_exception_that_breaks_when_it_is_looked_at_is_unknown() -> None:
    """So is one of a class without a module."""
    assert classify(Broken(), None) == "unknown"
    assert classify(type("Odd", (Exception,), {"__module__": None})(), None) == "unknown"


# -- rules of one's own -------------------------------------------------------------------------


def test_a_mapping_goes_by_the_most_specific_type() -> None:
    """And before everything that is known."""
    rules: Any = {LookupError: "failed", KeyError: "retryable", ConnectionRefusedError: "unknown"}
    assert classify(KeyError(), rules) == "retryable"
    assert classify(IndexError(), rules) == "failed"
    assert classify(ConnectionRefusedError(), rules) == "unknown"
    assert classify(RuntimeError(), rules) == "unknown"
    assert classify(NotApplied(), {NotApplied: "unknown"}) == "unknown"
    assert classify(asyncio.CancelledError(), {BaseException: "interrupted"}) == "interrupted"


def no_rule(error: BaseException) -> Any:
    """Has no opinion."""


def no_verdict(error: BaseException) -> Any:
    """Answers what is no verdict, and cannot be compared by hash."""
    return list[int]()


def raising(error: BaseException) -> Any:
    """Is broken."""
    raise ValueError("a broken rule")


@pytest.mark.parametrize("verdict", ["failed", "retryable", "interrupted", "unknown"])
def test_a_function_may_give_any_verdict(verdict: Any) -> None:
    """It is asked first."""
    assert classify(RuntimeError(), lambda _: verdict) == verdict
    assert classify(NotApplied(), lambda _: verdict) == verdict


@pytest.mark.parametrize("answer", ["done", 5, True, [], {}, object(), Future[Any]])
def test_a_function_that_answers_something_else_knows_nothing(answer: Any) -> None:
    """A doubt never becomes a failure by mistake."""
    assert classify(NotApplied(), lambda _: answer) == "unknown"


def test_a_function_without_an_opinion_leaves_it_to_what_is_known() -> None:
    """And one that is broken makes it unknown."""
    assert classify(NotApplied(), no_rule) == "failed"
    assert classify(NotApplied(), raising) == "unknown"


# -- in a call ----------------------------------------------------------------------------------

OUTCOMES: list[tuple[Any, BaseException, Status, type[BaseException], type[BaseException]]] = [
    (None, NotApplied("no"), Status.FAILED, NotApplied, EffectFailed),
    (None, RuntimeError("?"), Status.IN_DOUBT, EffectInDoubt, EffectInDoubt),
    ({RuntimeError: "failed"}, RuntimeError("no"), Status.FAILED, RuntimeError, EffectFailed),
    (raising, NotApplied("no"), Status.IN_DOUBT, EffectInDoubt, EffectInDoubt),
    (None, Broken(), Status.IN_DOUBT, EffectInDoubt, EffectInDoubt),
    (no_verdict, RuntimeError("?"), Status.IN_DOUBT, EffectInDoubt, EffectInDoubt),
]


@pytest.mark.parametrize("n", range(len(OUTCOMES)))
def test_the_verdict_is_what_the_ledger_records(place: Place, face: Face, n: int) -> None:
    """What the live caller gets, what later ones get, and what stands in the row."""
    rules, error, status, fresh, later = OUTCOMES[n]
    ledger, runs = place.open(), list[int]()

    def charge() -> None:
        runs.append(1)
        raise error

    def call() -> None:
        policy = Policy(classify=rules)
        face.do(ledger, "call", "charge", charge, workflow="w", policy=policy)

    with pytest.raises(fresh):
        call()
    with pytest.raises(later):
        call()
    assert runs == [1]
    assert ledger.effects()[0].status is status


def test_an_interruption_gives_the_claim_back(place: Place, face: Face) -> None:
    """Control flow is no failure: the next call runs the tool again."""
    ledger, answers = place.open(), [KeyError("interrupt"), "charged"]

    def charge() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    policy = Policy(classify={KeyError: "interrupted"})

    def call() -> Any:
        return face.do(ledger, "call", "charge", charge, workflow="w", policy=policy)

    with pytest.raises(KeyError, match="interrupt"):
        call()
    assert ledger.pending() == []
    assert call() == "charged"
    assert [e.kind for e in ledger.history(ledger.effects()[0].key)] == ["released", "started"]


def test_an_outer_effect_waits_with_the_inner_one_for_its_approval(
    place: Place, face: Face
) -> None:
    """The inner request passes through; once approved, the same call goes on."""
    ledger = place.open()

    def inner() -> str:
        return "refunded"

    def outer() -> str:
        return ledger.call("inner", inner, workflow="w", policy=Policy(approval=True))

    def call() -> Any:
        return face.do(ledger, "call", "outer", outer, workflow="w")

    with pytest.raises(ApprovalRequired) as caught:
        call()
    ledger.approve(str(caught.value.key), by="ann")
    assert call() == "refunded"
    assert {e.tool: e.status for e in ledger.effects()} == {
        "inner": Status.SUCCEEDED,
        "outer": Status.SUCCEEDED,
    }


def test_probe_answers_say_what_they_are() -> None:
    """Each has its own way to be made."""
    assert ProbeAnswer.happened({"id": 1}) == ProbeAnswer(verdict="happened", result={"id": 1})
    assert ProbeAnswer.not_happened().verdict == "not_happened"
    assert ProbeAnswer.unknown("down").detail == "down"
    assert ProbeAnswer.conflict("two").verdict == "conflict"
