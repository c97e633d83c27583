"""Sources that are watched by a stream of the system's events, as macOS gives it (FSEvents): each names a path.

What a path stands for is looked up: it may have come, gone, or both. A directory that came or was moved is told with
all below it. What is told of no source, and a source that is another one now, is taken for a loss.
"""

from __future__ import annotations

import os
import stat as modes
import unicodedata
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from backupd.source.changes import Changes, IsOut
from backupd.source.hearing import Hearing, Told
from backupd.source.true_paths import true_path

_ABSENT_SECONDS = 5.0
"""Between two looks whether a source that was not there has come."""


class Ear(Protocol):
    """Who is told of changes."""

    def wait(self, seconds: float) -> Told:
        """What was told; empty where nothing was for that long. Raises OSError when it hears no more."""

    def close(self) -> None:
        """Hear no more."""


class _Top(msgspec.Struct):
    """A directory whose events are listened to."""

    path: bytes
    """As runs write it, without a slash at its end."""
    told: bytes
    """As the system writes it."""
    device: int
    inode: int
    only: set[bytes]
    """Names that count, as they compare; empty: all, and all below."""


class EventWatch:
    """Watches sources. Not for several threads."""

    unwatched = b""
    """Never any: nothing is counted by directories."""
    is_blind = False

    def __init__(
        self,
        sources: Iterable[bytes],
        is_out: IsOut,
        monotonic: Callable[[], float],
        *,
        one_file_system: bool,
        true: Callable[[bytes], bytes] = true_path,
        hear: Callable[[list[bytes], list[bytes]], Ear] = Hearing,
    ) -> None:
        """sources: absolute, real paths. true: a directory's path as the system writes it. Raises OSError.

        hear: who is told of changes below directories, and of entries of others.
        """
        self._sources, self._is_out, self._monotonic = list(sources), is_out, monotonic
        self._one, self._true, self._listen = one_file_system, true, hear
        self._changes = Changes()
        self._tops: list[_Top] = []
        self._absent: set[bytes] = set()
        self._look_again = 0.0
        self._out: dict[bytes, bool] = {}
        """Of directories of one batch: whether runs leave them out."""
        self._hearing: Ear | None = None
        self._begin()

    @property
    def count(self) -> int:
        """How many directories are listened to, each with all below it."""
        return len(self._tops)

    def close(self) -> None:
        """Watch no more."""
        if self._hearing is not None:
            self._hearing.close()
            self._hearing = None

    def wait(self, seconds: float) -> Changes:
        """What changed; empty where nothing did for that long. Raises OSError."""
        assert self._hearing is not None
        told = self._hearing.wait(seconds)
        self._out = {}
        self._changes.is_lost |= told.is_lost
        is_another = self._hear(told) | self._is_another()
        if is_another or self._has_come():
            self._begin()
            self._changes.is_lost = True
        changes, self._changes = self._changes, Changes()
        return changes

    def _begin(self) -> None:
        """Listen to all sources anew."""
        self.close()
        self._absent = set()
        found: dict[tuple[bytes, bool], _Top] = {}
        for source in self._sources:
            try:
                stat = os.lstat(source)
                path = source.rstrip(b"/") if modes.S_ISDIR(stat.st_mode) else os.path.dirname(source).rstrip(b"/")
                only = {b""} if modes.S_ISDIR(stat.st_mode) else {_comparable(os.path.basename(source))}
                top = found.get((path, b"" in only)) or self._top(path)
            except OSError:
                self._absent.add(source)
                continue
            top.only |= only - {b""}
            found[path, b"" in only] = top
        self._tops = sorted(found.values(), key=lambda top: len(top.told), reverse=True)
        self._hearing = self._listen(
            [top.path or b"/" for top in self._tops if not top.only],
            [top.path or b"/" for top in self._tops if top.only],
        )

    def _top(self, path: bytes) -> _Top:
        stat = os.lstat(path or b"/")
        try:
            told = self._true(path or b"/").rstrip(b"/")
        except PermissionError:
            told = path
        return _Top(path, told, stat.st_dev, stat.st_ino, set())

    def _is_another(self) -> bool:
        """Whether a directory that is listened to is another one now, or gone."""
        for top in self._tops:
            try:
                stat = os.lstat(top.path or b"/")
            except OSError:
                return True
            if (stat.st_dev, stat.st_ino) != (top.device, top.inode):
                return True
        return False

    def _has_come(self) -> bool:
        """Whether a source is there that was not."""
        now = self._monotonic()
        if not self._absent or now < self._look_again:
            return False
        self._look_again = now + _ABSENT_SECONDS
        return any(os.path.lexists(source) for source in self._absent)

    def _hear(self, told: Told) -> bool:
        """Note what was told; whether what is listened to came or went, so that it may be another thing now."""
        is_another = False
        for path in told.changed:
            self._note(path, has_come=False)
        for path in told.come:
            is_another |= any(path == top.told or (top.only and _is_directory(path)) for top in self._tops)
            self._note(path, has_come=True)
        return is_another

    def _note(self, told: bytes, *, has_come: bool) -> None:
        tops = [top for top in self._tops if _is_at(told, top.told)]
        if not tops:
            self._changes.is_lost = True
        for top in tops:
            path = top.path + told[len(top.told) :]
            if told == top.told:
                # Of the directory itself: that stands in the one above.
                self._changes.note(os.path.dirname(path) or b"/")
            elif top.only:
                above, name = os.path.split(told)
                if above == top.told and _comparable(name) in top.only:
                    self._changes.note(top.path or b"/")
            else:
                self._note_below(top, path, has_come=has_come)
                # The others, which are above, know of it by the same path.
                return

    def _note_below(self, top: _Top, path: bytes, *, has_come: bool) -> None:
        above, name = os.path.split(path)
        if self._is_below_out(top, above) or self._is_elsewhere(top, above):
            return
        is_directory = _is_directory(path)
        kinds = (True, False) if is_directory is None else (is_directory,)
        if all(self._is_out(path, name, kind) for kind in kinds):
            return
        self._changes.note(self._written(top, above))
        if is_directory:
            written = self._written(top, path)
            if has_come:
                self._changes.note_tree(written)
            else:
                self._changes.note(written)

    def _is_below_out(self, top: _Top, directory: bytes) -> bool:
        """Whether a directory below a source, or one above it, is left out."""
        if len(directory.rstrip(b"/")) <= len(top.path):
            return False
        known = self._out.get(directory)
        if known is None:
            above, name = os.path.split(directory)
            known = self._is_below_out(top, above) or self._is_out(directory, name, True)
            self._out[directory] = known
        return known

    def _is_elsewhere(self, top: _Top, directory: bytes) -> bool:
        """Whether a directory lies on another file system, and runs stay on one."""
        if not self._one:
            return False
        try:
            return os.lstat(directory or b"/").st_dev != top.device
        except OSError:
            return False

    def _written(self, top: _Top, directory: bytes) -> bytes:
        """The path by which runs know a directory: names as they are listed, whatever case they were told in."""
        path, gone = directory, b""
        while len(path) > len(top.path):
            try:
                true = self._true(path)
            except PermissionError:
                break
            except OSError:
                path, _, name = path.rpartition(b"/")
                gone = b"/" + name + gone
                continue
            if _is_at(true, top.told):
                return top.path + true[len(top.told) :] + gone
            # A link or another mount stands there now.
            self._changes.is_lost = True
            break
        return directory or b"/"


def _is_directory(path: bytes) -> bool | None:
    """None: nothing is there, or nobody can tell."""
    try:
        return modes.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return None


def _is_at(path: bytes, top: bytes) -> bool:
    return path == top or path.startswith(top + b"/")


def _comparable(name: bytes) -> bytes:
    """Equal for names that a file system which knows no case takes for one."""
    return os.fsencode(unicodedata.normalize("NFC", os.fsdecode(name)).casefold())
