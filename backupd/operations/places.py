"""From DEST and secrets to an open repository, its index and its content."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import msgspec

from backupd.cache.index_tables import IndexTables
from backupd.destination.contract import Below, Destination, Store
from backupd.destination.reading import ReadWithOwnRights
from backupd.destination.stores import canonical
from backupd.errors import BackupError
from backupd.model.orders import SnapshotListOrder
from backupd.model.places import is_url, split_inside
from backupd.model.store_access import StoreAccess
from backupd.model.work import RepositorySetup
from backupd.operations import rollback_alarm
from backupd.operations.context import JobContext
from backupd.operations.healed import HealedBlocks
from backupd.operations.newest import newest_ns
from backupd.operations.unlocking import is_without_key, not_here, unlock
from backupd.repository import identity
from backupd.repository.index_loading import LoadedIndex, load_index
from backupd.repository.opening import OpenRepository
from backupd.repository.ranged_index import RangedIndex
from backupd.repository.reader import ChunkPlaces, ChunkReader, SegmentReader, worker_setup
from backupd.repository.records import Records
from backupd.rules import names, picking
from backupd.settings.directories import ensure
from backupd.settings.writer_mark import WriterMark
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot

Seen = TypeVar("Seen")
_FETCHED_INDEX_BYTES = 8 << 20


class OpenPlace(msgspec.Struct, frozen=True):
    """A place, the repository there, and where this host keeps its caches for it."""

    address: str
    """Of the place; repository objects lie in its folder of the repository's name."""
    access: StoreAccess
    whole: Destination
    repository: OpenRepository
    records: Records
    cache: str
    """Directory of index tables and file caches."""
    healed: HealedBlocks
    """Tells of damaged blocks that were read by their parity."""

    @property
    def from_words(self) -> str:
        """`--from PLACE` and what opens it, as a shell takes it."""
        return from_words(self.address, self.access)

    def setup(self) -> RepositorySetup:
        """What worker processes need."""
        return worker_setup(self.repository, self.address, self.access)

    def segments(self) -> SegmentReader:
        """What reads segments there."""
        return SegmentReader(self.repository.place, self.setup(), self.healed.note)


def from_words(address: str, access: StoreAccess) -> str:
    """`--from PLACE` and what opens it, as a shell takes it."""
    return shlex.join(["--from", address, *access.words])


@contextmanager
def writing(context: JobContext, place: OpenPlace) -> Iterator[OpenPlace]:
    """The same place through a writer of its own name, marked while it is at work: nobody else's temporary files.

    What marked writers of this state left there when they were killed is removed first.
    """
    tag = os.urandom(16).hex()
    with (
        WriterMark(context.directories.state, identity.place_tag(canonical(place.address)), tag) as mark,
        closed(context.open_store(place.address, tag, place.access), mark) as whole,
    ):
        remove_dead_temporaries(mark, whole, place.repository.text_id)
        repository = msgspec.structs.replace(place.repository, place=Below(whole, place.repository.text_id))
        yield msgspec.structs.replace(place, whole=whole, repository=repository, records=Records(repository))


@contextmanager
def closed(whole: Store, mark: WriterMark) -> Iterator[Store]:
    """Close a writer's place at the end of the block; its mark stays where the place failed."""
    try:
        yield whole
    finally:
        whole.close()
        if whole.may_leave_temporaries:
            mark.keep()


def remove_dead_temporaries(mark: WriterMark, whole: Store, repository: str) -> int:
    """Remove temporary files of writers of this state that were killed; how many."""
    removed = 0
    for tag in mark.dead_tags():
        removed += sum(whole.remove_temporaries(folder, tag) for folder in (".", repository))
        mark.forget(tag)
    return removed


def split_place(address: str) -> tuple[str, str | None]:
    """A place that names one of several repositories as PLACE/ID."""
    above, last = split_inside(address)
    if identity.is_id_text(last) and (is_url(address) or not os.path.exists(f"{address}/once.json")):
        return above, last
    return address, None


def open_place(context: JobContext) -> OpenPlace:
    """Open the repository at the order's place for reading.

    Raises RepositoryNotFoundError, KeyMissingError, WrongKeyError, NewerVersionError, DamageError, DestinationError.
    """
    with context.rights.raised():
        address, repository = split_place(context.order.place)
        opened = context.open_store(address, "reader", context.order.access)
        if repository is None:
            top_names = opened.top_names()
            repository = _holder(context, opened, address, top_names) or identity.choose(opened, top_names)
    whole: Destination = opened
    if context.order.caller is not None:
        whole = ReadWithOwnRights(whole, context.rights)
    return open_repository(context, whole, address, repository, context.order.access)


def readable_repositories(
    context: JobContext,
    whole: Destination,
    address: str,
    access: StoreAccess,
    top_names: list[str],
    look: Callable[[OpenPlace], Seen],
) -> Iterator[tuple[OpenPlace, Seen] | str]:
    """Each repository at a place, with what a look says; its id where no key is at hand, or it can't be read: told."""
    for repository in identity.list_repositories(whole, top_names):
        try:
            place = open_repository(context, whole, address, repository, access)
            seen = look(place)
        except BackupError as error:
            # That the key of another machine's repository is not kept here is nothing to tell.
            if not is_without_key(error):
                context.warn(f"{address}/{repository} is passed over: {error.message}")
            yield repository
            continue
        yield place, seen


def _holder(context: JobContext, whole: Destination, address: str, top_names: list[str]) -> str | None:
    """Of several repositories at a place the one that holds the order's HOST:SET; None where it names none.

    An encrypted one goes first: without a key anybody could have written what lies there.
    Raises KeyMissingError, RepositoryNotFoundError.
    """
    order = context.order
    asked = order if isinstance(order, SnapshotListOrder) else getattr(order, "selection", None)
    words = [asked.set_name] if asked is not None else getattr(order, "set_names", [])
    word = words[0] if len(words) == 1 else None
    host, name = names.split_host(word) if word is not None else (None, "")
    if word is None or host is None or len(identity.list_repositories(whole, top_names)) < 2:
        return None

    def is_meant(one: Snapshot) -> bool:
        is_set = name == one.set_name or (names.is_id(name, "b") and naming.set_id_text(one.set_id).startswith(name))
        hosts.update({one.host_name} if is_set else ())
        return is_set and picking.is_of_host(one.host_name, host)

    newest: dict[str, tuple[bool, int]] = {}
    closed, hosts = list[str](), set[str]()
    for one in readable_repositories(
        context, whole, address, order.access, top_names, lambda place: newest_ns(place.records, is_meant)
    ):
        if isinstance(one, str):
            closed.append(one)
        elif one[1] is not None:
            newest[one[0].repository.text_id] = (not one[0].repository.is_clear, one[1])
    if not newest:
        raise not_here(context, word, address, closed, hosts)
    return max(newest, key=lambda one: newest[one])


def open_repository(
    context: JobContext, whole: Destination, address: str, repository: str, access: StoreAccess
) -> OpenPlace:
    """Open a repository that is known to lie at the place. access: what the place was opened with."""
    for warning in identity.read_identity(whole, repository):
        context.warn(warning)
    below = Below(whole, repository)
    opened = unlock(context, below, repository)
    for problem in opened.warnings:
        context.warn(problem)
    # The same repository lies at several destinations, each with an index of its own.
    tag = identity.place_tag(canonical(address))
    cache = os.path.join(ensure(os.path.join(context.directories.cache, repository)), tag)
    healed = HealedBlocks(context.warn, whole.shown)
    place = OpenPlace(address, access, whole, opened, Records(opened), ensure(cache), healed)
    rollback_alarm.look(context, place.records, seen_snapshots_path(context, place), whole.shown)
    return place


def seen_snapshots_path(context: JobContext, place: OpenPlace) -> str:
    """Where this host keeps its list of snapshots seen at a place (cache.seen_snapshots); it can't be made again."""
    name = f"{place.repository.text_id}-{os.path.basename(place.cache)}"
    return os.path.join(context.directories.state, "seen", name)


def load_place_index(place: OpenPlace) -> LoadedIndex:
    """The index of an open place, its tables kept in the place's cache directory."""
    return load_index(place.repository, ensure(os.path.join(place.cache, "index")), is_reading=True)


class Lookup(NamedTuple):
    """Who knows where the chunks of an open place lie, and what can't be read of the index."""

    tables: ChunkPlaces
    damaged: dict[str, str]
    locked: dict[str, str]


def open_lookup(place: OpenPlace, *, is_selective: bool) -> Lookup:
    """The index for reading.

    is_selective: few files are wanted; then a large index that this host has not got is asked where it lies, page by
    page, instead of being fetched whole.
    """
    if is_selective:
        sizes = {info.name.removeprefix("index/"): info.size_bytes for info in place.repository.place.list("index/")}
        tables = IndexTables(os.path.join(place.cache, "index"))
        fetched = sum(size for name, size in sizes.items() if not tables.load(name))
        tables.close()
        if fetched > _FETCHED_INDEX_BYTES:
            ranged = RangedIndex(place.repository, sizes)
            return Lookup(ranged, ranged.damaged, {})
    index = load_place_index(place)
    return Lookup(index.tables, index.damaged, index.locked)


def open_reader(place: OpenPlace, index: Lookup | LoadedIndex) -> ChunkReader:
    """A reader of single chunks (tree nodes, lists, attribute values)."""
    return ChunkReader(place.segments(), index.tables)
