"""Logs of checks: who removes the old ones knows them by the names that they were given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backupd.clock import SystemClock
from backupd.daemon.log_rotation import forget_check_logs
from backupd.model import events
from backupd.operations import check_log
from backupd.rules import check_logs
from tests.unit.operations.test_context import context

_DAY_NS = 86_400_000_000_000
_NOTHING = {"blocks": 0, "bytes": 0}
_RESULT: dict[str, Any] = {
    "snapshots": 0,
    "blocks": 0,
    "bytes_read": 0,
    "statistics": {"recorded": _NOTHING, "found": _NOTHING, "agree": True},
    "areas": {"sets": []},
    "problems": [],
    "files_hit_count": 0,
    "skipped": [],
    "decisions": [],
    "healed": None,
}


class _At(SystemClock):
    def __init__(self, time_ns: int) -> None:
        self.time_ns = time_ns

    def now_ns(self) -> int:
        return self.time_ns


def test_what_a_check_leaves_goes_when_it_is_old(tmp_path: Path) -> None:
    of_job = context(tmp_path)
    folder = Path(of_job.directories.state) / check_logs.FOLDER
    for day in (20_000, 20_001, 20_002):
        of_job.clock = _At(day * _DAY_NS)
        check_log.keep(of_job, "/usb", "r12345678", events.Done(exit_code=0, result=_RESULT))
    written = sorted(path.name for path in folder.iterdir())
    assert len(written) == 3
    forget_check_logs(str(folder), 20_001 * _DAY_NS + 1_000_000_000)
    assert [path.name for path in folder.iterdir()] == written[2:]
