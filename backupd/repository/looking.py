"""What a cleaner looks at before it gives anything free: all of it, in one order, and nothing left out (DESIGN 8.3).

What it can't read, or does not know, ends it: whoever deletes never works round damage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from backupd.errors import DamageError, FormatError, KeyMissingError, ObjectMissingError
from backupd.repository.bad_places import BadPlaces, retired_in
from backupd.repository.block_listing import list_blocks
from backupd.repository.grades import Grade, Grading
from backupd.repository.index_loading import LoadedIndex, load_index
from backupd.repository.records import GcState, Posted, Records
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot

_LOOKS = 3
_HINT = "nothing was given free; bkctl check says what is damaged and what to do"
_FOLDERS: dict[str, Callable[[str], object]] = {
    "snapshots/": naming.parse_snapshot_name,
    "sessions/": naming.parse_session_name,
    "gc/": lambda name: naming.parse_gc_name(name) or name.startswith(("gc/drop-", "gc/reserve-", "gc/purge-")) or None,
}


class Look(msgspec.Struct, frozen=True):
    """What stood at the place."""

    gc: GcState
    void: set[str]
    bad: BadPlaces
    index: LoadedIndex
    sessions: list[Posted]
    snapshots: dict[str, Snapshot]
    """Those listed, void ones among them only where a session goes on from them."""
    listed: set[str]
    """Names of all snapshots, void ones too."""
    blocks: dict[bytes, int]
    """Sizes of all blocks that lie there."""
    misshapen: set[bytes] = set()
    """Blocks that are not as long as the index says."""
    retired: set[bytes] = set()
    """Blocks that were given up, for all that they hold was stored anew."""

    @property
    def kept(self) -> set[bytes]:
        """Blocks that sessions go on relying on."""
        return {block_id for posted in self.sessions for block_id in posted.said.keeps}

    def mark_absent(self) -> None:
        """Have the tables give places of grade GOOD or LISTED before all others."""
        tables = self.index.tables
        self.bad.mark(tables, self.gc.deleted)
        tables.absent_blocks |= {row.block_id for row in tables.blocks()} - self.blocks.keys() | self.misshapen
        tables.retired_blocks |= self.retired

    @property
    def grade(self) -> Callable[[bytes, bytes], Grade]:
        """How good a place is, by block and chunk."""
        gc = self.gc
        return Grading(self.blocks, gc.deleted, gc.absent, self.bad, self.misshapen, self.retired).grade


class Looking:
    """Looks at one repository, any number of times; what never changes is read once."""

    def __init__(
        self, records: Records, directory: str, step: Callable[[], None], known: Mapping[str, Snapshot] | None = None
    ) -> None:
        """directory: of index tables. step: called after each object. known: snapshots that were read before."""
        self._records, self._directory, self._step = records, directory, step
        self.snapshots: dict[str, Snapshot] = dict(known or {})
        """As they were read, by name."""

    def look(self) -> Look:
        """In this order: gc lists, damage, index, sessions, snapshots, blocks. The caller closes the tables.

        Raises DamageError, NewerVersionError, KeyMissingError for what can't be read, DestinationError.
        """
        records = self._records
        self._refuse_unknown()
        records.forget_drops()
        gc, void = records.gc_state(), records.void_names()
        bad, damage = BadPlaces(), records.damage().values()
        bad.add_records(damage, gc.deleted)
        index = load_index(records.repository, self._directory)
        try:
            _refuse_index(index)
            sessions: list[Posted] = []
            for posted in records.posted():
                sessions.append(posted)
                self._step()
            bases = {base for posted in sessions for base in posted.said.bases}
            listed = {name.name for name in records.listed_snapshot_names()}
            snapshots = self._read_snapshots({name for name in listed if name not in void or name in bases})
            blocks = list_blocks(records.place)
            rows = index.tables.blocks()
            misshapen = {row.block_id for row in rows if blocks.get(row.block_id, row.size_bytes) != row.size_bytes}
        except BaseException:
            index.tables.close()
            raise
        return Look(gc, void, bad, index, sessions, snapshots, listed, blocks, misshapen, retired_in(damage))

    def _refuse_unknown(self) -> None:
        for folder, parse in _FOLDERS.items():
            for info in self._records.place.list(folder):
                if parse(info.name) is None:
                    raise FormatError(
                        f"{info.name} is nothing that this version knows",
                        hint="nothing was given free; find out who put it there: if it is not backupd's, remove it",
                    )

    def _read_snapshots(self, names: set[str]) -> dict[str, Snapshot]:
        for name in self.snapshots.keys() - names:
            del self.snapshots[name]
        for name in sorted(names - self.snapshots.keys()):
            try:
                self.snapshots[name] = self._records.snapshot(name)
            except ObjectMissingError:
                # Dropped since it was listed.
                if name not in self._records.void_names():
                    raise DamageError(f"{name} was listed, and is gone", hint=_HINT) from None
            self._step()
        return dict(self.snapshots)


def roots_in_order(snapshots: Mapping[str, Snapshot]) -> list[Snapshot]:
    """Snapshots so that each comes after the one that it shares most with: by set, the newest first."""
    return sorted(snapshots.values(), key=lambda one: (one.set_id, -one.started_ns, one.id))


def newest_of_sets(snapshots: Mapping[str, Snapshot]) -> dict[bytes, Snapshot]:
    """The newest complete snapshot of each set, by set: what the data area holds."""
    newest: dict[bytes, Snapshot] = {}
    for one in snapshots.values():
        before = newest.get(one.set_id)
        if one.is_complete and (before is None or one.started_ns > before.started_ns):
            newest[one.set_id] = one
    return newest


def _refuse_index(index: LoadedIndex) -> None:
    if index.locked:
        name, message = next(iter(index.locked.items()))
        raise KeyMissingError(
            f"index/{name} can't be read: {message}", hint="nothing was given free; use a newer key of the repository"
        )
    for message in index.damaged.values():
        raise DamageError(message, hint="nothing was given free; make the index anew: bkctl check --rebuild-index")
