"""One large file: its regions, what an interrupted run has of it, its entry in the end."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from backupd.chunk.size_class import REGION_BYTES, average_bytes
from backupd.model.work import FileOrder, FileResult, RegionTask
from backupd.operations.backup.building import Target
from backupd.operations.backup.known_parts import KnownPart, covered
from backupd.operations.backup.tally import Tally
from backupd.source import reader
from backupd.source.chain import DirectoryChain
from backupd.source.extents import ExtentMap, map_extents, may_be_sparse
from backupd.source.metadata import kept_mtime_ns
from backupd.source.reader import CHANGED_TEXT
from backupd.source.signature import signature
from backupd.tree import entry as entries
from backupd.tree.entry import CHANGED, UNFINISHED, Chunks, Content, Entry, Extra, Stored
from backupd.tree.lists import make_content


class LargeReader(Protocol):
    """What a large file needs of who reads it (`reading.FileReading`)."""

    @property
    def store_node(self) -> Callable[[bytes], bytes]:
        """Keeps nodes and lists."""
        ...

    @property
    def tally(self) -> Tally:
        """The run's counters."""
        ...

    def known_parts(
        self, target: Target, stat: os.stat_result, mapped: ExtentMap
    ) -> tuple[Entry, Sequence[KnownPart]] | None:
        """What an interrupted run has of this very file, and its entry there."""
        ...

    def choose(self, fd: int, size: int, extents: ExtentMap, known: Entry | None) -> tuple[int, bool]:
        """(size class, whether it can be compressed)."""
        ...

    def order_of(self, target: Target, salt: tuple[bytes, bool] | None = None) -> FileOrder:
        """The order of a large file."""
        ...

    def read_again(self, large: LargeFile) -> None:
        """It changed while it was read."""
        ...

    def settle(self, target: Target, result: FileResult, encoded: bytes) -> None:
        """Put its entry where it belongs."""
        ...

    def stored(self, value: bytes) -> bytes | Stored:
        """A value as entries hold it."""
        ...


class _Region:
    """A stretch of a large file; takes its chunks in order."""

    def __init__(self, large: LargeFile, start: int, end: int, known: KnownPart | None = None) -> None:
        self._large, self.start, self.end = large, start, end
        self.ids = bytearray(known.ids if known else b"")
        self.lengths = known.lengths if known else array("I")
        self.is_done = known is not None

    def files_done(self, results: list[FileResult]) -> None:
        """A region is no batch."""

    def region_step(self, ids: bytes, lengths: list[int]) -> None:
        """The next chunks."""
        self.ids += ids
        self.lengths.extend(lengths)
        self._large.reading.tally.read_bytes += sum(lengths)

    def region_done(self, result: FileResult) -> None:
        """All of them were given."""
        self.is_done = True
        self._large.region_done(result)


def open_large(chain: DirectoryChain, directory: bytes, name: bytes) -> tuple[int, os.stat_result, bytes]:
    """(descriptor, stat, data extents) of a file to read. Raises OSError."""
    fd, stat = reader.open_file(chain.open(directory), name)
    return fd, stat, map_extents(fd, stat.st_size) if may_be_sparse(stat) else b""


class LargeFile:
    """A file of over 8 MiB: read in regions by several workers, gone on with where an interrupted run stopped."""

    def __init__(self, reading: LargeReader, target: Target) -> None:
        self.reading, self.target = reading, target
        self._attempts = 0
        self._salt: tuple[bytes, bool] | None = None

    def begin(self, fd: int, stat: os.stat_result, extents: bytes) -> None:
        """Look at the open file: holes, class, what is known of it already."""
        self._attempts += 1
        self._stat, self._extents, self._signature = stat, extents, signature(stat)
        mapped = self._mapped = ExtentMap(extents, stat.st_size)
        known = self.reading.known_parts(self.target, stat, mapped) if self._attempts == 1 else None
        if known is not None and known[0].extra is not None and known[0].extra.salt is not None:
            self._salt = (known[0].extra.salt, True)
        row = self.target.row
        former = known[0] if known else entries.decode(row.known) if row is not None and row.known else None
        self._size_class, self._is_compressible = self.reading.choose(fd, stat.st_size, mapped, former)
        self._regions = list(self._cut(mapped.content_bytes, known[1] if known else []))
        self._result: FileResult | None = None
        if all(region.is_done for region in self._regions):
            # All of it was known, or all of it is a hole: one empty region brings the attributes.
            self._regions.append(_Region(self, mapped.content_bytes, mapped.content_bytes))

    def _cut(self, content_bytes: int, known: Sequence[KnownPart]) -> Iterator[_Region]:
        """Regions in order: what is known, and between it what is to be read, with the borders that all runs share."""
        at = 0
        for part in (*known, None):
            stop = part.start if part is not None else content_bytes
            while at < stop:
                border = min(stop, (at // REGION_BYTES + 1) * REGION_BYTES)
                yield _Region(self, at, border)
                at = border
            if part is not None:
                yield _Region(self, part.start, part.end, part)
                at = part.end

    def tasks(self) -> list[tuple[RegionTask, _Region]]:
        """Work for the engine."""
        target = self.target
        order = self.reading.order_of(target, self._salt)
        self._salt = (order.salt, order.keeps_salt)
        order = msgspec.structs.replace(
            order, size=self._stat.st_size, device=self._stat.st_dev, inode=self._stat.st_ino
        )
        return [
            (
                RegionTask(
                    0,
                    target.build.path,
                    order,
                    self._extents,
                    region.start,
                    region.end,
                    average_bytes(self._size_class),
                    self._is_compressible,
                ),
                region,
            )
            for region in self._regions
            if not region.is_done
        ]

    def region_done(self, result: FileResult) -> None:
        """One region is read; after the last one the entry is made."""
        if result.signature and result.signature != self._signature:
            # Another region was read before that change.
            result = msgspec.structs.replace(result, signature=b"", problem=CHANGED_TEXT, problem_kind="changed")
        if self._result is None or _badness(result) > _badness(self._result):
            self._result = result
        if not all(region.is_done for region in self._regions):
            return
        result = self._result
        if result.problem_kind == "changed" and self._attempts == 1:
            self.reading.read_again(self)
        elif not result.entry:
            self.reading.settle(self.target, result, b"")
        else:
            self.reading.settle(self.target, result, self._encode(entries.decode(result.entry), result))

    def unfinished(self) -> bytes | None:
        """For a checkpoint: an entry of what is read so far; None while there is nothing."""
        ids, lengths = self._so_far()
        if not lengths:
            return None
        stat = self._stat
        parts = [(region.start, region.start + sum(region.lengths)) for region in self._regions if region.lengths]
        is_all = sum(lengths) == self._mapped.content_bytes
        extents = self._extents if is_all else covered(self._mapped, parts)
        if len(lengths) == 1:
            # The length of an only chunk is not the file's size here.
            content: Content = Chunks(self._size_class, bytes(ids), lengths.tolist())
        else:
            content = make_content(self._size_class, bytes(ids), lengths, self.reading.store_node)
        salt = self._salt[0] if self._salt is not None and self._salt[1] else None
        extra = Extra(
            salt=salt,
            state=UNFINISHED,
            began_with=(stat.st_size, kept_mtime_ns(stat), stat.st_ctime_ns, stat.st_ino),
            extents=self.reading.stored(extents) if extents else None,
        )
        mode, size = stat.st_mode & 0o7777, stat.st_size
        name = self.target.seen.name
        entry = Entry(
            name, entries.Kind.FILE, mode, stat.st_uid, stat.st_gid, kept_mtime_ns(stat), size, content, extra
        )
        return entries.encode(entry)

    def _so_far(self) -> tuple[bytearray, array[int]]:
        ids, lengths = bytearray(), array("I")
        for region in self._regions:
            ids += region.ids
            lengths.extend(region.lengths)
        return ids, lengths

    def _encode(self, entry: Entry, result: FileResult) -> bytes:
        ids, lengths = self._so_far()
        content = make_content(self._size_class, bytes(ids), lengths, self.reading.store_node)
        extra, size = entry.extra, entry.size
        if result.problem_kind == "changed":
            # What is stored is what was read: the holes and the size may be those of another moment.
            is_short = sum(lengths) != ExtentMap(self._extents, self._stat.st_size).content_bytes
            extra = msgspec.structs.replace(extra or Extra(), state=CHANGED)
            if is_short:
                extra, size = msgspec.structs.replace(extra, extents=None), sum(lengths)
        return entries.encode(msgspec.structs.replace(entry, content=content, extra=extra, size=size))


def _badness(result: FileResult) -> int:
    """Of several regions' results the worst speaks for the file."""
    return 2 if not result.entry else int(not result.signature)
