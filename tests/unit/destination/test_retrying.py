"""Patience with a store: what is tried again, how often, and what is not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.destination import retrying
from backupd.destination.contract import Buffers, ObjectInfo
from backupd.destination.local import LocalDestination
from backupd.destination.retrying import Patience, Retrying
from backupd.errors import (
    CancelledError,
    DestinationError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
)
from backupd.store_errors import StoreAnswerError, StoreBusyError


class Moody(LocalDestination):
    """A directory whose next calls fail as told, before or after they are done."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "t", create=True)
        self.before: list[DestinationError] = []
        self.after: list[DestinationError] = []
        self.calls = 0
        self.endless = False
        self.on_call: Callable[[], None] = lambda: None

    def put(self, name: str, buffers: Buffers) -> None:
        self._meet(self.before)
        super().put(name, buffers)
        self._meet(self.after)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._meet(self.before)
        return super().get(name, offset, None if self.endless else length)

    def _meet(self, moods: list[DestinationError]) -> None:
        self.calls += 1
        self.on_call()
        if moods:
            raise moods.pop(0)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if self.endless:
            yield from (ObjectInfo(f"{prefix}{number}", 1) for number in itertools.count())
        for info in super().list(prefix):
            yield info
            self._meet(self.before)


class Hours:
    """A clock that moves by waiting alone."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.pauses: list[float] = []

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds


Make = Callable[..., tuple[Moody, Retrying, Hours]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(patience: Patience | None = None, cancel: Cancel | None = None) -> tuple[Moody, Retrying, Hours]:
        inner, hours = Moody(str(tmp_path / "place")), Hours()
        return inner, Retrying(inner, cancel, patience, hours, hours.wait), hours

    return made


def _down() -> DestinationUnreachableError:
    return DestinationUnreachableError("no route")


def test_what_fails_for_a_moment_is_done_in_the_end(make: Make) -> None:
    """Else a router that starts anew costs a night's backup."""
    inner, store, hours = make()
    inner.before = [_down() for _ in range(5)]
    store.put("r1/a", [b"1"])
    assert (store.get("r1/a"), store.retries) == (b"1", 5)
    assert 3 < hours.seconds < 16, "0.5, 1, 2, 4, 8 s, each by chance down to its half"


def test_a_failure_at_the_end_of_a_long_transfer_is_no_failure_for_long(make: Make) -> None:
    """A block over a slow or limited line takes longer than all patience: one broken connection would end the run."""
    inner, store, hours = make(Patience(call_seconds=60))
    inner.on_call = lambda: hours.wait(500)
    inner.before = [_down(), _down()]
    with pytest.raises(DestinationUnreachableError):
        store.put("r1/a", [b"1"])
    inner.before = [_down()]
    store.put("r1/a", [b"1"])


def test_a_listing_that_breaks_off_is_asked_for_anew(make: Make) -> None:
    """Half a listing taken for whole is a lost snapshot, one joined of two halves may hold an object twice."""
    inner, store, _ = make()
    for name in "abc":
        store.put(f"r1/{name}", [b"1"])
    inner.before = [_down()]
    assert sorted(info.name for info in store.list("r1/")) == ["r1/a", "r1/b", "r1/c"]
    assert store.retries == 1


def test_what_can_not_get_better_is_told_at_once(make: Make) -> None:
    inner, store, hours = make()
    inner.before = [DestinationRefusedError("no right"), _down()]
    with pytest.raises(DestinationRefusedError):
        store.put("r1/a", [b"1"])
    inner.before.clear()
    with pytest.raises(ObjectMissingError):
        store.get("r1/none")
    assert (hours.seconds, store.retries) == (0.0, 0)


def test_a_lost_answer_is_no_other_writer(make: Make) -> None:
    """Else a commit whose answer was lost is told as taken by another run, and the backup as failed."""
    inner, store, _ = make()
    inner.after = [_down()]
    store.put("r1/a", [b"on", b"e"])
    assert store.get("r1/a") == b"one"


def test_another_writer_is_another_writer_also_after_a_lost_answer(make: Make) -> None:
    """Else of two snapshots of one name both are told as committed."""
    inner, store, _ = make()
    store.put("r1/a", [b"one"])
    with pytest.raises(ObjectExistsError):
        store.put("r1/a", [b"one"])
    inner.before = [_down()]
    with pytest.raises(ObjectExistsError):
        store.put("r1/a", [b"two"])


def test_the_time_that_a_store_names_is_kept(make: Make) -> None:
    """Who comes again before is shut out for longer."""
    inner, store, hours = make()
    inner.before = [StoreBusyError("slow down", context={"retry_after_seconds": 20})]
    store.put("r1/a", [b"1"])
    assert hours.seconds >= 20
    inner.before = [StoreBusyError("slow down", context={"retry_after_seconds": 7200})]
    with pytest.raises(StoreBusyError):
        store.get("r1/a")
    assert hours.seconds < 100, "two hours are not waited for"


def test_who_waits_hears_of_it(make: Make) -> None:
    """A run that stands still for minutes and says nothing is taken for dead and killed."""
    inner, _, hours = make()
    told: list[tuple[str, float]] = []
    store = Retrying(inner, None, None, hours, hours.wait, lambda error, seconds: told.append((error.message, seconds)))
    inner.before = [_down(), StoreBusyError("slow down", context={"retry_after_seconds": 20})]
    store.put("r1/a", [b"1"])
    assert [message for message, _ in told] == ["no route", "slow down"]
    assert hours.seconds == pytest.approx(sum(seconds for _, seconds in told), abs=1)


def test_a_dead_store_is_given_up(make: Make) -> None:
    """Else a run hangs for ever, and nobody hears of it."""
    inner, store, hours = make(Patience(call_seconds=60))
    inner.before = [_down() for _ in range(1000)]
    with pytest.raises(DestinationUnreachableError):
        store.get("r1/a")
    assert 30 < hours.seconds <= 60


def test_a_store_that_fails_every_other_call_is_given_up(make: Make) -> None:
    """Each call would succeed in the end, and the run take days."""
    inner, store, _ = make(Patience(budget=20, earned=0.5))
    for number in range(100):
        inner.before = [_down()]
        try:
            store.put(f"r1/{number}", [b"1"])
        except DestinationUnreachableError:
            break
    assert 38 <= number <= 42, "each costs one and earns a half"


def test_a_pause_ends_with_the_run(make: Make) -> None:
    """Who presses Ctrl-C must not wait for a store that is away."""
    cancel = Cancel()
    inner, store, hours = make(cancel=cancel)
    inner.before = [StoreBusyError("slow down", context={"retry_after_seconds": 100})]
    cancel.request(CancelledError("enough"))
    with pytest.raises(CancelledError):
        store.put("r1/a", [b"1"])
    assert hours.seconds == 0


def test_answers_without_end_are_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile server must not fill this machine's memory."""
    monkeypatch.setattr(retrying, "_MOST_LISTED", 1000)
    inner, store, _ = make(Patience(call_seconds=3))
    store.put("r1/a", [bytes(1000)])
    inner.endless = True
    with pytest.raises(StoreAnswerError, match="lists over 1,000"):
        list(store.list("r1/"))
    with pytest.raises(StoreAnswerError, match="1000 bytes of r1/a came where 10"):
        store.get("r1/a", 0, 10)
