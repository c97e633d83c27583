"""The index of a destination on this host: look-up tables made from its index objects, and publishing new ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from backupd.block.assembler import FinishedBlock
from backupd.cache.index_tables import IndexTables
from backupd.errors import DamageError, KeyMissingError, NewerVersionError, ObjectMissingError
from backupd.index.layout import MAX_OBJECT_BYTES, BlockContents, Frame, IndexContents
from backupd.index.merge import Doubts, IndexSize, merge_all, plan_merge
from backupd.index.parts import IndexSeal
from backupd.index.reader import decode_all
from backupd.index.writer import encode_index, seal_index, split_blocks
from backupd.repository.any_copy import Source, of_any_copy
from backupd.repository.bad_places import names_bad
from backupd.repository.opening import OpenRepository, epoch_keys
from backupd.repository.records import GcState, Records
from backupd.seal.cipher import EPOCH_BYTES, Binding, EpochName, unpack_epoch
from backupd.seal.header import HEADER_BYTES, ObjectKind, check_header
from backupd.snapshot.records import Damage
from backupd.store_errors import BlocksLostError

_REPLACES_MOST = 4096
_TRIES = 3
"""Of an index object to be fetched or stored as it is (FEATURES 6.1)."""


class LoadedIndex(msgspec.Struct, frozen=True):
    """Tables of all readable index objects, and what is wrong with the others."""

    tables: IndexTables
    damaged: dict[str, str]
    """Message by object name below `index/`."""
    sizes: dict[str, int]
    """Bytes of all objects listed."""
    locked: dict[str, str] = {}
    """Message by name of those of an epoch that the key at hand does not open."""
    lost: list[str] = []
    """Names of those that this host has known and that are gone, though no other says that it replaces them."""

    @property
    def is_whole(self) -> bool:
        """Whether all that was ever in it can be found by it."""
        return not self.damaged and not self.lost


def seal_of(repository: OpenRepository, name: str, epoch: EpochName) -> IndexSeal:
    """What opens an index object. name: below `index/`."""
    binding = Binding(ObjectKind.INDEX, repository.id, epoch, f"index/{name}")
    keys = epoch_keys(repository, epoch, binding.name)
    return IndexSeal(binding, keys.index_key, repository.keyring.configuration.cipher)


def fetch_contents(repository: OpenRepository, name: str) -> IndexContents:
    """A whole index object. Raises DamageError, ObjectMissingError, NewerVersionError."""

    def read(source: Source) -> IndexContents:
        data = source.get(f"index/{name}", 0, MAX_OBJECT_BYTES + 1)
        check_header(data, ObjectKind.INDEX, f"index/{name}")
        epoch = unpack_epoch(data[HEADER_BYTES : HEADER_BYTES + EPOCH_BYTES].ljust(EPOCH_BYTES, b"\0"))
        return decode_all(seal_of(repository, name, epoch), data)

    return of_any_copy(repository.place, f"index/{name}", read)


def epoch_of(repository: OpenRepository, name: str) -> EpochName:
    """The epoch that an index object is sealed under. Raises DamageError, ObjectMissingError."""
    data = repository.place.get(f"index/{name}", 0, HEADER_BYTES + EPOCH_BYTES)
    check_header(data, ObjectKind.INDEX, f"index/{name}")
    return unpack_epoch(data[HEADER_BYTES:].ljust(EPOCH_BYTES, b"\0"))


def _fetch_patiently(repository: OpenRepository, name: str) -> IndexContents:
    """The same; what arrives damaged is fetched again, for the line may have done it. Raises as the last try."""
    for _ in range(_TRIES - 1):
        with suppress(DamageError):
            return fetch_contents(repository, name)
    return fetch_contents(repository, name)


def load_index(repository: OpenRepository, directory: str, *, is_reading: bool = False) -> LoadedIndex:
    """Open or make the table of every index object; a replaced one is passed over where a readable one names it.

    directory: for the table files of this repository at this destination. is_reading: an object of a newer version is
    passed over like a damaged one; a writer must not. Raises NewerVersionError.
    """
    sizes = {info.name.removeprefix("index/"): info.size_bytes for info in repository.place.list("index/")}
    tables = IndexTables(directory)
    tables.made_of(lambda name: fetch_contents(repository, name))
    damaged: dict[str, str] = {}
    locked: dict[str, str] = {}
    # Those that are here first: what they replace need not be fetched again and again.
    absent = [name for name in sizes if (not is_reading and tables.is_doubted(name)) or not tables.load(name)]
    replaced = {old for table in tables.tables() for old in table.replaces}
    for name in absent:
        if name in replaced:
            continue
        try:
            tables.build(name, _fetch_patiently(repository, name))
            tables.trust(name)
        except KeyMissingError as error:
            locked[name] = error.message
        except (DamageError, ObjectMissingError) as error:
            damaged[name] = error.message
        except NewerVersionError as error:
            if not is_reading:
                raise
            damaged[name] = error.message
    replaced = {old for table in tables.tables() for old in table.replaces}
    # Their tables stay as the sign of it until a run has asked for all that they named: see `forget_lost`.
    lost = [name for name in tables.file_names() if name not in sizes and name not in replaced]
    doubted = [name for name in damaged if tables.is_doubted(name)]
    tables.keep_only([name for name in tables.names() if name not in replaced], [*lost, *doubted])
    if is_reading:
        known = set(sizes)
        tables.grow_by(lambda: add_new(repository, tables, known))
    return LoadedIndex(tables, {n: m for n, m in damaged.items() if n not in replaced}, sizes, locked, lost)


def add_new(repository: OpenRepository, tables: IndexTables, known: set[str]) -> bool:
    """Add the tables of index objects that came since: what is needed of a block that is gone was copied before.

    known: names of all that were looked at. Whether any was added.
    """
    listed = {info.name.removeprefix("index/") for info in repository.place.list("index/")}
    is_more = False
    for name in sorted(listed - known):
        known.add(name)
        with suppress(DamageError, KeyMissingError, NewerVersionError, ObjectMissingError):
            if not tables.load(name):
                tables.build(name, _fetch_patiently(repository, name))
            is_more = True
    return is_more


def forget_lost(index: LoadedIndex) -> None:
    """After a complete snapshot that relied on nothing unasked: what lost index objects named is stored again."""
    index.tables.keep_only(index.tables.names(), [n for n in index.tables.file_names() if n not in index.lost])


def mark_absent(tables: IndexTables, records: Records) -> tuple[GcState, dict[str, Damage]]:
    """Tell the tables which places count as absent for writing; returns the gc state and the damage records.

    What is retired counts as absent, too, but no record that says no more than that is among those returned.

    A damage record that can't be read says nothing: what it named is found bad again by the next check. A gc list that
    can't be read is no such trifle: what it names may be deleted, so its error is raised.
    """
    state = records.gc_state()
    damage = records.readable_damage()
    # Lists hold for ever: what no index object names is not asked about, and looking up is faster without doubts.
    named = {row.block_id for row in tables.blocks()}
    tables.absent_blocks |= state.absent & named
    for record in damage.values():
        for block_id, ids in record.places:
            if block_id in state.deleted or block_id not in named:
                continue
            if ids is None:
                tables.absent_blocks.add(block_id)
            elif not ids:
                tables.retired_blocks.add(block_id)
            else:
                tables.absent_places |= {block_id + ids[at : at + 32] for at in range(0, len(ids), 32)}
    return state, {name: record for name, record in damage.items() if names_bad(record)}


def to_contents(block: FinishedBlock) -> BlockContents:
    """A stored block as an index object names it."""
    frames = [Frame(s.offset, s.stored_bytes, s.plain_bytes, s.ids) for s in block.segments]
    return BlockContents(block.block_id, block.size_bytes, block.content, frames)


def publish(
    repository: OpenRepository,
    tables: IndexTables,
    blocks: Sequence[BlockContents],
    generation: int,
    replaces: Sequence[str] = (),
) -> list[str]:
    """Write index objects for blocks that are safe at the destination, and their tables; returns the new names.

    replaces: index objects that the last of the new ones takes the place of; with them there is one even for no blocks.
    Each is read back; one that is not as it was sent is sent again, under another name, which replaces the first.
    Raises BlocksLostError where that does not help.
    """
    names: list[str] = []
    groups = split_blocks(blocks) or ([[]] if replaces else [])
    for number, group in enumerate(groups):
        # The last one alone: until it stands, the others are not yet all there.
        replaced = list(replaces) if number == len(groups) - 1 else []
        name, seal, data = _put_index(repository, group, replaced, generation)
        tables.build(name, decode_all(seal, data))
        names.append(name)
    return names


def _put_index(
    repository: OpenRepository, blocks: Sequence[BlockContents], replaces: list[str], generation: int
) -> tuple[str, IndexSeal, bytes]:
    """(name, what opens it, bytes) of an index object that stands at the place as it was sent."""
    for _ in range(_TRIES):
        name = os.urandom(16).hex()
        seal = seal_of(repository, name, repository.keyring.current.name)
        data = encode_index(seal, blocks, replaces, generation)
        repository.place.put(f"index/{name}", [data])
        with suppress(ObjectMissingError):
            if repository.place.get(f"index/{name}", 0, len(data) + 1) == data:
                return name, seal, data
        replaces = [*replaces, name]
    raise BlocksLostError(
        f"an index object was sent {_TRIES} times, and is not at the destination as it was sent",
        hint="no snapshot was made; look at the disk or store, then run the backup again",
    )


def merge_levels(records: Records, index: LoadedIndex) -> list[str]:
    """Where 8 objects of one level stand, write one that replaces them; returns the new names.

    What closed gc lists name is left out; what counts as absent is kept only of chunks that have no other place.
    """
    names: list[str] = []
    tables = index.tables
    sizes = [IndexSize(t.name, len(t), index.sizes[t.name]) for t in tables.tables() if t.name in index.sizes]
    groups = plan_merge(sizes)
    if not groups:
        return names
    for group in groups:
        newest_first = sorted(group, key=tables.names().index, reverse=True)
        names += merge_named(records, index, newest_first)
    return names


def read_doubts(records: Records, tables: IndexTables) -> Doubts:
    """What a merge leaves out or puts last, read anew: lists and damage may have come while the run was under way."""
    state, damage = mark_absent(tables, records)
    bad = {block_id for record in damage.values() for block_id, ids in record.places if ids is None}
    return Doubts(state.deleted, tables.absent_blocks | tables.retired_blocks, tables.absent_places, bad)


def merge_named(
    records: Records, index: LoadedIndex, newest_first: Sequence[str], doubts: Doubts | None = None
) -> list[str]:
    """Write index objects that take the place of these, and their tables; returns the new names.

    Left out is as in `merge_levels`. None are written where there would be no fewer: chunks have many places then.
    doubts: of a moment ago, where several are merged one after the other; what came since is left out of none.
    """
    repository, tables = records.repository, index.tables
    doubts = doubts or read_doubts(records, tables)
    inputs = [fetch_contents(repository, name) for name in newest_first]
    # What they replaced stays replaced when they are gone, for hosts that have been away for long.
    replaces = list(dict.fromkeys([*newest_first, *(old for one in inputs for old in one.replaces)]))
    merged = merge_all(inputs, replaces[:_REPLACES_MOST], doubts)
    if len(inputs) > 1 and len(merged) >= len(inputs):
        return []
    names: list[str] = []
    for contents in merged:
        # The last one alone says that it replaces them: until it stands, the others are not yet all there.
        name = os.urandom(16).hex()
        seal = seal_of(repository, name, repository.keyring.current.name)
        repository.place.put(f"index/{name}", [seal_index(seal, contents)])
        tables.build(name, contents)
        names.append(name)
    kept = [name for name in tables.names() if name not in newest_first]
    tables.keep_only(kept, [name for name in tables.file_names() if name not in newest_first])
    return names
