"""A restore without a repository: what source.metadata reads of a tree is written by target/ somewhere else."""

from __future__ import annotations

import errno
import os
import stat as modes
from pathlib import Path

from backupd.errors import TargetError
from backupd.source.metadata import Attributes, read_attributes, read_attributes_at
from backupd.target.attributes import apply
from backupd.target.directories import Directories, open_root
from backupd.target.existing import Verdict, judge, look
from backupd.target.files import abandon_file, create_file, extend, finish_file, write_at
from backupd.target.nodes import HARD_LINK_LOST, create_node, link
from backupd.target.owners import OwnerMap
from backupd.target.sparse import Extents
from backupd.target.wanted import Wanted
from backupd.tree.entry import Device, Entry, Extra, Kind

_KINDS = {
    modes.S_IFREG: Kind.FILE,
    modes.S_IFDIR: Kind.DIRECTORY,
    modes.S_IFLNK: Kind.SYMLINK,
    modes.S_IFIFO: Kind.FIFO,
    modes.S_IFCHR: Kind.CHARACTER_DEVICE,
    modes.S_IFBLK: Kind.BLOCK_DEVICE,
    modes.S_IFSOCK: Kind.SOCKET,
}
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Copier:
    """Copies one tree; what was lost or failed stands in `losses` and `failures` by path."""

    def __init__(self, source: Path, target: Path, owners: OwnerMap | None = None) -> None:
        self.losses: dict[bytes, list[str]] = {}
        self.failures: dict[bytes, str] = {}
        self.verdicts: dict[bytes, Verdict] = {}
        self._owners = owners or OwnerMap()
        self._source_fd = open_root(os.fsencode(source))
        self._target_fd = open_root(os.fsencode(target))
        self._from = Directories(self._source_fd)
        self._to = Directories(self._target_fd)
        self._firsts: dict[tuple[int, int], tuple[bytes, bytes]] = {}

    def run(self) -> None:
        """Copy all."""
        finished: list[tuple[bytes, Wanted, bool]] = []
        todo = [(b"", True)]
        while todo:
            path, is_new = todo.pop()
            try:
                finished.append((path, self._directory(path), is_new))
                todo += self._entries(path)
            except TargetError as error:
                self.failures[path] = error.message
        for path, wanted, is_new in reversed(finished):
            self._told(path, apply(self._to.open(path), wanted, is_new))
        for opened in (self._from, self._to):
            opened.close()
        os.close(self._source_fd)
        os.close(self._target_fd)

    def _directory(self, path: bytes) -> Wanted:
        fd = self._from.open(path)
        stat = os.fstat(fd)
        found = read_attributes(fd, stat)
        return self._wanted(path.rpartition(b"/")[2] or b"root", stat, found, b"\0" * 32)

    def _entries(self, path: bytes) -> list[tuple[bytes, bool]]:
        below = []
        for text in sorted(os.listdir(self._from.open(path))):
            name = os.fsencode(text)
            full = path + b"/" + name if path else name
            stat = os.stat(name, dir_fd=self._from.open(path), follow_symlinks=False)
            try:
                if modes.S_ISDIR(stat.st_mode):
                    below.append((full, self._to.make(full, replace=True)[1]))
                else:
                    self._told(full, self._entry(path, name, stat))
            except TargetError as error:
                self.failures[full] = error.message
            except PermissionError:
                self.failures[full] = "not read"
        return below

    def _entry(self, path: bytes, name: bytes, stat: os.stat_result) -> list[str]:
        first = self._firsts.setdefault((stat.st_dev, stat.st_ino), (path, name))
        to_fd = self._to.open(path)
        if first != (path, name):
            if link((self._to.open(first[0]), first[1]), self._to.open(path), name, replace=True):
                return []
            return [*self._node_or_file(path, name, stat), HARD_LINK_LOST]
        content = os.readlink(name, dir_fd=self._from.open(path)) if modes.S_ISLNK(stat.st_mode) else None
        verdict = judge(
            look(to_fd, name), self._wanted(name, stat, Attributes([], 0, None, []), content).entry, "if-changed"
        )
        self.verdicts[path + b"/" + name if path else name] = verdict
        return [] if verdict == Verdict.SAME else self._node_or_file(path, name, stat)

    def _node_or_file(self, path: bytes, name: bytes, stat: os.stat_result) -> list[str]:
        from_fd, to_fd = self._from.open(path), self._to.open(path)
        fresh = not self._to.passes_acl(path)
        if modes.S_ISREG(stat.st_mode):
            return self._file(from_fd, to_fd, name, fresh)
        found = read_attributes_at(from_fd, name, stat)
        content: bytes | Device | None = None
        if modes.S_ISLNK(stat.st_mode):
            content = os.readlink(name, dir_fd=from_fd)
        elif modes.S_ISCHR(stat.st_mode) or modes.S_ISBLK(stat.st_mode):
            content = Device(os.major(stat.st_rdev), os.minor(stat.st_rdev))
        return create_node(to_fd, name, self._wanted(name, stat, found, content), replace=True, fresh=fresh)

    def _file(self, from_fd: int, to_fd: int, name: bytes, fresh: bool) -> list[str]:
        fd = os.open(name, _READ, dir_fd=from_fd)
        try:
            stat = os.fstat(fd)
            found = read_attributes(fd, stat)
            file = create_file(to_fd, name, replace=True, flags=found.flags)
            data, content = _content(fd, stat.st_size)
            try:
                for offset, start, length in Extents(data, stat.st_size).pieces(0, len(content)):
                    write_at(file.fd, offset, [content[start : start + length]])
                extend(file.fd, stat.st_size)
            except BaseException:
                abandon_file(to_fd, file)
                raise
            return finish_file(to_fd, file, self._wanted(name, stat, found, None, data), fresh)
        finally:
            os.close(fd)

    def _wanted(
        self, name: bytes, stat: os.stat_result, found: Attributes, content: bytes | Device | None, extents: bytes = b""
    ) -> Wanted:
        kind = _KINDS[modes.S_IFMT(stat.st_mode)]
        entry = Entry(
            name=name,
            kind=kind,
            mode=modes.S_IMODE(stat.st_mode),
            uid=stat.st_uid,
            gid=stat.st_gid,
            mtime_ns=stat.st_mtime_ns,
            size=stat.st_size if kind == Kind.FILE else 0,
            content=content,
            extra=Extra(xattrs=[*found.xattrs], flags=found.flags, extents=extents or None, birth_ns=found.birth_ns),
        )
        return Wanted(entry, found.xattrs, self._owners.resolve(stat.st_uid, stat.st_gid))

    def _told(self, path: bytes, losses: list[str]) -> None:
        if losses:
            self.losses[path] = losses


def copy_tree(source: Path, target: Path, owners: OwnerMap | None = None) -> Copier:
    """Copy a tree into an existing directory, replacing what differs there."""
    copier = Copier(source, target, owners)
    copier.run()
    return copier


def _content(fd: int, size: int) -> tuple[bytes, bytes]:
    """Data extents as entries hold them, and the bytes in them."""
    pairs, parts, offset = b"", [], 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        offset = os.lseek(fd, start, os.SEEK_HOLE)
        pairs += start.to_bytes(8, "little") + (offset - start).to_bytes(8, "little")
        parts.append(os.pread(fd, offset - start, start))
    return pairs, b"".join(parts)
