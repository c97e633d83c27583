"""The oracle of the fault tests: what was reported as good, kept outside, and what must be true after every fault."""

from __future__ import annotations

import errno
import os
import shutil
import stat as modes
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from blake3 import blake3

from backupd.errors import DestinationUnreachableError, RepositoryNotFoundError
from backupd.model.orders import CheckOrder, Limits, RestoreOrder, Selection, SnapshotListOrder
from tests.support.daemon import Daemon
from tests.support.machine import Machine

SLACK_BYTES = 4 << 20
_PART_BYTES = 1 << 20


def hash_tree(root: Path) -> str:
    """Hash of names, types, modes, times, link targets and content of all below a directory."""
    hasher = blake3()
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        fields = (os.fspath(path.relative_to(root)), stat.st_mode, stat.st_mtime_ns, stat.st_size)
        hasher.update(repr(fields if not modes.S_ISDIR(stat.st_mode) else fields[:3]).encode())
        if modes.S_ISLNK(stat.st_mode):
            hasher.update(os.readlink(path).encode())
        elif modes.S_ISREG(stat.st_mode):
            _hash_content(hasher, path)
    return hasher.hexdigest()


def _hash_content(hasher: blake3, path: Path) -> None:
    """Parts of one MiB with their place; those of zeros are passed over, for a hole may become such a part."""
    with path.open("rb", buffering=0) as file:
        offset = _next_data(file.fileno(), 0)
        while part := os.pread(file.fileno(), _PART_BYTES, offset):
            if part.strip(b"\0"):
                hasher.update(offset.to_bytes(8, "little"))
                hasher.update(part)
            offset = _next_data(file.fileno(), offset + _PART_BYTES)


def _next_data(fd: int, offset: int) -> int:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA) // _PART_BYTES * _PART_BYTES
    except OSError as error:
        return offset if error.errno != errno.ENXIO else os.fstat(fd).st_size


class Ledger:
    """Snapshots of one place that were reported as good, with the hash of the tree each was made of."""

    def __init__(self, machine: Machine | Daemon, place: Path) -> None:
        self.machine, self.place = machine, place
        self.good: dict[str, str] = {}

    def note(self, document: dict[str, Any], tree_hash: str) -> None:
        """A run said that it is whole."""
        assert document["exit"] in (0, 3), document
        self.good[document["result"]["runs"][0]["snapshot"]] = tree_hash

    def check_listed(self) -> None:
        """All that was reported as good is listed; nothing else but partial snapshots."""
        listed = self.machine.json("snapshot", "list", "--incomplete", "--from", self.place)["result"]["snapshots"]
        assert {s["id"] for s in listed if not s["incomplete"]} == self.good.keys()

    def accept_unreported(self, machine: Machine, tree_hash: str, most: int) -> list[str]:
        """After a fault, in this process: all that was reported as good is listed, and at most so many more.

        A commit whose report was lost counts from now on as made of that tree, as its restore has to show. Gives those.
        """
        listed = self._complete(machine)
        lost = self.good.keys() - listed
        assert not lost, f"reported as good and lost: {lost}; listed {listed}"
        unreported = sorted(listed - self.good.keys())
        assert len(unreported) <= most, f"nobody committed {unreported}"
        self.good.update(dict.fromkeys(unreported, tree_hash))
        return unreported

    def check_here(
        self, machine: Machine, scratch: Path, source: Path, chosen: Iterable[str], *, may_stay_announced: bool = False
    ) -> None:
        """As `check_all`, in this process, and only the chosen snapshots are restored.

        may_stay_announced: of a run whose host lost its own identity with the power, nobody knows that it is dead.
        """
        assert self._complete(machine) == self.good.keys()
        place, limits = str(self.place), Limits(jobs=1, polite=False)
        checked = machine.run(CheckOrder(place=place, crc=True, limits=limits))
        assert checked.done.exit_code == 0, checked.result
        for snapshot in chosen:
            selection = Selection(as_of=snapshot)
            done = machine.run(RestoreOrder(place=place, selection=selection, to=bytes(scratch), limits=limits)).done
            assert done.exit_code == 0, done.result
            found = hash_tree(scratch / str(source)[1:])
            assert found == self.good[snapshot], f"{snapshot} does not give back what was stored"
            shutil.rmtree(scratch)
        left = [path for path in self.leftovers() if not (may_stay_announced and "/sessions/" in path)]
        assert not left, left

    def _complete(self, machine: Machine) -> set[str]:
        try:
            outcome = machine.run(SnapshotListOrder(place=str(self.place)))
        except (RepositoryNotFoundError, DestinationUnreachableError):
            return set()
        assert outcome.done.exit_code == 0, outcome.result
        return {found["id"] for found in outcome.result["snapshots"]}

    def check_all(self, scratch: Path, source: Path, *, is_exact: bool = True) -> None:
        """After a run that ended well: nothing is lost, damaged or left behind.

        is_exact: of two creators of a name one wins at the place; else the last run stays announced until the next one.
        """
        self.check_listed()
        checked = self.machine.bkctl("check", "--crc", "--from", self.place)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        for number, (snapshot, tree_hash) in enumerate(self.good.items()):
            target = scratch / f"restored-{number}"
            done = self.machine.bkctl(
                "restore", source, "--from", self.place, "--as-of", snapshot, "--strip", "--to", target
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert hash_tree(target / source.name) == tree_hash, f"{snapshot} does not give back what was stored"
            shutil.rmtree(target)
        left = [path for path in self.leftovers() if is_exact or "/sessions/" not in path]
        assert not left, left

    def leftovers(self) -> list[str]:
        """Temporary files, announcements and journals that lie around while nothing runs."""
        above = (self.place, self.machine.home)
        files = [path for top in above for path in top.rglob("*") if path.is_file()]
        folders = list(self.place.glob("*/sessions/*"))
        return [os.fspath(path) for path in files if _is_leftover(path)] + [os.fspath(path) for path in folders]

    def block_bytes(self) -> int:
        """Bytes of all blocks at the place."""
        return sum(path.stat().st_size for path in self.place.glob("*/blocks/*/*"))


def _is_leftover(path: Path) -> bool:
    folders = {"tmp", "sessions", "journals", "writers"}
    return bool(folders.intersection(path.parts[-4:-1])) or path.name.endswith((".tmp", ".part"))
