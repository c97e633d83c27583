"""What a run goes on from: the newest complete snapshot, partial ones since, caches; dead sessions are ended first."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from backupd import durable_io
from backupd.cache.file_cache import FileCache, adopt_part, open_cache
from backupd.cache.index_tables import IndexTables
from backupd.cache.journal import read_journal
from backupd.clock import to_name
from backupd.errors import AccessError, DamageError, ObjectMissingError, StateError
from backupd.operations.backup.ending import end_dead_session, remove_session
from backupd.operations.backup.lineage import Checked, Fitness, Lineage, is_read_by, lineage_of, with_lineage
from backupd.operations.backup.session import WriterIdentity, recover_blocks
from backupd.operations.backup.setting import SetUse
from backupd.operations.backup.stored_rows import StoredRows
from backupd.operations.backup.walk_rules import Caches
from backupd.operations.context import JobContext
from backupd.operations.places import OpenPlace
from backupd.operations.snapshot_listing import AHEAD_NS
from backupd.repository.index_loading import LoadedIndex
from backupd.repository.records import Records
from backupd.settings.directories import Directories, ensure
from backupd.sizes import count
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.state_errors import translated
from backupd.tree.nodes import Load

_FULL_READ_NS = 31 * 86_400 * 1_000_000_000


class Base(msgspec.Struct):
    """What this run builds on."""

    roots: dict[str, bytes]
    """Names of the snapshots, and their top nodes."""
    caches: list[FileCache]
    options: bytes
    newest: Snapshot | None
    ended_sessions: list[bytes]
    is_asked: bool = False
    read_all_ns: int = 0
    """When every file was last read, 0: in this run."""
    resumed_from_ns: int = 0
    """When the first of the interrupted runs began that this one goes on from."""
    reads_tree: bool = False
    """Whether a file that is read is cut and named as its snapshot has it."""
    lineage: Lineage = None
    """Of the entries of its snapshots."""
    relied: list[str] = []
    """Of its snapshots those of which the caches are believed."""

    @property
    def newest_ns(self) -> int:
        """When the run of the newest complete snapshot began, 0 where there is none."""
        return self.newest.started_ns if self.newest is not None else 0

    @property
    def newest_root(self) -> bytes:
        """Top node of the newest complete snapshot, empty where there is none."""
        return self.newest.root if self.newest is not None else b""

    def check_after_posting(
        self, records: Records, damage: set[str], index: LoadedIndex, caches: Sequence[FileCache]
    ) -> None:
        """A cache counts fully only while its snapshot is listed and not void, and no damage came since (DESIGN 7).

        Nor where a part of the index was lost: what it named is not found any more, though it may lie there.
        caches: those that are used; they may come from another destination, where the snapshot has another name.
        """
        self.is_asked = self.is_asked or not index.is_whole or bool(records.readable_void_names()[1])
        listed = {self.roots.get(name.name) for name in records.snapshot_names()}
        for cache in caches:
            if cache.root not in listed or damage - cache.damage:
                self.is_asked = True
        believed = set() if self.is_asked else {cache.root for cache in caches}
        self.relied = [name for name, root in self.roots.items() if root in believed]

    def forget_caches(self) -> None:
        """Use none: every file is read."""
        for cache in self.caches:
            cache.close()
        self.caches, self.read_all_ns = [], 0

    def to_caches(self, use: SetUse) -> Caches:
        """For the walk."""
        same = {place for place, cache in enumerate(self.caches) if cache.options == self.options}
        reusable = set() if self.is_asked else same
        if not use.is_migrating:
            return Caches(self.caches, reusable)
        return Checked(
            self.caches,
            reusable,
            fitness=Fitness(self.lineage, use.stored_as, use.chosen_class),
            migrated=same,
        )

    def stored_rows(self, use: SetUse, load: Load, warn: Callable[[str], None]) -> StoredRows:
        """For the walk of a set that keeps nothing here. load: gives chunks of the snapshot."""
        fitness = Fitness(self.lineage, use.stored_as, use.chosen_class) if use.is_migrating else None
        return StoredRows([], set(), root=self.newest_root, load=load, warn=warn, fitness=fitness, nodes={})

    def settings(self, use: SetUse) -> str:
        """Of a snapshot that goes on from here."""
        # Where no cache is, every file is read, and a migration leaves nothing that was stored otherwise.
        is_anew = use.is_migrating or not (self.caches or self.reads_tree)
        return with_lineage(use.settings, frozenset() if is_anew else self.lineage, use.stored_as)


def cache_path(place: OpenPlace, set_id: bytes, session: bytes) -> str:
    """The file cache of a session's snapshot."""
    folder = ensure(os.path.join(place.cache, "files"))
    return os.path.join(folder, f"{set_id.hex()}-{session.hex()}.cache")


def share_cache(directories: Directories, old: OpenPlace, new: OpenPlace, set_id: bytes, session: bytes) -> None:
    """Take the file cache of a snapshot, which stands at both places, as the new one's, too.

    Where that fails, the next run there asks for all that is stored.
    """
    take_cache(cache_path(old, set_id, session), new, set_id, session)
    with suppress(StateError, AccessError):
        remove_old_caches(directories, new, set_id, session)


def take_cache(path: str, place: OpenPlace, set_id: bytes, session: bytes) -> None:
    """Link or copy a cache to where the place's own lies; nothing where that fails."""
    own = cache_path(place, set_id, session)
    if own != path:
        with suppress(OSError):
            try:
                os.link(path, own)
            except OSError:
                _copy(path, own)


def _copy(path: str, own: str) -> None:
    """Where no two names can stand for one file."""
    with (
        open(path, "rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
    ):
        durable_io.replace(own, [data])


def journal_path(context: JobContext, place: OpenPlace, set_id: bytes) -> str:
    """The journal of a set at a place."""
    folder = ensure(os.path.join(context.directories.state, "journals"))
    return os.path.join(folder, f"{os.path.basename(place.cache)}-{set_id.hex()}.journal")


def remove_old_caches(directories: Directories, place: OpenPlace, set_id: bytes, session: bytes) -> None:
    """Remove the set's caches of earlier runs, where they kept some. Raises StateError, AccessError."""
    kept = cache_path(place, set_id, session)
    below = os.path.relpath(os.path.dirname(kept), directories.cache)
    for above in {directories.cache, directories.stand_in_cache}:
        folder = os.path.join(above, below)
        try:
            paths = [os.path.join(folder, name) for name in os.listdir(folder) if name.startswith(set_id.hex())]
            for path in paths:
                if path != kept:
                    os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise translated(error, folder) from error


def find(
    context: JobContext, place: OpenPlace, use: SetUse, who: WriterIdentity, tables: IndexTables, *, no_cache: bool
) -> Base:
    """End this state's dead sessions of the set, then find bases and caches. The caller holds the set's lock."""
    ended = end_dead(context, place, use.set_id, who, tables)
    snapshots = _newest_first(context, place, use)
    _, unread = place.records.readable_void_names()
    for message in unread.values():
        context.warn(f"{message}; what it dropped is not known, so every chunk is asked for")
    newest = next((snapshot for _, snapshot in snapshots if snapshot.is_complete), None)
    base = Base({name: snapshot.root for name, snapshot in snapshots}, [], use.options, newest, ended)
    base.is_asked, base.lineage = bool(unread), lineage_of(snapshot for _, snapshot in snapshots)
    partial = [snapshot for _, snapshot in snapshots if not snapshot.is_complete]
    base.resumed_from_ns = min((snapshot.started_ns for snapshot in partial), default=0)
    if no_cache:
        return base
    is_due = False
    for _, snapshot in snapshots:
        read_all_ns = snapshot.statistics.get("read_all_ns", 0)
        if not 0 <= context.clock.now_ns() - read_all_ns <= _FULL_READ_NS:
            # After now: the clock was set back, and by that time no month would ever be over.
            is_due = True
            continue
        if not is_read_by(snapshot, use.rules.rights.user):
            said = "every file is read again: the last run read the sources with the rights of another user"
            context.tell("information", said)
            continue
        cache = open_cache(cache_path(place, use.set_id, snapshot.id))
        if cache is not None and cache.root != snapshot.root:
            # Of another state of that snapshot: a run that got on further here than at the destination, or less far.
            cache.close()
        elif cache is not None:
            base.caches.append(cache)
            base.read_all_ns = min(base.read_all_ns or read_all_ns, read_all_ns)
    if is_due:
        context.tell("information", "every file is read again, as each month", verbosity=1)
    return base


_LAST_RUNS = 3


def last_stored_bytes(place: OpenPlace, use: SetUse, base: Base) -> list[int]:
    """What the last three runs stored that went on from a complete snapshot; empty where there were fewer.

    Also empty where this run goes on from an interrupted one: part of what it would store is there.
    """
    if base.newest is None or base.resumed_from_ns:
        return []
    names = [n for n in place.records.snapshot_names() if n.set_id == naming.set_id_text(use.set_id)]
    if len(names) <= _LAST_RUNS:
        return []
    try:
        last = [base.newest, *(place.records.snapshot(name.name) for name in names[-_LAST_RUNS:-1])]
    except (DamageError, ObjectMissingError):
        return []
    return [snapshot.statistics.get("stored_bytes", 0) for snapshot in last]


def _newest_first(context: JobContext, place: OpenPlace, use: SetUse) -> list[tuple[str, Snapshot]]:
    """The set's partial snapshots since its newest complete one, and that one.

    What is dated after now, as a clock that was set back leaves it, counts as older than all else: for each run until
    then it would be the newest, and its cache, which the next run replaced, is gone.
    """
    found: list[tuple[str, Snapshot]] = []
    names = [n for n in place.records.snapshot_names() if n.set_id == naming.set_id_text(use.set_id)]
    now_ns = context.clock.now_ns()
    now = to_name(now_ns)
    names.sort(key=lambda name: (name.start <= now, name.start))
    if any(name.start > to_name(now_ns + AHEAD_NS) for name in names):
        context.warn(
            "this set has snapshots that are dated after now, and a restore takes the newest of them:"
            " is this machine's clock right? bkctl snapshot list"
        )
    last_start = ""
    for name in reversed(names):
        # Names tell seconds only: several runs may have begun in one.
        if last_start and name.start != last_start:
            break
        try:
            snapshot = place.records.snapshot(name.name)
        except (DamageError, ObjectMissingError) as error:
            context.warn(f"{error.message}; it is not built on")
            continue
        found.append((name.name, snapshot))
        if snapshot.is_complete:
            last_start = name.start
    found.sort(key=lambda pair: (to_name(pair[1].started_ns) <= now, pair[1].started_ns), reverse=True)
    complete = next((at for at, (_, snapshot) in enumerate(found) if snapshot.is_complete), len(found))
    return found[: complete + 1]


def end_dead(
    context: JobContext, place: OpenPlace, set_id: bytes, who: WriterIdentity, tables: IndexTables
) -> list[bytes]:
    """End this state's dead sessions of a set; what they stored can be used. The caller holds the set's lock."""
    records, now_ns = place.records, context.clock.now_ns()
    ended: list[bytes] = []
    path = journal_path(context, place, set_id)
    state = read_journal(path)
    sessions = records.sessions()
    if state is not None:
        found = recover_blocks(records, tables, state, records.gc_state().absent)
        if found:
            context.tell("information", f"used of an interrupted run: {count(found, 'block')}", verbosity=1)
        if state.checkpoint is not None:
            adopt_part(state.session.cache_path.removesuffix(".part"), state.checkpoint.cache_bytes)
        session = state.session.session
        numbers = sessions.pop(session, [])
        name = state.session.snapshot_name
        partial = end_dead_session(records, session, name, now_ns, who.host_id, numbers=numbers)
        if partial is not None:
            context.tell("information", "the last run was interrupted; this one goes on from its last checkpoint")
        else:
            context.tell("information", "ended what an earlier run left: it had come to no checkpoint", verbosity=1)
        ended.append(session)
        try:
            os.unlink(path)
        except OSError as error:
            raise translated(error, path) from error
    listed: set[str] | None = None
    for session, numbers in sessions.items():
        posted = records.readable_session(session, numbers)
        if posted is None:
            continue
        if posted.state_id == who.state_id and posted.set_id == set_id:
            if listed is None:
                # After the sessions: what one of them has committed before it was listed is among these.
                listed = {name.name for name in records.listed_snapshot_names()}
            if posted.snapshot_name in listed:
                remove_session(records, session, numbers)
            else:
                end_dead_session(records, session, posted.snapshot_name, now_ns, who.host_id, numbers=numbers)
            ended.append(session)
    return ended
