"""What the repository relies on at a store of any kind (DESIGN 10): each kind's test class takes this one over."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from backupd.clock import SystemClock
from backupd.destination.contract import Store
from backupd.destination.retrying import Patience, Retrying
from backupd.destination.trial import Trial
from backupd.errors import ObjectExistsError, ObjectMissingError

Open = Callable[[str], Store]
"""Opens the same empty place, made where it was not there, for a writer of that tag."""

_PATIENCE = Patience(first_pause_seconds=0.1, call_seconds=30)
MIB = 1 << 20
BLOCK_BYTES = 33 * MIB
MANY = 1100
"""More names than one answer of any store that answers by pages holds."""


def _found_in_time(store: Store, name: str, late_seconds: float) -> bytes:
    clock, pause = SystemClock(), threading.Event()
    until = clock.monotonic() + late_seconds
    while True:
        try:
            return store.get(name)
        except ObjectMissingError:
            if clock.monotonic() >= until:
                raise
            pause.wait(0.1)


class StoreContract:
    """Needs a fixture `open_place` of the kind, which gives an `Open` and takes all away in the end."""

    late_seconds = 0.0
    """For so long after a race for one name a server may say that nothing has it, though it lies there."""
    many = MANY
    """Objects in the longest listing; a store whose listings are one stream has no boundary that more would cross."""

    @pytest.fixture
    def store(self, open_place: Open) -> Generator[Store, None, None]:
        """An empty place."""
        opened = open_place("t1")
        yield opened
        opened.close()

    def test_what_was_put_comes_back_whole_and_by_ranges(self, store: Store) -> None:
        """Else no backup comes back."""
        data = os.urandom(5 * MIB + 1)
        store.put("r1/blocks/aa/x", [data[:100], memoryview(data)[100:]])
        assert store.get("r1/blocks/aa/x") == data
        assert store.get("r1/blocks/aa/x", 77, 1000) == data[77:1077]
        assert store.get("r1/blocks/aa/x", 4 * MIB) == data[4 * MIB :]
        assert store.get("r1/blocks/aa/x", len(data) - 3, 100) == data[-3:]
        assert store.size("r1/blocks/aa/x") == len(data)

    def test_what_is_asked_for_beyond_the_end_is_nothing(self, store: Store) -> None:
        """A reader of headers asks for more than a short object has; an error would hide a damaged object."""
        store.put("r1/index/short", [b"abc"])
        assert store.get("r1/index/short", 3, 10) == b""
        assert store.get("r1/index/short", 100, 10) == b""
        assert store.get("r1/index/short", 1, 0) == b""

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        """Some records say all they say by their name."""
        store.put("r1/gc/drop-1", [])
        assert (store.get("r1/gc/drop-1"), store.size("r1/gc/drop-1")) == (b"", 0)
        assert [info.name for info in store.list("r1/gc/")] == ["r1/gc/drop-1"]

    def test_a_block_of_the_largest_common_size(self, store: Store) -> None:
        """Large objects take other ways than small ones: in parts, through files."""
        pieces = [os.urandom(MIB) for _ in range(BLOCK_BYTES // MIB)]
        store.put("r1/blocks/bb/y", pieces)
        assert store.size("r1/blocks/bb/y") == BLOCK_BYTES
        assert store.get("r1/blocks/bb/y", 32 * MIB - 5, 10) == pieces[31][-5:] + pieces[32][:5]
        assert store.get("r1/blocks/bb/y") == b"".join(pieces)

    def test_a_taken_name_keeps_its_bytes(self, store: Store) -> None:
        """Else a snapshot that was told to be committed is another one."""
        store.put("r1/snapshots/s/n", [b"first"])
        with pytest.raises(ObjectExistsError):
            store.put("r1/snapshots/s/n", [b"second"])
        assert store.get("r1/snapshots/s/n") == b"first"

    def test_of_sixteen_creators_of_one_name_one_succeeds(self, open_place: Open) -> None:
        """Else of two snapshots that were told to be committed one is gone. Where a store can't, it must say so."""
        # As the program opens them: some servers say in a race that they can't just now.
        stores = [Retrying(open_place(f"racer{number}"), patience=_PATIENCE) for number in range(16)]
        won: list[int] = []
        gate = threading.Barrier(16)

        def create(number: int) -> None:
            gate.wait()
            with suppress(ObjectExistsError):
                stores[number].put("r1/snapshots/s/n", [str(number).encode() * 100])
                won.append(number)

        threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = _found_in_time(stores[0], "r1/snapshots/s/n", self.late_seconds)
        assert found in [str(number).encode() * 100 for number in won]
        assert len(won) == 1 or not stores[0].traits.create_if_absent
        assert [info.name for info in stores[0].list("r1/snapshots/")] == ["r1/snapshots/s/n"]
        for store in stores:
            store.close()

    def test_an_object_that_is_not_there_is_told_as_missing(self, store: Store) -> None:
        """Reading tries elsewhere only for what is known to be gone."""
        with pytest.raises(ObjectMissingError):
            store.get("r1/blocks/aa/none")
        with pytest.raises(ObjectMissingError):
            store.get("r1/blocks/aa/none", 5, 5)
        assert store.size("r1/blocks/aa/none") is None
        store.delete("r1/blocks/aa/none")

    def test_what_was_deleted_is_gone_and_its_name_free(self, store: Store) -> None:
        store.put("r1/sessions/s/1", [b"1"])
        store.put("r1/sessions/s/2", [b"2"])
        store.delete("r1/sessions/s/1")
        assert store.size("r1/sessions/s/1") is None
        assert [info.name for info in store.list("r1/sessions/")] == ["r1/sessions/s/2"]
        store.put("r1/sessions/s/1", [b"again"])
        assert store.get("r1/sessions/s/1") == b"again"

    def test_a_listing_is_whole_and_of_its_folder_alone(self, store: Store) -> None:
        """A snapshot that no listing shows is lost; a foreign one would be dropped."""
        names = ["r1/index/a", "r1/index/deep/er/b", "r1/index2/c", "r2/index/d", "once.json"]
        for name in names:
            store.put(name, [name.encode()])
        found = {info.name: info.size_bytes for info in store.list("r1/index/")}
        assert found == {name: len(name) for name in names[:2]}
        assert sorted(info.name for info in store.list("")) == sorted(names)
        assert list(store.list("r3/")) == []
        assert [name for name in store.top_names() if name != "tmp"] == ["once.json", "r1", "r2"]

    def test_a_listing_of_many(self, store: Store) -> None:
        """Stores answer by the thousand."""
        names = [f"r1/blocks/{number % 7:02x}/{number:032x}" for number in range(self.many)]
        with ThreadPoolExecutor(8 if store.traits.parallel_calls else 1) as pool:
            list(pool.map(lambda name: store.put(name, [b"x"]), names))
        assert sorted(info.name for info in store.list("r1/blocks/")) == sorted(names)
        assert [name for name in store.top_names() if name != "tmp"] == ["r1"]

    def test_who_comes_later_sees_what_is_there(self, store: Store, open_place: Open) -> None:
        """Another host reads what this one wrote, at once."""
        store.put("r1/keyring/k", [b"key"])
        other = open_place("t2")
        assert other.get("r1/keyring/k") == b"key"
        assert [info.name for info in other.list("r1/")] == ["r1/keyring/k"]
        other.close()
        other.close()

    def test_calls_from_several_threads(self, store: Store) -> None:
        """Blocks are sent and fetched side by side."""
        if not store.traits.parallel_calls:
            pytest.fail("no store of ours is without it")
        bodies = {f"r1/blocks/{number:02x}/b": os.urandom(MIB // 2) for number in range(16)}

        def there_and_back(name: str) -> bool:
            store.put(name, [bodies[name]])
            return store.get(name) == bodies[name] and store.get(name, 10, 20) == bodies[name][10:30]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(there_and_back, bodies))

    def test_free_space_is_told_or_not_known(self, store: Store) -> None:
        free = store.free_bytes()
        assert (free is not None and free > 0) if store.traits.reports_space else free is None

    def test_the_trial_that_users_run_finds_the_same(self, store: Store, open_place: Open) -> None:
        """`bkctl destination test` must neither promise more than this suite nor frighten anybody."""
        trial = Trial(store, open_place, SystemClock())
        found = {finding.name: finding for finding in trial.run()}
        trial.clean()
        assert [finding for finding in found.values() if finding.verdict == "failed"] == []
        assert (found["one of 16 writers wins"].verdict == "good") or not store.traits.create_if_absent
        assert trial.speed is not None
        assert (list(store.list("")), trial.left) == ([], [])

    def test_nothing_but_objects_is_left(self, store: Store, open_place: Open) -> None:
        """Temporary names, as a store needs some, are gone, and those of a dead writer are removed on request."""
        store.put("once.json", [b"{}"])
        store.put("r1/keys/k", [b"1"])
        with suppress(ObjectExistsError):
            store.put("r1/keys/k", [b"2"])
        store.close()
        assert store.may_leave_temporaries is False
        later = open_place("t3")
        assert sorted(info.name for info in later.list("")) == ["once.json", "r1/keys/k"]
        assert later.remove_temporaries("r1", "t1") == 0
        later.remove_empty_folders("r1")
        assert later.get("r1/keys/k") == b"1"
        later.close()
