"""What the note of restores that did not end says of files: which may be torn, whatever their size and time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from backupd.cancel import Cancel
from backupd.clock import SystemClock
from backupd.model import events
from backupd.model.orders import Overwrite, RestoreOrder, Selection
from backupd.operations.context import JobContext
from backupd.operations.restore import resuming
from backupd.operations.restore.deciding import Decider
from backupd.operations.restore.resuming import Note
from backupd.settings import directories
from backupd.target.directories import Directories
from backupd.target.existing import Verdict
from backupd.target.owners import OwnerMap
from backupd.tree.entry import Entry, Kind

_MINUTE_NS = 60_000_000_000
_FIRST, _SECOND = b"1" * 16, b"2" * 16
"""Mounts, before and after the machine started anew."""


class _Clock(SystemClock):
    behind_ns = 0
    """What the wall clock lacks; the kernel stamps files by the right one."""

    def now_ns(self) -> int:
        return super().now_ns() - self.behind_ns


class _Ground:
    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.target, self.mount = _Clock(), tmp_path / "target", _FIRST
        self.target.mkdir()
        self.fd = os.open(self.target, os.O_RDONLY | os.O_DIRECTORY)
        self._environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
        monkeypatch.setattr(resuming, "mount_identity", lambda _: self.mount)

    def context(self) -> JobContext:
        order, sent = self.order("if-changed"), list[events.FromJob]()
        return JobContext(order, self.clock, Cancel(), self._environ, directories.find(self._environ), sent.append)

    def order(self, overwrite: Overwrite) -> RestoreOrder:
        return RestoreOrder(place="", selection=Selection(), to=bytes(self.target), overwrite=overwrite)

    def note(self) -> Note:
        return Note(self.context(), b"r" * 16, b"s" * 32, bytes(self.target))

    def broken_off(self, *, behind_ns: int = 0) -> None:
        """A restore that ends as one that is killed, after its last word about itself."""
        self.clock.behind_ns = behind_ns
        note = self.note()
        note.begin(self.fd, Directories(self.fd))
        note.close()
        self.clock.behind_ns = 0

    def written(self, name: str) -> os.stat_result:
        (self.target / name).write_bytes(bytes(100))
        return (self.target / name).stat()


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Ground]:
    found = _Ground(tmp_path, monkeypatch)
    yield found
    os.close(found.fd)


def test_what_was_written_long_after_a_run_noted_itself_last_may_be_torn(ground: _Ground) -> None:
    """Else zeros are taken for a file: while a slow disk is waited for, its workers write, and nothing is noted."""
    ground.broken_off(behind_ns=2 * _MINUTE_NS)
    stat = ground.written("torn")
    assert not ground.note().is_doubtful(stat, ground.fd), "nothing was lost of what is in memory"
    ground.mount = _SECOND
    assert ground.note().is_doubtful(stat, ground.fd)


def test_what_a_later_run_wrote_is_judged_by_the_note_of_that(ground: _Ground) -> None:
    """Else each restore that goes on after a power cut writes all again that the one before it wrote."""
    ground.broken_off(behind_ns=2 * _MINUTE_NS)
    ground.mount = _SECOND
    ground.broken_off(behind_ns=_MINUTE_NS)
    assert not ground.note().is_doubtful(ground.written("here"), ground.fd)
    ground.mount = b"3" * 16
    assert ground.note().is_doubtful(ground.written("torn"), ground.fd)


def test_the_time_of_a_run_has_no_end_where_a_clock_was_set_back(ground: _Ground) -> None:
    """Else what it wrote is trusted on a machine that has no clock of its own while it is off."""
    ground.broken_off()
    stat = ground.written("torn")
    ground.mount = _SECOND
    ground.broken_off(behind_ns=60 * _MINUTE_NS)
    assert ground.note().is_doubtful(stat, ground.fd)


@pytest.mark.parametrize("overwrite", ["if-changed", "if-newer", "never"])
def test_a_file_that_may_be_torn_is_written_again_whatever_is_kept(ground: _Ground, overwrite: Overwrite) -> None:
    """Also where all that is there stays: it is what the same restore began, and the caller's own is not touched."""
    ground.broken_off()
    stat = ground.written("torn")
    entry = Entry(b"torn", Kind.FILE, 0o644, 0, 0, stat.st_mtime_ns, stat.st_size, None)
    older = Entry(b"torn", Kind.FILE, 0o644, 0, 0, stat.st_mtime_ns - _MINUTE_NS, 7, None)
    ground.mount = _SECOND
    decider = Decider(ground.order(overwrite), ground.context(), OwnerMap({}, {}, True), ground.note())
    assert decider.judge(ground.fd, b"torn", entry) == Verdict.REPLACE
    left = Verdict.NEWER if overwrite == "if-changed" else Verdict.SKIP
    assert decider.judge(ground.fd, b"torn", older) == left
