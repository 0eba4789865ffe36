"""A bounded queue of messages, and the thread that empties it while there is something in it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import tenacity

from tallystick._policy import Retry, in_seconds

_log = logging.getLogger("tallystick")

#: seconds that the thread waits for more before it ends
_IDLE = 1.0
#: seconds for which a message that could not be delivered is not taken again
_REST = 300.0
#: messages of which is remembered what became of them
_REMEMBERED = 4096
#: seconds that a receiver may ask us to wait at most
_LONGEST = 3600.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A message: the name under which receivers know it, what it says, what to call it in a log."""

    name: str
    body: bytes
    about: str


class NotNow(Exception):
    """It was not delivered and may be tried again, in *after* seconds at the earliest."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = min(after or 0.0, _LONGEST)


class Never(Exception):
    """It was not delivered, and trying again would not help."""


class Gone(Never):
    """The receiver wants nothing any more."""


class Outbox:
    """
    Sends letters one after the other, each with retries; knows each by its name.

    ``send(letter, left)`` is called in the outbox's own thread, with the seconds that are left
    where it is being closed; it raises NotNow, Never or Gone. The thread starts with a letter and
    ends a second after the last one, or with :meth:`close`.
    """

    def __init__(
        self,
        send: Callable[[Letter, float | None], None],
        cut: Callable[[], None],
        *,
        retry: Retry,
        capacity: int,
        drain: float,
        label: str,
    ) -> None:
        self._send = send
        self._cut = cut
        self._retry = retry
        self._capacity = capacity
        self._drain = drain
        self._label = label
        self.delivered = self.dropped = self.failed = 0
        self.gone = False
        #: what became of letters: delivered at a moment, or not to be taken again before one
        self._done: dict[str, float] = {}
        self._resting: dict[str, float] = {}
        self.forked()

    def forked(self) -> None:
        """In a forked child: what waits is the parent's to send."""
        self._lock = threading.Condition()
        self._queue: deque[Letter] = deque()
        self._waiting: set[str] = set()
        self._thread: threading.Thread | None = None
        self._until: float | None = None

    @property
    def waiting(self) -> int:
        """Letters that are not delivered yet."""
        return len(self._waiting)

    def put(self, letter: Letter) -> bool:
        """Queue *letter* unless it is known; whether it has been delivered, now or before."""
        with self._lock:
            if self.gone or letter.name in self._done:
                return True
            if letter.name in self._waiting or self._rests(letter.name):
                return False
            if len(self._waiting) < self._capacity:
                self._waiting.add(letter.name)
                self._queue.append(letter)
                self._wake()
                return False
            self.dropped += 1
        _log.warning(
            "%s: %s was dropped, as %d others wait for the receiver; %d were dropped so far",
            self._label,
            letter.about,
            self._capacity,
            self.dropped,
        )
        return False

    def _rests(self, name: str) -> bool:
        return self._resting.get(name, 0.0) > time.monotonic()

    def _wake(self) -> None:
        if self._thread is not None:
            self._lock.notify_all()
            return
        self._thread = threading.Thread(target=self._run, name="tallystick-webhook", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # at exit there are no new threads
            self._thread = None
            raise

    # -- in the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        while (letter := self._next()) is not None:
            try:
                self._deliver(letter)
            except Gone as error:
                self._stop(error)
            except Exception as error:  # noqa: BLE001 - one letter must not cost the others
                self._give_up(letter, error)
            else:
                self._note(letter, self._done, time.monotonic())
                self.delivered += 1

    def _next(self) -> Letter | None:
        """The next letter; ``None`` ends the thread."""
        with self._lock:
            if self._mine() and not self._queue and self._until is None:
                self._lock.wait_for(lambda: self._queue or self._ends(), _IDLE)
            if self._mine() and self._queue and not self._late(0.0):
                return self._queue.popleft()
            if self._mine():
                self._thread = None
            return None

    def _deliver(self, letter: Letter) -> None:
        tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(NotNow),
            wait=self._pause,
            stop=self._enough,
            sleep=self._sleep,
            reraise=True,
        )(self._attempt, letter)

    def _attempt(self, letter: Letter) -> None:
        until = self._until
        self._send(letter, None if until is None else until - time.monotonic())

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        after = error.after if isinstance(error, NotNow) else 0.0
        return max(self._retry.pause(state.attempt_number), after)

    def _enough(self, state: tenacity.RetryCallState) -> bool:
        within, since = self._retry.within, state.seconds_since_start or 0.0
        return (
            state.attempt_number >= self._retry.attempts
            or (within is not None and since + state.upcoming_sleep > in_seconds(within))
            or self._late(state.upcoming_sleep)
        )

    def _sleep(self, seconds: float) -> None:
        """Wait before the next attempt; being closed is a reason to make it at once."""
        with self._lock:
            until = self._until
            if until is not None:
                seconds = max(0.0, min(seconds, until - time.monotonic()))
            self._lock.wait_for(lambda: self._until != until or not self._mine(), seconds)

    def _mine(self) -> bool:
        """Whether this is still the outbox's thread, and was not left behind by a close."""
        return self._thread is threading.current_thread()

    def _ends(self) -> bool:
        return self._until is not None or not self._mine()

    def _late(self, seconds: float) -> bool:
        """Whether closing does not wait so long."""
        until = self._until
        return not self._mine() or (until is not None and time.monotonic() + seconds >= until)

    def _stop(self, error: Exception) -> None:
        with self._lock:
            self.gone = True
            self._queue.clear()
            self._waiting.clear()
        _log.error("%s: %s; nothing more is sent there", self._label, error)

    def _give_up(self, letter: Letter, error: Exception) -> None:
        known = isinstance(error, NotNow | Never)
        _log.warning(
            "%s: %s was not delivered: %s",
            self._label,
            letter.about,
            error if known else repr(error),
            exc_info=None if known else error,
        )
        self._note(letter, self._resting, time.monotonic() + _REST)
        self.failed += 1

    def _note(self, letter: Letter, fates: dict[str, float], when: float) -> None:
        with self._lock:
            self._waiting.discard(letter.name)
            fates[letter.name] = when
            if len(fates) > _REMEMBERED:
                fates.pop(next(iter(fates)))

    # -- its owner ----------------------------------------------------------------------------

    def close(self) -> None:
        """Send what waits, for ``drain`` seconds at most, and end the thread; safe to repeat."""
        with self._lock:
            thread = self._thread
            if thread is None or thread is threading.current_thread():
                return
            self._until = time.monotonic() + self._drain
            self._lock.notify_all()
        thread.join(self._drain)
        with self._lock:
            if self._thread is thread:
                self._thread = None  # whatever it still does is its last
                self._lock.notify_all()
        self._cut()
        thread.join(_IDLE)
        with self._lock:
            left = [*self._queue]
            self._queue.clear()
            self._until = None
        for letter in left:
            self._give_up(letter, NotNow(f"closed after {self._drain:g} seconds"))
