"""`--dry-run`: the same walk, nothing read and nothing written."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from backupd.cache.file_cache import FileCacheWriter, Row, open_cache
from backupd.errors import DamagedCacheError, DamageError, ObjectMissingError
from backupd.model import events
from backupd.model.orders import BackupOrder
from backupd.model.results import Problem
from backupd.operations.backup import summary
from backupd.operations.backup.basing import Base, cache_path
from backupd.operations.backup.building import BuildTools, DirectoryBuild, Slice
from backupd.operations.backup.file_states import FileStates
from backupd.operations.backup.lineage import is_read_by, lineage_of, tell_stale
from backupd.operations.backup.opening import OpenedForWriting
from backupd.operations.backup.sampling import Samples
from backupd.operations.backup.setting import SetUse
from backupd.operations.backup.stream_files import faults_of, none_stored
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk import TreeWalk
from backupd.operations.backup.walk_telling import tell_walk
from backupd.operations.context import JobContext, error_fields
from backupd.operations.places import OpenPlace
from backupd.settings.directories import ensure
from backupd.snapshot import naming
from backupd.snapshot.records import Snapshot
from backupd.source.scanner import Seen
from backupd.tree.entry import Entry, Kind, Stored, decode, encode

_NO_NODE = bytes(32)


class _Counting:
    """Reads nothing: a file that would be read is counted."""

    def __init__(self, tally: Tally, samples: Samples | None, faults: Mapping[bytes, str]) -> None:
        """faults: of streams that can't be had."""
        self._tally, self._samples, self._faults = tally, samples, faults

    def link_group(self, stat: os.stat_result, directory: bytes, name: bytes) -> bytes | None:
        """Nothing is stored, so no name needs a group."""
        return None

    def has_group(self, stat: os.stat_result, encoded: bytes) -> bool:
        """Nothing is stored, so any group will do."""
        return True

    def with_group(self, stat: os.stat_result, encoded: bytes, directory: bytes, name: bytes) -> bytes:
        """The entry as it is."""
        return encoded

    def may_reuse(self, encoded: bytes) -> bool:
        """As a run would."""
        return bool(encoded)

    def stored(self, value: bytes) -> bytes | Stored:
        """Nothing is stored."""
        return Stored(_NO_NODE, len(value))

    def read(self, build: DirectoryBuild, piece: Slice, index: int, seen: Seen, row: Row | None) -> None:
        """Count the file as read."""
        self._tally.read_bytes += seen.stat.st_size
        if self._samples is not None:
            self._samples.see(os.path.join(build.path, seen.name), seen.stat, row)
        if row is None:
            self._tally.new += 1
            self._tally.new_file_bytes += seen.stat.st_size
        else:
            self._tally.changed += 1
            self._tally.changed_file_bytes += seen.stat.st_size

    def read_stream(self, build: DirectoryBuild, piece: Slice, index: int, seen: Seen, row: Row | None) -> None:
        """Count a stream as read, if its command can be started; how much it would be, its last version says."""
        if seen.name in self._faults:
            path = build.path.rstrip(b"/") + b"/" + seen.name
            self._tally.problem(path, "unreadable", self._faults[seen.name])
            self._tally.fail(path, b"", self._faults[seen.name])
            return
        size = decode(row.entry).size if row is not None and row.entry else 0
        self._tally.read_bytes += size
        self._tally.new += row is None
        self._tally.changed += row is not None
        self._tally.changed_file_bytes += size


def run(
    context: JobContext,
    opened: OpenedForWriting,
    use: SetUse,
    missing: list[Problem],
    samples: Samples | None = None,
    order: BackupOrder | None = None,
) -> events.Done:
    """Walk and count. samples: sees each file that would be read. order: whose streams' commands are looked for.

    Raises StreamError where the set has nothing but streams, and none of them can be had.
    """
    began_ns = context.clock.now_ns()
    faults = faults_of(order.streams, context) if order is not None else {}
    if order is not None and faults and len(faults) == len(order.streams) and not order.sources:
        raise none_stored([f"{os.fsdecode(name)}: {fault}" for name, fault in faults.items()], use.name)
    base = _base(opened.place, use)

    def counting(tally: Tally) -> _Counting:
        return _Counting(tally, samples, faults)

    try:
        tally = _count(context, use, base, missing, began_ns, counting)
    except DamagedCacheError as error:
        context.warn(f"{error.message}; as if every file were read")
        base.forget_caches()
        tally = _count(context, use, base, missing, began_ns, counting)
    finally:
        base.forget_caches()
    exit_code = 3 if tally.beyond else 0
    return events.Done(
        exit_code=exit_code,
        result=summary.dry_result(context, opened, use, tally, began_ns, exit_code),
        warnings=context.warnings,
        error=error_fields(summary.look(tally)) if exit_code else None,
    )


def _base(place: OpenPlace, use: SetUse) -> Base:
    base = Base({}, [], use.options, None, [])
    names = [n for n in place.records.snapshot_names() if n.set_id == naming.set_id_text(use.set_id)]
    if names:
        last: Snapshot | None = None
        with suppress(DamageError, ObjectMissingError):
            last = place.records.snapshot(names[-1].name)
            base.lineage = lineage_of([last])
        is_same = last is None or is_read_by(last, use.rules.rights.user)
        cache = open_cache(cache_path(place, use.set_id, names[-1].session)) if is_same else None
        if cache is not None:
            cache.entries = _any_entries
            base.caches.append(cache)
    return base


def _any_entries(_: bytes, names: Collection[bytes]) -> dict[bytes, bytes]:
    """Of what the cache keeps no entry of: nothing is stored, so any will do."""
    return {name: encode(Entry(name, Kind.FILE, 0, 0, 0, 0, 0, None)) for name in names}


def _count(
    context: JobContext,
    use: SetUse,
    base: Base,
    missing: list[Problem],
    began_ns: int,
    counting: Callable[[Tally], _Counting],
) -> Tally:
    def tell(problem: Problem, severity: events.Severity) -> None:
        context.tell(severity, problem.message, path=problem.path, verbosity=1)

    tally = Tally(tell, context.warn, FileStates(None, context.warn), use.rules.tolerances)
    for problem in missing:
        tally.problem(problem.path, problem.kind, problem.message)
    folder = tempfile.mkdtemp(dir=ensure(context.directories.temporary))
    try:
        writer = FileCacheWriter(os.path.join(folder, "dry"), use.options, set())
        tools = BuildTools(_NO_NODE, lambda _: _NO_NODE, writer, lambda build: walk.finished(build))  # noqa: PLW0108
        caches = base.to_caches(use)
        tell_stale(context, caches, tally)
        walk = TreeWalk(tools, use.rules, caches, counting(tally), tally, began_ns)
        for _ in walk.run():
            context.cancel.check()
            context.progress(
                lambda elapsed: events.Progress(
                    step="look", files_done=tally.seen, bytes_done=tally.seen_bytes, elapsed_seconds=elapsed
                )
            )
        writer.discard()
        tell_walk(context, use, walk, tally, is_whole=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tally
