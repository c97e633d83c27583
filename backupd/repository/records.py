"""The small sealed objects at one destination: snapshots, sessions, drops, damage, gc lists, notes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import msgspec

from backupd.destination.contract import Destination
from backupd.errors import (
    BackupError,
    DamageError,
    KeyMissingError,
    NewerVersionError,
    ObjectExistsError,
    ObjectMissingError,
)
from backupd.repository.any_copy import Source, of_any_copy
from backupd.repository.opening import OpenRepository, epoch_keys
from backupd.repository.ways_out import way_out
from backupd.seal.cipher import Binding
from backupd.seal.envelope import open_object, read_epoch, seal_object
from backupd.seal.header import ObjectKind
from backupd.snapshot import naming
from backupd.snapshot.naming import SnapshotName
from backupd.snapshot.records import (
    AnyRecord,
    BlockList,
    Damage,
    Drop,
    Record,
    Session,
    Snapshot,
    decode,
    encode,
)
from backupd.store_errors import RepositoryPurgedError

_MAX_OBJECT_BYTES = 17 << 20
_LOOKS = 3
T = TypeVar("T")


class GcState(msgspec.Struct, frozen=True):
    """What the gc lists say: which blocks are absent for writing, and up to where all lists are closed."""

    absent: set[bytes]
    deleted: set[bytes]
    generation: int
    open_lists: list[int]
    closed_lists: list[int] = []
    read_lists: int = 0
    """Closed ones that no newer one covers."""
    newest: int = 0
    """The highest generation that was begun, 0 where there is none."""


class Posted(msgspec.Struct, frozen=True):
    """A session's newest announcement."""

    session: bytes
    numbers: list[int]
    said: Session


class Records:
    """Reads and writes records of an open repository at its place."""

    def __init__(self, repository: OpenRepository) -> None:
        self.repository = repository
        self.place: Destination = repository.place
        self._lists: dict[str, BlockList] = {}
        """Gc lists that were read; they never change."""
        self._bare: set[int] = set()
        """Closed generations that never had candidates, after which gc/ was listed once more."""
        self._drops: dict[str, Drop] = {}
        self.listed_drops: set[str] = set()
        """Names of all drop records that were ever listed here, readable or not."""

    @property
    def is_exact(self) -> bool:
        """Whether of several creators of one name exactly one succeeds at the place."""
        return self.place.traits.create_if_absent

    def put(self, kind: ObjectKind, name: str, record: Record) -> None:
        """Create a record. "Exists" with equal content counts as ours (an acknowledgement was lost).

        Raises ObjectExistsError when another record has the name.
        """
        keys = self.repository.keyring.current
        binding = Binding(kind, self.repository.id, keys.name, name)
        data = seal_object(
            kind, keys.snapshot_key, self.repository.keyring.configuration.cipher, binding, encode(record)
        )
        self.place.put(name, [data])

    def get(self, kind: ObjectKind, name: str, record_type: type[AnyRecord]) -> AnyRecord:
        """Read a record. Raises DamageError, with what helps; ObjectMissingError, KeyMissingError."""

        def read(source: Source) -> AnyRecord:
            data = source.get(name, 0, _MAX_OBJECT_BYTES)
            epoch = read_epoch(data, kind, name)
            keys = epoch_keys(self.repository, epoch, name)
            binding = Binding(kind, self.repository.id, epoch, name)
            cipher = self.repository.keyring.configuration.cipher
            return decode(open_object(kind, keys.snapshot_key, cipher, binding, data), record_type, name)

        try:
            return of_any_copy(self.place, name, read)
        except DamageError as error:
            error.hint = way_out(name) or error.hint
            raise

    def snapshot_names(self) -> list[SnapshotName]:
        """All snapshot names that are not void, oldest first within a set.

        What an unreadable drop record named counts as not dropped: a backup must not fail for good because of one bad
        record, and who builds on a snapshot asks for its chunks then (`basing`).
        """
        void, _ = self.readable_void_names()
        return [name for name in self.listed_snapshot_names() if name.name not in void]

    def listed_snapshot_names(self) -> list[SnapshotName]:
        """All snapshot names that stand at the place, void ones too."""
        names = (naming.parse_snapshot_name(info.name) for info in self.place.list("snapshots/"))
        return sorted((n for n in names if n is not None), key=lambda n: (n.set_id, n.start, n.session))

    def snapshot(self, name: str) -> Snapshot:
        """One snapshot. Raises DamageError, ObjectMissingError."""
        return self.get(ObjectKind.SNAPSHOT, name, Snapshot)

    def holds(self, name: str, snapshot: Snapshot) -> bool:
        """Whether a snapshot that was just stored stands there as it is; looked at three times before it is not."""
        for _ in range(_LOOKS):
            with suppress(DamageError, ObjectMissingError):
                if encode(self.snapshot(name)) == encode(snapshot):
                    return True
        return False

    def drops(self) -> dict[str, Drop]:
        """All drop records by name. Raises DamageError and others for one that can't be read."""
        return self._again(lambda: {name: self._drop_at(name) for name in self._drop_names()})

    def forget_drops(self) -> None:
        """Read them anew: who deletes goes by no record that can't be read any more, for then it may be given up."""
        self._drops.clear()

    def readable_drops(self) -> dict[str, Drop]:
        """Those drop records that can be read, by name."""
        found: dict[str, Drop] = {}
        for name in self._drop_names():
            with suppress(DamageError, NewerVersionError, KeyMissingError, ObjectMissingError):
                found[name] = self._drop_at(name)
        return found

    def void_names(self) -> set[str]:
        """Names that were dropped, void for ever. Raises as `drops`."""
        return {name for drop in self.drops().values() for name in drop.names}

    def readable_void_names(self) -> tuple[set[str], dict[str, str]]:
        """Names that were dropped, void for ever; and the message of each drop record that can't be read."""
        try:
            return self._again(lambda: self._readable_void_names((DamageError, NewerVersionError, KeyMissingError)))
        except ObjectMissingError:
            # Listed each time, and never there.
            errors = (DamageError, NewerVersionError, KeyMissingError, ObjectMissingError)
            return self._readable_void_names(errors)

    def _readable_void_names(self, told: tuple[type[BackupError], ...]) -> tuple[set[str], dict[str, str]]:
        void: set[str] = set()
        unread: dict[str, str] = {}
        for name in self._drop_names():
            try:
                void.update(self._drop_at(name).names)
            except told as error:
                unread[name] = error.message
        return void, unread

    def _drop_names(self) -> list[str]:
        names = [info.name for info in self.place.list("gc/") if info.name.startswith("gc/drop-")]
        self.listed_drops.update(names)
        return names

    def _drop_at(self, name: str) -> Drop:
        if name not in self._drops:
            self._drops[name] = self.get(ObjectKind.DROP, name, Drop)
        return self._drops[name]

    def drop(self, record: Drop) -> str:
        """Make snapshot names void; deleting their objects comes after this (DESIGN 8.2). Returns the record's name."""
        name = f"gc/drop-{os.urandom(16).hex()}"
        self.put(ObjectKind.DROP, name, record)
        return name

    def damage(self) -> dict[str, Damage]:
        """All damage records by name."""
        names = [info.name for info in self.place.list("damage/")]
        return {name: self.get(ObjectKind.DAMAGE, name, Damage) for name in names}

    def readable_damage(self) -> dict[str, Damage]:
        """The damage records that can be read."""
        found: dict[str, Damage] = {}
        for info in self.place.list("damage/"):
            try:
                found[info.name] = self.get(ObjectKind.DAMAGE, info.name, Damage)
            except (DamageError, ObjectMissingError):
                continue
        return found

    def report_damage(self, record: Damage) -> str:
        """Publish a damage record; returns its name."""
        name = f"damage/{os.urandom(16).hex()}"
        self.put(ObjectKind.DAMAGE, name, record)
        return name

    def gc_state(self) -> GcState:
        """What open and closed gc lists name.

        Raises DamageError and others for one that can't be read, RepositoryPurgedError where all is being deleted.
        """
        return self._again(self._gc_state)

    def _again(self, read: Callable[[], T]) -> T:
        """What is read of gc/; candidates go once their list is covered, drop records once they are merged."""
        for _ in range(_LOOKS - 1):
            with suppress(ObjectMissingError):
                return read()
        return read()

    def _listed_gc(self) -> list[str]:
        return [info.name for info in self.place.list("gc/")]

    def _gc_state(self) -> GcState:
        listed = self._listed_gc()
        if any(map(naming.is_purge_name, listed)):
            # Asked by every writer after it was announced, and at each announcement: none goes on from here.
            raise RepositoryPurgedError(f"{self.place.shown} is being deleted: a purge of all of it has begun there")
        numbers = sorted((name for name in map(naming.parse_gc_name, listed) if name is not None), reverse=True)
        closed: dict[int, BlockList] = {}
        # The newest first: what it covers need not be read. It stands for ever all the same, for its name is taken.
        for n, kind in numbers:
            if kind == "deleted" and n not in closed:
                record = self._list_at(ObjectKind.DELETED, naming.gc_name(n, "deleted"))
                closed |= dict.fromkeys((n, *record.covers), record)
        bare = {n for n, record in closed.items() if record.n == n and (n, "candidates") not in numbers} - self._bare
        if bare:
            # Its candidates are in an open list that came before it, and that this listing may have missed.
            self._bare |= bare
            return self._gc_state()
        candidates: dict[int, BlockList] = {}
        for n, kind in numbers:
            if kind == "candidates" and n not in closed:
                candidates[n] = self._list_at(ObjectKind.CANDIDATES, naming.gc_name(n, "candidates"))
        open_lists = sorted(n for n in candidates if n not in closed)
        deleted = {block for record in closed.values() for block in record.blocks}
        absent = deleted | {block for n in open_lists for block in candidates[n].blocks}
        generation = min(open_lists) - 1 if open_lists else max(closed, default=0)
        newest = max([*candidates, *closed], default=0)
        read_lists = len({id(record) for record in closed.values()})
        return GcState(absent, deleted, generation, open_lists, sorted(closed), read_lists, newest)

    def _list_at(self, kind: ObjectKind, name: str) -> BlockList:
        if name not in self._lists:
            self._lists[name] = self.get(kind, name, BlockList)
        return self._lists[name]

    def sessions(self) -> dict[bytes, list[int]]:
        """Announcement numbers of all posted sessions, ascending."""
        found: dict[bytes, list[int]] = {}
        for info in self.place.list("sessions/"):
            parsed = naming.parse_session_name(info.name)
            if parsed is not None:
                found.setdefault(parsed[0], []).append(parsed[1])
        return {session: sorted(numbers) for session, numbers in found.items()}

    def session(self, session: bytes, n: int) -> Session:
        """One announcement. Raises DamageError, ObjectMissingError."""
        return self.get(ObjectKind.SESSION, naming.session_name(session, n), Session)

    def readable_session(self, session: bytes, numbers: list[int]) -> Session | None:
        """The newest of these announcements that can be read; None: none can."""
        for n in reversed(numbers):
            with suppress(DamageError, ObjectMissingError, KeyMissingError):
                return self.session(session, n)
        return None

    def posted(self) -> Iterator[Posted]:
        """Sessions with their newest announcements, but for those that end meanwhile. Raises as `session`."""
        for session, numbers in self.sessions().items():
            found = self._newest(session, numbers)
            if found is not None:
                yield found

    def _newest(self, session: bytes, numbers: list[int]) -> Posted | None:
        for _ in range(_LOOKS):
            with suppress(ObjectMissingError):
                return Posted(session, numbers, self.session(session, numbers[-1]))
            # It went on, or ended, since it was listed.
            again = self.sessions().get(session)
            if again is None:
                return None
            numbers = again
        return Posted(session, numbers, self.session(session, numbers[-1]))

    def remove_session(self, session: bytes, numbers: list[int]) -> None:
        """Delete announcements of a session whose name is taken or void."""
        for n in numbers:
            self.place.delete(naming.session_name(session, n))

    def commit(self, name: str, snapshot: Snapshot) -> None:
        """Create a snapshot's name: the one commit.

        Raises ObjectExistsError when another took the name; one that equals ours is ours.
        """
        try:
            self.put(ObjectKind.SNAPSHOT, name, snapshot)
        except ObjectExistsError:
            try:
                standing = self.snapshot(name)
            except (DamageError, ObjectMissingError):
                standing = None
            if standing != snapshot:
                raise
