"""Drives that are carried about: a destination is used on its own drive, wherever that is mounted, and nowhere else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backupd.destination import volumes
from backupd.destination.local import LocalDestination
from backupd.store_errors import DestinationAbsentError
from tests.support.compare import compare_trees
from tests.support.daemon import Daemon, running_daemon
from tests.support.mounting import Drive, drive

pytestmark = [
    pytest.mark.platform("linux"),
    pytest.mark.root,
    pytest.mark.needs("mkfs.ext4", "losetup", "mount", "umount"),
]


@pytest.fixture
def daemon(tmp_path: Path) -> Generator[Daemon, None, None]:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(5):
        (source / str(number)).write_bytes(os.urandom(100_000))
    with running_daemon(tmp_path / "home") as started:
        yield started


@pytest.fixture
def usb(tmp_path: Path, daemon: Daemon) -> Generator[Drive, None, None]:
    with drive(tmp_path / "image") as plugged:
        plugged.mount(tmp_path / "usb")
        yield plugged
        daemon.stop()


def _made(daemon: Daemon, tmp_path: Path, *words: str) -> Path:
    """The daemon with a set on a destination of the drive; the destination's directory."""
    place = tmp_path / "usb" / "backup"
    daemon.good("destination", "add", "usb", place, *words)
    daemon.good("set", "create", "docs", "--source", tmp_path / "source", "--to", "usb", "--jobs", "1")
    return place


def _at(document: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = document["result"]["runs"][0]["destinations"][0]
    return entry


def test_a_drive_is_found_where_it_is_mounted_now(daemon: Daemon, usb: Drive, tmp_path: Path) -> None:
    """Else a desktop that mounts a stick under another name means no backups, or a second first one."""
    _made(daemon, tmp_path, "--removable")
    daemon.good("backup", "docs")
    usb.unmount()
    elsewhere = usb.mount(tmp_path / "elsewhere")
    (tmp_path / "source" / "new").write_bytes(b"new")
    run = daemon.good("backup", "docs")["runs"][0]
    assert run["files"]["new"] == 1
    assert run["bytes"]["new"] < 10_000
    lines = [line["message"] for line in daemon.good("job", "log", run["job"])["lines"]]
    assert any("mounted elsewhere" in line and str(elsewhere) in line for line in lines), lines
    assert os.listdir(tmp_path / "usb") == [], "nothing is written below the mount point"
    assert len(daemon.good("snapshot", "list", "docs")["snapshots"]) == 2
    daemon.good("check", "docs", "--crc")
    daemon.good("restore", "docs", "--to", tmp_path / "out")
    assert compare_trees(tmp_path / "source", tmp_path / "out" / str(tmp_path / "source")[1:]) == []
    assert f"{tmp_path}/usb/backup" in str(daemon.json("doctor"))
    assert [len(list((daemon.state / "cache").glob("r*/*")))] == [1], "one cache, wherever the drive is"


def test_a_drive_that_is_away_is_absent(daemon: Daemon, usb: Drive, tmp_path: Path) -> None:
    """Else a backup succeeds onto the system's own disk, below the mount point, and nobody finds it."""
    _made(daemon, tmp_path, "--removable")
    usb.unmount()
    daemon.good("destination", "add", "disk", tmp_path / "disk")
    daemon.good("set", "edit", "docs", "--add-to", "disk")
    document = daemon.json("backup", "docs", "--to", "usb")
    assert (document["exit"], document["error"]["code"]) == (15, "destination.absent"), document
    assert "plug it in" in document["error"]["hint"]
    assert os.listdir(tmp_path / "usb") == [], "nor is its first backup put there"
    document = daemon.json("backup", "docs")
    verdicts = {entry["name"]: entry["verdict"] for entry in document["result"]["runs"][0]["destinations"]}
    assert (document["exit"], verdicts) == (4, {"disk": "good", "usb": "absent"})
    daemon.good("set", "edit", "docs", "--mode", "concurrent")
    document = daemon.json("backup", "docs")
    verdicts = {entry["name"]: entry["verdict"] for entry in document["result"]["runs"][0]["destinations"]}
    assert (document["exit"], verdicts) == (4, {"disk": "good", "usb": "absent"}), "nor does it end a run with others"
    daemon.good("destination", "edit", "usb", "--absent", "skip")
    document = daemon.json("backup", "docs", "--to", "usb")
    assert (document["exit"], document["error"]["code"]) == (75, "run.skipped"), document
    assert daemon.json("backup", "docs")["exit"] == 0
    assert daemon.json("snapshot", "list", "docs", "--from", "usb")["error"]["code"] == "destination.absent"
    assert "is not there now" in str(daemon.json("doctor"))
    assert os.listdir(tmp_path / "usb") == []


def test_another_drive_in_its_place_is_not_it(daemon: Daemon, usb: Drive, tmp_path: Path) -> None:
    _made(daemon, tmp_path, "--removable")
    usb.unmount()
    with drive(tmp_path / "other-image") as other:
        other.mount(tmp_path / "usb")
        document = daemon.json("backup", "docs")
        assert (document["exit"], document["error"]["code"]) == (15, "destination.absent"), document
        assert os.listdir(tmp_path / "usb") == ["lost+found"]


def test_the_system_disk_is_not_used_in_its_stead(daemon: Daemon, usb: Drive, tmp_path: Path) -> None:
    """Also where nobody said that the drive is a removable one: its first backup would go to the wrong disk."""
    place = _made(daemon, tmp_path)
    usb.unmount()
    document = daemon.json("backup", "docs")
    assert (document["exit"], document["error"]["code"]) == (15, "destination.absent"), document
    assert "bkctl destination edit" in document["error"]["hint"]
    assert os.listdir(tmp_path / "usb") == []
    daemon.restart()
    usb.mount(tmp_path / "elsewhere")
    document = daemon.json("backup", "docs")
    assert f"--place {tmp_path / 'elsewhere' / 'backup'}" in document["error"]["hint"], "it says where the drive is"
    daemon.good("destination", "edit", "usb", "--absent", "fail", "--retry-for", "1m")
    assert daemon.json("backup", "docs")["exit"] == 15, "only who names the place means the place"
    daemon.good("destination", "edit", "usb", "--place", place)
    assert _at({"result": daemon.good("backup", "docs")})["verdict"] == "good"
    assert place.is_dir()


def test_a_drive_is_noted_when_it_is_first_mounted(daemon: Daemon, usb: Drive, tmp_path: Path) -> None:
    """A file of conf.d may name a drive that comes later; till then nothing is written in its stead."""
    usb.unmount()
    document = daemon.json("destination", "add", "usb", tmp_path / "usb" / "backup", "--removable")
    assert (document["exit"], document["error"]["code"]) == (15, "destination.absent")
    text = f"destinations:\n- {{name: usb, place: {tmp_path}/usb/backup, removable: true}}\n"
    (daemon.config / "conf.d").mkdir()
    (daemon.config / "conf.d" / "usb.yaml").write_text(text)
    daemon.good("config", "reload")
    daemon.good("set", "create", "docs", "--source", tmp_path / "source", "--to", "usb", "--jobs", "1")
    assert daemon.json("backup", "docs")["error"]["code"] == "destination.absent"
    usb.mount(tmp_path / "usb")
    daemon.good("backup", "docs")
    usb.unmount()
    usb.mount(tmp_path / "elsewhere")
    run = daemon.good("backup", "docs")["runs"][0]
    assert _at({"result": {"runs": [run]}})["verdict"] == "good"
    assert os.listdir(tmp_path / "usb") == []


def test_a_bind_mount_is_the_same_drive(usb: Drive, tmp_path: Path) -> None:
    """The path is counted from the file system's own root: a part of it may be mounted by itself."""
    place = tmp_path / "usb" / "deep" / "backup"
    place.mkdir(parents=True)
    volume = volumes.remember(str(place), is_removable=True)
    assert volume is not None
    assert (volume.path, volume.mount_point) == ("/deep/backup", str(tmp_path / "usb"))
    part = tmp_path / "part"
    part.mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "usb" / "deep", part], check=True)
    try:
        usb.unmount()
        assert volumes.locate(str(place), volume) == str(part / "backup")
        assert volumes.locate(f"{place}/r1", volume) == str(part / "backup" / "r1")
        assert volumes.locate(str(tmp_path), volume) == str(tmp_path), "not a place of this drive"
    finally:
        subprocess.run(["umount", part], check=True)
    with pytest.raises(DestinationAbsentError):
        volumes.locate(str(place), volume)


def test_a_drive_that_is_torn_out_takes_no_more(usb: Drive, tmp_path: Path) -> None:
    """Else the rest of a run goes to the disk below the mount point, and its snapshot is called good."""
    place = LocalDestination(str(tmp_path / "usb"), "test")
    place.put("blocks/a", [b"one"])
    usb.tear_out()
    with pytest.raises(DestinationAbsentError):
        place.put("blocks/b", [b"two"])
    assert os.listdir(tmp_path / "usb") == []
