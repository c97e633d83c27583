"""Whether a store honours `If-None-Match: *`, found out by trying: many ignore it, some let two of many win.

A place that nobody proved yet is tried by 16 racers for one name, of whom one may win; what they leave is removed. A
place that passed gets the object `tmp/create-if-absent-…`, which is never removed: who comes later asks to create it
again, and has the proof when that is refused. So a later opening costs one request, and a store that stops honouring
the condition is found out, too. The name tells endpoint and bucket, by a digest: the proof may be copied with all else
to a store that refuses one after the other, and lets two of many at once win.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from backupd.destination.contract import Buffers
from backupd.errors import DestinationError, DestinationRefusedError, ObjectExistsError
from backupd.store_errors import StoreAnswerError, StoreBusyError

_RACERS = 16
_TRIES = 3
_BUSY_TRIES = 5
"""Of one request of a trial where the store asks to come again later."""
_LONGEST_WAIT_SECONDS = 2.0
"""A stop that is asked for is not heard meanwhile."""
_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted", "409")
_UNKNOWN = ("NotImplemented", "501", "InvalidArgument", "InvalidRequest")
"""What stores answer that do not know the condition at all."""

Create = Callable[[str, Buffers], None]
"""Creates an object under the condition. Raises ObjectExistsError, DestinationError."""


def proof_name(endpoint: str, bucket: str) -> str:
    """What the proof of one bucket at one endpoint is called."""
    place = f"{endpoint.lower().rstrip('/')}\n{bucket}"
    return f"tmp/create-if-absent-{hashlib.sha256(place.encode()).hexdigest()[:32]}"


class Condition:
    """What is known of the condition at one place. Safe from several threads."""

    def __init__(self, create: Create, remove: Callable[[str], None], proof: str, *, is_proved: bool) -> None:
        """proof: its name. is_proved: whether it lies at the place."""
        self._proof = proof
        self._create, self._remove, self._is_proved = create, remove, is_proved
        self._lock = threading.Lock()
        self._is_tried = False
        self._wait = threading.Event().wait

    @property
    def is_honoured(self) -> bool:
        """What is known without asking the store."""
        return self._is_proved

    def find_out(self) -> bool:
        """Whether the condition is honoured; asks the store once. Raises DestinationError."""
        with self._lock:
            if not self._is_tried:
                self._is_proved = self._is_refused(self._proof) if self._is_proved else self._is_passed_in_the_end()
                self._is_tried = True
        return self._is_proved

    def _is_passed_in_the_end(self) -> bool:
        """Try it again where the line fails meanwhile; over a line that goes on failing nothing is proved this time."""
        for number in range(_TRIES):
            try:
                return self._is_passed()
            except (StoreBusyError, StoreAnswerError):
                raise
            except DestinationError as error:
                if not error.retryable:
                    raise
                if number == 0:
                    self._see_that_it_answers()
        return False

    def _see_that_it_answers(self) -> None:
        """A store that is not there at all is told as that. Raises DestinationError."""
        try:
            self._remove(f"tmp/follow-{secrets.token_hex(8)}")
        except DestinationError as error:
            # A login that may not delete was answered, too, and so was who is to come again.
            if error.retryable and not isinstance(error, StoreBusyError):
                raise

    def _is_passed(self) -> bool:
        """Try it with names of our own, first one after the other, then all at once."""
        mark = secrets.token_hex(8)
        followed, raced = f"tmp/follow-{mark}", f"tmp/race-{mark}"
        try:
            if self._is_refused(followed) or not self._is_refused(followed) or not self._is_won_by_one(raced):
                return False
            self._is_refused(self._proof)
        finally:
            # A login that may not delete leaves these few bytes, once in the life of a place.
            for name in (followed, raced):
                with suppress(DestinationError):
                    self._remove(name)
        return True

    def _is_won_by_one(self, name: str) -> bool:
        gate = threading.Barrier(_RACERS)

        def race(_number: int) -> bool | None:
            gate.wait()
            try:
                return not self._is_refused(name)
            except StoreBusyError:
                raise
            except DestinationError as error:
                # A store that stumbles over a race has not passed it; one that can't be reached was not tried.
                if "store_code" not in error.context or not error.retryable:
                    raise
                return None

        with ThreadPoolExecutor(_RACERS) as pool:
            won = [*pool.map(race, range(_RACERS))]
        return won.count(True) == 1 and None not in won

    def _is_refused(self, name: str) -> bool:
        """Try to create; whether something of that name was in the way."""
        tries, left = 0, _BUSY_TRIES
        while tries < _TRIES:
            try:
                self._create(name, [secrets.token_bytes(16)])
            except ObjectExistsError:
                return True
            except StoreBusyError as error:
                # Two at once: S3 asks one of them to come again.
                if error.context.get("store_code") in _CONFLICTS:
                    tries += 1
                    continue
                # One of some twenty requests that is put off must not put all of them off.
                left -= 1
                if not left:
                    raise
                self._wait(min(float(error.context.get("retry_after_seconds") or 1.0), _LONGEST_WAIT_SECONDS))
            except DestinationRefusedError as error:
                if error.context.get("store_code") not in _UNKNOWN:
                    raise
                return False
            else:
                return False
        return True
