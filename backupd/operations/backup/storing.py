"""The engine of a run with what feeds it: file reading, directories, the walk, progress."""

from __future__ import annotations

import os
from collections.abc import Sequence

from backupd.cache.file_cache import FileCacheWriter
from backupd.chunk.identity import node_key
from backupd.errors import DamageError, DestinationError
from backupd.model import events
from backupd.model.orders import BackupOrder
from backupd.operations.backup.basing import Base
from backupd.operations.backup.building import BuildTools
from backupd.operations.backup.file_states import files_under_way
from backupd.operations.backup.lineage import tell_stale
from backupd.operations.backup.parts import Parts
from backupd.operations.backup.reading import FileReading, StorePolicy
from backupd.operations.backup.setting import SetUse
from backupd.operations.backup.stored_rows import entries_in, small_files_bare
from backupd.operations.backup.stream_files import StreamFiles, none_stored
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk import TreeWalk
from backupd.operations.context import JobContext
from backupd.repository.engine import StoreEngine
from backupd.repository.engine_options import EngineOptions
from backupd.repository.reader import ChunkReader
from backupd.repository.spool import Spool
from backupd.repository.workforce import default_count
from backupd.settings.directories import ensure

_NOT = bytes([1]) + bytes(255)
_SPOOL_BYTES = 8 << 30
"""The most that waits on this machine for one destination of several."""
_TURNS_A_PUMP = 32
"""Handing out a batch pumps too; between batches a small directory is not worth a system call."""


class Storing:
    """Engine and walk of one run."""

    def __init__(
        self,
        order: BackupOrder,
        context: JobContext,
        parts: Parts,
        use: SetUse,
        tally: Tally,
    ) -> None:
        options = EngineOptions(
            order.limits.jobs or default_count(),
            use.compression,
            order.check_before_sending,
            order.chunk_size_bytes or 0,
            use.rules.grafts.places,
            use.rules.rights.user,
        )
        self._order, self._context, self._use, self.tally = order, context, use, tally
        self._streams: StreamFiles | None = None
        healthy = list(parts)
        place = healthy[0].place
        self._node_key = node_key(place.repository.keyring.chunk_id_key)
        targets = [part.target(spool) for part, spool in zip(healthy, _spools(context, len(healthy)), strict=True)]
        self.engine = StoreEngine(place.setup(), targets, options, context.cancel, context.clock)
        for part, lane in zip(healthy, self.engine.lanes.all, strict=True):
            part.lane = lane
        parts.lanes = self.engine.lanes
        self.engine.on_idle = self._progress
        self.engine.on_worker_death = context.warn
        self._parts = parts
        self._chunks = {id(part): ChunkReader(part.place.segments(), part.index.tables) for part in healthy}
        self._expected: tuple[int | None, int | None] = (None, None)
        self.reading: FileReading | None = None
        self._turns = 0

    def begin(self, writer: FileCacheWriter, base: Base, began_ns: int) -> TreeWalk:
        """A walk over the sources, its files read by the engine."""
        use = self._use
        policy = StorePolicy(
            use.set_id, use.deduplication, use.scope_salt, use.chosen_class, base.is_asked, base.resumed_from_ns
        )
        if base.newest is not None:
            self._expected = (base.newest.file_count, base.newest.byte_count)
        else:
            self.engine.start_first_worker()
        reading = FileReading(
            self.engine, policy, self.tally, self._are_everywhere, self._load, use.rules
        )
        self.reading = reading
        if self._order.streams:
            self._streams = StreamFiles(self._order.streams, self._context, self.engine, reading, use.chosen_class)
            reading.streams = self._streams
        cached = self._order.cache
        bare = small_files_bare(cached.min_bytes) if cached.mode == "auto" else None
        tools = BuildTools(self._node_key, self.engine.store_node, writer, lambda build: walk.finished(build), bare)  # noqa: PLW0108
        caches = base.stored_rows(use, self._load, self._context.warn) if cached.mode == "none" else base.to_caches(use)
        for cache in base.caches:
            cache.entries = entries_in(self._load)
        tell_stale(self._context, caches, self.tally)
        walk = TreeWalk(tools, use.rules, caches, reading, self.tally, began_ns)
        return walk

    @property
    def token(self) -> bytes:
        """Of the cache; empty: the next run is to look at everything."""
        watched = self._order.watched
        is_loose = self.tally.has_loose_links or (self.reading is not None and self.reading.has_new_groups)
        return watched.token if watched is not None and not is_loose else b""

    def flush(self) -> None:
        """Give out what waits for a full batch."""
        if self.reading is not None:
            self.reading.flush()

    def turn(self) -> None:
        """Between two stretches of the walk."""
        self._turns += 1
        if self.engine.has_work and not self._turns % _TURNS_A_PUMP:
            self.engine.pump(0)
        else:
            self._context.cancel.check()
            self._progress()

    def tell_files(self) -> None:
        """Let the states so far be seen, and which files are read now and wait, where states are kept."""
        states = self.tally.states
        if states.is_kept:
            states.flush()
            unsent = self.reading.unsent() if self.reading is not None else ()
            self._context.send(files_under_way(self.engine.under_way, unsent))

    def refuse_nothing(self) -> None:
        """Raise StreamError where the set has nothing but streams, and none of them gave anything to keep."""
        streams = self._streams
        if streams is not None and not streams.stored and not self._order.sources:
            raise none_stored(streams.failed, self._order.set_name)

    def close(self) -> None:
        """Stop commands, workers and uploader; leave the source."""
        if self._streams is not None:
            self._streams.close()
        self.engine.close()
        if self.reading is not None:
            self.reading.close()

    def _are_everywhere(self, ids: bytes) -> bytearray:
        """For each chunk 1 if no destination lacks it."""
        return self.engine.lanes.lacking(ids).translate(_NOT)

    def _load(self, chunk_id: bytes) -> bytes:
        """A node or list of the base, from the first destination that gives it."""
        healthy = list(self._parts)
        for part in healthy[:-1]:
            try:
                return self._chunks[id(part)].load(chunk_id)
            except (DestinationError, DamageError):
                continue
        return self._chunks[id(healthy[-1])].load(chunk_id)

    def _progress(self) -> None:
        if self._context.progress(self._make_progress):
            self.tell_files()

    def _make_progress(self, elapsed: float) -> events.Progress:
        tally = self.tally
        files, size = self._expected
        eta = None
        done = tally.kept_bytes + tally.read_bytes
        if size and 0 < done < size:
            eta = elapsed * (size - done) / done
        return events.Progress(
            step="store",
            files_done=tally.same + tally.new + tally.changed,
            files_total=files,
            bytes_done=done,
            bytes_total=size,
            bytes_stored=self.engine.lanes.stored_bytes,
            current=tally.current,
            eta_seconds=eta,
            elapsed_seconds=elapsed,
        )


def _spools(context: JobContext, count: int) -> Sequence[Spool | None]:
    """For each of several destinations where blocks wait when the others are faster; half of the disk at most."""
    if count == 1:
        return [None]
    directory = ensure(context.directories.temporary)
    found = os.statvfs(directory)
    limit = min(_SPOOL_BYTES, found.f_bavail * found.f_frsize // (2 * count))
    return [Spool(directory, limit) for _ in range(count)]
