"""Reports as a daemon gives them, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from backupd.model.reports import Counts, Report, ReportPage
from bkctl.report_figures import Figures

DAY_NS = 86_400 * 10**9
BEGIN_NS = 1_790_000_000 * 10**9
"""A Monday in September 2026."""
HOSTILE = "</td><script>alert(1)</script>\"'&\x1b[31m=x\n@SUM(A1)"


def report(day: float = 0, **fields: Any) -> Report:
    """A good backup of `home` to `usb`, begun so many days after the first."""
    at = BEGIN_NS + int(day * DAY_NS)
    values: dict[str, Any] = {
        "job": f"j{int(day * 1000):032x}", "kind": "backup", "status": "completed", "set_name": "home",
        "set_id": "b" + "1" * 32, "destination": "usb", "created_ns": at, "started_ns": at,
        "finished_ns": at + 300 * 10**9, "exit_code": 0, "snapshot": f"s{int(day * 1000):032x}", "problems": 0,
        "files": Counts(seen=1000, new=10, changed=5, attributes=2, deleted=1, failed=0),
        "bytes": Counts(seen=10**9, read=5_000_000, new=3_000_000, changed=2_000_000, attributes=500, deleted=7,
                        failed=0),
        "plain_bytes": 2_000_000, "stored_bytes": 1_000_000, "held_bytes": 10**9 + int(day) * 1_000_000,
        "free_bytes": 10**10,
    }  # fmt: skip
    return Report(**{**values, **fields})


def mixed() -> list[Report]:
    """One of each status, newest first."""
    bare = {"snapshot": None, "files": Counts(), "bytes": Counts(), "plain_bytes": None, "stored_bytes": None,
            "held_bytes": None, "free_bytes": None}  # fmt: skip
    return [
        report(9, status="in_progress", finished_ns=None, exit_code=None, destination=None, **bare),
        report(8, status="skipped", exit_code=75, error="usb is not there", **bare),
        report(7, status="missed", started_ns=None, finished_ns=None, exit_code=None, destination=None,
               error="it was due and never began", schedule="nightly", **bare),
        report(6, status="failed", exit_code=15, error="the server did not answer", **bare),
        report(5, status="interrupted_with_errors", exit_code=5, error="stopped before its end", **bare),
        report(4, status="interrupted", exit_code=5, error="stopped before its end", **bare),
        report(3, kind="restore", files=Counts(fetched=12, deleted=0, failed=0), bytes=Counts(fetched=4096),
               plain_bytes=None, stored_bytes=None, held_bytes=None, free_bytes=None, snapshot=None),
        report(2, status="warning", exit_code=3, error="1 entry left out or flagged", problems=1, schedule="nightly",
               files=Counts(seen=1000, new=10, changed=5, attributes=2, deleted=1, failed=1)),
        report(1, destination="nas"),
        report(0),
    ]  # fmt: skip


def page_of(reports: list[Report], following: str | None = None) -> ReportPage:
    """An answer with these."""
    return ReportPage(
        reports=reports, since_ns=BEGIN_NS - DAY_NS, until_ns=None, now_ns=BEGIN_NS + 10 * DAY_NS, next=following
    )


def figures_of(reports: list[Report]) -> Figures:
    """Gathered from these, newest first."""
    figures = Figures()
    for one in reports:
        figures.add(one, (one.started_ns or one.created_ns) // DAY_NS)
    return figures
