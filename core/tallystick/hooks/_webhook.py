"""Moments that somebody should hear of, posted to a URL: signed, retried, never in the way."""

from __future__ import annotations

import hashlib
import http.client
import json
import math
import os
import ssl
import weakref
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from tallystick._hooks import Details, NotYet
from tallystick._model import at
from tallystick._policy import Retry, Seconds, seconds
from tallystick.errors import InvalidCall
from tallystick.hooks._outbox import Gone, Letter, Never, NotNow, Outbox
from tallystick.hooks._post import Answer, Receiver
from tallystick.hooks._signing import keys_of, signed, wall_micros

#: what a person should look at
KINDS = frozenset({
    "approval_required", "arguments_changed", "budget_overrun", "budget_threshold",
    "budget_warned", "fenced", "halted", "in_doubt", "runaway",
})  # fmt: skip
_RETRY = Retry(attempts=10, initial=1.0, maximum=60.0, jitter=1.0)
#: characters of a fact: it says what happened, and holds no documents
_FACT = 1000
#: answers after which the same request may succeed
_AGAIN = frozenset({408, 409, 425, 429})
_OPEN: weakref.WeakSet[Webhook] = weakref.WeakSet()


def webhook_hook(
    url: str,
    *,
    secret: str | tuple[str, str],
    kinds: Collection[str] = KINDS,
    retry: Retry | int = _RETRY,
    timeout: Seconds = 10.0,
    capacity: int = 1000,
    drain: Seconds = 5.0,
    insecure: bool = False,
    tls: ssl.SSLContext | None = None,
) -> Webhook:
    """
    A hook that posts moments to *url*, signed as https://www.standardwebhooks.com says.

    The call that something happened to is never held up: the hook only puts a message into a
    queue, and a thread of its own delivers it. Delivered means answered with 2xx. Until then the
    moment does not count as told, so that a request for approval is told again by whichever ledger
    lives, also after this process died: at least once, always with the same ``webhook-id``, by
    which a receiver knows repeats. A moment that is the same in kind, key, attempt and facts is
    posted once while this process remembers it.

    url
        ``https://…``; ``http`` only to this machine, or with *insecure*. Redirects are refused.
    secret
        ``whsec_…``; a pair while one is being replaced: every message is then signed with both.
    kinds
        Which moments (:class:`Details` says what there is).
    retry
        Attempts for one message, or a :class:`~tallystick.Retry`; ``Retry-After`` is obeyed, up to
        an hour. Tried again: no answer, 5xx, 408, 409, 425, 429. ``410 Gone`` ends the webhook;
        all other answers are final for the message.
    timeout
        Seconds to connect, and seconds for the answer.
    capacity
        Messages that may wait; more are dropped, which is logged and counted.
    drain
        Seconds that the ledger's ``close`` waits for what is queued.
    tls
        Instead of the system's certificates.

    The body is ``{"type": "tallystick.<kind>", "timestamp": …, "data": …}`` with the fields of
    :class:`Details`, and so never holds arguments or results. Raises InvalidCall for a bad URL,
    secret or number.

    >>> from tallystick import Ledger
    >>> hook = webhook_hook("https://example.org/alerts", secret="whsec_" + "c2VjcmV0" * 4)
    >>> with Ledger("memory://", hooks=[hook]) as ledger:
    ...     ledger.call("greet", lambda: "hello", workflow="w")
    'hello'
    >>> hook
    <webhook to example.org: 0 waiting, 0 delivered, 0 failed, 0 dropped>
    """
    if isinstance(kinds, str) or not all(isinstance(kind, str) for kind in kinds):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidCall(f"kinds={kinds!r}: give a list of kinds")
    if type(capacity) is not int or capacity < 1:
        raise InvalidCall(f"capacity={capacity!r}: give a whole number from 1")
    patience = seconds(timeout, "webhook_hook(timeout=…)")
    if not patience:
        raise InvalidCall("webhook_hook(timeout=0): give seconds above 0")
    return Webhook(
        Receiver(url, insecure=insecure, tls=tls),
        keys_of(secret),
        kinds=frozenset(kinds),
        retry=retry if isinstance(retry, Retry) else Retry(attempts=retry),
        timeout=patience,
        capacity=capacity,
        drain=seconds(drain, "webhook_hook(drain=…)"),
    )


class Webhook:
    """A hook that posts; made by :func:`webhook_hook`, ended by its ledger or :meth:`close`."""

    def __init__(
        self,
        receiver: Receiver,
        keys: tuple[bytes, ...],
        *,
        kinds: frozenset[str],
        retry: Retry,
        timeout: float,
        capacity: int,
        drain: float,
    ) -> None:
        self._receiver = receiver
        self._keys = keys
        self._kinds = kinds
        self._timeout = timeout
        self._outbox = Outbox(
            self._send,
            receiver.cut,
            retry=retry,
            capacity=capacity,
            drain=drain,
            label=f"webhook to {receiver}",
        )
        _OPEN.add(self)

    def __repr__(self) -> str:
        return (
            f"<webhook to {self._receiver}: {self.waiting} waiting, {self.delivered} delivered, "
            f"{self.failed} failed, {self.dropped} dropped>"
        )

    def __call__(self, details: Details, /) -> None:
        """Queue a moment; NotYet until it is delivered."""
        if details.kind in self._kinds and not self._outbox.put(_letter(details)):
            raise NotYet(f"{details.kind} waits for {self._receiver}")

    @property
    def waiting(self) -> int:
        """Messages in the queue, with the one that is being sent."""
        return self._outbox.waiting

    @property
    def delivered(self) -> int:
        """Messages that were answered with 2xx."""
        return self._outbox.delivered

    @property
    def failed(self) -> int:
        """Messages given up: refused, tried too often, or left when it was closed."""
        return self._outbox.failed

    @property
    def dropped(self) -> int:
        """Messages for which the queue had no room."""
        return self._outbox.dropped

    def close(self) -> None:
        """
        Deliver what waits, at most ``drain`` seconds long, and end the thread.

        The last ledger that uses the hook calls this. What comes later starts the thread again.
        """
        self._outbox.close()

    def _send(self, letter: Letter, left: float | None) -> None:
        """One attempt."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "tallystick",
            **signed(self._keys, letter.name, wall_micros() // 1_000_000, letter.body),
        }
        timeout = self._timeout if left is None else min(max(left, 0.1), self._timeout)
        try:
            answer = self._receiver.post(letter.body, headers, timeout)
        except (OSError, http.client.HTTPException) as error:
            raise NotNow(f"no answer ({error!r})") from error
        _judge(answer)

    def _forked(self) -> None:
        self._outbox.forked()


def _judge(answer: Answer) -> None:
    status = answer.status
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own
        return
    if status == http.HTTPStatus.GONE:
        raise Gone("the receiver answered 410 Gone")
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN:
        raise NotNow(f"the receiver answered {status}", answer.after)
    moved = 300 <= status < 400  # noqa: PLR2004 - HTTP's own
    advice = "give the URL that it redirects to" if moved else "check the URL and the secret"
    raise Never(f"the receiver answered {status}; {advice}")


def _letter(details: Details) -> Letter:
    """A moment as a message; told again, it is the same message."""
    facts = {name: _thin(fact) for name, fact in details.facts.items() if name != "again"}
    moment = [details.kind, details.tenant, details.key, details.attempt, facts]
    name = hashlib.sha256(_json(moment)).hexdigest()[:32]
    body = {
        "type": f"tallystick.{details.kind}",
        "timestamp": at(wall_micros()).isoformat(),
        "data": {
            "kind": details.kind,
            "key": details.key,
            "tenant": details.tenant,
            "workflow": details.workflow,
            "tool": details.tool,
            "status": details.status,
            "attempt": details.attempt,
            "facts": facts,
        },
    }
    return Letter(f"msg_{name}", _json(body), f"{details.kind} of {details.key[:12] or 'nothing'}")


def _thin(fact: Any) -> Any:
    """A fact that JSON can hold and that is not long."""
    if fact is None or isinstance(fact, bool | int):
        return fact
    if isinstance(fact, float) and math.isfinite(fact):
        return fact
    if isinstance(fact, Mapping):
        return {str(name): _thin(value) for name, value in _items(fact)}
    if isinstance(fact, list | tuple):
        return [_thin(value) for value in cast("Sequence[Any]", fact)[:_FACT]]
    return str(fact)[:_FACT]


def _items(mapping: Any) -> list[tuple[Any, Any]]:
    return list(mapping.items())


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _fork_all() -> None:
    for webhook in list(_OPEN):
        webhook._forked()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - our own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork_all)
