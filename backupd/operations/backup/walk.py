"""The walk over the sources: every directory is visited, every entry looked at; only reading is saved (DESIGN 7)."""

from __future__ import annotations

import os
import stat as modes
from collections.abc import Generator

from backupd.cache.file_cache import CachedDirectory, FileCache, PieceRef, Row
from backupd.model.streams import STREAMS_NAME, STREAMS_PATH
from backupd.operations.backup.building import BuildTools, DirectoryBuild, Slice
from backupd.operations.backup.choosing import Within
from backupd.operations.backup.inode_trust import InodeTrust
from backupd.operations.backup.special_entry import make_special
from backupd.operations.backup.stream_files import seen_streams, stat_of
from backupd.operations.backup.stretches import Stretch, cut_stretches
from backupd.operations.backup.tally import Tally
from backupd.operations.backup.walk_counting import count_gone, count_outside, count_slice
from backupd.operations.backup.walk_rules import Caches, Reading, WalkRules
from backupd.rules.live_files import LOOK, LiveFiles
from backupd.source import reader, scanner
from backupd.source.entering import enter
from backupd.source.scanner import Seen
from backupd.source.signature import YOUNG_NS, YOUNG_ON_NETWORK_NS, is_young
from backupd.tree import entry as entries
from backupd.tree.depth import TOO_DEEP, is_too_deep
from backupd.tree.entry import ANCESTOR

Steps = Generator[DirectoryBuild | bool, None, None]

_NO_FD = -1


class TreeWalk:
    """Walks the sources in byte order of paths; yields after each slice, so that the caller can pump and checkpoint."""

    def __init__(
        self, tools: BuildTools, rules: WalkRules, caches: Caches, reading: Reading, tally: Tally, began_ns: int
    ) -> None:
        self._tools, self._rules, self._caches = tools, rules, caches
        self._reading, self._tally, self._began_ns = reading, tally, began_ns
        self._do = rules.rights.do
        self.root: DirectoryBuild | None = None
        self.live = LiveFiles(rules.tolerances, rules.grafts.paths)
        self.open: dict[bytes, DirectoryBuild] = {}
        """Directories begun and not finished, by path, parents before children."""
        self._fds: dict[bytes, int] = {}
        self._inodes = InodeTrust(tally.warn)
        self._finished: list[DirectoryBuild] = []
        self._only_ways: set[bytes] = set()
        """Directories that are left out but for what leads to sources named below them."""
        self._wanted: set[bytes] = set()
        """Directories that a filter takes in, until they are entered."""

    def run(self) -> Generator[None, None, None]:
        """Walk all. The root's node is there when the last file was read. Closed early, it leaves nothing open."""
        yield from self._walk(self._ancestor_root(), self._rules.steps_below(b"/"))

    def finished(self, build: DirectoryBuild) -> None:
        """A directory is whole: it takes its place in its parent."""
        # One loop instead of a call for each level: trees are deeper than Python's stack.
        self._finished.append(build)
        if len(self._finished) == 1:
            while self._finished:
                self._take_place(self._finished[0])
                del self._finished[0]

    def _take_place(self, build: DirectoryBuild) -> None:
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

    def _walk(self, root: DirectoryBuild, steps: list[bytes]) -> Generator[None, None, None]:
        """Depth first with a stack of our own: trees may be deeper than Python's."""
        self._fds[b"/"], root.stat, _ = self._do(enter, self._rules.grafts, b"/", b"/", None)
        stack = [self._directory(root) if b"/" in self._rules.sources else self._ancestor(root, steps)]
        try:
            while stack:
                below = next(stack[-1], None)
                if below is None:
                    stack.pop()
                elif isinstance(below, DirectoryBuild):
                    stack.append(self._enter(below))
                yield
        finally:
            for one in reversed(stack):
                one.close()
            for fd in self._fds.values():
                os.close(fd)

    def _enter(self, build: DirectoryBuild) -> Steps:
        if build.state & ANCESTOR:
            return self._ancestor(build, self._rules.steps_below(build.path))
        return self._streams(build) if self._is_streams(build.path) else self._directory(build)

    def _ancestor(self, build: DirectoryBuild, names: list[bytes]) -> Steps:
        fd = self._fds.pop(build.path)
        try:
            build.state = ANCESTOR
            known = self._caches.directory(build.path)
            build.know(known)
            seen = self._look(build, fd, names)
            yield from self._slice(build, fd, seen, Stretch(names, b"", None, None))
        finally:
            os.close(fd)
        build.end_listing()

    # The directory of streams, which is none of the machine's

    def _is_streams(self, path: bytes) -> bool:
        return path == STREAMS_PATH and bool(self._rules.streams)

    def _streams(self, build: DirectoryBuild) -> Steps:
        known = self._caches.directory(build.path)
        build.know(known)
        names = self._rules.streams
        yield from self._slice(build, _NO_FD, seen_streams(names, self._began_ns), Stretch(names, b"", None, None))
        build.end_listing()

    # Directories of the sources

    def _directory(self, build: DirectoryBuild) -> Steps:
        fd = self._fds.pop(build.path)
        try:
            self._tally.directories += 1
            self._tally.current = build.path
            known = self._caches.directory(build.path)
            if known is not None:
                build.know(known)
                build.is_whole = known[2]
                if known[1].node and known[2] and not known[1].problems:
                    build.candidate = (known[0], known[1])
                    if self._rules.untouched is not None and self._rules.untouched.holds(build.path, known[0]):
                        self._take_over(build, *build.candidate)
                        build.end_listing()
                        return
            try:
                names = self._do(scanner.list_names, fd)
                if build.path == b"/" and self._rules.streams:
                    names = sorted({*names, STREAMS_NAME})
            except OSError as error:
                self._problem(build, b"", error)
                names, known, build.cache = [], None, None
            build.within = self._within(build, names, fd)
            for stretch in cut_stretches(names, known[1].pieces if known is not None else []):
                seen = self._filtered(build, self._look(build, fd, stretch.names), fd)
                yield from self._slice(build, fd, seen, stretch)
                yield True
        finally:
            os.close(fd)
        build.end_listing()

    def _take_over(self, build: DirectoryBuild, cache: FileCache, known: CachedDirectory) -> None:
        """Nothing changed in it, nor below: it is as it was stored, and nobody looks."""
        below = cache.below(build.path)
        for path in below:
            found = cache.directory(path)
            if found is not None:
                self._tools.cache.carry(cache, path, found)
        build.files, build.byte_count = known.files, known.byte_count
        self._tally.take_over(build.path, len(below), known.files, known.byte_count)

    def _look(self, build: DirectoryBuild, fd: int, names: list[bytes]) -> list[Seen]:
        has_streams = build.path == b"/" and bool(self._rules.streams) and STREAMS_NAME in names
        of_disk = [name for name in names if name != STREAMS_NAME] if has_streams else names
        seen, failed = self._do(self._rules.grafts.look, build.path, fd, of_disk)
        if has_streams:
            seen = sorted([*seen, Seen(STREAMS_NAME, stat_of(modes.S_IFDIR | 0o755, 0, self._began_ns))])
        for name, error in failed:
            if not self._is_left_out(build, name):
                self._problem(build, name, error)
        return seen

    def _is_left_out(self, build: DirectoryBuild, name: bytes) -> bool:
        """Whether an entry that can't be looked at is none of this run."""
        path = build.path.rstrip(b"/") + b"/" + name
        return path not in self._rules.named and self._rules.choosing.is_out(path, name)

    def _filtered(self, build: DirectoryBuild, seen: list[Seen], fd: int) -> list[Seen]:
        """What of a directory is taken in. fd: of the directory."""
        if build.within is None:
            raise AssertionError("a directory is chosen from before it is entered")
        decided = self._rules.choosing.choose(build.within, build.path, seen, fd)
        if not decided:
            return seen
        top = build.path if build.path != b"/" else b""
        out = set()
        for at, choice in decided.items():
            name, stat = seen[at]
            path, is_directory = top + b"/" + name, modes.S_ISDIR(stat.st_mode)
            if choice.is_in:
                if is_directory:
                    self._wanted.add(path)
            elif path not in self._rules.named and not (is_directory and self._is_way(path)):
                out.add(at)
                if self._tally.states.is_kept:
                    self._tally.state(top, name, "left_out", choice.text)
        self._tally.left_out += len(out)
        return [found for at, found in enumerate(seen) if at not in out] if out else seen

    def _within(self, build: DirectoryBuild, names: list[bytes], fd: int) -> Within:
        """What holds in a directory because of those above it and of what it holds itself."""
        rules = self._rules
        above = build.parent.within if build.parent is not None else None
        if above is None or build.path in rules.named:
            above = rules.choosing.begin(takes_unmatched=build.path not in rules.places)
        if build.path in self._wanted:
            self._wanted.remove(build.path)
            above = above._replace(takes_unmatched=True)
        return rules.choosing.enter(above, build.path, names, fd, self._tally.warn)

    def _is_way(self, path: bytes) -> bool:
        """Whether a directory that is to be left out is a source or leads to one, and is walked for that alone."""
        if path in self._rules.leading and path not in self._rules.named:
            self._only_ways.add(path)
            return True
        return path in self._rules.named

    def _slice(self, build: DirectoryBuild, fd: int, seen: list[Seen], stretch: Stretch) -> Steps:
        digest, signatures = scanner.digest(seen)
        names = [found.name for found in seen]
        self._rules.tolerances.see(build.path, seen)
        cached = stretch.cached if build.is_whole else None
        if cached is not None and cached.digest != digest:
            cached = None
        # The digest is of the names, too.
        is_plain = cached is not None and cached.plain == LOOK
        plain = LOOK if is_plain else self.live.look(build.path, names)
        if cached is not None and not self._has_groups(build, cached, seen):
            cached = None
        is_clean = cached is not None
        piece = Slice(names, signatures, cached, plain)
        build.add_slice(piece)
        piece.pending = 1
        rows: dict[bytes, Row] = {}
        if not is_clean and build.cache is not None:
            rows = self._caches.rows(build.path, stretch.low, stretch.high)
        below: list[DirectoryBuild] = []
        count_slice(self._tally, build, seen, is_clean=is_clean)
        count_outside(self._tally, self._rules, build.path, seen, fd)
        for index, found in enumerate(seen):
            if modes.S_ISDIR(found.stat.st_mode):
                child = self._child(build, piece, index, found, rows.get(found.name))
                if child is not None:
                    below.append(child)
            elif not is_clean:
                self._entry(build, piece, index, found, rows.get(found.name), fd)
        if rows and not build.state & ANCESTOR:
            looks_for_links = self._rules.untouched is not None
            count_gone(self._tally, self._caches, build, set(stretch.names), rows, looks_for_links=looks_for_links)
        build.settled(piece)
        for child in below:
            self._open_child(child, fd)
            if child.path in self._fds or self._is_streams(child.path):
                yield child

    def _has_groups(self, build: DirectoryBuild, cached: PieceRef, seen: list[Seen]) -> bool:
        """Whether the hard links in a cached piece are in the groups that they have in this run."""
        linked = {name: stat for name, stat in seen if stat.st_nlink > 1 and not modes.S_ISDIR(stat.st_mode)}
        if not linked or build.cache is None:
            return True
        rows = build.cache.rows(cached)
        return all([self._reading.has_group(linked[row.name], row.entry) for row in rows if row.name in linked])

    def _child(
        self, build: DirectoryBuild, piece: Slice, index: int, found: Seen, row: Row | None
    ) -> DirectoryBuild | None:
        rules = self._rules
        is_inside = not build.state & ANCESTOR
        child = DirectoryBuild(self._tools, build.path.rstrip(b"/") + b"/" + found.name, build, index)
        child.stat = found.stat
        piece.pending += 1
        piece.children[index] = child
        self.open[child.path] = child
        is_named = child.path in rules.named or (not is_inside and child.path in rules.sources)
        above = build.stat if rules.one_file_system and is_inside and not is_named else None
        is_other = above is not None and rules.grafts.is_other(above, found.stat)
        is_way = child.path in self._only_ways or (is_other and child.path in rules.leading)
        if is_way or not (is_inside or is_named):
            child.state = ANCESTOR
            return child
        child.signature = piece.signatures[index] if is_inside and not self._is_young(found.stat) else b""
        if row is not None and self._may_reuse(build, row, piece.signatures[index], found):
            # Its metadata; its node is that of this run.
            child.cached_entry = row.entry
        if is_other:
            self._tally.left_out += 1
            self._tally.state(child.path, b"", "left_out", "another file system")
            child.end_listing()
            return None
        return child

    def _open_child(self, child: DirectoryBuild, fd: int) -> None:
        """Open a subdirectory right before it is walked; one that can't be opened is stored empty, as a problem."""
        name = child.path.rpartition(b"/")[2]
        if self._is_streams(child.path):
            return
        if is_too_deep(child.path):
            # Told at each backup, for no restore would enter it.
            self._not_opened(child, name, fd, OSError(TOO_DEEP))
            return
        is_new = not child.cached_entry and (child.parent_slice is None or child.parent_slice.clean is None)
        try:
            child_fd, stat, attributes = self._do(
                enter, self._rules.grafts, child.path, name, fd, reads_attributes=is_new
            )
        except OSError as error:
            self._not_opened(child, name, fd, error)
            return
        if child.stat is not None and (stat.st_dev, stat.st_ino) != (child.stat.st_dev, child.stat.st_ino):
            child.signature = b""
        child.stat = stat
        if attributes is not None:
            child.attributes = attributes
            for text in attributes.problems:
                child.signature = b""
                self._tally.problem(child.path, "metadata", text)
        self._fds[child.path] = child_fd

    def _may_reuse(self, build: DirectoryBuild, row: Row, signature: bytes, found: Seen) -> bool:
        is_same = self._inodes.is_same(row.signature, signature, found.stat.st_dev, build.path)
        return is_same and self._reading.may_reuse(row.entry)

    def _not_opened(self, child: DirectoryBuild, name: bytes, fd: int, error: OSError) -> None:
        child.signature = b""
        if child.state & ANCESTOR and isinstance(error, PermissionError):
            # Who may not list a directory above a source may still pass through it.
            try:
                self._fds[child.path] = self._do(scanner.open_way, name, fd)
            except OSError:
                self._problem(child, b"", error)
            else:
                return
        else:
            self._problem(child, b"", error)
        child.end_listing()

    def _entry(
        self, build: DirectoryBuild, piece: Slice, index: int, found: Seen, row: Row | None, fd: int
    ) -> None:
        if self._is_streams(build.path):
            self._reading.read_stream(build, piece, index, found, row)
            return
        signature = piece.signatures[index]
        if self._is_young(found.stat):
            piece.signatures[index] = b""
            piece.is_trusted = False
            build.has_problems = True
        if row is not None and self._may_reuse(build, row, signature, found):
            self._tally.same += 1
            self._tally.kept_bytes += found.stat.st_size
            self._tally.state(build.path, found.name, "unchanged")
            encoded = row.entry
            if found.stat.st_nlink > 1:
                encoded = self._reading.with_group(found.stat, encoded, build.path, found.name)
            piece.set(index, encoded, piece.signatures[index])
            return
        if modes.S_ISREG(found.stat.st_mode):
            self._reading.read(build, piece, index, found, row)
            return
        try:
            group = self._reading.link_group(found.stat, build.path, found.name)
            special, losses = make_special(fd, found, group, self._reading.stored, self._rules.rights)
        except OSError as error:
            self._problem(build, found.name, error)
            return
        for text in losses:
            self._tally.problem(build.path.rstrip(b"/") + b"/" + found.name, "metadata", text)
        encoded = entries.encode(special)
        is_same = self._tally.count(row.entry if row is not None else b"", encoded, special.size)
        self._tally.state(build.path, found.name, "unchanged" if is_same else "stored")
        piece.set(index, encoded, b"" if losses else piece.signatures[index])

    def _is_young(self, stat: os.stat_result) -> bool:
        margin = YOUNG_ON_NETWORK_NS if stat.st_dev in self._rules.network_devices else YOUNG_NS
        return is_young(stat, self._rules.grafts.began_ns(self._began_ns), margin)

    def _problem(self, build: DirectoryBuild, name: bytes, error: OSError) -> None:
        path = build.path.rstrip(b"/") + b"/" + name if name else build.path
        build.has_problems = True
        build.candidate = None
        kind, message = reader.describe(error)
        self._tally.problem(path, kind, message)
        self._tally.fail(path, b"", message)
