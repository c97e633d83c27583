"""A snapshot against the tree it was made of, entry by entry: the oracle of the change detection tests.

Faster than a restore, for what a chunk holds is looked at once; still every byte of every file is compared.
"""

from __future__ import annotations

import os
import stat as modes
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from backupd.cache.index_tables import IndexTables
from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.inode_io import KEPT_FLAGS, NOT_SUPPORTED, list_xattrs, read_flags
from backupd.model.orders import SnapshotListOrder, Unlock
from backupd.operations.context import JobContext
from backupd.operations.places import load_place_index, open_place, open_reader
from backupd.operations.snapshot_listing import list_snapshots
from backupd.repository.reader import ChunkReader
from backupd.settings import directories
from backupd.snapshot.records import Snapshot
from backupd.tree.entry import Device, Entry, Kind, Stored
from backupd.tree.lists import iterate_chunks
from backupd.tree.nodes import find_entry, iterate_entries
from tests.support.machine import Machine

KINDS = {
    modes.S_IFREG: Kind.FILE,
    modes.S_IFDIR: Kind.DIRECTORY,
    modes.S_IFLNK: Kind.SYMLINK,
    modes.S_IFIFO: Kind.FIFO,
    modes.S_IFCHR: Kind.CHARACTER_DEVICE,
    modes.S_IFBLK: Kind.BLOCK_DEVICE,
    modes.S_IFSOCK: Kind.SOCKET,
}
_PAIR = struct.Struct("<QQ")
Wanted = Callable[[bytes, bytes, bool], bool]
"""(path, name, is a directory) -> whether it belongs into the backup."""


class Truth:
    """Compares snapshots of one place with the disk."""

    def __init__(self, machine: Machine, place: Path, unlock: Unlock | None = None) -> None:
        self._machine, self._place, self._unlock = machine, place, unlock or Unlock()
        self._seen: dict[bytes, bytes] = {}
        self._reader: ChunkReader
        self._tables: IndexTables | None = None

    def newest(self) -> Snapshot:
        """The newest snapshot at the place; its chunks can be read from now on."""
        order = SnapshotListOrder(place=str(self._place), unlock=self._unlock)
        found = directories.find(self._machine.environ)
        context = JobContext(order, SystemClock(), Cancel(), self._machine.environ, found, lambda _: None)
        opened = open_place(context)
        listing = list_snapshots(opened)
        assert not listing.damaged
        if self._tables is not None:
            self._tables.close()
        index = load_place_index(opened)
        self._reader, self._tables = open_reader(opened, index), index.tables
        return max((at.snapshot for at in listing.found if at.snapshot.is_complete), key=lambda one: one.started_ns)

    def differences(self, source: Path, wanted: Wanted = lambda path, name, is_directory: True) -> list[str]:
        """What the newest snapshot has otherwise than the directory has, a line each."""
        top = self.entry(source)
        if top is None or not isinstance(top.content, bytes):
            return [f"{source} is not in the snapshot"]
        lines: list[str] = []
        links: tuple[dict[tuple[int, int], set[bytes]], dict[bytes, set[bytes]]] = defaultdict(set), defaultdict(set)
        todo = [(os.fsencode(source), top.content)]
        while todo:
            path, node = todo.pop()
            stored = {entry.name: entry for entry in iterate_entries(node, self._reader.load)}
            there = {
                found.name: found.stat(follow_symlinks=False)
                for found in os.scandir(path)
                if wanted(path + b"/" + found.name, found.name, found.is_dir(follow_symlinks=False))
            }
            lines += [f"{path + b'/' + name!r}: missed" for name in there.keys() - stored.keys()]
            lines += [f"{path + b'/' + name!r}: is gone, but stored" for name in stored.keys() - there.keys()]
            for name in there.keys() & stored.keys():
                full, entry, stat = path + b"/" + name, stored[name], there[name]
                lines += [f"{full!r}: {text}" for text in self._entry(full, entry, stat)]
                if not modes.S_ISDIR(stat.st_mode):
                    if stat.st_nlink > 1:
                        links[0][stat.st_dev, stat.st_ino].add(full)
                    if entry.extra is not None and entry.extra.hard_link is not None:
                        links[1][entry.extra.hard_link].add(full)
                elif entry.kind == Kind.DIRECTORY and isinstance(entry.content, bytes):
                    todo.append((full, entry.content))
        if sorted(map(sorted, links[0].values())) != sorted(map(sorted, links[1].values())):
            wrong = {frozenset(names) for names in links[0].values()} ^ {frozenset(n) for n in links[1].values()}
            lines += [f"{sorted(names)!r}: hard links" for names in wrong]
        return lines

    def entry(self, path: Path) -> Entry | None:
        """The entry of a path in the newest snapshot."""
        found, node = None, self.newest().root
        for name in os.fsencode(path).strip(b"/").split(b"/"):
            found = find_entry(node, name, self._reader.load)
            if found is None:
                return None
            node = found.content if isinstance(found.content, bytes) else b""
        return found

    def content(self, entry: Entry) -> Iterator[tuple[int, bytes]]:
        """(offset in the file, bytes) of the stored chunks of a file."""
        extents = self._extents(entry)
        at, offset, rest = 0, extents[0][0], extents[0][1]
        for chunk_id, length in iterate_chunks(entry.content, self._content_bytes(entry), self._reader.load):
            data = self._reader.load(chunk_id)
            assert len(data) == length
            while data:
                while not rest:
                    at += 1
                    offset, rest = extents[at]
                part = data[:rest]
                yield offset, part
                data, offset, rest = data[len(part) :], offset + len(part), rest - len(part)

    def _content_bytes(self, entry: Entry) -> int:
        return sum(length for _, length in self._extents(entry))

    def _extents(self, entry: Entry) -> list[tuple[int, int]]:
        packed = entry.extra.extents if entry.extra is not None else None
        if packed is None:
            return [(0, entry.size)]
        return list(_PAIR.iter_unpack(self._value(packed)))

    def _value(self, value: bytes | Stored) -> bytes:
        return self._reader.load(value.id) if isinstance(value, Stored) else value

    def _entry(self, path: bytes, entry: Entry, stat: os.stat_result) -> Iterator[str]:
        if entry.kind != KINDS[modes.S_IFMT(stat.st_mode)]:
            yield f"is stored as {Kind(entry.kind).name}"
            return
        found = (entry.mode, entry.uid, entry.gid, entry.mtime_ns)
        is_now = (modes.S_IMODE(stat.st_mode), stat.st_uid, stat.st_gid, stat.st_mtime_ns)
        if found != is_now:
            yield f"mode, owner, time {found} instead of {is_now}"
        if entry.extra is not None and entry.extra.state:
            yield f"state {entry.extra.state}"
        xattrs = [] if entry.extra is None else [(n, self._value(v)) for n, v in entry.extra.xattrs or []]
        if xattrs != _xattrs(path):
            yield "extended attributes"
        if entry.kind == Kind.FILE:
            yield from self._file(path, entry, stat)
        elif entry.kind == Kind.SYMLINK and entry.content != os.readlink(path):
            yield "target"
        elif isinstance(entry.content, Device):
            numbers = Device(os.major(stat.st_rdev), os.minor(stat.st_rdev))
            yield from () if entry.content == numbers else ("device numbers",)

    def _file(self, path: bytes, entry: Entry, stat: os.stat_result) -> Iterator[str]:
        if entry.size != stat.st_size:
            yield f"size {entry.size} instead of {stat.st_size}"
            return
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if (entry.extra.flags if entry.extra is not None else 0) != _flags(fd):
                yield "flags"
            is_whole = isinstance(entry.content, bytes) and not (entry.extra is not None and entry.extra.extents)
            if isinstance(entry.content, bytes) and is_whole:
                is_same = self._digest(entry.content) == blake3(os.pread(fd, stat.st_size + 1, 0)).digest()
                yield from () if is_same else ("content",)
            elif any(os.pread(fd, len(data), offset) != data for offset, data in self.content(entry)):
                yield "content"
            elif entry.extra is not None and entry.extra.extents and not self._is_zero_between(fd, entry):
                yield "holes"
        finally:
            os.close(fd)

    def _digest(self, chunk_id: bytes) -> bytes:
        found = self._seen.get(chunk_id)
        if found is None:
            found = self._seen[chunk_id] = blake3(self._reader.load(chunk_id)).digest()
        return found

    def _is_zero_between(self, fd: int, entry: Entry) -> bool:
        at = 0
        for offset, length in [*self._extents(entry), (entry.size, 0)]:
            while at < offset:
                part = os.pread(fd, min(1 << 20, offset - at), at)
                if part.strip(b"\0") or not part:
                    return False
                at += len(part)
            at = offset + length
        return True


def _flags(fd: int) -> int:
    try:
        return read_flags(fd) & KEPT_FLAGS
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        return 0


def _xattrs(path: bytes) -> list[tuple[bytes, bytes]]:
    try:
        names = list_xattrs(path, follow=False)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        return []
    return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]
