"""The walk over the sources: every directory is visited and every entry looked at, always; only reading is saved (DESIGN 7)."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Iterator

from backupd.cache.file_cache import CachedDirectory, FileCache, PieceRef, Row
from backupd.operations.backup.building import BuildTools, DirectoryBuild, Slice
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk_rules import Caches, Reading, WalkRules
from backupd.source import metadata, scanner
from backupd.source.scanner import Seen
from backupd.source.signature import YOUNG_NS, YOUNG_ON_NETWORK_NS, is_young
from backupd.tree import entry as entries
from backupd.tree.entry import ANCESTOR, Device, Entry, Extra, Kind

SLICE_NAMES = 4096
_KINDS = {
    modes.S_IFLNK: Kind.SYMLINK,
    modes.S_IFIFO: Kind.FIFO,
    modes.S_IFCHR: Kind.CHARACTER_DEVICE,
    modes.S_IFBLK: Kind.BLOCK_DEVICE,
    modes.S_IFSOCK: Kind.SOCKET,
}


class TreeWalk:
    """Walks the sources in byte order of paths; yields after each slice, so that the caller can pump and checkpoint."""

    def __init__(
        self, tools: BuildTools, rules: WalkRules, caches: Caches, reading: Reading, tally: Tally, began_ns: int
    ) -> None:
        self._tools, self._rules, self._caches = tools, rules, caches
        self._reading, self._tally, self._began_ns = reading, tally, began_ns
        self.root: DirectoryBuild | None = None
        self.open: dict[bytes, DirectoryBuild] = {}
        """Directories begun and not finished, by path, parents before children."""
        self._fds: dict[bytes, int] = {}

    def run(self) -> Iterator[None]:
        """Walk all. The root's node is there when the last file was read."""
        yield from self._walk(self._ancestor_root(), self._ancestor_steps(b"/"))

    def finished(self, build: DirectoryBuild) -> None:
        """A directory is whole: it takes its place in its parent."""
        del self.open[build.path]
        parent, piece = build.parent, build.parent_slice
        if parent is None or piece is None:
            return
        parent.files += build.files
        parent.byte_count += build.byte_count
        parent.has_problems |= build.has_problems
        if piece.clean is None:
            name = piece.names[build.index]
            piece.set(build.index, build.encode_self(build.node, name), build.signature)
        parent.settled(piece)

    # Directories above the sources

    def _ancestor_root(self) -> DirectoryBuild:
        self.root = DirectoryBuild(self._tools, b"/", None, 0)
        self.open[b"/"] = self.root
        return self.root

    def _ancestor_steps(self, path: bytes) -> list[bytes]:
        """Names below a directory above sources that lead to them."""
        below = path if path == b"/" else path + b"/"
        return sorted({s[len(below) :].split(b"/")[0] for s in self._rules.sources if s.startswith(below)})

    def _walk(self, root: DirectoryBuild, steps: list[bytes]) -> Iterator[None]:
        """Depth first with a stack of our own: trees may be deeper than Python's."""
        fd = scanner.open_directory(b"/")
        if b"/" in self._rules.sources:
            stack = [self._directory(root, fd)]
        else:
            stack = [self._ancestor(root, fd, steps)]
        while stack:
            below = next(stack[-1], None)
            if below is None:
                stack.pop()
            elif isinstance(below, DirectoryBuild):
                stack.append(self._enter(below))
            yield

    def _enter(self, build: DirectoryBuild) -> Iterator[DirectoryBuild | bool]:
        fd = self._fds.pop(build.path)
        if build.state & ANCESTOR:
            return self._ancestor(build, fd, self._ancestor_steps(build.path))
        return self._directory(build, fd)

    def _ancestor(self, build: DirectoryBuild, fd: int, names: list[bytes]) -> Iterator[DirectoryBuild | bool]:
        try:
            build.state = ANCESTOR
            seen, failed = scanner.look(fd, names)
            for name, error in failed:
                self._problem(build, name, error)
            yield from self._slice(build, fd, seen, None, is_ancestor=True)
        finally:
            os.close(fd)
        build.end_listing()

    # Directories of the sources

    def _directory(self, build: DirectoryBuild, fd: int) -> Iterator[DirectoryBuild | bool]:
        try:
            self._tally.directories += 1
            self._tally.current = build.path
            known = self._known(build.path)
            if known is not None:
                build.cache = known[0]
                if known[1].node and known[2] and not known[1].problems:
                    build.candidate = (known[0], known[1])
            try:
                names = scanner.list_names(fd)
            except OSError as error:
                self._problem(build, b"", error)
                names = []
            yield from self._slices(build, fd, names, known[1] if known else None)
        finally:
            os.close(fd)
        build.end_listing()

    def _known(self, path: bytes) -> tuple[FileCache, CachedDirectory, bool] | None:
        for place, cache in enumerate(self._caches.found):
            known = cache.directory(path)
            if known is not None:
                return cache, known, place in self._caches.reusable
        return None

    def _slices(
        self, build: DirectoryBuild, fd: int, names: list[bytes], known: CachedDirectory | None
    ) -> Iterator[DirectoryBuild | bool]:
        pieces = known.pieces if known is not None else []
        borders = [piece.first_name for piece in pieces[1:]]
        at, used = 0, 0
        while True:
            piece = pieces[used] if used < len(pieces) else None
            border = borders[used] if used < len(borders) else None
            end = at
            while end < len(names) and end - at < 2 * SLICE_NAMES and (border is None or names[end] < border):
                end += 1
                if border is None and end - at >= SLICE_NAMES and piece is None:
                    break
            is_at_border = end >= len(names) or (border is not None and names[end] >= border)
            if end > at or (not names and not at):
                seen, failed = scanner.look(fd, names[at:end])
                for name, error in failed:
                    self._problem(build, name, error)
                yield from self._slice(build, fd, self._filtered(build, seen), piece if is_at_border else None)
                yield True
            elif piece is not None and build.candidate is not None:
                # A cached stretch of which nothing is left.
                build.candidate = None
            at = end
            if is_at_border:
                used += 1
            if at >= len(names):
                if used < len(pieces):
                    build.candidate = None
                return

    def _filtered(self, build: DirectoryBuild, seen: list[Seen]) -> list[Seen]:
        rules = self._rules
        top = build.path if build.path != b"/" else b""
        if rules.filters.is_empty and not rules.leaves_out_files:
            # Only directories can be left out then; most entries cost no look-up.
            is_out = rules.left_out.is_left_out
            out = {
                name
                for name, stat in seen
                if modes.S_ISDIR(stat.st_mode) and is_out(top + b"/" + name) and top + b"/" + name not in rules.named
            }
            self._tally.left_out += len(out)
            return [found for found in seen if found.name not in out] if out else seen
        kept: list[Seen] = []
        for found in seen:
            path = top + b"/" + found.name
            is_directory = modes.S_ISDIR(found.stat.st_mode)
            is_in = path in rules.named or (
                rules.filters.decide(path, found.name, is_directory).included
                and rules.left_out.is_left_out(path) is None
            )
            if is_in:
                kept.append(found)
            else:
                self._tally.left_out += 1
        return kept

    def _slice(
        self, build: DirectoryBuild, fd: int, seen: list[Seen], cached: PieceRef | None, *, is_ancestor: bool = False
    ) -> Iterator[DirectoryBuild | bool]:
        digest, signatures = scanner.digest(seen)
        names = [found.name for found in seen]
        is_clean = cached is not None and cached.digest == digest and self._is_whole(build)
        piece = Slice(names, signatures, cached if is_clean else None)
        build.add_slice(piece)
        piece.pending = 1
        rows: dict[bytes, Row] = {}
        if not is_clean and build.cache is not None and not is_ancestor:
            rows = self._rows_for(build)
        below: list[DirectoryBuild] = []
        self._count_slice(build, seen, is_clean)
        for index, found in enumerate(seen):
            if modes.S_ISDIR(found.stat.st_mode):
                child = self._child(build, piece, index, found, rows.get(found.name), fd, is_ancestor)
                if child is not None:
                    below.append(child)
            elif not is_clean:
                self._entry(build, piece, index, found, rows.get(found.name), fd)
        if rows:
            self._count_gone(build, set(names), rows)
        build.settled(piece)
        for child in below:
            self._open_child(child, fd)
            if child.path in self._fds:
                yield child

    def _count_slice(self, build: DirectoryBuild, seen: list[Seen], is_clean: bool) -> None:
        tally = self._tally
        stats = [stat for _, stat in seen]
        tally.uids.update([stat.st_uid for stat in stats])
        tally.gids.update([stat.st_gid for stat in stats])
        files = [stat for stat in stats if not modes.S_ISDIR(stat.st_mode)]
        build.files += len(files)
        tally.seen += len(files)
        size = sum([stat.st_size for stat in files if modes.S_ISREG(stat.st_mode)])
        build.byte_count += size
        tally.seen_bytes += size
        if is_clean:
            tally.same += len(files)
            if any([stat.st_nlink > 1 for stat in files]):
                for name, stat in seen:
                    if stat.st_nlink > 1 and not modes.S_ISDIR(stat.st_mode):
                        self._reading.note_clean(stat, build.path, name)

    def _is_whole(self, build: DirectoryBuild) -> bool:
        return build.cache is not None and any(
            build.cache is self._caches.found[place] for place in self._caches.reusable
        )

    def _count_gone(self, build: DirectoryBuild, present: set[bytes], rows: dict[bytes, Row]) -> None:
        names = build.open_slice.names
        for name, row in rows.items():
            if name in present or not row.entry or (names and not names[0] <= name <= names[-1] and len(names) > 64):
                continue
            path = build.path.rstrip(b"/") + b"/" + name
            known = self._known(path)
            self._tally.gone += known[1].files if known is not None else 1

    def _rows_for(self, build: DirectoryBuild) -> dict[bytes, Row]:
        """Rows of this directory as the newest cache that knows it has them."""
        found: dict[bytes, Row] = {}
        piece = build.open_slice
        for cache in reversed(self._caches.found):
            known = cache.directory(build.path)
            if known is None:
                continue
            refs = known.pieces
            for at, ref in enumerate(refs):
                next_first = refs[at + 1].first_name if at + 1 < len(refs) else None
                begins_after = piece.names and ref.first_name > piece.names[-1]
                ends_before = piece.names and next_first is not None and next_first <= piece.names[0]
                if not begins_after and not ends_before:
                    found.update((row.name, row) for row in cache.rows(ref))
        return found

    def _child(
        self,
        build: DirectoryBuild,
        piece: Slice,
        index: int,
        found: Seen,
        row: Row | None,
        fd: int,
        is_ancestor: bool,
    ) -> DirectoryBuild | None:
        top = build.path if build.path != b"/" else b""
        child = DirectoryBuild(self._tools, top + b"/" + found.name, build, index)
        child.stat = found.stat
        is_trusted = not self._is_young(found.stat)
        child.signature = piece.signatures[index] if is_trusted and not is_ancestor else b""
        if row is not None and row.signature == piece.signatures[index] and row.entry:
            child.cached_entry = row.entry
        if is_ancestor and child.path not in self._rules.sources:
            child.state = ANCESTOR
        is_other = self._rules.one_file_system and build.stat is not None and found.stat.st_dev != build.stat.st_dev
        piece.pending += 1
        piece.children[index] = child
        self.open[child.path] = child
        if is_other and not is_ancestor:
            self._tally.left_out += 1
            child.end_listing()
            return None
        return child

    def _open_child(self, child: DirectoryBuild, fd: int) -> None:
        """Open a subdirectory right before it is walked; one that can't be opened is stored empty, as a problem."""
        name = child.path.rpartition(b"/")[2]
        try:
            child_fd = scanner.open_directory(name, fd)
        except OSError as error:
            self._problem(child, b"", error)
            child.end_listing()
            return
        stat = os.fstat(child_fd)
        if child.stat is not None and (stat.st_dev, stat.st_ino) != (child.stat.st_dev, child.stat.st_ino):
            child.signature = b""
        child.stat = stat
        if not child.cached_entry and (child.parent_slice is None or child.parent_slice.clean is None):
            child.attributes = metadata.read_attributes(child_fd, stat)
            for text in child.attributes.problems:
                self._tally.problem(child.path, "metadata", text)
        self._fds[child.path] = child_fd

    def _entry(
        self, build: DirectoryBuild, piece: Slice, index: int, found: Seen, row: Row | None, fd: int
    ) -> None:
        signature = piece.signatures[index]
        if self._is_young(found.stat):
            piece.signatures[index] = b""
            piece.is_trusted = False
            build.has_problems = True
        if row is not None and row.signature == signature and self._reading.may_reuse(row.entry):
            self._tally.same += 1
            piece.set(index, row.entry, piece.signatures[index])
            self._reading.note_reused(found.stat, row.entry)
            return
        if modes.S_ISREG(found.stat.st_mode):
            self._reading.read(build, piece, index, found, row)
            return
        self._count(row)
        try:
            encoded = entries.encode(self._special(fd, found, build))
        except OSError as error:
            self._problem(build, found.name, error)
            return
        piece.set(index, encoded, piece.signatures[index])

    def _special(self, fd: int, found: Seen, build: DirectoryBuild) -> Entry:
        name, stat = found
        kind = _KINDS[modes.S_IFMT(stat.st_mode)]
        content: bytes | Device | None = None
        size = 0
        if kind is Kind.SYMLINK:
            content = os.readlink(name, dir_fd=fd)
            size = len(content)
        elif kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            content = Device(os.major(stat.st_rdev), os.minor(stat.st_rdev))
        attributes = metadata.read_attributes_at(fd, name, stat)
        for text in attributes.problems:
            self._tally.problem(build.path + b"/" + name, "metadata", text)
        group = self._reading.link_group(stat, build.path, name)
        extra = None
        if group or attributes.xattrs or attributes.flags or attributes.birth_ns:
            xattrs = [(n, self._reading.stored(v)) for n, v in attributes.xattrs]
            extra = Extra(group, xattrs or None, attributes.birth_ns, attributes.flags)
        mode = stat.st_mode & 0o7777
        return Entry(name, kind, mode, stat.st_uid, stat.st_gid, stat.st_mtime_ns, size, content, extra)

    def _count(self, row: Row | None) -> None:
        if row is None:
            self._tally.new += 1
        else:
            self._tally.changed += 1

    def _is_young(self, stat: os.stat_result) -> bool:
        is_network = stat.st_dev in self._rules.network_devices
        return is_young(stat, self._began_ns, YOUNG_ON_NETWORK_NS if is_network else YOUNG_NS)

    def _problem(self, build: DirectoryBuild, name: bytes, error: OSError) -> None:
        path = build.path.rstrip(b"/") + b"/" + name if name else build.path
        build.has_problems = True
        if build.candidate is not None:
            build.candidate = None
        if isinstance(error, FileNotFoundError):
            self._tally.problem(path, "vanished", "vanished while the backup ran")
        else:
            self._tally.problem(path, "unreadable", os.strerror(error.errno or 0).lower())
