"""A webhook whose receiver is down, slow, confused or hostile: the call does not feel it."""

from __future__ import annotations

import shutil
import socket
import ssl
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tallystick import EffectInDoubt, Ledger, Retry
from tallystick.hooks import Webhook, webhook_hook
from tests.conftest import Face, Place

from ._receiver import (
    FAST,
    SECRET,
    Receiver,
    ask,
    free_port,
    housekeeping,
    moment,
    receiving,
    tell,
    unheard,
    until,
)

# -- trouble ------------------------------------------------------------------------------------


def test_a_receiver_that_is_down_gets_it_when_it_is_back(place: Place, face: Face) -> None:
    """And the call that was told of waited for nothing."""
    port = free_port()
    hook = webhook_hook(
        f"http://127.0.0.1:{port}/",
        secret=SECRET,
        retry=Retry(attempts=1000, initial=0.02, maximum=0.02, jitter=0.01),
    )
    ledger = place.open(hooks=[hook])
    began = time.monotonic()
    key = ask(ledger, face, order="A")
    assert time.monotonic() - began < 2
    time.sleep(0.1)
    assert (hook.waiting, hook.delivered) == (1, 0)
    with receiving(port) as receiver:
        (got,) = receiver.wait(1)
        assert got.verified()["data"]["key"] == key
        until(lambda: hook.delivered == 1)


def test_a_receiver_in_trouble_is_asked_again(receiver: Receiver, hook: Webhook) -> None:
    """The same message under the same id; signed anew."""
    receiver.plan = [500, 503, 200]
    tell(hook, moment())
    got = receiver.wait(3)
    until(lambda: hook.delivered == 1)
    assert len({one.id for one in got}) == 1
    assert len({one.body for one in got}) == 1
    assert all(one.verified() for one in got)
    assert hook.failed == 0


def test_it_is_given_up_after_so_many_attempts(
    receiver: Receiver, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    """Visibly; the next message has its chance, this one rests."""
    receiver.plan = [500] * 4
    tell(hook, moment())
    until(lambda: hook.failed == 1)
    assert len(receiver.got) == 4
    assert "in_doubt of abc was not delivered: the receiver answered 500" in caplog.text
    assert "secret-path" not in caplog.text
    assert not tell(hook, moment())
    assert hook.waiting == 0
    tell(hook, moment("def"))
    until(lambda: hook.delivered == 1)
    assert receiver.got[-1].data["key"] == "def"


def test_what_was_given_up_is_sent_after_a_rest(
    place: Place,
    face: Face,
    receiver: Receiver,
    hook: Webhook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request for approval outlives the patience of one series of attempts."""
    receiver.plan = [500] * 4
    ledger = place.open(hooks=[hook])
    ask(ledger, face, order="A")
    until(lambda: hook.failed == 1)
    housekeeping(ledger)
    assert (hook.waiting, unheard(ledger)) == (0, 1)
    monkeypatch.setattr(time, "monotonic", later(time.monotonic, 301))
    housekeeping(ledger)
    until(lambda: hook.delivered == 1)
    housekeeping(ledger)
    assert unheard(ledger) == 0


def later(clock: Callable[[], float], seconds: float) -> Callable[[], float]:
    """A clock that is ahead."""
    return lambda: clock() + seconds


def test_a_series_of_attempts_is_bounded_in_time(receiver: Receiver) -> None:
    """No attempt begins after it."""
    receiver.plan = [(503, {"Retry-After": "soon"})] * 100
    retry = Retry(attempts=100, initial=0.05, maximum=0.05, jitter=0, within=0.3)
    hook = webhook_hook(receiver.url, secret=SECRET, retry=retry)
    tell(hook, moment())
    until(lambda: hook.failed == 1)
    assert 2 <= len(receiver.got) <= 6
    hook.close()


@pytest.mark.skipif(not shutil.which("openssl"), reason="nobody here makes certificates")
def test_a_receiver_is_who_its_certificate_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown ones get nothing; one's own authority can be given."""
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "key",
            "-out",
            "cert",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    theirs.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with receiving(tls=theirs) as receiver:
        url = receiver.url.replace("http:", "https:")
        stranger = webhook_hook(url, secret=SECRET, retry=1)
        tell(stranger, moment())
        until(lambda: stranger.failed == 1)
        assert "CERTIFICATE_VERIFY_FAILED" in caplog.text
        assert receiver.got == []
        known = ssl.create_default_context(cafile=str(tmp_path / "cert"))
        hook = webhook_hook(url, secret=SECRET, tls=known)
        tell(hook, moment())
        (got,) = receiver.wait(1)
        assert got.verified()
        hook.close()


@pytest.mark.parametrize("as_date", [False, True])
def test_the_receiver_may_say_when_to_come_again(receiver: Receiver, *, as_date: bool) -> None:
    """In seconds, or as a date."""
    hook = webhook_hook(receiver.url, secret=SECRET, retry=FAST)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    receiver.plan = [(429, {"Retry-After": format_datetime(soon, usegmt=True) if as_date else "1"})]
    tell(hook, moment())
    first, second = receiver.wait(2)
    assert second.at - first.at > 0.9
    hook.close()


def test_a_redirect_is_not_followed(
    receiver: Receiver, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor tried again: whoever configured the URL has to change it."""
    with receiving() as elsewhere:
        receiver.plan = [(302, {"Location": elsewhere.url})]
        tell(hook, moment())
        until(lambda: hook.failed == 1)
        assert elsewhere.got == []
    assert len(receiver.got) == 1
    assert "give the URL that it redirects to" in caplog.text


def test_a_refusal_is_final(
    receiver: Receiver, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong secret does not get right by repetition."""
    receiver.plan = [401]
    tell(hook, moment())
    until(lambda: hook.failed == 1)
    assert len(receiver.got) == 1
    assert "401; check the URL and the secret" in caplog.text


def test_a_receiver_that_is_gone_gets_nothing_more(
    receiver: Receiver, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    """410 ends it, and nobody waits for it any longer."""
    receiver.gate.clear()
    receiver.plan = [410]
    tell(hook, moment("a"))
    tell(hook, moment("b"))
    receiver.wait(1)
    receiver.gate.set()
    until(lambda: tell(hook, moment("c")))
    assert tell(hook, moment("a"))
    hook.close()
    assert len(receiver.got) == 1
    assert "410 Gone; nothing more is sent there" in caplog.text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("endless head", "the answer was too long"),
        ("endless drops", "TimeoutError"),
        ("nothing", "TimeoutError"),
        ("nonsense", "BadStatusLine"),
    ],
)
def test_an_answer_is_bounded_in_time_and_size(
    answer: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever answers like that has not taken it, and does not hold up the others for long."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1 << 16)
                first = 1
                try:
                    while not over.is_set():
                        if answer == "endless head":
                            head = b"HTTP/1.1 200 OK\r\n" * first + b"X: " + b"x" * 9_000
                            client.sendall(head + b"\r\n")
                            first = 0
                        elif answer == "endless drops":
                            client.sendall(b"H")
                            time.sleep(0.02)
                        elif answer == "nonsense":
                            client.sendall(b"220 mail.example.org ESMTP\r\n")
                            return
                        else:
                            time.sleep(0.02)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        hook = webhook_hook(
            f"http://127.0.0.1:{server.getsockname()[1]}/", secret=SECRET, retry=1, timeout=0.3
        )
        began = time.monotonic()
        tell(hook, moment())
        until(lambda: hook.failed == 1, 5)
        assert time.monotonic() - began < 3
        assert says in caplog.text
        over.set()
        thread.join()
        hook.close()


def test_a_slow_receiver_does_not_slow_the_call(
    place: Place, receiver: Receiver, face: Face
) -> None:
    """S37: a hundred calls that are told of, to somebody who takes half a second for each."""

    def cost(ledger: Ledger, workflow: str) -> float:
        times: list[float] = []
        for n in range(20):
            began = time.perf_counter()
            with pytest.raises(EffectInDoubt):
                face.do(ledger, "call", "c", lambda: 1 / 0, call_id=str(n), workflow=workflow)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    receiver.delay = 0.5
    hook = webhook_hook(receiver.url, secret=SECRET, drain=0)
    alone = cost(place.open(), "alone")
    told = cost(place.open(hooks=[hook]), "told")
    assert hook.waiting >= 15
    assert told < alone * 3 + 0.05


def test_a_full_queue_drops_visibly_and_holds_nobody_up(
    place: Place, face: Face, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged and counted; a request for approval is told later, when there is room."""
    receiver.gate.clear()
    hook = webhook_hook(receiver.url, secret=SECRET, retry=FAST, capacity=2)
    ledger = place.open(hooks=[hook])
    keys = [ask(ledger, face, order=n) for n in range(4)]
    # where this takes long, housekeeping has told one again meanwhile, for which there was no room
    assert (hook.waiting, hook.dropped >= 2) == (2, True)
    assert "was dropped, as 2 others wait for the receiver; 2 were dropped so far" in caplog.text
    receiver.gate.set()
    until(lambda: hook.delivered == 2)
    housekeeping(ledger)
    receiver.wait(4)
    until(lambda: hook.delivered == 4)
    until(lambda: _all_told(ledger))
    assert sorted(got.data["key"] for got in receiver.got) == sorted(keys)


def _all_told(ledger: Ledger) -> bool:
    housekeeping(ledger)
    return unheard(ledger) == 0


def test_moments_that_last_can_be_told_too(place: Place, face: Face, receiver: Receiver) -> None:
    """Each once, as it begins; nothing waits for them."""
    hook = webhook_hook(receiver.url, secret=SECRET, kinds=("claim", "call", "settle"))
    ledger = place.open(hooks=[hook])
    assert face.do(ledger, "call", "charge", lambda: "charged", workflow="w") == "charged"
    ledger.close()
    assert [got.data["kind"] for got in receiver.got] == ["claim", "call", "settle"]
