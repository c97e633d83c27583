"""Writing entries below a target from chunks that were fetched: files whole or in part, and what has no bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

import msgspec

from backupd.chunk.identity import ZERO_SALT, Identity
from backupd.errors import BackupError, FormatError, TargetError
from backupd.inode_io import sync_file_system
from backupd.model.work import REFRESH, REPLACE, FetchResult, FetchSetup, FetchTask, TargetFile, TargetPart
from backupd.target.attributes import refresh
from backupd.target.directories import Directories
from backupd.target.files import (
    OpenFile,
    abandon_file,
    create_file,
    extend,
    finish_file,
    reopen_file,
    write_at,
    write_file,
)
from backupd.target.losses import failure
from backupd.target.nodes import create_node
from backupd.target.owners import OwnerMap
from backupd.target.sparse import Extents
from backupd.target.wanted import Wanted
from backupd.tree import entry as entries
from backupd.tree.entry import Entry, Kind

_EMPTY = memoryview(b"")
DAMAGED, UNWRITABLE = "damaged", "unwritable"


class Slots:
    """The chunks of one task by slot."""

    def __init__(self, count: int) -> None:
        self.chunks: list[memoryview] = [_EMPTY] * count
        self.ids: list[bytes] = [b""] * count
        self.salts: list[bytes] = [ZERO_SALT] * count
        self.reasons: dict[int, str] = {}
        """Why a chunk could not be had."""


class Written(msgspec.Struct):
    """What became of a task."""

    results: list[FetchResult] = []
    """Only of what there is something to tell of."""
    read_back_bytes: int = 0


class _Pending(msgspec.Struct, frozen=True):
    """What is written but not yet read back: a whole file, or a part of which only the descriptor is ours."""

    order: TargetFile | TargetPart
    fd: int
    file: OpenFile | None = None
    wanted: Wanted | None = None


class FileWriter:
    """Writes what tasks say; every chunk in the slots has been hashed already."""

    def __init__(self, setup: FetchSetup, root_fd: int, identity: Identity) -> None:
        self._root_fd, self._identity = root_fd, identity
        self._owners = OwnerMap(setup.users, setup.groups, setup.keeps_mine)
        self._reads_back = setup.reads_back
        self._directories = Directories(root_fd)
        self._pending: list[_Pending] = []
        self._directory: bytes | None = None
        self._directory_fd = root_fd
        self._is_fresh = False

    def write(self, task: FetchTask, slots: Slots) -> Written:
        """Write all files and parts of a task. Raises TargetFullError."""
        written = Written()
        self._directory = None
        try:
            self._write_files(task, slots, written.results)
            if task.parts:
                self._write_parts(task, slots, written.results)
            if self._pending:
                self._finish_pending(task, slots, written)
        except BaseException:
            for item in self._pending:
                self._drop(task, item)
            raise
        written.results = _without_repetition(written.results)
        return written

    def _write_files(self, task: FetchTask, slots: Slots, results: list[FetchResult]) -> None:
        directories = task.directories
        for order in task.files:
            lost = _lost(order.slots, slots) if slots.reasons else None
            if lost is not None:
                results.append(FetchResult(order.number, DAMAGED, *lost))
                continue
            try:
                losses = self._write_file(directories[order.directory], order, slots)
                if losses:
                    results.append(FetchResult(order.number, losses=losses))
            except (TargetError, FormatError) as error:
                results.append(_failed(order, error))

    def _write_file(self, directory: bytes, order: TargetFile, slots: Slots) -> list[str]:
        entry = entries.decode(order.entry)
        wanted = wanted_of(entry, order.xattrs, self._owners)
        if directory != self._directory:
            self._enter(directory)
        directory_fd, fresh = self._directory_fd, self._is_fresh
        if order.action == REFRESH:
            return refresh(directory_fd, order.name, wanted)
        replaces = order.action == REPLACE
        if entry.kind != Kind.FILE:
            return create_node(directory_fd, order.name, wanted, replaces, fresh)
        buffers = [slots.chunks[slot] for slot in order.slots]
        if order.extents or self._reads_back:
            return self._write_in_steps(directory_fd, order, buffers, wanted, fresh)
        _check_length(sum(map(len, buffers)), entry.size)
        return write_file(directory_fd, order.name, buffers, wanted, replaces, fresh)

    def _enter(self, directory: bytes) -> None:
        """Note what all entries of one directory share; they mostly come one after the other."""
        self._directory = None
        self._directory_fd = self._directories.open(directory)
        self._is_fresh = not self._directories.passes_acl(directory)
        self._directory = directory

    def _write_in_steps(
        self, directory_fd: int, order: TargetFile, buffers: Sequence[memoryview], wanted: Wanted, fresh: bool
    ) -> list[str]:
        entry = wanted.entry
        extents = Extents(order.extents, entry.size) if order.extents else None
        _check_length(sum(map(len, buffers)), entry.size if extents is None else extents.content_bytes)
        flags = entry.extra.flags if entry.extra is not None else 0
        file = create_file(directory_fd, order.name, order.action == REPLACE, flags)
        try:
            _write_content(file.fd, 0, buffers, extents)
            if extents is not None:
                extend(file.fd, entry.size)
        except BaseException:
            abandon_file(directory_fd, file)
            raise
        if not self._reads_back:
            return finish_file(directory_fd, file, wanted, fresh)
        self._pending.append(_Pending(order, file.fd, file, wanted))
        return []

    def _write_parts(self, task: FetchTask, slots: Slots, results: list[FetchResult]) -> None:
        descriptors: dict[tuple[int, int], int] = {}
        try:
            for part in task.parts:
                lost = _lost(part.slots, slots) if slots.reasons else None
                if lost is not None:
                    results.append(FetchResult(part.number, DAMAGED, *lost))
                    continue
                try:
                    self._write_part(task.directories[part.directory], part, slots, descriptors)
                except (TargetError, FormatError) as error:
                    results.append(_failed(part, error))
            if self._reads_back:
                self._pending += [_Pending(part, os.dup(descriptors[part.identity])) for part in task.parts
                                  if part.identity in descriptors]
        finally:
            for fd in descriptors.values():
                os.close(fd)

    def _write_part(
        self, directory: bytes, part: TargetPart, slots: Slots, descriptors: dict[tuple[int, int], int]
    ) -> None:
        fd = descriptors.get(part.identity)
        if fd is None:
            fd = reopen_file(self._directories.open(directory), part.name, part.identity)
            descriptors[part.identity] = fd
        buffers = [slots.chunks[slot] for slot in part.slots]
        _check_length(sum(map(len, buffers)), part.length)
        _write_content(fd, part.start, buffers, Extents(part.extents, part.size) if part.extents else None)

    # Reading back

    def _finish_pending(self, task: FetchTask, slots: Slots, written: Written) -> None:
        """Read back what was written, from the disk where the system lets us; then give files metadata and name."""
        failed = {result.number for result in written.results}
        try:
            sync_file_system(self._root_fd)
        except OSError as error:
            raise failure("not brought to the disk", error) from error
        while self._pending:
            item = self._pending[0]
            try:
                if item.order.number not in failed:
                    written.read_back_bytes += self._read_back(item.fd, item.order, slots)
                losses = self._finish(task, item)
                if losses:
                    written.results.append(FetchResult(item.order.number, losses=losses))
            except (TargetError, FormatError) as error:
                written.results.append(_failed(item.order, error))
                self._drop(task, item)
            self._pending.pop(0)

    def _finish(self, task: FetchTask, item: _Pending) -> list[str]:
        if item.file is None or item.wanted is None:
            os.close(item.fd)
            return []
        directory = task.directories[item.order.directory]
        fresh = not self._directories.passes_acl(directory)
        return finish_file(self._directories.open(directory), item.file, item.wanted, fresh)

    def _drop(self, task: FetchTask, item: _Pending) -> None:
        with contextlib.suppress(TargetError, OSError):
            if item.file is not None:
                abandon_file(self._directories.open(task.directories[item.order.directory]), item.file)
            else:
                os.close(item.fd)

    def _read_back(self, fd: int, order: TargetFile | TargetPart, slots: Slots) -> int:
        extents, at = None, 0
        if order.extents:
            size = order.size if isinstance(order, TargetPart) else os.fstat(fd).st_size
            extents = Extents(order.extents, size)
        if isinstance(order, TargetPart):
            at = order.start
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        total = 0
        for slot in order.slots:
            length = len(slots.chunks[slot])
            places = extents.pieces(at, length) if extents is not None else [(at, 0, length)]
            found = b"".join(_pread(fd, offset, step) for offset, _, step in places)
            if self._identity.chunk_id(found, slots.salts[slot]) != slots.ids[slot]:
                raise TargetError("read back, it has other bytes than were written: the disk or memory is faulty")
            at += length
            total += length
        return total


def wanted_of(entry: Entry, xattrs: list[tuple[bytes, bytes]] | None, owners: OwnerMap) -> Wanted:
    """What an entry is to have here. xattrs: in full; None: all stand in the entry."""
    extra = entry.extra
    if xattrs is None and extra is not None and extra.xattrs:
        xattrs = [(name, value) for name, value in extra.xattrs if isinstance(value, bytes)]
    if xattrs:
        xattrs = owners.resolve_acls(xattrs)
    return Wanted(entry, xattrs or [], owners.resolve(entry.uid, entry.gid))


def _write_content(fd: int, start: int, buffers: Sequence[memoryview], extents: Extents | None) -> None:
    if extents is None:
        if buffers:
            write_at(fd, start, buffers)
        return
    for buffer in buffers:
        for offset, inside, step in extents.pieces(start, len(buffer)):
            write_at(fd, offset, [buffer[inside : inside + step]])
        start += len(buffer)


def _check_length(found: int, wanted: int) -> None:
    if found != wanted:
        raise FormatError(f"its chunks have {found} bytes where {wanted} are announced")


def _lost(wanted: Sequence[int], slots: Slots) -> tuple[str, bytes] | None:
    """Why chunks of these slots are lost, and their ids; None: none is."""
    lost = [slot for slot in wanted if slot in slots.reasons]
    if not lost:
        return None
    reasons = dict.fromkeys(slots.reasons[slot] for slot in lost)
    return "; ".join(reasons), b"".join(dict.fromkeys(slots.ids[slot] for slot in lost))


def _without_repetition(results: list[FetchResult]) -> list[FetchResult]:
    shortened: list[FetchResult] = []
    last = ""
    for result in results:
        is_same = bool(result.problem) and result.problem == last
        last = result.problem or last
        shortened.append(msgspec.structs.replace(result, problem="") if is_same else result)
    return shortened


def _failed(order: TargetFile | TargetPart, error: BackupError) -> FetchResult:
    return FetchResult(order.number, DAMAGED if isinstance(error, FormatError) else UNWRITABLE, error.message)


def _pread(fd: int, offset: int, length: int) -> bytes:
    try:
        data = os.pread(fd, length, offset)
    except OSError as error:
        raise failure("not read back", error) from error
    return data

