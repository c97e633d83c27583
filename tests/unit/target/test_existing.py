"""What stands there already: replaced only where the user meant it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.model.orders import Overwrite
from backupd.target.existing import Verdict, judge, look
from backupd.tree.entry import Device, Kind
from tests.unit.target.conftest import MTIME_NS, Make, Place

C, S, R, K, N = Verdict.CREATE, Verdict.SAME, Verdict.REPLACE, Verdict.SKIP, Verdict.NEWER


def _file(path: Path, size: int = 4, off_ns: int = 0) -> None:
    path.write_bytes(b"x" * size)
    path.chmod(0o640)
    os.utime(path, ns=(0, MTIME_NS + off_ns))


@pytest.mark.parametrize(
    ("overwrite", "verdicts"),
    [
        ("if-changed", [C, S, R, N, R]),
        ("if-newer", [C, S, R, K, R]),
        ("always", [C, R, R, R, R]),
        ("never", [C, K, K, K, K]),
    ],
)
def test_policies(place: Place, wanted: Make, overwrite: Overwrite, verdicts: list[Verdict]) -> None:
    """Absent, same, older, newer, same time but another size."""
    _file(place.root / "same")
    _file(place.root / "older", off_ns=-1)
    _file(place.root / "newer", off_ns=1)
    _file(place.root / "longer", size=5)
    names = [b"absent", b"same", b"older", b"newer", b"longer"]
    assert [judge(look(place.fd, name), wanted(size=4).entry, overwrite) for name in names] == verdicts


def test_other_kind_is_replaced(place: Place, wanted: Make) -> None:
    _file(place.root / "file", off_ns=-1)
    (place.root / "directory").mkdir()
    (place.root / "link").symlink_to("file")
    for kind, content in ((Kind.FILE, None), (Kind.DIRECTORY, b"i" * 32), (Kind.SYMLINK, b"x"), (Kind.FIFO, None)):
        entry = wanted(kind, size=4, content=content, mtime_ns=2**62).entry
        found = {name: judge(look(place.fd, name), entry, "if-changed") for name in (b"file", b"directory", b"link")}
        same = {Kind.DIRECTORY: b"directory"}.get(kind)
        assert found == {name: S if name == same else R for name in found}


def test_directories_are_merged(place: Place, wanted: Make) -> None:
    (place.root / "a").mkdir()
    entry = wanted(Kind.DIRECTORY, content=b"i" * 32).entry
    policies: list[Overwrite] = ["if-changed", "if-newer", "always", "never"]
    assert [judge(look(place.fd, b"a"), entry, policy) for policy in policies] == [S, S, S, K]


@pytest.mark.root
def test_symlinks_and_devices_are_told_by_what_they_point_to(place: Place, wanted: Make) -> None:
    os.symlink("here", place.root / "link")
    os.mknod(place.root / "device", 0o020600, os.makedev(1, 3))
    os.mkfifo(place.root / "fifo")
    late = {"mtime_ns": 2**62}
    for target, verdict in ((b"here", S), (b"there", R)):
        entry = wanted(Kind.SYMLINK, content=target, **late).entry
        assert judge(look(place.fd, b"link"), entry, "if-changed") == verdict
    for minor, verdict in ((3, S), (5, R)):
        entry = wanted(Kind.CHARACTER_DEVICE, content=Device(1, minor), **late).entry
        assert judge(look(place.fd, b"device"), entry, "if-changed") == verdict
    assert judge(look(place.fd, b"fifo"), wanted(Kind.FIFO).entry, "if-changed") == S


def test_rounded_time_is_the_same_where_the_file_system_rounds(place: Place, wanted: Make) -> None:
    """On exFAT all files would be copied again at every restore."""
    _file(place.root / "file", off_ns=-MTIME_NS % 2_000_000_000 - 2_000_000_000)
    entry = wanted(size=4).entry
    assert judge(look(place.fd, b"file"), entry, "if-changed") == R
    assert judge(look(place.fd, b"file"), entry, "if-changed", granularity_ns=2_000_000_000) == S


def test_file_of_several_names_is_not_changed_in_place(place: Place, wanted: Make) -> None:
    """Its other names may lie outside."""
    _file(place.root / "file")
    os.link(place.root / "file", place.outside / "other")
    try:
        assert judge(look(place.fd, b"file"), wanted(size=4).entry, "if-changed") == S
        assert judge(look(place.fd, b"file"), wanted(size=4, mode=0o644).entry, "if-changed") == R
    finally:
        (place.outside / "other").unlink()
