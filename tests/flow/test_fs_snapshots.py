"""Runs that read from snapshots of btrfs, on a loop device: what comes back, what is read again, what is removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backupd.command_errors import FsSnapshotError, FsSnapshotProgramError, FsSnapshotRightError
from backupd.errors import BackupError
from backupd.model.filters import FilterWords
from backupd.model.fs_snapshot_words import SNAPSHOTS_NAME
from backupd.model.grafts import Graft
from backupd.model.orders import FilterWord
from backupd.operations.fs_snapshots.contract import Made, snapshot_name
from backupd.source import scanner
from backupd.source.mounts import read_mounts
from tests.support.backing_up import counts, problems, read_bytes, run_of
from tests.support.fs_snapshot_scene import JOB, OTHER_JOB, SET, Scene, subvolume
from tests.support.mounting import BTRFS_MARKS, btrfs, unmount

pytestmark = BTRFS_MARKS


@pytest.fixture
def scene(tmp_path: Path) -> Generator[Scene, None, None]:
    with btrfs(tmp_path / "top", tmp_path / "image") as top:
        yield Scene(tmp_path, top)


def test_what_comes_back_is_as_of_the_snapshot(scene: Scene) -> None:
    """Small and large files, links, a subvolume below and what is mounted there, at the paths where they show."""
    source = scene.bench.source
    subvolume(source / "below")
    wanted = {source / "letter": b"old", source / "below" / "note": b"old", source / "large": os.urandom(9 << 20)}
    for path, content in wanted.items():
        path.write_bytes(content)
    os.link(source / "letter", source / "twin")
    (source / "usb").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "usb"], check=True)
    try:
        (source / "usb" / "live").write_bytes(b"old")
        with scene.made() as grafts:
            assert {one.path for one in grafts if one.read_at != one.path} == {bytes(source), bytes(source / "below")}
            for path in wanted:
                path.write_bytes(b"rewritten")
            (source / "later").write_bytes(b"new")
            (source / "usb" / "live").write_bytes(b"new")
            outcome = scene.bench.back_up(grafts=grafts)
        assert outcome.done.exit_code == 0
        restored = scene.bench.restore()
        assert {path: (restored / path.relative_to(source)).read_bytes() for path in wanted} == wanted
        assert (restored / "letter").stat().st_ino == (restored / "twin").stat().st_ino
        assert (restored / "usb" / "live").read_bytes() == b"new"
        assert sorted(os.listdir(restored)) == ["below", "large", "letter", "twin", "usb"]
    finally:
        unmount(source / "usb")


def test_what_did_not_change_is_not_read_again(scene: Scene) -> None:
    """A snapshot has another device number each time, and a run with one follows a run without."""
    subvolume(scene.bench.source / "below")
    for number in range(20):
        scene.bench.write(f"{number % 3}/{number}")
        scene.bench.write(f"below/{number}")
    roots = set()
    for is_in_snapshot in (False, True, True):
        with scene.made() as grafts:
            outcome = scene.bench.back_up(grafts=grafts if is_in_snapshot else [])
        roots.add(run_of(outcome)["bytes"]["new"] > 0)
        assert (counts(outcome)["same"], read_bytes(outcome)) in ((0, 400), (40, 0))
    assert counts(outcome)["same"] == 40
    scene.bench.write("0/0", b"something else")
    with scene.made() as grafts:
        assert (counts(outcome := scene.bench.back_up(grafts=grafts))["changed"], read_bytes(outcome)) == (1, 14)


def test_a_change_right_after_the_snapshot_is_not_missed_however_late_the_run_begins(scene: Scene) -> None:
    """A file with the stamps of the moment of the snapshot may have been written to in that very moment."""
    scene.bench.write("file", b"one")
    scene.bench.clock.ahead_seconds = 0
    read = []
    for _ in range(3):
        with scene.made() as grafts:
            # Another destination came first.
            scene.bench.clock.ahead_seconds += 3600
            read.append(read_bytes(scene.bench.back_up(grafts=grafts)))
    assert read == [3, 3, 0]


def test_other_file_systems_are_those_that_show(scene: Scene) -> None:
    """With one_file_system a subvolume below is left out as before, and no snapshot made of it."""
    subvolume(scene.bench.source / "below")
    scene.bench.write("below/out")
    scene.bench.write("in/file")
    with scene.made(one_file_system=True) as grafts:
        assert len(scene.standing()) == 1
        outcome = scene.bench.back_up(grafts=grafts, one_file_system=True)
    assert counts(outcome)["left_out"] == 1
    restored = scene.bench.restore()
    assert (sorted(os.listdir(restored)), os.listdir(restored / "below")) == (["below", "in"], [])


def test_the_root_is_a_source_like_any_other(scene: Scene) -> None:
    """Read elsewhere than at /; what is mounted below is another file system, directories of the root, too."""
    scene.bench.write("deep/file")
    subvolume(scene.bench.source / "other")
    stat = os.stat(scene.bench.source)
    graft = Graft(path=b"/", read_at=bytes(scene.bench.source), device=stat.st_dev, made_ns=0)
    outcome = scene.bench.back_up(sources=[b"/"], grafts=[graft], one_file_system=True)
    assert (counts(outcome)["seen"], counts(outcome)["left_out"]) == (1, 1)
    assert outcome.done.exit_code == 0


def test_the_directory_of_ours_is_in_no_backup(scene: Scene) -> None:
    """Of a set without snapshots neither, while another one's stand there."""
    scene.bench.write("file")
    with scene.made() as grafts:
        assert scene.standing() != []
        for taken in (grafts, []):
            scene.bench.back_up(sources=[bytes(scene.top)], grafts=taken)
            restored = scene.bench.restore().parent
            assert [path.name for path in restored.rglob("*")] == ["data", "file"]


def test_a_link_of_its_name_leaves_nothing_out(scene: Scene) -> None:
    """Who owns the top of a file system could have anything left out of everybody's backups."""
    scene.bench.source = scene.bench.above / "letters"
    scene.bench.write("dir/file")
    (scene.top / SNAPSHOTS_NAME).symlink_to(scene.bench.source / "dir")
    scene.bench.back_up()
    assert (scene.bench.restore() / "dir" / "file").exists()


def test_where_links_lead_is_read_where_it_shows(scene: Scene) -> None:
    """Beside the source something else is mounted: in the snapshot of what is above both it is an empty directory."""
    beside = scene.top / "beside"
    beside.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", beside], check=True)
    try:
        (beside / "there").write_bytes(b"led to")
        source = scene.top / "plain"
        source.mkdir()
        (source / "link").symlink_to(beside)
        with scene.made(sources=[bytes(source)], follow_links=True) as grafts:
            outcome = scene.bench.back_up(sources=[bytes(source)], grafts=grafts, follow_links=True)
        assert (outcome.done.exit_code, read_bytes(outcome)) == (0, 6)
        assert (scene.bench.restore().parent / "beside" / "there").read_bytes() == b"led to"
    finally:
        unmount(beside)


def test_what_another_mount_hides_is_read_from_the_snapshot(scene: Scene) -> None:
    """At the path of a mount that does not show lies a directory like any other."""
    usb = scene.bench.source / "usb"
    usb.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", usb], check=True)
    subprocess.run(["mount", "--bind", scene.top, scene.top], check=True)
    try:
        with scene.made() as grafts:
            assert [one.path for one in grafts] == [bytes(scene.bench.source)]
    finally:
        unmount(scene.top)
        unmount(usb)


def test_a_subvolume_that_no_snapshot_holds_is_a_problem(scene: Scene) -> None:
    """It shows as an empty directory in the snapshot of the one above: that would be taken for the truth."""
    with scene.made() as grafts:
        pass
    subvolume(scene.bench.source / "unseen")
    with scene.made(sources=[bytes(scene.bench.source)]) as grafts:
        outcome = scene.bench.back_up(grafts=[one for one in grafts if not one.path.endswith(b"unseen")])
    assert outcome.done.exit_code == 3
    assert "in no snapshot" in problems(outcome)[0]["message"]


def test_parts_and_read_only_subvolumes_and_mounts_of_both(scene: Scene) -> None:
    """A bind mount of a directory has the snapshot of the subvolume that it lies in; what can't change has none."""
    bound = scene.bench.above / "bound"
    bound.mkdir()
    scene.bench.write("dir/file", b"old")
    fixed = scene.bench.source / "fixed"
    command = ["btrfs", "subvolume", "snapshot", "-r", str(scene.bench.source), str(fixed)]
    subprocess.run(command, check=True, capture_output=True)
    subprocess.run(["mount", "--bind", scene.bench.source / "dir", bound], check=True)
    try:
        with scene.made(sources=[bytes(bound), bytes(scene.bench.source)]) as grafts:
            at = {one.path: one.read_at for one in grafts}
            assert at[bytes(fixed)] == bytes(fixed)
            assert at[bytes(bound)] == at[bytes(scene.bench.source)] + b"/dir"
            assert len(scene.standing()) == 1
            (bound / "file").write_bytes(b"new")
            outcome = scene.bench.back_up(sources=[bytes(bound)], grafts=grafts)
        assert read_bytes(outcome) == 3
        scene.bench.restore()
        (restored,) = scene.bench.above.glob("restored*/**/bound/file")
        assert restored.read_bytes() == b"old"
    finally:
        unmount(bound)


def test_what_another_job_has_mounted_is_no_origin(scene: Scene) -> None:
    """By its name: the other one may belong to another daemon, and go at any time."""
    subvolume(scene.top / "other")
    mounted = scene.bench.source / snapshot_name(SET, OTHER_JOB, "0badcafe")
    mounted.mkdir()
    subprocess.run(["mount", "--bind", scene.top / "other", mounted], check=True)
    try:
        with scene.made() as grafts:
            assert [one.path for one in grafts] == [bytes(scene.bench.source)]
            assert len(scene.standing()) == 1
    finally:
        unmount(mounted)


def test_leftovers_go_by_name_and_place_and_nothing_else_does(scene: Scene) -> None:
    """With a record of the former job and without; of another set, of a person, of a name that only looks like ours."""
    scene.bench.write("file")
    scene.run(job=OTHER_JOB)
    (left,) = scene.standing()
    holder = scene.top / SNAPSHOTS_NAME
    others = [left.replace(SET, "b" + "6" * 32), f"{left}0", "mine"]
    for name in others:
        subvolume(holder / name)
    record = scene.records.read(OTHER_JOB)
    scene.records.write(OTHER_JOB, [])
    # Without a record: found by its name before the next snapshot of the set is made.
    scene.run()
    assert "left behind" in scene.said()
    assert left not in scene.standing()
    scene.run("remove")
    # By its record, whatever is there; twice is once.
    scene.run(job=OTHER_JOB)
    scene.run("sweep")
    assert "left behind" in scene.said()
    assert scene.records.jobs() == []
    for place in (str(scene.bench.source), str(holder / "mine"), str(scene.top / left)):
        scene.records.write(OTHER_JOB, [msgspec.structs.replace(record[0], place=place)])
        scene.run("sweep")
        assert "no place of ours" in scene.context.warnings[0]
    assert sorted(scene.standing()) == sorted(others)
    assert (scene.bench.source / "file").exists()
    scene.records.write(OTHER_JOB, [Made(kind="vss", place="C:", name="x")])
    scene.run("sweep")
    assert "nobody here knows" in scene.context.warnings[0]


def test_one_of_a_file_system_that_is_not_mounted_stays_on_record(scene: Scene) -> None:
    """A disk that was unplugged comes back with it."""
    scene.run()
    device = next(mount.source for mount in read_mounts() if mount.path == bytes(scene.top))
    unmount(scene.top)
    scene.run("sweep")
    assert "no btrfs is mounted at" in scene.context.warnings[0]
    assert scene.records.jobs() == [JOB]
    subprocess.run(["mount", device, scene.top], check=True)
    scene.run("sweep")
    assert scene.standing() == [] == scene.records.jobs()


def test_a_directory_of_ours_that_is_not_ours_is_refused(scene: Scene) -> None:
    holder = scene.top / SNAPSHOTS_NAME
    holder.mkdir()
    holder.chmod(0o777)
    with pytest.raises(FsSnapshotError, match="not a directory of backupd's alone"):
        scene.run()
    holder.rmdir()
    elsewhere = scene.bench.above / "elsewhere"
    elsewhere.mkdir()
    holder.symlink_to(elsewhere)
    with pytest.raises(FsSnapshotError, match="not a directory of backupd's alone"):
        scene.run()
    assert os.listdir(elsewhere) == []
    assert scene.records.jobs() == []


def test_a_directory_that_is_exchanged_meanwhile_loses_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner of the top can do so at the moment after the look: what is removed lies where was looked."""
    scene.run()
    (name,) = scene.standing()
    holder, away = scene.top / SNAPSHOTS_NAME, scene.top / "away"
    with pytest.raises(OSError, match="Read-only"):
        (holder / name / "file").touch()
    stat = os.stat

    def exchanged(path: Any, **options: Any) -> os.stat_result:
        found = stat(path, **options)
        if path == os.fsencode(name) and not away.exists():
            holder.rename(away)
            holder.mkdir()
            subvolume(holder / name)
        return found

    monkeypatch.setattr("backupd.operations.fs_snapshots.btrfs.os.stat", exchanged)
    scene.run("remove")
    assert (os.listdir(away), scene.standing()) == ([], [name])


def test_where_none_can_be_made_the_set_says_what_then(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has none, another kind than is wanted, no right, a read-only mount; half of two sources."""
    plain = scene.bench.above / "plain"
    plain.mkdir()
    both = [bytes(scene.bench.source), bytes(plain)]
    with pytest.raises(FsSnapshotError, match="which has no snapshots") as refused:
        scene.run(sources=both)
    assert "--fs-snapshot off" in refused.value.hint
    with pytest.raises(FsSnapshotError, match="which has no snapshots"):
        scene.run("look", sources=both)
    assert (scene.run("look"), scene.standing(), scene.records.jobs()) == ([], [], []), "a look makes none"
    assert scene.standing() == []
    with scene.made(sources=both, fallback="live") as grafts:
        assert [one.path for one in grafts] == [bytes(scene.bench.source)]
        assert "read as it is" in scene.context.warnings[0]
    with pytest.raises(FsSnapshotError, match="no snapshots of zfs"):
        scene.run(kind="zfs")
    subprocess.run(["mount", "-o", "remount,ro", scene.top], check=True)
    with pytest.raises(FsSnapshotError, match="[Rr]ead-only"):
        scene.run()
    monkeypatch.setattr("backupd.operations.fs_snapshots.btrfs.may_administrate", lambda: False)
    with pytest.raises(FsSnapshotRightError) as refused:
        scene.run()
    assert "--with fs-snapshots" in refused.value.hint


def test_of_too_many_subvolumes_none_is_read_as_it_is_unasked(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    subvolume(scene.bench.source / "below")
    monkeypatch.setattr("backupd.operations.fs_snapshots.running.MOST_TARGETS", 1)
    with pytest.raises(FsSnapshotError, match="below is one of more than"):
        scene.run()
    with scene.made(fallback="live"):
        assert "read as it is" in scene.context.warnings[0]


def test_of_what_is_left_out_no_snapshot_is_made(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a filter or a marker, itself or what it lies in; nor does it count as one of many."""
    for name in ("out", "in", "marked", "deep", "deep/below"):
        subvolume(scene.bench.source / name)
        (scene.bench.source / name / "file").write_bytes(name.encode())
    (scene.bench.source / "marked" / ".nobackup").touch()
    bound = scene.bench.source / "bound"
    bound.mkdir()
    subprocess.run(["mount", "--bind", scene.bench.source / "in", bound], check=True)
    monkeypatch.setattr("backupd.operations.fs_snapshots.running.MOST_TARGETS", 4)
    filters = [FilterWord(kind="exclude", value=b"out"), FilterWord(kind="exclude", value=b"deep")]
    filters += [FilterWord(kind="exclude", value=b"bound")]
    options: Any = {"filters": filters, "filter_words": FilterWords(markers=[".nobackup"])}
    try:
        with scene.made(sources=[bytes(scene.bench.source)], **options) as grafts:
            assert len(scene.standing()) == 2
            assert "is left out" in scene.said()
            outcome = scene.bench.back_up(grafts=grafts, **options)
        assert (outcome.done.exit_code, problems(outcome)) == (0, [])
        assert os.listdir(scene.bench.restore()) == ["in"]
        # A source in what is left out is read all the same.
        sources = [bytes(scene.bench.source), bytes(scene.bench.source / "deep" / "below")]
        with scene.made(sources=sources, **options):
            assert len(scene.standing()) == 4
    finally:
        unmount(bound)


def test_no_directory_is_listed_for_that(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for .gitignore files: one on the way may have a million files."""
    subvolume(scene.bench.source / "below")
    told: dict[int, list[bytes]] = {}
    monkeypatch.setattr(scanner, "list_names", lambda _: told.setdefault(len(told), []))
    for gitignore, times in ((False, 0), (True, 1)):
        with scene.made(filter_words=FilterWords(gitignore=gitignore)):
            assert len(scene.standing()) == 2
        assert len(told) == times


def test_a_missing_program_is_named_with_its_package(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backupd.operations.fs_snapshots.programs.SEARCH_PATH", "/nowhere")
    scene.variables["PATH"] = "/nowhere"
    with pytest.raises(FsSnapshotProgramError, match="btrfs is not installed") as missing:
        scene.run()
    assert "btrfs-progs" in missing.value.hint
    assert scene.run(fallback="live") == []


def test_a_record_that_nobody_can_read_stops_nothing(scene: Scene) -> None:
    scene.run("sweep")
    path = Path(scene.records.directory)
    path.mkdir()
    (path / f"{OTHER_JOB}.json").write_bytes(b'[{"kind": 5}]')
    with pytest.raises(BackupError):
        scene.records.read(OTHER_JOB)
    assert scene.run() != []
    assert "can't be read" in scene.context.warnings[0]
    scene.run("remove")
    assert scene.standing() == []
