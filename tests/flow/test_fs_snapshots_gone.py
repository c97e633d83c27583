"""Snapshots of file systems that go, or are exchanged, while a run reads from them; and what runs of `once` left."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from backupd.command_errors import FsSnapshotError
from backupd.errors import BackupError, StoppedError
from backupd.model.fs_snapshot_words import SNAPSHOTS_NAME
from backupd.operations.backup.storing import Storing
from backupd.operations.fs_snapshots.contract import Made, Target
from backupd.operations.fs_snapshots.lvm import Lvm
from backupd.operations.fs_snapshots.programs import SystemPrograms
from backupd.operations.fs_snapshots.record import Records, has_leftovers
from backupd.operations.fs_snapshots.running import Removing
from backupd.settings import directories
from backupd.settings.lock import SetLock
from backupd.source.chain import open_read_at
from backupd.source.grafts import Grafts
from tests.support.fs_snapshot_scene import JOB, SET, Scene, opened_below
from tests.support.mounting import BTRFS_MARKS, btrfs

pytestmark = BTRFS_MARKS


@pytest.fixture
def scene(tmp_path: Path) -> Generator[Scene, None, None]:
    with btrfs(tmp_path / "top", tmp_path / "image") as top:
        found = Scene(tmp_path, top)
        for number in range(3):
            found.bench.write(f"{number}/file", b"as it was")
        yield found


def exchanged(scene: Scene) -> None:
    """What the owner of the top of a file system can do at any time: another directory in place of ours."""
    (name,) = scene.standing()
    (scene.top / SNAPSHOTS_NAME).rename(scene.top / "away")
    forged = scene.top / SNAPSHOTS_NAME / name
    for number in range(3):
        (forged / str(number)).mkdir(parents=True)
        (forged / str(number) / "file").write_bytes(b"forged")


def removed(scene: Scene) -> None:
    (name,) = scene.standing()
    command = ["btrfs", "subvolume", "delete", str(scene.top / SNAPSHOTS_NAME / name)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("happens", [exchanged, removed])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_nothing_is_committed(scene: Scene, monkeypatch: pytest.MonkeyPatch, happens: Any, when: str) -> None:
    scene.bench.back_up()
    grafts = scene.run()
    if when == "before":
        happens(scene)
    else:
        opened = Grafts.open_directory

        def opening(self: Grafts, path: bytes, name: bytes, parent_fd: int | None) -> int:
            found = opened(self, path, name, parent_fd)
            if path == bytes(scene.bench.source):
                happens(scene)
            return found

        monkeypatch.setattr(Grafts, "open_directory", opening)
    scene.bench.write("1/file", b"written since")
    with pytest.raises(FsSnapshotError, match="is not there any more"):
        scene.bench.back_up(grafts=grafts)
    monkeypatch.undo()
    if happens is exchanged:
        subprocess.run(["rm", "-r", scene.top / SNAPSHOTS_NAME], check=True)
        os.rename(scene.top / "away", scene.top / SNAPSHOTS_NAME)
    scene.run("remove")
    assert (scene.bench.restore() / "1" / "file").read_bytes() == b"as it was"


@pytest.mark.parametrize("error", [StoppedError("enough"), BackupError("broken")])
def test_a_run_that_ends_early_has_left_the_snapshot_when_it_is_removed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, error: BackupError
) -> None:
    """Else what is mounted could not be unmounted: it ends between two directories, the inner one not begun."""
    scene.bench.write("a/b/c/file")
    turn, remove, opened = Storing.turn, Removing.job, []

    def turning(self: Storing) -> None:
        turn(self)
        if self.tally.current.endswith(b"/a/b"):
            assert opened_below(scene.top)
            raise error

    def removing(self: Removing, job_id: str, *, is_left: bool = False) -> None:
        opened.append(opened_below(scene.top))
        remove(self, job_id, is_left=is_left)

    monkeypatch.setattr(Storing, "turn", turning)
    monkeypatch.setattr(Removing, "job", removing)
    # What is stopped keeps a partial snapshot.
    with nullcontext() if isinstance(error, StoppedError) else pytest.raises(BackupError, match="broken"):
        assert scene.bench.back_up(fs_snapshot="auto").done.exit_code == error.exit_code
    assert (opened, scene.standing()) == ([[]], [])


def test_a_mounted_snapshot_is_known_by_the_subvolume_that_is_read(scene: Scene) -> None:
    """Of a btrfs on a logical volume: the top of what is mounted has another device number."""
    lvm = Lvm(SystemPrograms({}, scene.bench.clock), str(scene.top.parent))
    made = Made(kind="lvm", place="group/volume", name="any", mounted_at=str(scene.top))
    target = Target(b"/shown", "group/volume", b"/data")
    place = (lvm.read_at(target, made), lvm.device(target, made))
    assert place[0] == bytes(scene.bench.source)
    os.close(open_read_at(place))


def test_a_daemon_removes_at_its_start_what_once_left_and_nobody_reads_from(scene: Scene) -> None:
    """Who reads holds the lock of the set."""
    scene.run()
    state = directories.find(scene.bench.machine.environ).state
    once = Records(state, of_once=True)
    once.write(JOB, scene.records.read(JOB))
    scene.records.write(JOB, [])
    assert has_leftovers(state)
    with SetLock(state, SET) as lock:
        lock.acquire(scene.bench.clock)
        scene.run("sweep")
        assert len(scene.standing()) == 1
    scene.run("sweep")
    assert (scene.standing(), has_leftovers(state)) == ([], False)
