"""Files on their way through the workers: batches of small ones, regions of large ones, hard links once."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Sequence

import msgspec

from backupd.cache.file_cache import Row
from backupd.chunk.identity import path_salt
from backupd.chunk.size_class import SAMPLE_BYTES, WHOLE_FILE_BYTES, choose_class
from backupd.errors import DamageError, ObjectMissingError
from backupd.model.results import ProblemKind
from backupd.model.work import FileOrder, FileResult, FilesTask
from backupd.operations.backup.building import DirectoryBuild, Slice, Target, TargetReader
from backupd.operations.backup.known_parts import KnownPart, known_parts
from backupd.operations.backup.large_file import LargeFile, open_large
from backupd.operations.backup.link_groups import LinkGroups
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk_rules import WalkRules
from backupd.repository.engine import StoreEngine
from backupd.repository.sampling import Sampler
from backupd.source import reader
from backupd.source.chain import DirectoryChain
from backupd.source.extents import ExtentMap
from backupd.source.metadata import kept_mtime_ns
from backupd.source.scanner import Seen
from backupd.source.signature import YOUNG_ON_NETWORK_NS, is_young, signature
from backupd.tree import entry as entries
from backupd.tree.entry import CHANGED, UNFINISHED, Chunks, ChunkTree, Entry, Extra, Stored
from backupd.tree.lists import iterate_chunks, list_references, make_content
from backupd.tree.nodes import Load

BATCH_FILES = 256
BATCH_BYTES = 8 << 20
_SHARED_LINKS_MOST = 100_000
HasMany = Callable[[bytes], bytearray]


class StorePolicy(msgspec.Struct, frozen=True):
    """How content is cut and named."""

    set_id: bytes
    deduplication: str
    """`off`, `path`, `set` or `repository`."""
    scope_salt: bytes
    """For `set` and `repository`."""
    chosen_class: int | None
    is_asked: bool
    """Chunks of unchanged files are asked for one by one: the cache's snapshot can't vouch for them."""
    resumed_from_ns: int = 0
    """When the first of the interrupted runs began that this one goes on from."""


class FileReading:
    """Gives files to the engine and their entries to the directories."""

    def __init__(
        self, engine: StoreEngine, policy: StorePolicy, tally: Tally, has_many: HasMany, load: Load, rules: WalkRules
    ) -> None:
        self._engine, self._policy, self._tally, self._has_many, self._load = engine, policy, tally, has_many, load
        self._rights, self._chain = rules.rights, DirectoryChain(rules.grafts.opened)
        self._sampler = Sampler()
        self._batch: list[tuple[FileOrder, Target]] = []
        self._directories: list[bytes] = []
        self._batch_bytes = 0
        self._links = LinkGroups()
        self._sharing: dict[tuple[int, int], list[Target]] = {}
        self._shared: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self.streams: TargetReader | None = None
        """Who has streams read."""

    # What the walk asks

    def link_group(self, stat: os.stat_result, directory: bytes, name: bytes) -> bytes | None:
        """The 16 bytes that all names of a file share."""
        return self._links.group(stat, directory.rstrip(b"/") + b"/" + name)

    @property
    def has_new_groups(self) -> bool:
        """Whether names were linked that no cached entry knew as linked."""
        return self._links.has_new

    def has_group(self, stat: os.stat_result, encoded: bytes) -> bool:
        """Whether the link group in a cached entry is that of the file in this run, too."""
        return self._links.adopt(stat, encoded)

    def with_group(self, stat: os.stat_result, encoded: bytes, directory: bytes, name: bytes) -> bytes:
        """A cached entry with the link group that the file has in this run."""
        if self._links.adopt(stat, encoded):
            return encoded
        entry = entries.decode(encoded)
        extra = msgspec.structs.replace(entry.extra or Extra(), hard_link=self.link_group(stat, directory, name))
        return entries.encode(msgspec.structs.replace(entry, extra=extra))

    def may_reuse(self, encoded: bytes) -> bool:
        """Whether a cached entry may be taken: finished, and where the cache can't vouch, all its chunks are there."""
        if not encoded:
            return False
        if not self._policy.is_asked:
            return True
        entry = entries.decode(encoded)
        if entry.extra is not None and entry.extra.state & (CHANGED | UNFINISHED):
            return False
        return self._is_whole(entry)

    def stored(self, value: bytes) -> bytes | Stored:
        """An attribute value as entries hold it."""
        if len(value) <= entries.INLINE_VALUE_LIMIT:
            return value
        return Stored(self._engine.store_node(value), len(value))

    def read(self, build: DirectoryBuild, piece: Slice, index: int, seen: Seen, row: Row | None) -> None:
        """Have a regular file read; its entry comes to the slice later."""
        target = Target(build, piece, index, seen, row)
        piece.pending += 1
        stat = seen.stat
        if stat.st_nlink > 1 and self._is_shared(target):
            return
        if stat.st_size > BATCH_BYTES:
            self._read_large(target)
            return
        if self._batch and self._batch_bytes + stat.st_size > BATCH_BYTES:
            self.flush()
        if not self._directories or self._directories[-1] != build.path:
            self._directories.append(build.path)
        self._batch.append((self._order(target, len(self._batch), len(self._directories) - 1), target))
        self._batch_bytes += stat.st_size
        if len(self._batch) >= BATCH_FILES:
            self.flush()

    def read_stream(self, build: DirectoryBuild, piece: Slice, index: int, seen: Seen, row: Row | None) -> None:
        """Have a command's output read; its entry comes to the slice later."""
        if self.streams is not None:
            self.streams.read(Target(build, piece, index, seen, row))

    def unsent(self) -> Iterator[bytes]:
        """Files of the open batch."""
        return (target.build.path.rstrip(b"/") + b"/" + target.seen.name for _, target in self._batch)

    def flush(self) -> None:
        """Give out the open batch."""
        batch, directories = self._batch, self._directories
        self._batch, self._directories, self._batch_bytes = [], [], 0
        if batch:
            task = FilesTask(0, directories, [order for order, _ in batch])
            self._engine.submit(task, _BatchSink(self, [target for _, target in batch]))

    def close(self) -> None:
        """Leave the source: no directory of it stays open."""
        self._chain.close()

    # What the engine gives

    def take(self, target: Target, result: FileResult) -> None:
        """A small file's result becomes its entry."""
        if result.problem_kind == "grown":
            self._read_large(target, is_regrown=True)
            return
        encoded = result.entry
        if result.ids:
            content = make_content(result.size_class, result.ids, array("I", result.lengths), self._engine.store_node)
            encoded = entries.encode(msgspec.structs.replace(entries.decode(encoded), content=content))
        self._tally.read_bytes += result.read_bytes
        self.settle(target, result, encoded)

    def settle(self, target: Target, result: FileResult, encoded: bytes) -> None:
        """Put an entry (or none) into its slice, and those of the other names of the file."""
        seen, piece = target.seen, target.piece
        path = target.build.path.rstrip(b"/") + b"/" + seen.name
        for text in result.losses:
            self._tally.problem(path, "metadata", text)
        if result.problem_kind:
            kind: ProblemKind = result.problem_kind  # type: ignore[assignment]
            self._tally.problem(path, kind, result.problem)
        row = target.row
        if not encoded:
            self._tally.fail(path, b"", result.problem, seen.stat.st_size)
        else:
            self._tally.example = self._tally.example or path
            is_same = self._tally.count(row.entry if row is not None else b"", encoded, seen.stat.st_size)
            self._tally.state(path, b"", "unchanged" if is_same else "stored", result.problem)
        # Trusted next time only if it is what the walk saw, and that was old: a change between the two is young.
        is_trusted = result.signature == piece.signatures[target.index] and not result.losses
        if not is_trusted or result.problem_kind:
            target.build.has_problems = True
        piece.set(target.index, encoded, result.signature if is_trusted else b"")
        piece.unfinished.pop(target.index, None)
        target.build.settled(piece)
        if seen.stat.st_nlink > 1:
            self._settle_links(target, result, encoded)

    def _settle_links(self, target: Target, result: FileResult, encoded: bytes) -> None:
        """The other names of a file get its entry where they still are names of what was read; else they are read."""
        key = (target.seen.stat.st_dev, target.seen.stat.st_ino)
        waiting = self._sharing.pop(key, [])
        if not encoded or result.problem_kind or result.losses:
            result = msgspec.structs.replace(result, signature=b"")
        elif len(self._shared) < _SHARED_LINKS_MOST:
            self._shared[key] = (encoded, result.signature)
        same: list[Target] = []
        others: list[Target] = []
        for other in waiting:
            (same if signature(other.seen.stat) == result.signature else others).append(other)
        if others:
            self._sharing[key] = others[1:]
        for other in same:
            self._settle_shared(other, encoded, result.signature)
        if others:
            self._read_alone(others[0])

    def _read_alone(self, target: Target) -> None:
        if target.seen.stat.st_size > BATCH_BYTES:
            self._read_large(target)
        else:
            task = FilesTask(0, [target.build.path], [self._order(target, 0, 0)])
            self._engine.submit(task, _BatchSink(self, [target]))

    def _settle_shared(self, other: Target, encoded: bytes, known_signature: bytes) -> None:
        named = entries.encode(msgspec.structs.replace(entries.decode(encoded), name=other.seen.name))
        self.settle(other, FileResult(0, b"", 0, known_signature), named)

    def _is_shared(self, target: Target) -> bool:
        """Whether another name of this file was read, or is being read, in this run."""
        stat = target.seen.stat
        key = (stat.st_dev, stat.st_ino)
        known = self._shared.get(key)
        if known is not None and known[1] == signature(stat):
            self._settle_shared(target, *known)
            return True
        if key in self._sharing:
            self._sharing[key].append(target)
            return True
        self._sharing[key] = []
        return False

    def _order(self, target: Target, number: int, directory: int) -> FileOrder:
        stat, build = target.seen.stat, target.build
        known: Entry | None = None
        # A file of one chunk has no class, and a salt of its own only where paths are told apart.
        tells = stat.st_size > WHOLE_FILE_BYTES or self._policy.deduplication == "path"
        if tells and target.row is not None and target.row.known:
            known = entries.decode(target.row.known)
        salt, keeps_salt = self._salt(target, known)
        group = self.link_group(stat, build.path, target.seen.name)
        size_class = self._known_class(known)
        return FileOrder(
            number,
            directory,
            target.seen.name,
            stat.st_dev,
            stat.st_ino,
            stat.st_size,
            size_class,
            salt,
            keeps_salt,
            group,
        )

    def _known_class(self, known: Entry | None) -> int:
        return known.content.size_class if known is not None and isinstance(known.content, Chunks | ChunkTree) else 0

    def _salt(self, target: Target, known: Entry | None) -> tuple[bytes, bool]:
        match self._policy.deduplication:
            case "off":
                return os.urandom(32), True
            case "path":
                if known is not None and known.extra is not None and known.extra.salt is not None:
                    return known.extra.salt, True
                path = target.build.path.rstrip(b"/") + b"/" + target.seen.name
                return path_salt(self._policy.set_id, path), True
            case _:
                return self._policy.scope_salt, False

    def _is_whole(self, entry: Entry) -> bool:
        """Whether every chunk that an entry reaches is at the destination."""
        ids = bytearray()
        if isinstance(entry.content, bytes | Chunks | ChunkTree) and entry.kind == entries.Kind.FILE:
            try:
                ids += b"".join(list_references(entry.content, self._load))
                for chunk_id, _ in iterate_chunks(entry.content, entry.size, self._load):
                    ids += chunk_id
            except (DamageError, ObjectMissingError):
                return False
        extra = entry.extra
        if extra is not None:
            values = [value for _, value in extra.xattrs or []] + [extra.extents]
            for value in values:
                if isinstance(value, Stored):
                    ids += value.id
        return all(self._has_many(bytes(ids)))

    # Large files

    def _read_large(self, target: Target, *, is_regrown: bool = False) -> None:
        large = LargeFile(self, target)
        if self._begin(large):
            if is_regrown:
                target.piece.signatures[target.index] = b""
            if target.piece.signatures[target.index] or not self._engine.grafts:
                # A change right after a snapshot of its file system may bear the same stamps: then nothing tells.
                target.piece.unfinished[target.index] = large.unfinished
            self._dispatch(large)

    def _begin(self, large: LargeFile) -> bool:
        """Open and look at a large file; False: it can't be read, and that is settled."""
        target = large.target
        try:
            fd, stat, extents = self._rights.do(open_large, self._chain, target.build.path, target.seen.name)
            try:
                large.begin(fd, stat, extents)
            finally:
                os.close(fd)
        except OSError as error:
            kind, text = reader.describe(error)
            self.settle(target, FileResult(0, b"", 0, b"", problem=text, problem_kind=kind), b"")
            return False
        return True

    def _dispatch(self, large: LargeFile) -> None:
        for task, sink in large.tasks():
            self._engine.submit(task, sink)

    def read_again(self, large: LargeFile) -> None:
        """A large file changed while it was read: once more from the start."""
        if self._begin(large):
            self._dispatch(large)

    def choose(self, fd: int, size: int, extents: ExtentMap, known: Entry | None) -> tuple[int, bool]:
        """(size class, whether it can be compressed) of a large file, by three samples of its content."""
        do = self._rights.do
        is_compressible = self._sampler.is_compressible(
            extents.content_bytes, lambda at: do(reader.read_content, fd, extents, at, at + SAMPLE_BYTES)
        )
        previous = self._known_class(known) or None
        return choose_class(size, not is_compressible, previous, self._policy.chosen_class), is_compressible

    def known_parts(
        self, target: Target, stat: os.stat_result, mapped: ExtentMap
    ) -> tuple[Entry, Sequence[KnownPart]] | None:
        """What an interrupted run has of this very file: its entry, and the parts of the content that were read."""
        row = target.row
        if row is None or not row.known:
            return None
        entry = entries.decode(row.known)
        extra = entry.extra
        now = (stat.st_size, kept_mtime_ns(stat), stat.st_ctime_ns, stat.st_ino)
        if extra is None or not extra.state & UNFINISHED or extra.began_with is None or tuple(extra.began_with) != now:
            return None
        if extra.salt is None and self._policy.deduplication in ("off", "path"):
            return None
        extents = extra.extents or b""
        try:
            found = ExtentMap(self._load(extents.id) if isinstance(extents, Stored) else extents, entry.size)
            parts = known_parts(mapped, found, iterate_chunks(entry.content, entry.size, self._load))
        except (DamageError, ObjectMissingError):
            return None
        if parts is None or not all(self._has_many(b"".join(part.ids for part in parts))):
            return None
        if is_young(stat, self._policy.resumed_from_ns, YOUNG_ON_NETWORK_NS):
            # A change in the tick after it was read would not show: this run ends with it, the next one reads it again.
            target.piece.signatures[target.index] = b""
        return entry, parts

    def order_of(self, target: Target, salt: tuple[bytes, bool] | None = None) -> FileOrder:
        """The order of a large file."""
        order = self._order(target, 0, 0)
        return order if salt is None else msgspec.structs.replace(order, salt=salt[0], keeps_salt=salt[1])

    @property
    def store_node(self) -> Callable[[bytes], bytes]:
        """Keeps nodes and lists."""
        return self._engine.store_node

    @property
    def tally(self) -> Tally:
        """The run's counters."""
        return self._tally


class _BatchSink:
    """Takes the results of a batch."""

    def __init__(self, reading: FileReading, targets: list[Target]) -> None:
        self._reading, self._targets = reading, targets

    def files_done(self, results: list[FileResult]) -> None:
        """One result for each file."""
        for result in results:
            self._reading.take(self._targets[result.number], result)

    def region_step(self, ids: bytes, lengths: list[int]) -> None:
        """A batch has no regions."""

    def region_done(self, result: FileResult) -> None:
        """A batch has no regions."""
