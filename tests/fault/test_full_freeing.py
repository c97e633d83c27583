"""Space is given back where no byte is free (RELIABILITY C4): the drop, the lists and the deleting need some, too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.daemon import Daemon, running_daemon
from tests.support.full_disk import Filled, Tmpfs
from tests.support.ledger import hash_tree
from tests.support.mounting import tmpfs
from tests.support.seeded_tree import MIB

pytestmark = [pytest.mark.platform("linux"), pytest.mark.root, pytest.mark.needs("mount", "umount")]


@dataclass
class Small:
    """A set whose destination lies on a small disk that a neighbour fills."""

    daemon: Daemon
    source: Path
    disk: Filled
    random: Random

    @property
    def place(self) -> Path:
        """The destination."""
        return self.disk.folder / "place"

    def write(self, name: str, size_bytes: int) -> None:
        """A file of the source."""
        path = self.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.random.randbytes(size_bytes))

    def back_up(self) -> None:
        """A run; it has to be good."""
        self.daemon.good("backup", "docs")

    def fill(self) -> None:
        """The neighbour takes all, to the last byte."""
        self.disk.fill(0)
        assert self.free_bytes == 0

    @property
    def free_bytes(self) -> int:
        """Left on the disk."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def objects(self, pattern: str) -> set[Path]:
        """What stands at the place."""
        return set(self.place.glob(f"r*/{pattern}"))

    def held_bytes(self) -> int:
        """By all blocks."""
        return sum(path.stat().st_size for path in self.objects("blocks/*/*"))

    def free(self) -> dict[str, Any]:
        """The freeing; it has to be good, and warn of nothing."""
        document = self.daemon.json("free", "docs")
        assert (document["exit"], document["warnings"]) == (0, []), document
        result: dict[str, Any] = document["result"]
        return result

    def look(self) -> None:
        """Nothing is lost: the newest snapshot gives the source back, check is clean; the reserve is there."""
        assert [path.stat().st_size for path in self.objects("gc/reserve-*")] == [MIB]
        assert self.daemon.json("check", "docs", "--crc")["exit"] == 0
        target = self.daemon.home / "target"
        self.daemon.good("restore", "docs", "--strip", "--to", target)
        assert hash_tree(target / self.source.name) == hash_tree(self.source)
        shutil.rmtree(target)


@contextmanager
def _small(above: Path, size: str) -> Iterator[Small]:
    source = above / "source"
    source.mkdir()
    with tmpfs(above / "mount", size) as mount, running_daemon(above / "home") as daemon:
        small = Small(daemon, source, Filled(mount, Tmpfs(mount)), Random(8))
        daemon.good("destination", "add", "disk", small.place)
        daemon.good("set", "create", "docs", "--source", source, "--to", "disk", "--jobs", "1")
        yield small


@pytest.mark.nightly
def test_dead_blocks_go_where_no_byte_is_free(tmp_path: Path) -> None:
    """Else a full disk can't be emptied by the program that filled it."""
    with _small(tmp_path, "24m") as small:
        small.write("stays", MIB)
        small.back_up()
        small.write("gone", 6 * MIB)
        small.back_up()
        (small.source / "gone").unlink()
        small.back_up()
        small.daemon.good("retention", "set", "docs", "--jobs", "1")
        before = small.held_bytes()
        small.fill()
        # The drop by the policy needs space, too.
        freed = small.free()
        assert freed["retention"]["dropped"] >= 1
        assert freed["freed_bytes"] == before - small.held_bytes() > 6 * MIB
        assert 5 * MIB < small.free_bytes < 7 * MIB
        small.look()
        small.fill()
        assert small.free()["freed_bytes"] == 0
        small.look()
        small.disk.make_room()
        small.write("new", MIB)
        small.back_up()
        small.look()


def test_what_can_not_be_written_anew_now_is_put_off(tmp_path: Path) -> None:
    """Else a freeing on a full disk ends in an error over copies for which there is no room, with nothing freed."""
    with _small(tmp_path, "24m") as small:
        _make_mostly_dead(small)
        small.write("gone", 3 * MIB)
        small.back_up()
        (small.source / "gone").unlink()
        small.back_up()
        small.daemon.good("retention", "set", "docs", "--jobs", "1")
        small.fill()
        freed = small.free()
        assert freed["rewritten"]["put_off"] >= 1
        assert freed["rewritten"]["blocks"] == 0
        assert freed["freed_bytes"] > 3 * MIB
        small.look()


@pytest.mark.nightly
def test_what_was_put_off_follows_in_the_room_that_the_dead_blocks_left(tmp_path: Path) -> None:
    """Else each freeing of a disk that was full leaves the larger part for one that nobody asks for."""
    with _small(tmp_path, "160m") as small:
        _make_mostly_dead(small)
        small.write("gone", 90 * MIB)
        small.back_up()
        (small.source / "gone").unlink()
        small.back_up()
        small.daemon.good("retention", "set", "docs", "--jobs", "1")
        small.fill()
        freed = small.free()
        assert freed["rewritten"]["put_off"] == 0
        assert freed["rewritten"]["blocks"] >= 1
        assert freed["freed_bytes"] > 92 * MIB
        small.look()


def _make_mostly_dead(small: Small) -> None:
    """A block of which a tenth is needed."""
    small.write("stays", MIB)
    for number in range(100):
        small.write(f"few/{number}", 30_000)
    small.back_up()
    for number in range(90):
        (small.source / "few" / str(number)).unlink()
