"""Disks that fill up at any size, and writes that are refused at any call (RELIABILITY C4), wherever a run writes.

Never a success without data; what is full is told by its own error with the path; with room again the next run goes on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd.errors import BackupError
from tests.fault.conftest import Faults
from tests.support.cut_ground import Ground, changed, kept, nothing_kept, renamed
from tests.support.full_disk import Filled, Refusal, Tmpfs, draw_refusal, run_refused, small_disk
from tests.support.ledger import hash_tree
from tests.support.power_cut import CutDisk, taken_away
from tests.support.running import show

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mount", "umount", "mkfs.ext4", "strace", "prlimit"),
    pytest.mark.usefixtures("quick_workers"),
]

_CODES = {"r": "space.destination", "s": "space.state", "c": "space.state", "t": "space.target"}
"""What is said when that folder's disk is full."""
_BACKUPS = (nothing_kept, changed, renamed)


@dataclass
class Campaign:
    """Rounds of one seed; grounds are made once."""

    above: Path
    images: Path
    random: Random
    grounds: dict[str, Ground] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def round(self) -> None:
        """One run without room or one that is refused a write; then one that has all it needs."""
        random = self.random
        is_restore = random.random() < 0.35
        ground = self.ground(kept if is_restore else random.choice(_BACKUPS))
        words = ground.restore() if is_restore else ground.once()
        how = self._refused if random.random() < 0.5 else self._filled
        told = how(ground, words, "trsc" if is_restore else "rrrsc")
        self.counted["rounds"] += 1
        if told is not None:
            self.failures.append(f"{' '.join(words)}: {told}")

    def _filled(self, ground: Ground, words: tuple[str, ...], folders: str) -> str | None:
        name, left_bytes = self.random.choice(folders), int(2 ** self.random.uniform(8, 22.5))
        filled = small_disk(self.random, self.images, ground.above / name)
        try:
            with taken_away(filled.disk):
                ground.lay((filled.disk,))
                filled.fill(left_bytes)
                document = ground.machine.json(*words)
                self._judge(ground, document, name)
                filled.make_room()
                self._go_on(ground, words, document)
        except (AssertionError, BackupError) as error:
            return f"{left_bytes} bytes left for {name} on {type(filled.disk).__name__}: {type(error).__name__} {error}"
        return None

    def _refused(self, ground: Ground, words: tuple[str, ...], folders: str) -> str | None:
        refusal = draw_refusal(self.random)
        try:
            ground.lay(())
            done = run_refused(ground.machine, words, refusal)
            try:
                document = json.loads(done.stdout)
            except ValueError:
                raise AssertionError(f"exit {done.returncode}: {done.stdout!r} {done.stderr!r}") from None
            document["stderr"] = done.stderr.decode(errors="replace")
            self._judge(ground, document, None, is_limit=refusal.largest_file_bytes is not None)
            self._go_on(ground, words, document)
        except (AssertionError, BackupError) as error:
            return f"{refusal}: {type(error).__name__} {error}"
        return None

    def _judge(self, ground: Ground, document: dict[str, Any], name: str | None, is_limit: bool = False) -> None:
        self.counted[f"{name or 'refused'}: exit {document['exit']}"] += 1
        if document["exit"] == 0:
            if document["command"] == "once":
                ground.ledger.note(document, ground.tree_hash)
            return
        if is_limit and document["command"] == "restore" and document["exit"] == 3:
            return
        assert document["exit"] == 16, show(document)
        error = document["error"]
        assert error["code"] in ([_CODES[name]] if name else _CODES.values()), show(document)
        wanted = [str(ground.above / one) for one, code in _CODES.items() if code == error["code"]]
        seen = [*wanted, str(ground.machine.home / "cache"), "working memory"]
        assert any(path in error["message"] for path in seen), f"it does not say where: {show(document)}"

    def _go_on(self, ground: Ground, words: tuple[str, ...], document: dict[str, Any]) -> None:
        if words[0] == "restore":
            found = ground.target / str(ground.source)[1:]
            if document["exit"] == 0:
                assert hash_tree(found) == ground.tree_hash, "said to be restored, and is not"
            again = ground.machine.json(*words)
            assert again["exit"] == 0, show(again)
            assert hash_tree(found) == ground.tree_hash, "restored again, and is not"
        ground.verify(0)

    def ground(self, prepare: Callable[[Ground], None]) -> Ground:
        """The ground that this prepares."""
        name = prepare.__name__
        if name not in self.grounds:
            self.grounds[name] = ground = Ground(self.above / name, self.random, self.images)
            prepare(ground)
            ground.save()
        return self.grounds[name]


def test_a_full_disk_never_gives_a_good_run_without_data(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else a full disk makes a backup that can't be restored, or one that nobody can go on with."""
    campaign = Campaign(tmp_path, images, faults.random())
    while campaign.counted["rounds"] < faults.full_disks:
        campaign.round()
        if campaign.counted["rounds"] % 20 == 0:
            print(dict(campaign.counted), *campaign.failures, sep="\n")  # noqa: T201 - for docs/reliability.md
    assert not campaign.failures, "\n".join(campaign.failures)


def test_a_full_target_is_named(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else somebody who restores to one of several disks does not know which of them is full."""
    ground = Campaign(tmp_path, images, faults.random()).ground(kept)
    disk = Filled(ground.above / "t", Tmpfs(ground.above / "t"))
    with taken_away(disk.disk):
        ground.lay((disk.disk,))
        disk.fill(16_384)
        document = ground.machine.json(*ground.restore())
        assert (document["exit"], document["error"]["code"]) == (16, "space.target"), show(document)
        assert str(ground.target) in document["error"]["message"]


def test_no_room_for_a_new_key_is_told_as_that(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else the first backup ends with talk of passwords, while all it needs is some space."""
    ground = Campaign(tmp_path, images, faults.random()).ground(nothing_kept)
    folder = ground.above / "k"
    disk = Filled(folder, CutDisk(images / "keys.img", tmp_path / "disk", "ordered", (("k", folder),)))
    with taken_away(disk.disk):
        ground.lay((disk.disk,))
        disk.fill(0)
        (ground.machine.home / "data").symlink_to(disk.folder)
        document = ground.machine.json(*ground.once())
        assert (document["exit"], document["error"]["code"]) == (16, "space.state"), show(document)


def test_a_limit_on_files_below_the_working_memory_is_told(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else a user with `ulimit -f` is told to report a defect."""
    ground = Campaign(tmp_path, images, faults.random()).ground(nothing_kept)
    ground.lay(())
    done = run_refused(ground.machine, ground.once(), Refusal(0, 0, False, 900_000))
    document = json.loads(done.stdout)
    assert (document["exit"], document["error"]["code"]) == (16, "space.state"), show(document)
    assert "ulimit -f" in document["error"]["hint"]


def test_a_full_directory_for_temporary_files_is_named(tmp_path: Path, images: Path, faults: Faults) -> None:
    """Else a restore of which only the scratch space is full can't be helped by who needs it."""
    ground = Campaign(tmp_path, images, faults.random()).ground(kept)
    folder = ground.above / "m"
    folder.mkdir()
    disk = Filled(folder, Tmpfs(folder))
    with taken_away(disk.disk):
        ground.lay((disk.disk,))
        disk.fill(0)
        words = (*ground.restore(), "--temp-dir", str(folder))
        document = ground.machine.json(*words)
        assert (document["exit"], document["error"]["code"]) == (16, "space.state"), show(document)
        assert str(folder) in document["error"]["message"]
        disk.make_room()
        assert ground.machine.json(*words)["exit"] == 0
        assert hash_tree(ground.target / str(ground.source)[1:]) == ground.tree_hash
