"""Sources read with a user's rights from snapshots of btrfs, with a mount in them that is the user's alone."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from backupd.command_errors import FsSnapshotError
from tests.support.backing_up import problems
from tests.support.fs_snapshot_scene import Scene, opened_below
from tests.support.mounting import BTRFS_MARKS, btrfs
from tests.support.ordinary_user import UID, directory_of_user
from tests.support.user_mount import user_mount

pytestmark = BTRFS_MARKS
USER = "nobody"


@pytest.fixture
def scene() -> Generator[Scene, None, None]:
    """A subvolume of the user's."""
    with directory_of_user() as above, btrfs(above / "top", above / "image") as top:
        scene = Scene(above, top)
        for place in (scene.bench.place, scene.bench.machine.home):
            place.mkdir(mode=0o700)
        os.chown(scene.bench.source, UID, UID)
        scene.bench.source.chmod(0o700)
        os.chown(scene.bench.write("beside", b"on the disk"), UID, UID)
        yield scene
        assert opened_below(top) == []


@pytest.fixture
def cloud(scene: Scene) -> Generator[Path, None, None]:
    """A mount at which not even root may look."""
    path = scene.bench.source / "cloud"
    path.mkdir()
    with user_mount(path, UID, {"letter": b"in memory"}) as mounted:
        yield mounted


def test_it_is_read_where_it_shows(scene: Scene, cloud: Path) -> None:
    with scene.made(run_as=USER) as grafts:
        (scene.bench.source / "beside").write_bytes(b"changed since")
        outcome = scene.bench.back_up(grafts=grafts, run_as=USER)
    assert (outcome.done.exit_code, problems(outcome)) == (0, [])
    restored = scene.bench.restore()
    assert (restored / "cloud" / "letter").read_bytes() == b"in memory"
    assert (restored / "beside").read_bytes() == b"on the disk"


def test_root_says_that_it_may_not_read_it(scene: Scene, cloud: Path) -> None:
    """And does not store the empty directory below it."""
    with scene.made() as grafts:
        outcome = scene.bench.back_up(grafts=grafts)
    assert [(one["path"], one["message"]) for one in problems(outcome)] == [(str(cloud), "permission denied")]


def test_a_source_in_it_has_no_snapshot(scene: Scene, cloud: Path) -> None:
    sources = [bytes(scene.bench.source), bytes(cloud / "letter")]
    with pytest.raises(FsSnapshotError, match="letter lies on fuse.memory, which has no snapshots"):
        scene.run(sources=sources, run_as=USER)
    assert scene.standing() == []
    with scene.made(sources=sources, run_as=USER, fallback="live") as grafts:
        assert "read as it is" in scene.context.warnings[0]
        outcome = scene.bench.back_up(sources=sources, grafts=grafts, run_as=USER)
    assert (outcome.done.exit_code, problems(outcome)) == (0, [])


def test_what_the_user_may_not_enter_is_looked_for_as_the_run_looks(scene: Scene, cloud: Path) -> None:
    """Markers in a mount of the user's count, and the walk leaves out what the snapshots leave out."""
    (cloud.parent / "closed").mkdir(mode=0o700)
    with scene.made(run_as=USER) as grafts:
        assert {one.path for one in grafts} == {bytes(scene.bench.source), bytes(cloud)}
        outcome = scene.bench.back_up(grafts=grafts, run_as=USER)
    assert [one["path"] for one in problems(outcome)] == [str(cloud.parent / "closed")]
