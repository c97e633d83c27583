"""A disk in memory to which the steps of a trace are done again, up to any of them, and what a crash there leaves.

`killed`: the process ends, the kernel lives: all that was done is there, of the last write perhaps a part.
`cut`: the power goes. What was not synced may be there, in part, or not at all: of each directory's changes the first
few count (file systems keep their order in one directory, not between two), of each file's writes since its last sync
any of them, or half of one. POSIX promises no more; journalling file systems mostly keep more.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.support.disk_trace import Step, Trace


class Worst(Random):
    """Draws the power cut of which nothing comes back that was not synced."""

    def random(self) -> float:
        """No write is there."""
        return 1.0

    def randint(self, a: int, b: int) -> int:
        """No name is there."""
        return a


@dataclass(eq=False)
class File:
    """Content as it is, as it is surely on the disk, and the writes between the two."""

    mode: int
    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, bytes); without bytes: cut or lengthened to the offset."""

    def change(self, offset: int, data: bytes | None) -> None:
        """A write, or with None the new length."""
        _apply(self.data, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        """All is on the disk."""
        self.durable, self.pending = bytes(self.data), []

    def after_a_cut(self, random: Random) -> bytes:
        """What may be found."""
        found = bytearray(self.durable)
        for offset, data in self.pending:
            chance = random.random()
            if chance < 0.4:
                _apply(found, offset, data)
            elif chance < 0.6:
                # Its length got to the disk, its bytes in part.
                half = data if data is None else data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
                _apply(found, offset, half)
        return bytes(found)


@dataclass(eq=False)
class Directory:
    """Names as they are, as they surely are on the disk, and the changes between the two."""

    mode: int
    names: dict[str, File | Directory] = field(default_factory=dict)
    durable: dict[str, File | Directory] = field(default_factory=dict)
    pending: list[dict[str, File | Directory | None]] = field(default_factory=list)

    def change(self, **names: File | Directory | None) -> None:
        """Give names, or with None take them away, all at once."""
        _rename(self.names, names)
        self.pending.append(names)

    def sync(self) -> None:
        """All names are on the disk."""
        self.durable, self.pending = dict(self.names), []

    def after_a_cut(self, random: Random) -> dict[str, File | Directory]:
        """What may be found."""
        found = dict(self.durable)
        for change in self.pending[: random.randint(0, len(self.pending))]:
            _rename(found, change)
        return found


class Disk:
    """The watched directories; `load` first, then any number of steps."""

    def __init__(self, roots: Iterable[str]) -> None:
        self._roots = list(roots)
        # Above each root lies a directory that is there and stays.
        self._above = {os.path.dirname(root): Directory(0o700) for root in self._roots}

    def load(self) -> None:
        """Take what lies there now as it is, all of it on the disk."""
        for root in self._roots:
            if os.path.isdir(root):
                above = self._above[os.path.dirname(root)]
                above.names[os.path.basename(root)] = above.durable[os.path.basename(root)] = _loaded(root)

    def take(self, other: Disk) -> None:
        """Be as another disk of the same directories is."""
        self._above = copy.deepcopy(other._above)

    def do(self, step: Step, *, part: float = 1.0) -> None:
        """One step again. part: of a write only so much was done."""
        if step.path in self._above:
            self._above[step.path].sync()
            return
        folder, name = self._find(step.path)
        there = folder.names.get(name)
        match step.kind:
            case "create":
                folder.change(**{name: File(step.offset & 0o777)})
            case "mkdir":
                folder.change(**{name: Directory(step.offset & 0o777)})
            case "unlink" | "rmdir":
                folder.change(**{name: None})
            case "link" | "rename":
                self._give_name(step, folder, name, there)
            case _ if isinstance(there, Directory):
                there.sync()
            case "sync" if there is not None:
                there.sync()
            case "write" if isinstance(there, File):
                there.change(step.offset, step.data[: int(len(step.data) * part)])
            case "truncate" if isinstance(there, File):
                there.change(step.offset, None)
            # What has no name any more can't be found again.

    def _give_name(self, step: Step, folder: Directory, name: str, there: File | Directory | None) -> None:
        other, new = self._find(step.other)
        if step.kind == "link":
            other.change(**{new: there})
        elif other is folder:
            folder.change(**{new: there, name: None})
        else:
            other.change(**{new: there})
            folder.change(**{name: None})

    def lay(self, random: Random | None = None) -> None:
        """Put the directories there anew: as they are, or with numbers to draw from as after a power cut."""
        for root in self._roots:
            shutil.rmtree(root, ignore_errors=True)
        laid: dict[int, str] = {}
        for path, above in self._above.items():
            # The directories above the roots belong to the test; the roots' own names may be lost like others.
            _lay(path, above, random, laid)

    def contents(self) -> dict[str, bytes | None]:
        """Every path with its bytes, None for directories."""
        found: dict[str, bytes | None] = {}
        for path, above in self._above.items():
            _list(path, above, found)
        return found

    def _find(self, path: str) -> tuple[Directory, str]:
        above = max((one for one in self._above if path.startswith(one + "/")), key=len)
        here, names = self._above[above], path[len(above) + 1 :].split("/")
        for name in names[:-1]:
            below = here.names[name]
            assert isinstance(below, Directory), path
            here = below
        return here, names[-1]


def check_complete(trace: Trace, before: Disk) -> None:
    """The steps done again give what lies there now; else a call was not listened to. Uses `before` up."""
    for step in trace.steps:
        before.do(step)
    now = Disk(trace.roots)
    now.load()
    made, found = before.contents(), now.contents()
    differing = [path for path in made.keys() | found.keys() if made.get(path, b"?") != found.get(path, b"?")]
    assert not differing, f"changed unseen: {sorted(differing)[:20]}"


def _apply(data: bytearray, offset: int, written: bytes | None) -> None:
    if written is None:
        del data[offset:]
        data.extend(bytes(offset - len(data)))
        return
    data.extend(bytes(max(0, offset - len(data))))
    data[offset : offset + len(written)] = written


def _rename(names: dict[str, File | Directory], change: dict[str, File | Directory | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _loaded(path: str) -> Directory:
    found = Directory(os.stat(path).st_mode & 0o777)
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            found.names[entry.name] = _loaded(entry.path)
        elif entry.is_file(follow_symlinks=False):
            data = Path(entry.path).read_bytes()
            found.names[entry.name] = File(entry.stat().st_mode & 0o777, bytearray(data), data)
    found.durable = dict(found.names)
    return found


def _lay(path: str, directory: Directory, random: Random | None, laid: dict[int, str]) -> None:
    names = directory.names if random is None else directory.after_a_cut(random)
    for name, node in names.items():
        below = f"{path}/{name}"
        if isinstance(node, Directory):
            os.mkdir(below, node.mode)
            _lay(below, node, random, laid)
        elif id(node) in laid:
            os.link(laid[id(node)], below)
        else:
            fd = os.open(below, os.O_WRONLY | os.O_CREAT | os.O_EXCL, node.mode)
            with os.fdopen(fd, "wb") as file:
                file.write(bytes(node.data) if random is None else node.after_a_cut(random))
            laid[id(node)] = below


def _list(path: str, directory: Directory, found: dict[str, bytes | None]) -> None:
    for name, node in directory.names.items():
        below = f"{path}/{name}"
        found[below] = bytes(node.data) if isinstance(node, File) else None
        if isinstance(node, Directory):
            _list(below, node, found)
