"""Directories that are watched for changes, as Linux tells them by inotify; what it can't tell is told as lost.

Each directory has a watch of its own. One that comes later is watched before it is listed, so nothing that comes into
it falls between; one that is moved is watched anew at its new place.
"""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Callable, Iterable

import inotify_simple
from inotify_simple import flags

from backupd.source.changes import Changes, IsOut

_MASK = (
    flags.CREATE
    | flags.DELETE
    | flags.MOVED_FROM
    | flags.MOVED_TO
    | flags.MODIFY
    | flags.CLOSE_WRITE
    | flags.ATTRIB
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
    | flags.DONT_FOLLOW
    | flags.EXCL_UNLINK
)
_COME = flags.CREATE | flags.MOVED_TO
_GONE = flags.DELETE | flags.MOVED_FROM
_SELF = flags.DELETE_SELF | flags.MOVE_SELF | flags.IGNORED | flags.UNMOUNT
_ABSENT_SECONDS = 5.0
"""Between two looks whether a source that was not there has come."""
_GATHER_MILLISECONDS = 100
"""What comes within that time is read at once: a file that is written tells of each of its parts."""


class _Node:
    """A watched directory."""

    __slots__ = ("children", "name", "only", "parent", "wd")

    def __init__(self, parent: _Node | None, name: bytes) -> None:
        self.parent, self.name = parent, name
        """name: of a top its whole path, without a slash at its end."""
        self.wd = -1
        self.children: dict[bytes, _Node] = {}
        self.only: set[bytes] | None = None
        """Names that count; None: all."""

    @property
    def path(self) -> bytes:
        """Absolute."""
        names: list[bytes] = []
        node: _Node | None = self
        while node is not None:
            names.append(node.name)
            node = node.parent
        return b"/".join(reversed(names)) or b"/"


class TreeWatch:
    """Watches sources. Not for several threads."""

    def __init__(
        self, sources: Iterable[bytes], is_out: IsOut, monotonic: Callable[[], float], *, one_file_system: bool
    ) -> None:
        """sources: absolute. Raises OSError where this system lets nobody watch any more (EMFILE)."""
        self._sources, self._is_out, self._monotonic = list(sources), is_out, monotonic
        self._one = one_file_system
        self._inotify = inotify_simple.INotify()
        self._nodes: dict[int, _Node] = {}
        self._absent: set[bytes] = set()
        self._look_again = 0.0
        self._changes = Changes()
        self.unwatched = b""
        """A directory for which the system had no watch left."""
        self._is_twofold = False
        """Whether a directory shows at two places: the system tells of one of them."""
        for source in self._sources:
            self._begin(source)

    @property
    def count(self) -> int:
        """How many directories are watched."""
        return len(self._nodes)

    @property
    def is_blind(self) -> bool:
        """Whether something may change of which nothing is told."""
        return bool(self.unwatched) or self._is_twofold

    def close(self) -> None:
        """Watch no more."""
        self._inotify.close()

    def wait(self, seconds: float) -> Changes:
        """What changed; empty where nothing did for that long. Raises OSError."""
        for event in self._inotify.read(round(seconds * 1000), _GATHER_MILLISECONDS):
            if event.mask & flags.Q_OVERFLOW:
                self._anew()
                break
            node = self._nodes.get(event.wd)
            if node is not None:
                self._hear(node, event.mask, os.fsencode(event.name))
        self._look_for_absent()
        changes, self._changes = self._changes, Changes()
        return changes

    def _anew(self) -> None:
        """More happened than the system kept: all is watched anew, before it is looked at."""
        self._inotify.close()
        self._inotify = inotify_simple.INotify()
        self._nodes, self._absent, self.unwatched, self._is_twofold = {}, set(), b"", False
        for source in self._sources:
            self._begin(source)
        self._changes = Changes(is_lost=True)

    def _begin(self, source: bytes) -> bool:
        """Watch a source; whether it is there."""
        try:
            stat = os.lstat(source)
        except OSError:
            self._absent.add(source)
            return False
        self._absent.discard(source)
        if modes.S_ISDIR(stat.st_mode):
            return self._watch(_Node(None, source.rstrip(b"/")))
        above, _, name = source.rpartition(b"/")
        known = next((one for one in self._nodes.values() if one.parent is None and one.name == above), None)
        if known is not None and known.only is not None:
            known.only.add(name)
            return True
        top = _Node(None, above)
        top.only = {name}
        return self._watch(top)

    def _watch(self, top: _Node) -> bool:
        """Watch a directory and all below it; whether it could be."""
        stack, device = [top], None
        while stack:
            node = stack.pop()
            path = node.path
            try:
                wd = self._inotify.add_watch(path, _MASK)
                if self._one:
                    found = os.lstat(path).st_dev
                    device = found if device is None else device
                    if found != device:
                        self._inotify.rm_watch(wd)
                        continue
                names = self._directories(path) if node.only is None else []
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    self.unwatched = path
                if node.parent is not None:
                    # It may let itself be watched when its rights have changed.
                    node.parent.children.pop(node.name, None)
                if node is top:
                    return False
                # Gone already, or not to be read: the run says so of it.
                continue
            former = self._nodes.get(wd)
            if former is not None and former is not node:
                # Seen at another path: it was moved just now, or is mounted twice.
                self._is_twofold |= self._is_at(former, path)
                self._changes.is_lost = True
                self._detach(former)
            node.wd, self._nodes[wd] = wd, node
            for name in names:
                if not self._is_out(path.rstrip(b"/") + b"/" + name, name, True):
                    node.children[name] = child = _Node(node, name)
                    stack.append(child)
        return True

    @staticmethod
    def _is_at(node: _Node, path: bytes) -> bool:
        """Whether a node's path still leads to the directory at another one."""
        try:
            return os.path.samestat(os.lstat(node.path), os.lstat(path))
        except OSError:
            return False

    @staticmethod
    def _directories(path: bytes) -> list[bytes]:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def _hear(self, node: _Node, mask: int, name: bytes) -> None:
        if not name:
            if mask & _SELF:
                self._leave(node)
            else:
                # Of the directory itself: that stands in the one above.
                self._changes.note(node.path.rpartition(b"/")[0] or b"/")
            return
        path = node.path
        child = path.rstrip(b"/") + b"/" + name
        if node.only is not None:
            if name in node.only:
                self._changes.note(path)
            return
        is_directory = bool(mask & flags.ISDIR)
        if self._is_out(child, name, is_directory):
            return
        self._changes.note(path)
        if not is_directory:
            return
        if mask & (_COME | _GONE) and name in node.children:
            self._remove(node.children.pop(name))
        # One whose rights changed may not have let itself be watched before.
        if mask & _COME or (mask & flags.ATTRIB and name not in node.children):
            node.children[name] = new = _Node(node, name)
            self._watch(new)
            self._changes.note_tree(child)

    def _leave(self, node: _Node) -> None:
        """A watched directory is no more where it was."""
        if self._nodes.get(node.wd) is not node:
            return
        path = node.path
        self._changes.note(path.rpartition(b"/")[0] or b"/")
        if node.parent is not None:
            if node.parent.children.get(node.name) is node:
                del node.parent.children[node.name]
            self._remove(node)
            return
        self._remove(node)
        for source in self._sources:
            if source == path or (node.only is not None and source.rpartition(b"/")[0] == path.rstrip(b"/")):
                self._absent.add(source)

    def _remove(self, top: _Node) -> None:
        """Watch a directory and what is below it no more."""
        stack = [top]
        while stack:
            node = stack.pop()
            stack += node.children.values()
            self._detach(node)
            try:
                self._inotify.rm_watch(node.wd)
            except OSError:
                # It went with its directory.
                continue

    def _detach(self, node: _Node) -> None:
        if self._nodes.get(node.wd) is node:
            del self._nodes[node.wd]

    def _look_for_absent(self) -> None:
        now = self._monotonic()
        if not self._absent or now < self._look_again:
            return
        self._look_again = now + _ABSENT_SECONDS
        for source in sorted(self._absent):
            if self._begin(source):
                self._changes.note(source.rpartition(b"/")[0] or b"/")
                self._changes.note_tree(source)
