"""Progress fits its line, whatever is known, and a log gets few lines."""

from __future__ import annotations

import pytest

from backupd.model.events import Progress
from bkctl.progress import Pace, Sparse, live_lines, log_line, share_of
from bkctl.text import width

FULL = Progress(
    step="store",
    files_done=118_000,
    files_total=1_234_567,
    bytes_done=700 << 20,
    bytes_total=5 << 30,
    bytes_stored=300 << 20,
    current="/home/anna/Bücher/非常に長い名前/".encode() + b"x" * 200 + b"\xff\x1b[2J.odt",
    eta_seconds=3725.0,
    elapsed_seconds=12.0,
)


def paced(progress: Progress) -> Pace:
    pace = Pace()
    pace.note(Progress(step=progress.step))
    pace.note(progress)
    return pace


@pytest.mark.parametrize("columns", [20, 40, 80, 120, 300])
@pytest.mark.parametrize("progress", [FULL, Progress(step="scan"), Progress(step="check", files_done=3, files_total=4)])
def test_live_lines_never_wrap(progress: Progress, columns: int) -> None:
    """A line that wraps can't be taken back: the terminal fills with its remains."""
    for line in live_lines(progress, paced(progress), columns, is_unicode=True):
        assert width(line) < columns
        assert line.isprintable()


def test_at_80_columns_all_that_matters_is_there() -> None:
    line, current = live_lines(FULL, paced(FULL), 80, is_unicode=True)
    for part in ("14%", "700 MiB/5.0 GiB", "118,000/1,234,567 files", "1:02:05 left"):
        assert part in line
    assert current.startswith("/home/anna/")
    assert current.endswith(".odt")


def test_units_are_written_once() -> None:
    progress = Progress(step="store", bytes_done=2 << 30, bytes_total=5 << 30, elapsed_seconds=2.0)
    assert log_line(progress, paced(progress)) == "store: 40%, 2.0/5.0 GiB, 0 files, 1.0 GiB/s, 0:02"


def test_share_is_known_by_bytes_or_files_or_not_at_all() -> None:
    assert share_of(Progress(step="s", bytes_done=3, bytes_total=2)) == 1.0
    assert share_of(Progress(step="s", files_done=1, files_total=4)) == 0.25
    assert share_of(Progress(step="s", bytes_done=3)) is None


def test_a_log_gets_ten_lines_for_a_long_run_and_one_a_minute() -> None:
    """cron mails and journals are read by people."""
    sparse = Sparse()
    seen = [Progress(step="s", bytes_done=n, bytes_total=1000, elapsed_seconds=n / 10) for n in range(1001)]
    assert [p.bytes_done for p in seen if sparse.is_due(p)] == [100, 200, 300, 400, 500, 600, 700, 800, 900]
    sparse = Sparse()
    short = [Progress(step="s", bytes_done=n, bytes_total=1000, elapsed_seconds=n / 101) for n in range(1001)]
    assert not [p for p in short if sparse.is_due(p)], "the result follows soon"
    sparse = Sparse()
    blind = [Progress(step="s", files_done=n, elapsed_seconds=float(n)) for n in range(200)]
    assert [p.files_done for p in blind if sparse.is_due(p)] == [60, 120, 180]


def test_the_rate_starts_anew_with_each_step() -> None:
    pace = paced(FULL)
    assert pace.bytes_a_second > 0
    pace.note(Progress(step="publish", elapsed_seconds=13.0))
    assert pace.bytes_a_second == 0
