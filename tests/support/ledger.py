"""The oracle of the fault tests: what was reported as good, kept outside, and what must be true after every fault."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat as modes
from pathlib import Path
from typing import Any

from tests.support.machine import Machine

SLACK_BYTES = 4 << 20


def hash_tree(root: Path) -> str:
    """Hash of names, types, modes, times, link targets and content of all below a directory."""
    hasher = hashlib.blake2b(digest_size=16)
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        fields = (os.fspath(path.relative_to(root)), stat.st_mode, stat.st_mtime_ns, stat.st_size)
        hasher.update(repr(fields if not modes.S_ISDIR(stat.st_mode) else fields[:3]).encode())
        if modes.S_ISLNK(stat.st_mode):
            hasher.update(os.readlink(path).encode())
        elif modes.S_ISREG(stat.st_mode):
            with path.open("rb") as file:
                hasher.update(hashlib.file_digest(file, "blake2b").digest())
    return hasher.hexdigest()


class Ledger:
    """Snapshots of one place that were reported as good, with the hash of the tree each was made of."""

    def __init__(self, machine: Machine, place: Path) -> None:
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

    def check_all(self, scratch: Path, source: Path) -> None:
        """After a run that ended well: nothing is lost, damaged or left behind."""
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
        assert self.leftovers() == []

    def leftovers(self) -> list[str]:
        """Temporary files, announcements and journals that lie around while nothing runs."""
        above = (self.place, self.machine.home)
        files = [path for top in above for path in top.rglob("*") if path.is_file()]
        return [os.fspath(path) for path in files if _is_leftover(path)]

    def block_bytes(self) -> int:
        """Bytes of all blocks at the place."""
        return sum(path.stat().st_size for path in self.place.glob("*/blocks/*/*"))


def _is_leftover(path: Path) -> bool:
    folders = {"tmp", "sessions", "journals", "writers"}
    return bool(folders.intersection(path.parts[-4:-1])) or path.name.endswith((".tmp", ".part"))
