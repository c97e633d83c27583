"""States of files on disk: pages, torn ends, bounds."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import get_args

import pytest

from backupd.cache import file_states
from backupd.cache.file_states import FileStatesWriter, forget_oldest, read_file_states
from backupd.errors import AccessError
from backupd.model.files import FileState, FileStateName

ALL = get_args(FileStateName)


def _write(path: Path, count: int, destination: str = "usb", start: int = 0) -> None:
    writer = FileStatesWriter(str(path), destination)
    for number in range(start, start + count):
        writer.add(b"/source/%d" % number, "failed" if number % 100 == 0 else "stored", "why" * (number % 100 == 0))
    writer.close()


def _all(path: Path, wanted: Collection[FileStateName] = ALL, most: int = 700) -> list[FileState]:
    found: list[FileState] = []
    after, is_end = 0, False
    while not is_end:
        part = read_file_states(str(path), after, wanted, most)
        after, is_end = part.after, part.is_end
        found += part.files
    return found


def test_all_come_in_order_page_by_page(tmp_path: Path) -> None:
    """Else a file of a large run is never shown, or twice."""
    path = tmp_path / "job"
    _write(path, 2500)
    _write(path, 1500, "nas", 2500)
    found = _all(path)
    assert [one.path for one in found] == [b"/source/%d" % number for number in range(4000)]
    assert [one.destination for one in found] == ["usb"] * 2500 + ["nas"] * 1500
    first = read_file_states(str(path), 0, ALL, 1)
    assert (len(first.files), first.is_end) == (1000, False)
    only: FileStateName = "failed"
    failed = _all(path, (only,))
    assert [one.path for one in failed] == [b"/source/%d" % number for number in range(0, 4000, 100)]
    assert {one.reason for one in failed} == {"why"}


def test_a_page_without_end_is_none(tmp_path: Path) -> None:
    """Else a look for the one file that failed holds the daemon until all of a million were looked through."""
    path = tmp_path / "job"
    writer = FileStatesWriter(str(path), "usb")
    for _ in range(file_states._PAGE_FRAMES + 10):
        writer.add(b"/same", "stored")
        writer.flush()
    writer.add(b"/bad", "failed", "why")
    writer.close()
    part = read_file_states(str(path), 0, ["failed"], 100)
    assert (part.files, part.is_end) == ([], False)
    part = read_file_states(str(path), part.after, ["failed"], 100)
    assert ([one.path for one in part.files], part.is_end) == ([b"/bad"], True)


@pytest.mark.parametrize("cut", [1, 5, 8, 9, 200])
def test_what_was_kept_before_a_kill_stays(tmp_path: Path, cut: int) -> None:
    """Else a run that goes on after a kill writes states that nobody can read."""
    path = tmp_path / "job"
    _write(path, 1000)
    whole = path.stat().st_size
    _write(path, 1000, start=1000)
    assert path.stat().st_size > whole + cut
    os.truncate(path, whole + cut)
    assert len(_all(path)) == 1000
    _write(path, 10, start=2000)
    assert [one.path for one in _all(path)][1000:] == [b"/source/%d" % number for number in range(2000, 2010)]


@pytest.mark.parametrize("mangled", [b"\xff" * 64, b"\0" * 64, b"\x10\0\0\0\x10\0\0\0\1" + b"x" * 16])
def test_what_no_writer_wrote_ends_the_list(tmp_path: Path, mangled: bytes) -> None:
    """Else a damaged disk makes the daemon answer with a fault of its own."""
    path = tmp_path / "job"
    _write(path, 1000)
    with path.open("ab") as file:
        file.write(mangled)
    assert len(_all(path)) == 1000


def test_a_million_is_kept_and_failures_beyond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the states of a huge source fill the state's disk, or hide what failed."""
    monkeypatch.setattr(file_states, "_FILES_MOST", 50)
    path = tmp_path / "job"
    writer = FileStatesWriter(str(path), "usb")
    for number in range(200):
        writer.add(b"/%d" % number, "failed" if number >= 100 else "stored")
    writer.close()
    found = _all(path)
    assert [one.state for one in found] == ["stored"] * 50 + ["failed"] * 50
    assert read_file_states(str(path), 0, ALL, 1000).not_kept == 100


def test_the_oldest_jobs_go_first(tmp_path: Path) -> None:
    """Else states grow without end."""
    for number in range(5):
        (tmp_path / str(number)).write_bytes(bytes(1000))
        os.utime(tmp_path / str(number), ns=(number, number))
    forget_oldest(str(tmp_path), 2500)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3", "4"]
    forget_oldest(str(tmp_path / "absent"))


def test_no_link_is_followed(tmp_path: Path) -> None:
    """Else who may write beside the state has the daemon write into a file of root's."""
    (tmp_path / "victim").write_bytes(b"")
    (tmp_path / "job").symlink_to(tmp_path / "victim")
    with pytest.raises((AccessError, Exception), match="job"):
        FileStatesWriter(str(tmp_path / "job"), "usb")
    assert (tmp_path / "victim").read_bytes() == b""


@pytest.mark.parametrize("after", [1, 999, 10**6, (1 << 63) - 1])
def test_an_offset_of_nobodys_gives_nothing(tmp_path: Path, after: int) -> None:
    """Else one request makes the daemon answer with a fault of its own."""
    path = tmp_path / "job"
    _write(path, 1000)
    assert read_file_states(str(path), after, ALL, 10).files == []


def test_a_job_without_states_has_none(tmp_path: Path) -> None:
    """Jobs of before, and those whose states were forgotten."""
    assert read_file_states(str(tmp_path / "job"), 0, ALL, 10).is_end
