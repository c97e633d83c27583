"""Which older snapshots have files that were cut or named otherwise than now, and how much: reads trees alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from backupd.errors import DamageError, FormatError, NewerVersionError, ObjectMissingError
from backupd.operations.backup.lineage import Fitness, StoredAs, lineage_of
from backupd.operations.migrate.known import Known
from backupd.operations.migrate.recutting import Naming, content_key
from backupd.operations.snapshot_listing import SnapshotAt
from backupd.repository.records import Records
from backupd.sizes import MIB
from backupd.snapshot.naming import set_id_text
from backupd.snapshot.records import Rewriting, Snapshot
from backupd.tree.depth import TOO_DEEP, is_too_deep
from backupd.tree.entry import Entry, Kind
from backupd.tree.nodes import Load, iterate_entries

_KNOWN_BYTES = 64 * MIB


class Left(msgspec.Struct, frozen=True):
    """A snapshot that stays as it is."""

    at: SnapshotAt
    reason: str
    is_damaged: bool = False


class Planned(msgspec.Struct):
    """What is to be done with the history of a set."""

    chosen: list[tuple[SnapshotAt, Fitness]] = []
    """The newest first."""
    well: set[bytes] = set()
    """Sessions of those that have nothing of the kind."""
    left: list[Left] = []
    unread: list[str] = []
    """Why the record of a snapshot can't be read."""
    leftovers: list[tuple[SnapshotAt, SnapshotAt]] = []
    """Old ones that a run did not get to drop, each with what stands in for it; in that order."""
    files: int = 0
    bytes: int = 0
    """To be read, and to be stored at most; what several snapshots have once, as far as that is known."""


class Survey:
    """Of one set at one place."""

    def __init__(self, naming: Naming, now: StoredAs, chosen_class: int | None, load: Load, turn: Callable[[], None]):
        self._naming, self._now, self._chosen_class = naming, now, chosen_class
        self._load, self._turn = load, turn
        self._is_stale: Known[bool] = Known(_KNOWN_BYTES)
        """Whether a directory has such files anywhere below."""
        self._counted: Known[bool] = Known(_KNOWN_BYTES)

    def look(self, records: Records, known: set[bytes], *, is_newest_left: bool) -> Planned:
        """All complete snapshots of the set.

        known: sessions of those that were found to be well: they are not even read. is_newest_left: the newest one is
        for the next run.
        Raises DestinationError, and DamageError where it is not known what was dropped.
        """
        planned = Planned()
        set_id = set_id_text(self._naming.set_id)
        is_newest = is_newest_left
        read: list[SnapshotAt] = []
        unasked: list[str] = []
        for name in reversed(records.snapshot_names()):
            if name.set_id != set_id:
                continue
            self._turn()
            if name.session in known:
                planned.well.add(name.session)
                unasked.append(name.name)
                is_newest = False
                continue
            try:
                snapshot = records.snapshot(name.name)
            except (DamageError, NewerVersionError, ObjectMissingError) as error:
                planned.unread.append(error.message)
                continue
            if not snapshot.is_complete:
                continue
            read.append(SnapshotAt(name.name, snapshot))
            fitness = Fitness(lineage_of([snapshot]), self._now, self._chosen_class)
            if fitness.lineage == frozenset({self._now}):
                planned.well.add(name.session)
            elif not is_newest:
                self._sort(SnapshotAt(name.name, snapshot), name.session, fitness, planned)
            is_newest = False
        planned.leftovers = self._leftovers(records, read, unasked)
        return planned

    def _leftovers(
        self, records: Records, read: list[SnapshotAt], unasked: list[str]
    ) -> list[tuple[SnapshotAt, SnapshotAt]]:
        """Whatever the settings were by which one was written anew: else it would be written anew twice."""
        rewritings = [at.snapshot.rewriting for at in read if at.snapshot.rewriting is not None]
        if {one.snapshot_id for one in rewritings} - {at.snapshot.id for at in read}:
            for name in unasked:
                self._turn()
                # As above: what can't be read is none that stands there twice.
                with suppress(DamageError, NewerVersionError, ObjectMissingError):
                    read.append(SnapshotAt(name, records.snapshot(name)))
        by_id: dict[bytes, list[SnapshotAt]] = {}
        for at in read:
            by_id.setdefault(at.snapshot.id, []).append(at)
        pairs = [
            (old, new)
            for new in read
            if new.snapshot.rewriting is not None
            for old in by_id.get(new.snapshot.rewriting.snapshot_id, [])
            if _stands_in(new.snapshot.rewriting, old.snapshot)
        ]
        stand_ins = {new.name for _, new in pairs}
        return sorted(pairs, key=lambda pair: pair[0].name in stand_ins)

    def _sort(self, at: SnapshotAt, session: bytes, fitness: Fitness, planned: Planned) -> None:
        """What becomes of one snapshot."""
        try:
            is_stale = self._look_at(at.snapshot.root, fitness, planned)
        except (DamageError, NewerVersionError, ObjectMissingError) as error:
            planned.left.append(Left(at, error.message, is_damaged=True))
            return
        if is_stale:
            planned.chosen.append((at, fitness))
        else:
            planned.well.add(session)

    def _look_at(self, root: bytes, fitness: Fitness, planned: Planned) -> bool:
        """Whether a tree has such files; those that were not counted before are."""
        flags = bytes([fitness.is_named_alike, fitness.is_cut_alike])
        is_by_path = self._naming.deduplication == "path"
        stack: list[tuple[bytes, bytes, Iterator[Entry], list[bool]]] = []

        def key(node: bytes, path: bytes) -> bytes:
            return flags + node + (path if is_by_path else b"")

        def enter(node: bytes, path: bytes) -> None:
            self._turn()
            if is_too_deep(path):
                raise FormatError(f"{path!r} {TOO_DEEP}")
            stack.append((node, path, iterate_entries(node, self._load), [False]))

        enter(root, b"")
        while True:
            node, path, entries, is_stale = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                self._is_stale.add(key(node, path), is_stale[0], len(path) if is_by_path else 0)
                if not stack:
                    return is_stale[0]
                stack[-1][3][0] |= is_stale[0]
            elif entry.kind == Kind.DIRECTORY and isinstance(entry.content, bytes):
                below = path + b"/" + entry.name
                known = self._is_stale.get(key(entry.content, below))
                if known is None:
                    enter(entry.content, below)
                else:
                    is_stale[0] |= known
            elif not fitness.is_well(entry):
                is_stale[0] = True
                self._count(entry, path, fitness, planned)

    def _count(self, entry: Entry, above: bytes, fitness: Fitness, planned: Planned) -> None:
        path = above + b"/" + entry.name
        key = content_key(entry, self._naming.salt(entry, path, is_named_alike=fitness.is_named_alike))
        if self._counted.get(key) is None:
            self._counted.add(key, True, 0)
            planned.files += 1
            planned.bytes += entry.size


def _stands_in(rewriting: Rewriting, old: Snapshot) -> bool:
    """Whether one is the other, cut anew: what a purge wrote lacks paths, and more of them than the old one."""
    return rewriting.path_count == (old.rewriting.path_count if old.rewriting is not None else 0)
