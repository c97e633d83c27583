"""Kinds of file systems that this machine has not: what is asked of their programs, and what their answers mean.

The answers are those that the programs' own manuals show (lvmreport(7), zfs-list(8), tmutil(8)).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from backupd.clock import SystemClock
from backupd.command_errors import FsSnapshotError, FsSnapshotProgramError, FsSnapshotRightError
from backupd.operations.fs_snapshots.apfs import Apfs
from backupd.operations.fs_snapshots.contract import Made, Target, snapshot_name
from backupd.operations.fs_snapshots.lvm import Lvm
from backupd.operations.fs_snapshots.programs import Ended, SystemPrograms, done
from backupd.operations.fs_snapshots.zfs import Zfs
from backupd.source.mounts import Mount
from tests.support.commanded import until

SET = "b" + "5" * 32
NAME = snapshot_name(SET, "j" + "1" * 32, "0badcafe")
OTHERS = snapshot_name("b" + "6" * 32, "j" + "1" * 32, "0badcafe")


class Recorded:
    """Answers by the words they begin with; what was asked."""

    def __init__(self, answers: Mapping[str, str | Ended]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    def run(self, words: Sequence[str | bytes]) -> Ended:
        line = " ".join(os.fsdecode(word) for word in words)
        self.asked.append(line)
        found = next((answer for start, answer in self.answers.items() if line.startswith(start)), "")
        return found if isinstance(found, Ended) else Ended(0, found.encode(), b"")

    def changes(self) -> list[str]:
        return [line for line in self.asked if not line.startswith(("lvs", "zfs list", "tmutil list"))]


def mount(path: str, kind: str, source: str, root: str = "/", device: int = 0) -> Mount:
    where, what, top = path.encode(), source.encode(), root.encode()
    return Mount(type=kind, is_network=False, device=device, path=where, source=what, root=top)


# ZFS

_ZFS_ROWS = f"tank/home@daily-2026-11-26\ntank/home@{NAME}\ntank/home@{OTHERS}\n"


def test_a_snapshot_of_zfs_is_read_below_its_own_directory() -> None:
    programs = Recorded({"zfs list": _ZFS_ROWS})
    kind, where = Zfs(programs), mount("/home", "zfs", "tank/home")
    bound = mount("/srv/anna", "zfs", "tank/home", "/anna")
    assert kind.takes(where)
    assert not kind.takes(mount("/x", "zfs", "tank/home@daily"))
    (target,) = kind.find(bound, [where, bound], [b"/srv/anna/x"], nested=True).targets
    made = kind.make(target, kind.plan(target, NAME))
    assert kind.read_at(target, made) == f"/home/.zfs/snapshot/{NAME}/anna".encode()
    assert [one.name for one in kind.leftovers(target, SET)] == [NAME]
    assert kind.remove(made)
    assert programs.changes() == [f"zfs snapshot tank/home@{NAME}", f"zfs destroy tank/home@{NAME}"]
    with pytest.raises(FsSnapshotError, match="mounted nowhere as a whole"):
        kind.find(bound, [bound], [], nested=True)


def test_what_zfs_did_not_make_is_not_destroyed() -> None:
    programs = Recorded({"zfs list": "tank/home@daily-2026-11-26\n"})
    kind = Zfs(programs)
    assert not kind.remove(Made(kind="zfs", place="tank/home", name=NAME))
    with pytest.raises(FsSnapshotError, match="no name of ours"):
        kind.remove(Made(kind="zfs", place="tank/home", name="daily-2026-11-26"))
    assert programs.changes() == []


@pytest.mark.parametrize(
    ("said", "error", "hint"),
    [
        ("cannot create snapshots : permission denied", FsSnapshotRightError, "--with fs-snapshots"),
        ("cannot create snapshot 'tank/home@x': out of space", FsSnapshotError, "make space"),
        ("cannot open 'tank/home': dataset does not exist", FsSnapshotError, ""),
    ],
)
def test_what_zfs_says_is_in_the_error(said: str, error: type[FsSnapshotError], hint: str) -> None:
    kind = Zfs(Recorded({"zfs snapshot": Ended(1, b"", said.encode())}))
    target = Target(b"/home", "tank/home", b"/", b"/home")
    with pytest.raises(error) as raised:
        kind.make(target, kind.plan(target, NAME))
    assert type(raised.value) is error
    assert said in raised.value.message
    assert hint in raised.value.hint


# LVM

_ROW = (
    '{"vg_name":"vg-0", "lv_name":"%s", "lv_layout":"%s", "lv_size":"%d", "vg_free":"%d",'
    ' "vg_extent_size":"4194304", "origin":"%s", "lv_snapshot_invalid":"%s"}'
)
_MIB = 1 << 20


def _lvs(*rows: str) -> str:
    start = '  {\n      "report": [\n          {\n              "lv": [\n'
    return start + ",\n".join(rows) + "\n              ]\n          }\n      ]\n  }\n"


@pytest.fixture
def system(tmp_path: Path) -> Path:
    facts = tmp_path / "sys" / "dev" / "block" / "254:3" / "dm"
    facts.mkdir(parents=True)
    (facts / "uuid").write_text("LVM-" + "x" * 64 + "\n")
    (facts / "name").write_text("vg--0-ho--me\n")
    return tmp_path


@pytest.mark.root
def test_a_classic_volume_gets_room_for_a_fifth_and_is_mounted_read_only(system: Path) -> None:
    where = mount("/home", "xfs", "/dev/mapper/vg--0-ho--me", device=os.makedev(254, 3))
    listed = _lvs(_ROW % ("ho-me", "linear", 1000 * _MIB, 4000 * _MIB, "", "-1"))
    programs = Recorded({"lvs": listed})
    kind = Lvm(programs, str(system / "mounts"), str(system / "sys"))
    assert kind.takes(where)
    assert not kind.takes(mount("/", "ext4", "/dev/sda1", device=os.makedev(8, 1)))
    (target,) = kind.find(where, [where], [b"/home/anna"], nested=True).targets
    made = kind.make(target, kind.plan(target, NAME))
    kind.mount(target, made)
    at = f"{system}/mounts/{NAME}"
    assert kind.read_at(target, made) == at.encode()
    assert programs.changes() == [
        f"lvcreate --quiet --yes --snapshot --name {NAME} --size {200 * _MIB}b vg-0/ho-me",
        f"mount -t xfs -o ro,nouuid,nosuid,nodev,noexec /dev/vg-0/{NAME} {at}",
    ]
    programs.answers["lvs"] = _lvs(
        _ROW % (OTHERS, "linear", 1, 1, "ho-me", "0"), _ROW % (NAME, "linear", 1, 1, "ho-me", "0")
    )
    assert kind.leftovers(target, SET) == [made]
    assert kind.remove(made)
    assert programs.changes()[2:] == [f"lvremove --quiet --yes vg-0/{NAME}"]
    assert not os.path.exists(at)


@pytest.mark.root
def test_a_thin_volume_takes_no_room_and_is_activated(system: Path) -> None:
    programs = Recorded({"lvs": _lvs(_ROW % ("ho-me", "thin,sparse", 1000 * _MIB, 0, "", "-1"))})
    kind = Lvm(programs, str(system / "mounts"), str(system / "sys"))
    target = Target(b"/home", "vg-0/ho-me", b"/", b"ext4")
    kind.make(target, kind.plan(target, NAME))
    assert programs.changes() == [
        f"lvcreate --quiet --yes --snapshot --name {NAME} --setactivationskip n vg-0/ho-me"
    ]


def test_a_group_without_room_is_told_before_anything_is_made(system: Path) -> None:
    programs = Recorded({"lvs": _lvs(_ROW % ("ho-me", "linear", 1000 * _MIB, 3 * _MIB, "", "-1"))})
    kind = Lvm(programs, str(system / "mounts"), str(system / "sys"))
    target = Target(b"/home", "vg-0/ho-me", b"/", b"ext4")
    with pytest.raises(FsSnapshotError, match="vg-0 has no space left"):
        kind.make(target, kind.plan(target, NAME))
    assert programs.changes() == []


def test_what_is_no_snapshot_of_that_volume_is_not_removed(system: Path) -> None:
    """Nor what was mounted elsewhere; one that ran full is removed, and told."""
    kind = Lvm(programs := Recorded({}), str(system / "mounts"))
    made = Made(kind="lvm", place="vg-0/ho-me", name=NAME, mounted_at=str(system / "mounts" / NAME))
    programs.answers["lvs"] = _lvs(_ROW % (NAME, "linear", 1, 1, "root", "0"))
    with pytest.raises(FsSnapshotError, match="it is none of vg-0/ho-me"):
        kind.remove(made)
    for changed in ({"name": "home"}, {"place": "vg-0/--force"}, {"mounted_at": "/"}):
        with pytest.raises(FsSnapshotError, match="of ours"):
            kind.remove(msgspec.structs.replace(made, **changed))
    assert programs.changes() == []
    programs.answers["lvs"] = _lvs(_ROW % (NAME, "linear", 1, 1, "ho-me", "1"))
    with pytest.raises(FsSnapshotError, match="ran full"):
        kind.remove(made)
    assert programs.changes() == [f"lvremove --quiet --yes vg-0/{NAME}"]


# APFS

_DATE = "2026-11-27-045500"


@pytest.mark.root
def test_a_snapshot_of_apfs_is_known_by_its_date(tmp_path: Path) -> None:
    answers = {
        "tmutil localsnapshot": f"NOTE: local snapshots are considered purgeable.\n"
        f"Created local snapshot with date: {_DATE}\n",
        "tmutil listlocalsnapshots": f"Snapshots for disk /:\ncom.apple.TimeMachine.{_DATE}.local\n",
    }
    programs = Recorded({"tmutil list": answers.pop("tmutil listlocalsnapshots"), **answers})
    kind = Apfs(programs, str(tmp_path / "mounts"))
    where = mount("/System/Volumes/Data", "apfs", "/dev/disk3s5")
    assert kind.takes(where)
    assert not kind.takes(mount("/", "apfs", "com.apple.os.update-1@/dev/disk3s1"))
    source = bytes(tmp_path)
    by_volume, by_link = kind.find(where, [where], [source], nested=True).targets
    made = kind.make(by_volume, kind.plan(by_volume, NAME))
    kind.mount(by_volume, made)
    at = f"{tmp_path}/mounts/{NAME}"
    assert kind.read_at(by_link, made) == at.encode() + source
    assert kind.remove(made)
    assert programs.changes() == [
        "tmutil localsnapshot",
        f"mount_apfs -o ro,nobrowse -s com.apple.TimeMachine.{_DATE}.local /System/Volumes/Data {at}",
        f"tmutil deletelocalsnapshots {_DATE}",
    ]
    assert not kind.remove(msgspec.structs.replace(made, date=""))
    assert not kind.remove(msgspec.structs.replace(made, date="2020-01-01-000000"))
    assert len(programs.changes()) == 3


# Programs themselves


def test_programs_are_heard_within_bounds_and_end_in_time(tmp_path: Path) -> None:
    """One that hangs with what it started, one that floods, one that anybody could have put there, one that is not."""
    for name, text in {"hang": "sleep 60 & wait", "flood": "cat /dev/zero", "fail": "echo no luck >&2; exit 3"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    programs = SystemPrograms({"PATH": str(tmp_path)}, SystemClock(), seconds=0.5)
    for name in ("hang", "flood"):
        with pytest.raises(FsSnapshotError, match="did not come to its end"):
            programs.run([name])
    with pytest.raises(FsSnapshotError, match="nothing was made: fail: no luck"):
        done(programs, "nothing was made", ["fail"])
    (tmp_path / "fail").chmod(0o777)
    with pytest.raises(FsSnapshotProgramError, match="others than its owner may write"):
        programs.run(["fail"])
    with pytest.raises(FsSnapshotProgramError, match="lvs9 is not installed"):
        programs.run(["lvs9"])


def test_programs_of_lvm_are_never_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume whose snapshot is half made would stay suspended: what is late is asked to end, and left to it."""
    ended = tmp_path / "ended"
    (tmp_path / "lvcreate").write_text(f"#!/bin/sh\ntrap '' TERM; sleep 1; : > {ended}\n")
    (tmp_path / "lvremove").write_text("#!/bin/sh\ntrap 'exit 5' TERM; sleep 60 & wait\n")
    for name in ("lvcreate", "lvremove"):
        (tmp_path / name).chmod(0o755)
    programs = SystemPrograms({"PATH": str(tmp_path)}, SystemClock(), seconds=0.3)
    assert programs.run(["lvcreate"]).exit == 0
    assert ended.exists()
    ended.unlink()
    with pytest.raises(FsSnapshotError, match="did not come to its end"):
        programs.run(["lvremove"])
    monkeypatch.setattr("backupd.operations.fs_snapshots.programs._GRACE_SECONDS", 0.1)
    with pytest.raises(FsSnapshotError, match="did not come to its end"):
        programs.run(["lvcreate"])
    until(ended.exists)
