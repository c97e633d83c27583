"""Makes index objects for what blocks hold and no readable index object names (`check --rebuild-index`, FEATURES 8.1).

Nothing is deleted: index objects that can't be read are named as replaced by the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from backupd.cache.index_tables import IndexTables
from backupd.destination.contract import Destination
from backupd.errors import DamageError
from backupd.index.layout import BlockContents
from backupd.model import events
from backupd.model.work import RepositorySetup
from backupd.operations.context import JobContext
from backupd.repository.block_contents import ContentsReader
from backupd.repository.block_listing import list_blocks
from backupd.repository.index_check import VerifiedIndex
from backupd.repository.index_loading import publish
from backupd.repository.object_check import SmallObjects
from backupd.repository.opening import OpenRepository
from backupd.repository.records import Records

_BATCH_CHUNKS = 400_000


def rebuild(
    context: JobContext,
    repository: OpenRepository,
    setup: RepositorySetup,
    index: VerifiedIndex,
    objects: SmallObjects,
) -> dict[str, int]:
    """Publish what the index lacks; returns how much that was. repository: with a place that may be written to."""
    listed = {b: size for b, size in list_blocks(repository.place).items() if b not in objects.deleted}
    try:
        generation = Records(repository).gc_state().generation
    except DamageError:
        # It only saves work; 0 is always true.
        generation = 0
    replaces = [name for name, error in index.damaged.items() if isinstance(error, DamageError)]
    counts = {"blocks": 0, "chunks": 0, "objects": 0}
    pending: list[BlockContents] = []
    pending_chunks = 0
    for contents in read_missing(context, repository.place, setup, listed, index.tables):
        chunks = sum(len(frame.ids) // 32 for frame in contents.frames)
        if pending and pending_chunks + chunks > _BATCH_CHUNKS:
            counts["objects"] += len(publish(repository, index.tables, pending, generation))
            pending, pending_chunks = [], 0
        pending.append(contents)
        pending_chunks += chunks
        counts["blocks"] += 1
        counts["chunks"] += chunks
    counts["objects"] += len(publish(repository, index.tables, pending, generation, replaces))
    return counts


def read_missing(
    context: JobContext,
    place: Destination,
    setup: RepositorySetup,
    listed: Mapping[bytes, int],
    tables: IndexTables,
) -> Iterator[BlockContents]:
    """What blocks hold that the tables don't name whole; damaged ones are told. listed: sizes by block id."""
    reader = ContentsReader(place, setup)
    for number, (block_id, size_bytes) in enumerate(listed.items()):
        context.cancel.check()
        context.progress(_progress(number, len(listed)))
        frames = tables.frames_of(block_id)
        is_known = bool(frames) and reader.is_known(block_id, size_bytes, frames)
        if is_known and reader.names_all(block_id, size_bytes, frames):
            continue
        found = reader.read(block_id, size_bytes)
        if is_known and found.contents is not None and _has_all(found.contents, tables, listed):
            # An index object names one place of a chunk: the other one is in another block.
            continue
        for _, message in found.problems[:1]:
            context.warn(f"{message}; {'only a part' if found.contents else 'nothing'} of the block can be used")
        if found.contents is not None:
            yield found.contents


def _has_all(contents: BlockContents, tables: IndexTables, listed: Mapping[bytes, int]) -> bool:
    """Whether the index names a place that is there for each chunk of a block."""
    ids = b"".join(frame.ids for frame in contents.frames)
    places = tables.find_many(ids)
    return all(place is not None and place.block_id in listed for place in places)


def _progress(done: int, total: int) -> Callable[[float], events.Progress]:
    return lambda elapsed: events.Progress(
        step="index", files_done=done, files_total=total, elapsed_seconds=elapsed
    )
