"""Following links: what they lead to outside the sources becomes a source by itself (docs/filters.md, Links).

Before the walk all sources are looked through for links, and so is all that they lead to, until nothing new comes.
The walk then goes to each by its real path and follows no link: one that is changed meanwhile leads it nowhere else.
"""

from __future__ import annotations

import errno
import os
import stat as modes
import unicodedata
from collections import deque
from collections.abc import Callable

import msgspec

from backupd.model.results import Problem, shown
from backupd.model.streams import STREAMS_PATH
from backupd.operations.backup.choosing import Choosing, Within
from backupd.operations.backup.walk_rules import in_order, ways
from backupd.source import scanner
from backupd.source.chain import DirectoryChain
from backupd.source.scanner import Seen

MOST_TARGETS = 10_000
"""So many of one set are stored; beyond that, what is meant is better named as a source."""
_MOST_HOPS = 40
"""As the kernel has it."""
_MOST_REMEMBERED = 20_000
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)


class Tops(msgspec.Struct, frozen=True):
    """Where a walk begins."""

    sources: list[bytes]
    """Absolute, none inside another."""
    named: set[bytes]
    """Sources inside others."""
    places: set[bytes]
    """Of these the ones that are there for filters alone."""
    one_file_system: bool


class Followed(msgspec.Struct, frozen=True):
    """What links lead to outside the sources."""

    tops: Tops
    """Where the walk begins with all of it."""
    targets: dict[bytes, bytes]
    """Path of what is stored, too -> the first link met that leads there."""
    problems: list[Problem]
    links: int
    """That led outside, to something that is there."""


def find_targets(tops: Tops, choosing: Choosing, check: Callable[[], None], most: int = MOST_TARGETS) -> Followed:
    """Look through the sources and what their links lead to. check: called often; raises where the run is to end."""
    finding = _Finding(tops, choosing, check, most)
    try:
        return finding.run()
    finally:
        finding.close()


class _Finding:
    def __init__(self, tops: Tops, choosing: Choosing, check: Callable[[], None], most: int) -> None:
        self._tops, self._choosing, self._check, self._most = tops, choosing, check, most
        self._chain = DirectoryChain()
        self._known: dict[bytes, os.stat_result] = {}
        """What was met on the way to targets, and is no link."""
        self._targets: dict[bytes, bytes] = {}
        self._all = {*tops.sources, *tops.named}
        self._places = {*tops.places, *(self._spelled(path) for path in tops.places)}
        self._waiting: deque[bytes] = deque()
        self._problems: list[Problem] = []
        self._links = self._beyond = 0

    def close(self) -> None:
        self._chain.close()

    def run(self) -> Followed:
        tops = self._tops
        self._waiting.extend(path for path in sorted(self._all) if path != STREAMS_PATH)
        self._all |= {self._spelled(path) for path in self._waiting}
        while self._waiting:
            self._look_through(self._waiting.popleft())
        if self._beyond:
            text = f"links lead to more than {self._most:,} files and directories outside; the others are not stored"
            self._problems.append(Problem(path=min(self._tops.sources), kind="unreadable", message=text))
        joined = self._joined() if self._targets else tops
        return Followed(joined, self._targets, self._problems, self._links)

    def _joined(self) -> Tops:
        """Sources and targets; a target in another one is no source by itself, a source in a target is."""
        tops, mine = self._tops, {*self._tops.sources, *self._tops.named} - self._tops.places
        highest = in_order([*self._targets])[0]
        places = {path for path in self._tops.places if not _is_in(path, highest)}
        sources, nested = in_order([*mine, *places, *highest])
        kept = set(highest)
        self._targets = {target: link for target, link in self._targets.items() if target in kept}
        return Tops(sources, nested, places, tops.one_file_system)

    # Links below a source or target

    def _look_through(self, top: bytes) -> None:
        try:
            stat = os.lstat(top)
        except OSError:
            # The walk says so.
            return
        parent, name = os.path.split(top)
        if modes.S_ISLNK(stat.st_mode):
            self._follow(parent, name, stat)
        elif modes.S_ISDIR(stat.st_mode):
            within = self._choosing.begin(takes_unmatched=top not in self._tops.places or top in self._targets)
            self._look_below(top, within, stat.st_dev)

    def _look_below(self, top: bytes, within: Within, device: int) -> None:
        stack = [(top, within, device)]
        while stack:
            self._check()
            path, within, device = stack.pop()
            try:
                fd = scanner.open_directory(b".", self._chain.open(path))
            except OSError:
                continue
            try:
                within, seen = self._met(path, within, fd)
                below: list[tuple[bytes, Within, int]] = []
                for (name, stat), takes_unmatched in seen:
                    child = path.rstrip(b"/") + b"/" + name
                    if modes.S_ISLNK(stat.st_mode):
                        self._follow(path, name, stat, fd)
                    elif child not in self._all and not (self._tops.one_file_system and stat.st_dev != device):
                        inner = within._replace(takes_unmatched=True) if takes_unmatched else within
                        below.append((child, inner, stat.st_dev))
                stack.extend(reversed(below))
            except OSError:
                continue
            finally:
                os.close(fd)

    def _met(self, path: bytes, within: Within, fd: int) -> tuple[Within, list[tuple[Seen, bool]]]:
        """Links and directories that are taken in, and whether a filter said so. Raises OSError."""
        with os.scandir(fd) as found:
            names, wanted = [], []
            for one in found:
                name = os.fsencode(one.name)
                names.append(name)
                if one.is_symlink() or one.is_dir(follow_symlinks=False):
                    wanted.append(name)
        within = self._choosing.enter(within, path, names, fd, lambda _: None)
        seen, _ = scanner.look(fd, sorted(wanted))
        decided = self._choosing.choose(within, path, seen, fd)
        return within, [
            (one, at in decided)
            for at, one in enumerate(seen)
            if at not in decided or decided[at].is_in
        ]

    # Where one leads

    def _follow(self, directory: bytes, name: bytes, stat: os.stat_result, fd: int | None = None) -> None:
        link = directory.rstrip(b"/") + b"/" + name
        try:
            text = os.readlink(name, dir_fd=fd) if fd is not None else os.readlink(link)
            reached = [path for path in self._steps(directory, text) if not self._is_inside(path)]
        except OSError as error:
            said = f"where it leads is not known: {(error.strerror or str(error)).lower()}"
            self._problems.append(Problem(path=link, kind="unreadable", message=said))
            return
        self._links += bool(reached)
        for path in reached:
            try:
                found = self._known.get(path) or os.lstat(path)
            except OSError:
                # A link on the way that vanished meanwhile.
                continue
            if self._tops.one_file_system and found.st_dev != stat.st_dev:
                continue
            if not self._is_taken(path):
                continue
            if len(self._targets) >= self._most:
                self._beyond += 1
                continue
            self._targets[path] = link
            self._all.add(path)
            if not modes.S_ISLNK(found.st_mode):
                # Where a link on the way leads besides, as all of /run for a file in it, nobody asked for.
                self._waiting.append(path)

    def _steps(self, directory: bytes, text: bytes) -> list[bytes]:
        """Real paths of the links on the way and of what is at its end; empty where nothing is, or nothing to store.

        Raises OSError where that can't be told.
        """
        links: list[bytes] = []
        here = b"/" if text.startswith(b"/") else directory
        rest = deque(text.split(b"/"))
        while rest:
            step = rest.popleft()
            if step in (b"", b"."):
                continue
            if step == b"..":
                here = os.path.dirname(here)
                continue
            path = here.rstrip(b"/") + b"/" + step
            if self._choosing.left_out.is_left_out(path) is not None:
                return []
            found = self._known.get(path)
            if found is None:
                try:
                    found = os.lstat(path)
                    target = os.readlink(path) if modes.S_ISLNK(found.st_mode) else None
                except OSError as error:
                    if error.errno in _NOTHING_THERE:
                        return []
                    raise
                path = here.rstrip(b"/") + b"/" + _listed(here, step)
                if self._choosing.left_out.is_left_out(path) is not None:
                    return []
                if target is not None:
                    links.append(path)
                    if len(links) >= _MOST_HOPS:
                        return []
                    rest.extendleft(reversed(target.split(b"/")))
                    here = b"/" if target.startswith(b"/") else here
                    continue
                self._remember(path, found)
            if not modes.S_ISDIR(found.st_mode) and any(step not in (b"", b".") for step in rest):
                return []
            here = path
        return [*links, here]

    def _remember(self, path: bytes, found: os.stat_result) -> None:
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        self._known[path] = found

    def _is_inside(self, path: bytes) -> bool:
        """Whether a path is stored as it is: below a place all of it has to be what a filter takes in there."""
        above = [way for way in ways(path) if way in self._all]
        if any(way not in self._places or way in self._targets for way in above):
            return True
        return any(self._is_let_in(path, below=place) for place in above)

    def _is_taken(self, path: bytes) -> bool:
        """Whether filters let a path in that no source holds: it, and all directories above it."""
        return self._is_let_in(path, below=None)

    def _is_let_in(self, path: bytes, *, below: bytes | None) -> bool:
        """below: the place where the way begins, and where a filter has to say so; None: /."""
        within = self._choosing.begin(takes_unmatched=below is None)
        is_in = below is None
        for way in reversed([way for way in ways(path) if len(way) > len(below or b"/")]):
            directory, name = os.path.split(way)
            try:
                fd = self._chain.open(directory)
            except OSError:
                return True
            seen, _ = scanner.look(fd, [name])
            choice = self._choosing.choose(within, directory, seen, fd).get(0) if seen else None
            if choice is not None and not choice.is_in:
                return False
            if choice is not None:
                is_in, within = True, within._replace(takes_unmatched=True)
        return is_in

    # Two spellings of one path

    def _spelled(self, path: bytes) -> bytes:
        """A path as its directories list it."""
        here = b"/"
        for step in path.split(b"/"):
            if step:
                here = here.rstrip(b"/") + b"/" + _listed(here, step)
        return here


def _listed(directory: bytes, name: bytes) -> bytes:
    """A name that is there as its directory lists it: on some volumes neither case nor composition of letters count."""
    if name.isascii():
        if name.swapcase() == name:
            return name
        try:
            os.lstat(os.path.join(directory, name.swapcase()))
        except OSError:
            return name
    try:
        names = os.listdir(directory)
    except OSError:
        return name
    if name in names:
        return name
    return min((one for one in names if _folded(one) == _folded(name)), default=name)


def _folded(path: bytes) -> str:
    return unicodedata.normalize("NFC", os.fsdecode(path)).casefold()


def _is_in(path: bytes, tops: list[bytes]) -> bool:
    return (path.rstrip(b"/") + b"/").startswith(tuple(top.rstrip(b"/") + b"/" for top in tops))


def told(followed: Followed) -> str:
    """A sentence for the job's log."""
    count = len(followed.targets)
    first = next(iter(followed.targets.items()), None)
    links = "1 link leads" if followed.links == 1 else f"{followed.links:,} links lead"
    if first is None:
        return f"{links} outside the sources, to nothing that is stored besides"
    what = "1 file or directory is" if count == 1 else f"{count:,} files and directories are"
    return f"{links} outside the sources; {what} stored as well, as {shown(first[0])} for {shown(first[1])}"
