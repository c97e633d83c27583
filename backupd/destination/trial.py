"""Tries out a store: what the contract asks, how it behaves with several writers, how fast it is (FEATURES 4.4).

Everything is written below one folder of its own at the place, `backupd-probe`, and deleted again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

import msgspec

from backupd.clock import Clock
from backupd.destination.contract import Forwarding, Store
from backupd.errors import BackupError, DestinationError, ObjectExistsError, ObjectMissingError
from backupd.sizes import count
from backupd.store_errors import ObjectLockedError

FOLDER = "backupd-probe"
_RACERS = 16
_SPEED_BYTES = 32 << 20
_PART_BYTES = 1 << 20
_LOCK_NS = 3 * 10**9

Verdict = Literal["good", "missing", "failed"]
"""`missing`: the store can't, and the program does without; `failed`: it can't be used so."""


class Finding(msgspec.Struct, frozen=True):
    """What one trial showed."""

    name: str
    verdict: Verdict
    detail: str = ""


class Speed(msgspec.Struct, frozen=True):
    """How fast objects of 32 MiB went."""

    put_bytes_per_second: float
    get_bytes_per_second: float


OpenAnother = Callable[[str], Store]
"""Takes the tag of another writer."""


class Trial:
    """All trials of one store. open_another: the same place once more, as another host would."""

    def __init__(self, store: Store, open_another: OpenAnother, clock: Clock) -> None:
        self._store, self._open_another, self._clock = store, open_another, clock
        self._folder = f"{FOLDER}/{os.urandom(8).hex()}"
        self.speed: Speed | None = None
        self.left: list[str] = []
        """Names that could not be deleted, as with a login that may only add."""

    def run(self, *, is_quick: bool = False) -> Iterator[Finding]:
        """One finding after the other; ends with the first that makes all others pointless.

        is_quick: whether it can be used at all, without races and speed.
        """
        trials: list[tuple[str, Callable[[], Finding]]] = [
            ("write and read back", self._there_and_back),
            ("read in part", self._ranges),
            ("a taken name stays", self._taken),
            ("what is absent is told", self._absent),
            ("list at once what was written", self._listing),
        ]
        if Forwarding(self._store).lock_rule is not None:
            trials += [("lock objects", self._can_lock if is_quick else self._lock)]
        if not is_quick:
            trials += [("one of 16 writers wins", self._race), ("speed", self._measure)]
        trials += [("delete", self._delete)]
        for name, trial in trials:
            try:
                found = trial()
            except BackupError as error:
                found = Finding(name, "failed", error.message)
                yield found
                if name == trials[0][0]:
                    return
                continue
            yield msgspec.structs.replace(found, name=name)

    def clean(self) -> None:
        """Delete all that is left of it; what can't be is in `left`."""
        with suppress(DestinationError):
            for info in [*self._store.list(self._folder + "/")]:
                try:
                    self._store.delete(info.name)
                except DestinationError:
                    self.left.append(info.name)
        with suppress(DestinationError):
            self._store.remove_empty_folders(FOLDER)

    def _tag(self, word: str) -> str:
        """Of another writer, no other trial's."""
        return f"{self._folder.rpartition('/')[2]}-{word}"

    def _name(self, word: str) -> str:
        return f"{self._folder}/{word}"

    def _there_and_back(self) -> Finding:
        data = os.urandom(100_000)
        self._store.put(self._name("first"), [data[:10], memoryview(data)[10:]])
        if self._store.get(self._name("first")) != data or self._store.size(self._name("first")) != len(data):
            return Finding("", "failed", "what comes back is not what was written")
        return Finding("", "good")

    def _ranges(self) -> Finding:
        whole = self._store.get(self._name("first"))
        if self._store.get(self._name("first"), 5000, 700) != whole[5000:5700]:
            return Finding("", "failed", "a part that is asked for is another one")
        return Finding("", "good")

    def _taken(self) -> Finding:
        before = self._store.get(self._name("first"))
        with suppress(ObjectExistsError):
            self._store.put(self._name("first"), [b"second"])
        if self._store.get(self._name("first")) != before:
            return Finding("", "failed", "an object was overwritten")
        return Finding("", "good")

    def _absent(self) -> Finding:
        try:
            self._store.get(self._name("nobody"))
        except ObjectMissingError:
            return Finding("", "good")
        return Finding("", "failed", "an object came back that nobody wrote")

    def _listing(self) -> Finding:
        names = {self._name(f"n{number}") for number in range(8)}
        for name in names:
            self._store.put(name, [b"x"])
        other = self._open_another(self._tag("reader"))
        found = {info.name for info in other.list(self._folder + "/")}
        other.close()
        if not names <= found:
            return Finding("", "failed", f"{len(names - found)} of {len(names)} new objects are not listed")
        return Finding("", "good")

    def _can_lock(self) -> Finding:
        if Forwarding(self._store).keeping().locks is False:
            return Finding("", "failed", "the bucket does not: make one with object lock, or leave lock= out")
        return Finding("", "good")

    def _lock(self) -> Finding:
        """For some seconds, which it waits for."""
        found = self._can_lock()
        if found.verdict == "failed":
            return found
        name, until_ns = self._name("locked"), self._clock.now_ns() + _LOCK_NS
        self._store.put(name, [b"x"])
        Forwarding(self._store).lock(name, until_ns)
        try:
            self._store.delete(name)
        except ObjectLockedError:
            rule = Forwarding(self._store).lock_rule
            found = Finding("", "good", f"{rule.mode}, {count(rule.days, 'day')}" if rule is not None else "")
        except DestinationError as error:
            # A login that may delete nothing is no proof of the lock.
            found = Finding("", "good", f"taken; whether it holds this login can't try: {error.message}")
        else:
            return Finding("", "failed", "an object that was locked could be deleted")
        threading.Event().wait((until_ns - self._clock.now_ns()) / 1e9 + 1)
        return found

    def _race(self) -> Finding:
        stores = [self._open_another(self._tag(str(number))) for number in range(_RACERS)]
        won: list[int] = []
        failed: list[DestinationError] = []
        gate = threading.Barrier(_RACERS)

        def create(number: int) -> None:
            gate.wait()
            try:
                stores[number].put(self._name("race"), [b"%d" % number * 100])
            except ObjectExistsError:
                return
            except DestinationError as error:
                failed.append(error)
                return
            won.append(number)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(_RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()
        if failed:
            raise failed[0]
        if len(won) == 1 and self._store.traits.create_if_absent:
            return Finding("", "good")
        if len(won) == 1:
            return Finding("", "missing", "one was first this time, but this kind of store does not promise it")
        verdict: Verdict = "failed" if self._store.traits.create_if_absent else "missing"
        return Finding("", verdict, f"{len(won)} of {_RACERS} were told that they were first")

    def _measure(self) -> Finding:
        part = os.urandom(_PART_BYTES)
        began = self._clock.monotonic()
        self._store.put(self._name("large"), [part] * (_SPEED_BYTES // _PART_BYTES))
        middle = self._clock.monotonic()
        if len(self._store.get(self._name("large"))) != _SPEED_BYTES:
            return Finding("", "failed", "a large object comes back cut")
        end = self._clock.monotonic()
        self.speed = Speed(_SPEED_BYTES / max(1e-6, middle - began), _SPEED_BYTES / max(1e-6, end - middle))
        return Finding("", "good")

    def _delete(self) -> Finding:
        try:
            self._store.delete(self._name("first"))
        except DestinationError as error:
            return Finding("", "missing", f"{error.message}; a login that may only add is safer, and frees no space")
        if self._store.size(self._name("first")) is not None:
            return Finding("", "failed", "a deleted object is still there")
        return Finding("", "good")
