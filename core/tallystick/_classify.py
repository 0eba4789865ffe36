"""
What an exception means: it did not happen, or nobody knows.

An exception is not a failure: ``response.json()`` can raise after the card was charged. Only what
is known to mean *did not happen* is called a failure; everything else is unknown. HTTP clients are
recognised by the name and the package of their classes, without importing them.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from tallystick._policy import Classifier, Verdict
from tallystick.errors import LedgerError, NotApplied

#: raised before a byte was sent: no connection, or no address to connect to
_NEVER_SENT = {
    ("httpx", "ConnectError"),
    ("httpx", "ConnectTimeout"),
    ("httpx", "PoolTimeout"),
    ("httpx2", "ConnectError"),
    ("httpx2", "ConnectTimeout"),
    ("httpx2", "PoolTimeout"),
    ("httpcore", "ConnectError"),
    ("httpcore", "ConnectTimeout"),
    ("httpcore2", "ConnectError"),
    ("httpcore2", "ConnectTimeout"),
    ("aiohttp", "ClientConnectorError"),
    ("requests", "ConnectTimeout"),
    ("urllib3", "NewConnectionError"),
    ("urllib3", "ConnectTimeoutError"),
    ("urllib3", "NameResolutionError"),
    ("psycopg", "ConnectionTimeout"),
}

#: carry the status of an answer in one of the attributes below
_ANSWERED = {
    ("httpx", "HTTPStatusError"),
    ("httpx2", "HTTPStatusError"),
    ("requests", "HTTPError"),
    ("aiohttp", "ClientResponseError"),
    ("urllib", "HTTPError"),
    ("openai", "APIStatusError"),
    ("anthropic", "APIStatusError"),
    ("stripe", "StripeError"),
}

#: the tool itself said no, in its framework's own way
_TOOL_SAID_NO = {("langchain_core", "ToolException")}

#: worth another try: throttled, locked, too early, or the request did not arrive whole
_LATER = {408, 423, 425, 429}


def classify(
    error: BaseException,
    rules: Mapping[type[BaseException], Verdict] | Classifier | None,
    *,
    attempt: int = 1,
) -> Verdict:
    """
    What *error*, raised by attempt number *attempt*, says about the effect.

    *rules* (``Policy(classify=…)``) come first: a mapping by the most specific type, or a function.
    A rule that itself raises, or answers anything else, counts as ``"unknown"``.
    """
    try:
        return _ruled(error, rules) or _known(error, attempt)
    except Exception:  # noqa: BLE001 - a rule, or an exception that breaks when it is looked at
        return "unknown"


def _known(error: BaseException, attempt: int) -> Verdict:
    """What is known of exceptions that no rule is about."""
    if isinstance(error, NotApplied):
        return "retryable" if error.retryable else "failed"
    if not isinstance(error, Exception) or isinstance(error, LedgerError):
        return "unknown"
    names = {(k.__module__.partition(".")[0], k.__name__) for k in type(error).__mro__}
    if names & _TOOL_SAID_NO:
        return "failed"
    if isinstance(error, ConnectionRefusedError | socket.gaierror) or names & _NEVER_SENT:
        return "retryable"
    if ("requests", "ConnectionError") in names or ("urllib", "URLError") in names:
        return _wrapped(error, attempt)
    if names & _ANSWERED:
        return _answered(_status(error), attempt)
    return "unknown"


def _ruled(
    error: BaseException, rules: Mapping[type[BaseException], Verdict] | Classifier | None
) -> Verdict | None:
    if rules is None:
        return None
    if not callable(rules):
        return next((rules[kind] for kind in type(error).__mro__ if kind in rules), None)
    verdict = rules(error)
    return verdict if verdict in {"failed", "retryable", "interrupted", None} else "unknown"


def _wrapped(error: Exception, attempt: int) -> Verdict:
    """Look for a refused connection inside what requests and urllib wrap around it."""
    status = _status(error)
    if status is not None:
        return _answered(status, attempt)
    inner: Any = getattr(error, "reason", None) or next(iter(error.args), None)
    for _ in range(4):
        if isinstance(inner, ConnectionRefusedError | socket.gaierror):
            return "retryable"
        names = {(k.__module__.partition(".")[0], k.__name__) for k in type(inner).__mro__}
        if names & _NEVER_SENT:
            return "retryable"
        inner = getattr(inner, "reason", None)
    return "unknown"


def _status(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    for holder, name in (
        (response, "status_code"),
        (error, "status_code"),
        (error, "http_status"),
        (error, "status"),
        (error, "code"),
    ):
        value = getattr(holder, name, None)
        if type(value) is int:
            return value
    return None


def _answered(status: int | None, attempt: int) -> Verdict:
    if status is None or not 400 <= status < 500 or status == 499:
        return "unknown"
    # on a repeated attempt a conflict may be the first attempt's own success
    if status == 409 and attempt > 1:
        return "unknown"
    return "retryable" if status in _LATER else "failed"
